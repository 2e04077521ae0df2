// Builds the tree from yaml-cpp's events. Its own node type is not used: it expands aliases without
// limit, keeps the first of two equal keys silently and forgets lines of keys.
#include "config/yaml_tree.hpp"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/emitterstyle.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

namespace pgsteady::config {
namespace {

// The scanner may keep a few tokens per bracket before we see the first event.
constexpr auto max_brackets = 10'000;

/// Thrown by our own event handler through the parser, caught in this file.
struct refused {
    int line;
    std::string message;
    std::string suggestion;
};

int line_of(const YAML::Mark& mark) { return mark.is_null() ? 0 : mark.line + 1; }

class tree_builder final : public YAML::EventHandler {
public:
    yaml_node take_root() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (seen_document_) throw refused{line_of(mark), "a second document", "keep everything in one"};
        seen_document_ = true;
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        add(mark, yaml_kind::empty, {});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
        throw refused{line_of(mark), "aliases (*name) are not supported", "write the value out"};
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        add(mark, yaml_kind::scalar, value);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, yaml_kind::sequence);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, yaml_kind::mapping);
    }
    void OnMapEnd() override { close(); }

private:
    /// A collection that is being filled; a mapping alternates between keys and values.
    struct frame {
        yaml_node node;
        std::optional<std::string> key;
        int key_line = 0;
    };

    static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0) throw refused{line_of(mark), "anchors (&name) are not supported", "write the value out"};
    }

    static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (!tag.empty() && tag != "?" && tag != "!")
            throw refused{line_of(mark), "tags (!name) are not supported", "write the plain value"};
    }

    [[nodiscard]] bool expects_key() const {
        return !open_.empty() && open_.back().node.kind == yaml_kind::mapping && !open_.back().key;
    }

    void count_node(const YAML::Mark& mark) {
        if (++nodes_ > max_yaml_nodes) throw refused{line_of(mark), "too many values", ""};
    }

    void add(const YAML::Mark& mark, yaml_kind kind, const std::string& value) {
        count_node(mark);
        if (!expects_key()) {
            attach(yaml_node{kind, {}, line_of(mark), value, {}});
            return;
        }
        if (kind == yaml_kind::empty)
            throw refused{line_of(mark), "a key without a name", "write it in quotes if the name is null or ~"};
        open_.back().key = value;
        open_.back().key_line = line_of(mark);
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, yaml_kind kind) {
        count_node(mark);
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (expects_key())
            throw refused{line_of(mark), "a bracket that is not closed, or a key that is not a plain word", ""};
        if (open_.size() >= max_yaml_depth) throw refused{line_of(mark), "nested too deeply", ""};
        open_.push_back({yaml_node{kind, {}, line_of(mark), {}, {}}, std::nullopt, 0});
    }

    void close() {
        yaml_node node = std::move(open_.back().node);
        open_.pop_back();
        attach(std::move(node));
    }

    void attach(yaml_node node) {
        if (open_.empty()) {
            root_ = std::move(node);
            return;
        }
        frame& parent = open_.back();
        if (parent.key) {
            node.name = *std::exchange(parent.key, std::nullopt);
            node.line = parent.key_line;
        }
        parent.node.children.push_back(std::move(node));
    }

    std::vector<frame> open_;
    yaml_node root_;
    std::size_t nodes_ = 0;
    bool seen_document_ = false;
};

problem error_at(int line, std::string message, std::string suggestion) {
    return {severity::error, {}, line, {}, std::move(message), std::move(suggestion)};
}

/// Equal keys in one mapping: the second would silently lose, or win.
void find_repeated_keys(const yaml_node& node, const std::string& path, std::vector<problem>& problems) {
    std::vector<const yaml_node*> sorted;
    for (const auto& child : node.children) {
        find_repeated_keys(child, path.empty() ? child.name : path + '.' + child.name, problems);
        if (node.kind == yaml_kind::mapping) sorted.push_back(&child);
    }
    std::ranges::stable_sort(sorted, {}, &yaml_node::name);
    for (std::size_t i = 1; i < sorted.size(); ++i)
        if (sorted[i]->name == sorted[i - 1]->name) {
            auto found =
                error_at(sorted[i]->line, "given twice", "the first is in line " + std::to_string(sorted[i - 1]->line));
            found.key = path.empty() ? sorted[i]->name : path + '.' + sorted[i]->name;
            problems.push_back(std::move(found));
        }
}

std::optional<problem> check_bounds(std::string_view text) {
    if (text.size() > max_file_bytes) return error_at(0, "larger than 1MiB", "");
    if (text.find('\0') != std::string_view::npos) return error_at(0, "contains NUL bytes", "save it as UTF-8 text");
    const auto is_bracket = [](char c) { return c == '[' || c == '{'; };
    if (std::ranges::count_if(text, is_bracket) > max_brackets) return error_at(0, "too many brackets", "");
    return std::nullopt;
}

}  // namespace

yaml_node parse_yaml(std::string_view text, std::vector<problem>& problems) {
    if (auto found = check_bounds(text)) {
        problems.push_back(std::move(*found));
        return {};
    }
    try {
        // A quote left open is noticed only if the text ends within it, not with a line break.
        const auto last = text.find_last_not_of(" \r\n");
        std::istringstream stream(std::string(text.substr(0, last == std::string_view::npos ? 0 : last + 1)));
        YAML::Parser parser(stream);
        tree_builder builder;
        while (parser.HandleNextDocument(builder)) {
        }
        yaml_node root = builder.take_root();
        find_repeated_keys(root, {}, problems);
        return root;
    } catch (const refused& reason) {
        problems.push_back(error_at(reason.line, reason.message, reason.suggestion));
    } catch (const YAML::Exception& error) {
        problems.push_back(error_at(line_of(error.mark), "not valid YAML: " + error.msg, ""));
    } catch (const std::exception& error) {
        problems.push_back(error_at(0, std::string("cannot be read: ") + error.what(), ""));
    }
    return {};
}

}  // namespace pgsteady::config
