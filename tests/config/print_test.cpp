// --print-config: complete, sourced, without secrets, and a file that loads to the same settings.

#include "config/print.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>

using namespace pgsteady::config;

namespace {

bool has_line(const std::string& text, std::string_view value, std::string_view source) {
    const auto at = text.find(value);
    if (at == std::string::npos) return false;
    const auto line = text.substr(at, text.find('\n', at) - at);
    return line.ends_with("# " + std::string(source));
}

}  // namespace

TEST_CASE("each value is printed with its source") {
    const auto loaded =
        load_text("backends:\n  hosts: [127.0.0.1]\npool: {size: 7}\ndatabases:\n  my db: {pool: {mode: session}}\n",
                  "proxy.yaml", {{"DB_MAX_OVERFLOW", "3"}});
    REQUIRE(loaded.ok());
    const auto text = print(loaded);
    CHECK(has_line(text, "  hosts: [\"127.0.0.1:5432\"]", "proxy.yaml:2"));
    CHECK(has_line(text, "  size: 7", "proxy.yaml:3"));
    CHECK(has_line(text, "  max_overflow: 3", "env DB_MAX_OVERFLOW"));
    CHECK(has_line(text, "  hold_timeout: 30s", "default"));
    CHECK(has_line(text, "  method: passthrough", "from no users being configured"));
    CHECK(has_line(text, "      mode: session", "proxy.yaml:5"));
}

TEST_CASE("secrets are printed as set or empty, never as they are, and never loaded back by mistake") {
    const auto loaded = load_text("users: {a: {password: hunter2}}\nadmin: {operate_token: hunter2}\n", "proxy.yaml",
                                  {{"DATABASE_URL", "postgres://u:hunter2@127.0.0.1/x"},
                                   {"PGSTEADY_MONITOR__USER", "m"},
                                   {"PGSTEADY_MONITOR__PASSWORD", "hunter2"}});
    REQUIRE(loaded.ok());
    const auto text = print(loaded);
    CHECK(text.find("hunter2") == std::string::npos);
    CHECK(text.find("operate_token: \"(set)\"") != std::string::npos);
    CHECK(text.find("read_token: \"\"") != std::string::npos);
    const auto again = load_text(text, "printed", {});
    CHECK_FALSE(again.ok());
    const auto is_told = [](const problem& found) {
        return found.message == "is what --print-config shows instead of a secret";
    };
    CHECK(std::count_if(again.problems.begin(), again.problems.end(), is_told) == 5);
}

TEST_CASE("without secrets the printed file loads to the same settings") {
    const auto first = load_text(
        "backends: {hosts: [127.0.0.1, \"[::1]:5433\", /run/postgresql], database: \"odd: name\"}\nauth: {method: "
        "trust}\n"
        "pool: {size: 3, lifetime: 5min, reset_query: \"DISCARD \\\"x\\\\\"}\nadmin: {admin_users: [a, \"b c\"]}\n"
        "databases:\n  app: {dbname: x, pool: {size: 50}, timeouts: {statement: 250ms}, retry: {multiplier: 1.5}}\n"
        "  \"yes\": {}\n",
        "first", {});
    for (const auto& found : first.problems) MESSAGE(describe(found));
    REQUIRE(first.ok());
    const auto second = load_text(print(first), "second", {});
    for (const auto& found : second.problems) MESSAGE(describe(found));
    CHECK(second.settings == first.settings);
}

TEST_CASE("the same as values: full paths, sources, entries of databases and users, no secrets") {
    const auto loaded = load_text(
        "backends:\n  hosts: [127.0.0.1]\ndatabases:\n  my.db: {pool: {size: 7}, timeouts: {statement: 1s}}\n"
        "users: {a: {password: hunter2}}\nadmin: {operate_token: hunter2}\n",
        "proxy.yaml", {});
    REQUIRE(loaded.ok());
    std::map<std::string, std::string> shown;
    for (const effective_value& each : effective(loaded)) {
        CHECK(each.value.find("hunter2") == std::string::npos);
        CHECK(shown.emplace(each.key, each.value + " from " + each.source).second);
    }
    CHECK(shown["pool.hold_timeout"] == "30s from default");
    CHECK(shown["databases.\"my.db\".pool.size"] == "7 from proxy.yaml:4");
    CHECK(shown["databases.\"my.db\".timeouts.statement"] == "1s from proxy.yaml:4");
    CHECK(shown["users.a.password"] == "\"(set)\" from proxy.yaml:5");
    CHECK(shown["admin.operate_token"] == "\"(set)\" from proxy.yaml:6");
    CHECK(shown["admin.read_token"] == "\"\" from default");
}
