// Walks the table and writes one line per key. Entries of databases and users show what was given.
#include "config/print.hpp"

#include "config/apply.hpp"
#include "config/keys.hpp"

#include <algorithm>

namespace pgsteady::config {
namespace {

constexpr std::size_t comment_column = 44;

/// YAML with aligned comments; opens a section when a path enters it.
class yaml_writer {
public:
    /// `path` is relative to `base`: its levels become indented lines.
    void value(std::string_view path, std::string_view text, const std::string& comment, std::size_t base = 0) {
        std::string_view section;
        std::size_t depth = base;
        for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
            const auto parent = path.substr(0, dot);
            if (!is_within(parent)) line(depth, parent.substr(section.empty() ? 0 : section.size() + 1), {}, {});
            section = parent;
            ++depth;
        }
        open_ = section;
        line(depth, section.empty() ? path : path.substr(section.size() + 1), text, comment);
    }

    void line(std::size_t depth, std::string_view name, std::string_view text, const std::string& comment) {
        std::string written(depth * 2, ' ');
        written += std::string(name) + ':';
        if (!text.empty()) written += ' ' + std::string(text);
        if (!comment.empty()) {
            written.resize(std::max(written.size() + 1, comment_column), ' ');
            written += "# " + comment;
        }
        text_ += written + '\n';
    }

    void leave_section() { open_.clear(); }
    [[nodiscard]] std::string take() { return std::move(text_); }

private:
    [[nodiscard]] bool is_within(std::string_view section) const {
        return open_ == section ||
               (open_.starts_with(section) && open_.size() > section.size() && open_[section.size()] == '.');
    }

    std::string text_;
    std::string open_;  // the section of the last line
};

/// Sources quote variables and paths; a line break would end the comment.
std::string comment_for(const source_map& sources, std::string_view path) {
    const auto found = sources.find(path);
    std::string text = describe(found == sources.end() ? source{} : found->second);
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return text;
}

std::string shown_value(const slot& where, const value_rule& rule) {
    if (!rule.secret) return format_yaml(where, rule);
    return format(where, rule).empty() ? "\"\"" : quote_yaml(hidden_secret);
}

class printer {
public:
    explicit printer(const load_result& loaded) : loaded_(loaded), settings_(loaded.settings) {}

    std::string run() {
        for (const key& row : keys()) {
            const effective_value& said = note(row.path, row.find(settings_), row.rule);
            out_.value(row.path, said.value, said.source);
        }
        print_map("databases", settings_.databases, [this](const std::string& path, database_settings& entry) {
            print_entry(path, database_keys(), entry);
            print_policies(path, entry);
        });
        print_map("users", settings_.users,
                  [this](const std::string& path, user_settings& entry) { print_entry(path, user_keys(), entry); });
        return out_.take();
    }

    [[nodiscard]] std::vector<effective_value> take_values() { return std::move(values_); }

private:
    /// Valid until the next call.
    const effective_value& note(std::string_view path, const slot& where, const value_rule& rule) {
        return values_.emplace_back(
            effective_value{std::string(path), shown_value(where, rule), comment_for(loaded_.sources, path)});
    }

    template <class Map, class Print>
    void print_map(std::string_view title, Map& map, Print print_one) {
        out_.line(0, title, map.empty() ? "{}" : "", {});
        for (auto& [name, entry] : map) {
            const std::string path = entry_path(title, name);
            const bool is_empty = !has_keys(path);
            out_.line(1, quote_yaml(name), is_empty ? "{}" : "", comment_for(loaded_.sources, path));
            out_.leave_section();
            if (!is_empty) print_one(path, entry);
        }
    }

    bool has_keys(const std::string& path) const {
        const auto next = loaded_.sources.lower_bound(path + '.');
        return next != loaded_.sources.end() && next->first.starts_with(path + '.');
    }

    template <class Entry>
    void print_entry(const std::string& path, std::span<const entry_key<Entry>> rows, Entry& entry) {
        for (const auto& row : rows) {
            const std::string full = path + '.' + std::string(row.name);
            if (!loaded_.sources.contains(full)) continue;
            const effective_value& said = note(full, row.find(entry), row.rule);
            out_.line(2, row.name, said.value, said.source);
        }
    }

    void print_policies(const std::string& path, policies& entry) {
        for (const key& row : keys()) {
            if (row.find_policy == nullptr) continue;
            const std::string full = path + '.' + std::string(row.path);
            if (!loaded_.sources.contains(full)) continue;
            const effective_value& said = note(full, row.find_policy(entry), row.rule);
            out_.value(row.path, said.value, said.source, 2);
        }
    }

    const load_result& loaded_;
    settings settings_;  // a copy: slots are mutable
    yaml_writer out_;
    std::vector<effective_value> values_;
};

}  // namespace

std::string print(const load_result& loaded) { return printer(loaded).run(); }

std::vector<effective_value> effective(const load_result& loaded) {
    printer all(loaded);
    static_cast<void>(all.run());
    return all.take_values();
}

}  // namespace pgsteady::config
