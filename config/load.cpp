// Reads the file, runs the steps, and places each problem where its value came from.
#include "config/load.hpp"

#include "config/apply.hpp"
#include "config/text_file.hpp"
#include "config/validate.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <tuple>

namespace pgsteady::config {
namespace {

/// One byte over its limit is left for parse_yaml to tell.
std::optional<std::string> read_file(const std::filesystem::path& path, load_result& out) {
    file_text read = read_text_file(path, max_file_bytes);
    if (read.problem.empty()) return std::move(read.text);
    out.problems.push_back({severity::error, path.string(), 0, {}, "cannot be read: " + read.problem, {}});
    return std::nullopt;
}

yaml_node read_tree(std::string_view text, const std::string& name, load_result& out) {
    std::vector<problem> found;
    yaml_node root = parse_yaml(text, found);
    for (auto& one : found) {
        one.file = name;
        out.problems.push_back(std::move(one));
    }
    if (root.kind == yaml_kind::mapping || root.kind == yaml_kind::empty) return root;
    out.problems.push_back({severity::error, name, root.line, {}, "is not made of keys", "write key: value lines"});
    return {};
}

void build(const yaml_node& root, const std::string& name, const environment& variables, load_result& out) {
    apply_file_keys(root, name, out);
    apply_environment(variables, out);
    fit_defaults(out);
    apply_file_entries(root, name, out);
    derive(variables, out);
    for (auto& found : validate(out.settings, check_readable))
        report(out, found.level, std::move(found.key), std::move(found.message), std::move(found.suggestion));
    const auto place = [](const problem& one) { return std::tie(one.file, one.line); };
    std::ranges::stable_sort(out.problems, {}, place);
}

/// The value's own source, or the nearest one above it ("users.a" for "users.a.password").
const source* find_source(const source_map& sources, std::string_view key) {
    while (!key.empty()) {
        if (const auto found = sources.find(key); found != sources.end()) return &found->second;
        const auto dot = key.rfind('.');
        key = dot == std::string_view::npos ? std::string_view{} : key.substr(0, dot);
    }
    return nullptr;
}

bool is_simple_name(std::string_view name) {
    const auto is_word = [](unsigned char c) { return (std::isalnum(c) != 0) || c == '_' || c == '-' || c >= 0x80; };
    return !name.empty() && std::ranges::all_of(name, is_word);
}

}  // namespace

void report(load_result& out, severity level, std::string key, std::string message, std::string suggestion) {
    problem found{level, {}, 0, std::move(key), std::move(message), std::move(suggestion)};
    if (const source* where = find_source(out.sources, found.key)) {
        found.line = where->line;
        if (where->from == origin::file) found.file = where->name;
        else if (where->from == origin::variable) found.file = "env " + where->name;
    }
    out.problems.push_back(std::move(found));
}

load_result load(const std::optional<std::filesystem::path>& file, const environment& variables) {
    load_result out;
    const auto text = file ? read_file(*file, out) : std::nullopt;
    const std::string name = file ? file->string() : std::string{};
    build(text ? read_tree(*text, name, out) : yaml_node{}, name, variables, out);
    return out;
}

load_result load_text(std::string_view text, const std::string& name, const environment& variables) {
    load_result out;
    build(read_tree(text, name, out), name, variables, out);
    return out;
}

environment process_environment() {
    environment variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto equals = text.find('=');
        if (equals != std::string_view::npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

std::optional<std::filesystem::path> default_file() {
    constexpr std::array places{"./proxy.yaml", "/etc/pgsteady/proxy.yaml"};
    for (const char* place : places) {
        std::error_code ignored;
        if (std::filesystem::exists(place, ignored)) return std::filesystem::path(place);
    }
    return std::nullopt;
}

std::string describe(const source& where) {
    switch (where.from) {
        case origin::default_value: return "default";
        case origin::file: return where.line > 0 ? where.name + ':' + std::to_string(where.line) : where.name;
        case origin::variable: return "env " + where.name;
        case origin::derived: return "from " + where.name;
    }
    return {};
}

std::string entry_path(std::string_view map, std::string_view name, std::string_view key) {
    std::string path(map);
    path += is_simple_name(name) ? '.' + std::string(name) : ".\"" + std::string(name) + '"';
    if (!key.empty()) path += '.' + std::string(key);
    return path;
}

}  // namespace pgsteady::config
