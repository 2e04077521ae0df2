// From the tree of the file to settings. Unknown keys get the nearest known name.
#include "config/apply.hpp"
#include "config/keys.hpp"
#include "config/suggest.hpp"

#include <algorithm>

namespace pgsteady::config {
namespace {

constexpr std::string_view databases = "databases";
constexpr std::string_view users = "users";
constexpr std::size_t max_name_bytes = 63;  // NAMEDATALEN - 1: PostgreSQL cuts longer ones

std::string join_path(std::string_view prefix, std::string_view name) {
    return prefix.empty() ? std::string(name) : std::string(prefix) + '.' + std::string(name);
}

/// Names that may stand directly below `prefix`.
std::vector<std::string_view> names_below(std::string_view prefix) {
    std::vector<std::string_view> names;
    const auto add = [&](std::string_view path) {
        if (!prefix.empty()) {
            if (!path.starts_with(prefix) || path.size() <= prefix.size() || path[prefix.size()] != '.') return;
            path.remove_prefix(prefix.size() + 1);
        }
        const auto name = path.substr(0, path.find('.'));
        if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    };
    for (const key& row : keys()) add(row.path);
    if (prefix.empty()) {
        names.push_back(databases);
        names.push_back(users);
    }
    return names;
}

/// What the author of an unknown key probably meant: a neighbour, or the same word elsewhere.
std::string suggest_key(std::string_view prefix, std::string_view name) {
    if (name.find('.') != std::string_view::npos) return "nest the levels: one line for each, indented";
    if (const auto found = nearest(name, names_below(prefix)); !found.empty())
        return "did you mean " + join_path(prefix, found) + '?';
    for (const key& row : keys())
        if (row.path.ends_with(name) && row.path.size() > name.size() &&
            row.path[row.path.size() - name.size() - 1] == '.')
            return "did you mean " + std::string(row.path) + '?';
    return {};
}

class file_reader {
public:
    file_reader(const std::string& file, load_result& out) : file_(file), out_(out) {}

    /// Keys and sections below `prefix`. With `entry`, they belong to that entry of `databases` and
    /// problems call them by `shown` + path.
    void read_section(const yaml_node& parent, std::string_view prefix, policies* entry, const std::string& shown) {
        for (const yaml_node& child : parent.children) {
            const bool is_map = prefix.empty() && entry == nullptr && (child.name == databases || child.name == users);
            if (!is_map) read_member(child, prefix, entry, shown);
        }
    }

    void read_member(const yaml_node& node, std::string_view prefix, policies* entry, const std::string& shown) {
        const std::string path = join_path(prefix, node.name);
        const std::string full_name = join_path(shown, path);
        const bool is_dotted = node.name.find('.') != std::string::npos;
        if (const key* row = is_dotted ? nullptr : find_key(path)) {
            if (entry != nullptr && row->find_policy == nullptr)
                complain(node, full_name, "cannot differ from database to database",
                         "set " + path + " at the top level");
            else
                read_value(node, entry != nullptr ? row->find_policy(*entry) : row->find(out_.settings), row->rule,
                           full_name);
        } else if (!is_dotted && is_section(path)) {
            if (node.kind == yaml_kind::mapping) read_section(node, path, entry, shown);
            else if (node.kind != yaml_kind::empty)
                complain(node, full_name, "a value where a section is expected", "indent its keys below it");
        } else {
            complain(node, full_name, "unknown key", suggest_key(prefix, node.name));
        }
    }

    void read_databases(const yaml_node& map) {
        read_entries(map, databases, [this](const yaml_node& entry) {
            if (entry.name == "*") {
                complain(entry, std::string(databases) + ".*", "is not a name",
                         "databases that are not listed are served by default; see auto_pools");
                return;
            }
            auto& target = out_.settings.databases[entry.name];
            static_cast<policies&>(target) = static_cast<const policies&>(out_.settings);
            const std::string path = entry_path(databases, entry.name);
            for (const yaml_node& child : entry.children)
                if (!read_entry_key(child, database_keys(), target, path)) read_database_policy(child, target, path);
        });
    }

    void read_users(const yaml_node& map) {
        read_entries(map, users, [this](const yaml_node& entry) {
            auto& target = out_.settings.users[entry.name];
            const std::string path = entry_path(users, entry.name);
            for (const yaml_node& child : entry.children)
                if (!read_entry_key(child, user_keys(), target, path))
                    complain(child, join_path(path, child.name), "unknown key", suggest_entry_key(child, user_keys()));
        });
    }

private:
    void complain(const yaml_node& node, std::string path, std::string message, std::string suggestion) {
        out_.problems.push_back(
            {severity::error, file_, node.line, std::move(path), std::move(message), std::move(suggestion)});
    }

    void read_value(const yaml_node& node, const slot& where, const value_rule& rule, const std::string& path) {
        std::optional<value_problem> bad;
        switch (node.kind) {
            case yaml_kind::empty: bad = {"has no value", "leave the key out for its default, or write \"\""}; break;
            case yaml_kind::mapping: bad = {"a section where a value is expected", ""}; break;
            case yaml_kind::sequence: bad = read_sequence(node, where, rule); break;
            case yaml_kind::scalar:
                if (rule.secret && node.scalar == hidden_secret)
                    bad = {"is what --print-config shows instead of a secret",
                           "write the secret itself, or name a file"};
                else bad = assign(where, rule, node.scalar);
                break;
        }
        if (bad) complain(node, path, std::move(bad->message), std::move(bad->suggestion));
        else out_.sources[path] = {origin::file, file_, node.line};
    }

    static std::optional<value_problem> read_sequence(const yaml_node& node, const slot& where,
                                                      const value_rule& rule) {
        std::vector<std::string> items;
        for (const yaml_node& child : node.children) {
            if (child.kind != yaml_kind::scalar) return value_problem{"a list whose items are not plain values", ""};
            items.push_back(child.scalar);
        }
        return assign_list(where, rule, items);
    }

    template <class Read>
    void read_entries(const yaml_node& map, std::string_view title, Read read) {
        if (map.kind == yaml_kind::empty) return;
        if (map.kind != yaml_kind::mapping) {
            complain(map, std::string(title), "a value where names are expected",
                     "write name: and indent its keys below it");
            return;
        }
        for (const yaml_node& entry : map.children) {
            const std::string path = entry_path(title, entry.name);
            if (!is_good_name(entry.name))
                complain(entry, path, "not a name", "names have 1 to 63 bytes and no control characters");
            else if (entry.kind != yaml_kind::mapping && entry.kind != yaml_kind::empty)
                complain(entry, path, "a value where keys are expected", "indent its keys below it");
            else {
                out_.sources[path] = {origin::file, file_, entry.line};
                read(entry);
            }
        }
    }

    static bool is_good_name(std::string_view name) {
        const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
        return !name.empty() && name.size() <= max_name_bytes && std::ranges::none_of(name, is_control);
    }

    template <class Entry>
    bool read_entry_key(const yaml_node& node, std::span<const entry_key<Entry>> rows, Entry& target,
                        const std::string& path) {
        const auto row = std::ranges::find(rows, std::string_view(node.name), &entry_key<Entry>::name);
        if (row == rows.end()) return false;
        read_value(node, row->find(target), row->rule, join_path(path, node.name));
        return true;
    }

    void read_database_policy(const yaml_node& node, database_settings& target, const std::string& path) {
        const auto is_policy_of = [&](const key& row) {
            return row.find_policy != nullptr && row.path.starts_with(node.name + '.');
        };
        if (std::ranges::any_of(keys(), is_policy_of)) read_member(node, {}, &target, path);
        else complain(node, join_path(path, node.name), "unknown key", suggest_entry_key(node, database_keys()));
    }

    template <class Entry>
    static std::string suggest_entry_key(const yaml_node& node, std::span<const entry_key<Entry>> rows) {
        std::vector<std::string_view> names;
        for (const auto& row : rows) names.push_back(row.name);
        if constexpr (std::is_base_of_v<policies, Entry>)
            for (const key& row : keys())
                if (row.find_policy != nullptr) names.push_back(row.path.substr(0, row.path.find('.')));
        const auto found = nearest(node.name, names);
        return found.empty() ? std::string{} : "did you mean " + std::string(found) + '?';
    }

    const std::string& file_;
    load_result& out_;
};

}  // namespace

void apply_file_keys(const yaml_node& root, const std::string& file, load_result& out) {
    file_reader(file, out).read_section(root, {}, nullptr, {});
}

void apply_file_entries(const yaml_node& root, const std::string& file, load_result& out) {
    file_reader reader(file, out);
    for (const yaml_node& child : root.children) {
        if (child.name == databases) reader.read_databases(child);
        else if (child.name == users) reader.read_users(child);
    }
}

}  // namespace pgsteady::config
