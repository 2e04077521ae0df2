// Holds proxy.yaml.example and docs/CONFIGURATION.md to the table of keys: both are written from it, and
// a difference fails here. PGSTEADY_UPDATE_DOCS=1 in the environment rewrites the files instead.

#include "config/apply.hpp"
#include "config/keys.hpp"
#include "config/load.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace pgsteady::config;

namespace {

constexpr std::string_view intro = R"(# pgsteady: every key with its default, unit and reason.
#
# A line such as "#size: 20" shows a default: switch it on by deleting the # and change it. Whatever is
# left out keeps its default. "pgsteady --check" lists every problem with its line.
#
# Durations: 250ms, 30s, 10min, 1h, 7d. Sizes: 512B, 64KiB, 1MiB, 1GiB. 0 means off, or no limit.
# Each key can be set in the environment as PGSTEADY_ and its path in capitals, levels joined by two
# underscores: PGSTEADY_POOL__MAX_OVERFLOW. Environment beats file beats default. Older names, where
# there are some, stand in the brackets; a bare number means seconds there.
)";

constexpr std::string_view entries = R"(
# Databases with settings of their own, by the name that clients ask for. Their pools are kept warm
# (pool.min_size). An entry may hold the sections pool, timeouts, recovery, retry, breaker, read_only,
# replay and guard; what it leaves out is as above. Databases that are not listed: see auto_pools.
#
#databases:
#  app:
#    dbname: app_production
#    hosts: [10.0.0.1, "10.0.0.2:5433"]
#    user: app
#    password_file: app.secret
#    max_clients: 500
#    pool:
#      mode: session
#      size: 40
#    timeouts:
#      statement: 30s

# Who may sign in, with password, password_file, password_env or verifier. The pair of backends.user and
# backends.password may sign in without being listed. Values here beat those of the database.
#
#users:
#  app:
#    password_env: APP_PASSWORD
#  report:
#    verifier: "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#    max_clients: 10
#    mode: session
#    pool_size: 4
#    statement_timeout: 10min
#    idle_in_transaction_timeout: 1min
#
)";

/// "number, 1 to 100000; DB_POOL_SIZE, DATABASE_POOL_SIZE"
std::string kind_and_range(const value_rule& rule) {
    std::string text(rule.secret ? "secret" : kind_name(rule.kind));
    if (rule.kind == value_kind::choice) return describe_range(rule);
    if (const auto range = describe_range(rule); !range.empty()) text += ", " + range;
    return text;
}

std::string older_names(const key& row, std::string_view quote = "") {
    std::string text;
    for (const auto name : row.variables) {
        if (name.empty()) continue;
        text += text.empty() ? "" : ", ";
        text += std::string(quote) + std::string(name) + std::string(quote);
    }
    return text;
}

/// `text` as comment lines of at most 100 columns.
std::string comment(std::string_view text, std::size_t depth) {
    const std::string start = std::string(depth * 2, ' ') + "#";
    std::string lines;
    std::string line = start;
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) {
        if (line.size() + 1 + word.size() > 100) {
            lines += line + '\n';
            line = start;
        }
        line += ' ' + word;
    }
    return lines + line + '\n';
}

std::string section_why(std::string_view path) {
    for (const auto& one : sections())
        if (one.path == path) return std::string(one.why);
    return {};
}

std::size_t depth_of(std::string_view path) {
    return static_cast<std::size_t>(std::count(path.begin(), path.end(), '.'));
}

std::string_view parent_of(std::string_view path) {
    const auto dot = path.rfind('.');
    return dot == std::string_view::npos ? std::string_view{} : path.substr(0, dot);
}

std::string_view last_name(std::string_view path) { return path.substr(path.rfind('.') + 1); }

std::string example_key(const key& row, settings& defaults) {
    const auto depth = depth_of(row.path);
    const auto names = older_names(row);
    const std::string brackets = '[' + kind_and_range(row.rule) + (names.empty() ? "" : "; " + names) + ']';
    std::string text = comment(std::string(row.why) + ' ' + brackets, depth);
    text += std::string(depth * 2, ' ');
    // The one thing that has no default and that everybody must say.
    if (row.path == "backends.hosts") return text + "hosts: [\"127.0.0.1:5432\"]\n";
    return text + '#' + std::string(last_name(row.path)) + ": " + format_yaml(row.find(defaults), row.rule) + '\n';
}

std::string example_file() {
    std::string text(intro);
    settings defaults;
    std::string_view open;
    for (const key& row : keys()) {
        const auto parent = parent_of(row.path);
        if (parent != open && !parent.empty()) {
            text += '\n' + comment(section_why(parent), depth_of(parent));
            text += std::string(depth_of(parent) * 2, ' ') + std::string(last_name(parent)) + ":\n";
        } else {
            text += text.ends_with(":\n") && !text.ends_with("#:\n") ? "" : "\n";
        }
        open = parent;
        text += example_key(row, defaults);
    }
    return text + std::string(entries);
}

std::string markdown_row(std::initializer_list<std::string> cells) {
    std::string line = "|";
    for (const auto& cell : cells) line += ' ' + cell + " |";
    return line + '\n';
}

std::string markdown_tables() {
    settings defaults;
    std::string text =
        markdown_row({"key", "value", "default", "older variables", "meaning"}) + "|---|---|---|---|---|\n";
    for (const key& row : keys()) {
        const auto value = format_yaml(row.find(defaults), row.rule);
        text += markdown_row({'`' + std::string(row.path) + '`', kind_and_range(row.rule), '`' + value + '`',
                              older_names(row, "`"), std::string(row.why)});
    }
    text += "\nKeys of an entry `databases.NAME`, beside the sections that may differ (";
    std::string names;
    std::string_view last;
    for (const key& row : keys()) {
        const auto name = row.path.substr(0, row.path.find('.'));
        if (row.find_policy == nullptr || name == last) continue;
        names += (names.empty() ? "`" : ", `") + std::string(name) + '`';
        last = name;
    }
    text += names + "):\n\n" + markdown_row({"key", "value", "meaning"}) + "|---|---|---|\n";
    for (const auto& row : database_keys())
        text += markdown_row({'`' + std::string(row.name) + '`', kind_and_range(row.rule), std::string(row.why)});
    text += "\nKeys of an entry `users.NAME`:\n\n" + markdown_row({"key", "value", "meaning"}) + "|---|---|---|\n";
    for (const auto& row : user_keys())
        text += markdown_row({'`' + std::string(row.name) + '`', kind_and_range(row.rule), std::string(row.why)});
    return text;
}

std::string read_whole(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::string repository_path(std::string_view name) {
    return std::string(PGSTEADY_SOURCE_DIR) + '/' + std::string(name);
}

bool rewrites_files() { return std::getenv("PGSTEADY_UPDATE_DOCS") != nullptr; }

/// "  #port: 6432" -> "  port: 6432"; comments proper have a space after the #.
std::string uncomment(std::string_view text) {
    std::string result;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line); result += line + '\n') {
        const auto mark = line.find_first_not_of(' ');
        if (mark != std::string::npos && line[mark] == '#' && mark + 1 < line.size() && line[mark + 1] != ' ')
            line.erase(mark, 1);
    }
    return result;
}

/// The lines from "#databases:" and "#users:" to the end of their paragraphs.
std::string uncomment_entries(std::string_view text) {
    std::string result;
    bool inside = false;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        inside = line == "#databases:" || line == "#users:" || (inside && line.size() > 1);
        if (inside) result += line.substr(1) + '\n';
    }
    return result;
}

std::string everything_but_entries(const std::string& text) { return text.substr(0, text.find("\n#databases:")); }

}  // namespace

TEST_CASE("proxy.yaml.example is written from the table of keys") {
    const auto path = repository_path("proxy.yaml.example");
    if (rewrites_files()) std::ofstream(path, std::ios::binary) << example_file();
    CHECK(read_whole(path) == example_file());
}

TEST_CASE("proxy.yaml.example loads without problems") {
    const auto loaded = load_text(read_whole(repository_path("proxy.yaml.example")), "example", {});
    for (const auto& found : loaded.problems) MESSAGE(describe(found));
    CHECK(loaded.problems.empty());
}

TEST_CASE("proxy.yaml.example with all keys switched on equals the defaults and misses none") {
    const auto text = uncomment(everything_but_entries(read_whole(repository_path("proxy.yaml.example"))));
    auto switched_on = load_text(text, "example", {});
    for (const auto& found : switched_on.problems) MESSAGE(describe(found));
    CHECK(switched_on.problems.empty());
    for (const key& row : keys()) {
        CAPTURE(row.path);
        const auto source = switched_on.sources.find(row.path);
        REQUIRE(source != switched_on.sources.end());
        const bool is_derived = source->second.from == origin::derived;  // values on auto
        CHECK((is_derived || source->second.from == origin::file));
    }
    const auto defaults = load_text("backends: {hosts: [127.0.0.1]}", "defaults", {});
    CHECK(switched_on.settings == defaults.settings);
}

TEST_CASE("the example entries of databases and users are valid apart from the files they name") {
    auto text = uncomment_entries(read_whole(repository_path("proxy.yaml.example")));
    const auto name = text.find("password_file: app.secret");
    REQUIRE(name != std::string::npos);
    text.replace(name, 25, "password: secret");
    const auto loaded = load_text("backends: {hosts: [127.0.0.1]}\n" + text, "example", {{"APP_PASSWORD", "x"}});
    for (const auto& found : loaded.problems)
        if (found.level == severity::error) MESSAGE(describe(found));
    CHECK(loaded.ok());
    CHECK(loaded.settings.databases.size() == 1);
    CHECK(loaded.settings.users.size() == 2);
}

TEST_CASE("the tables of docs/CONFIGURATION.md are written from the table of keys") {
    constexpr std::string_view begin = "<!-- keys: begin -->\n";
    constexpr std::string_view end = "<!-- keys: end -->\n";
    const auto path = repository_path("docs/CONFIGURATION.md");
    auto text = read_whole(path);
    const auto from = text.find(begin);
    const auto to = text.find(end);
    REQUIRE(from != std::string::npos);
    REQUIRE(to != std::string::npos);
    const auto first = from + begin.size();
    if (rewrites_files()) {
        text.replace(first, to - first, markdown_tables());
        std::ofstream(path, std::ios::binary) << text;
    }
    const auto stop = text.find(end);
    CHECK(text.substr(first, stop - first) == markdown_tables());
}

TEST_CASE("every key has a section, a reason and a variable of its own") {
    std::vector<std::string> variables;
    settings defaults;
    for (const key& row : keys()) {
        CAPTURE(row.path);
        CHECK((parent_of(row.path).empty() || is_section(parent_of(row.path))));
        CHECK(row.why.ends_with('.'));
        variables.push_back(variable_name(row.path));
        for (const auto name : row.variables)
            if (!name.empty()) variables.emplace_back(name);
        // The default itself is a legal value, and what format writes is what assign reads.
        const slot where = row.find(defaults);
        const auto text = format(where, row.rule);
        const bool may_be_absent = row.rule.kind == value_kind::hosts;
        CHECK((may_be_absent || !assign(where, row.rule, text)));
        CHECK(format(where, row.rule) == text);
    }
    std::sort(variables.begin(), variables.end());
    CHECK(std::adjacent_find(variables.begin(), variables.end()) == variables.end());
    CHECK(defaults == settings{});
}

TEST_CASE("the older variables of product and their defaults are all known") {
    struct expectation {
        std::string_view variable;
        std::string_view path;
        std::string_view value;
    };
    const expectation table[]{
        {"DB_HOST", "backends.hosts", ""},
        {"DB_PORT", "backends.port", "5432"},
        {"DB_USER", "backends.user", ""},
        {"DB_PASS", "backends.password", ""},
        {"DB_PASS_FILE", "backends.password_file", ""},
        {"DB_NAME", "backends.database", ""},
        {"DB_POOL_SIZE", "pool.size", "20"},
        {"DATABASE_POOL_SIZE", "pool.size", "20"},
        {"DB_MAX_OVERFLOW", "pool.max_overflow", "10"},
        {"DATABASE_MAX_OVERFLOW", "pool.max_overflow", "10"},
        {"DB_POOL_TIMEOUT", "pool.hold_timeout", "30s"},
        {"DATABASE_POOL_TIMEOUT", "pool.hold_timeout", "30s"},
        {"DB_POOL_RECYCLE", "pool.lifetime", "1h"},
        {"DATABASE_POOL_RECYCLE", "pool.lifetime", "1h"},
        {"RECOVERY_MAX_RETRIES", "retry.max_retries", "3"},
        {"DB_MAX_RETRIES", "retry.max_retries", "3"},
        {"DB_RETRY_BASE_DELAY", "retry.initial_delay", "50ms"},
        {"DB_RETRY_MAX_DELAY", "retry.max_delay", "5s"},
        {"RECOVERY_BACKOFF_MULTIPLIER", "retry.multiplier", "2.0"},
        {"DB_RETRY_BACKOFF_MULTIPLIER", "retry.multiplier", "2.0"},
        {"CIRCUIT_BREAKER_THRESHOLD", "breaker.failure_threshold", "5"},
        {"DB_CIRCUIT_BREAKER_FAILURE_THRESHOLD", "breaker.failure_threshold", "5"},
        {"CIRCUIT_BREAKER_TIMEOUT", "breaker.timeout", "1min"},
        {"DB_CIRCUIT_BREAKER_RECOVERY_TIMEOUT", "breaker.timeout", "1min"},
        {"DB_CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "breaker.success_threshold", "2"},
        {"DB_HEALTH_CHECK_INTERVAL", "health.interval", "30s"},
        {"HEALTH_CHECK_TIMEOUT", "health.timeout", "5s"},
        {"DB_ECHO", "log.statements", "false"},
    };
    settings defaults;
    std::size_t known = 0;
    for (const key& row : keys())
        known += static_cast<std::size_t>(!row.variables[0].empty()) + !row.variables[1].empty();
    CHECK(known == std::size(table));
    for (const auto& expected : table) {
        CAPTURE(expected.variable);
        const key* row = find_key(expected.path);
        REQUIRE(row != nullptr);
        CHECK((row->variables[0] == expected.variable || row->variables[1] == expected.variable));
        CHECK(format(row->find(defaults), row->rule) == expected.value);
    }
}

TEST_CASE("P51: every duration can be switched off with 0") {
    settings all;
    for (const key& row : keys())
        if (row.rule.kind == value_kind::duration) {
            CAPTURE(row.path);
            CHECK_FALSE(assign(row.find(all), row.rule, "0"));
        }
}
