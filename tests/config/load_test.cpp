// From file and environment to settings: precedence, names, problems with their places, what is derived.

#include "config/load.hpp"

#include "tests/config/temporary_file.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace pgsteady::config;
using namespace std::chrono_literals;

namespace {

constexpr const char* minimal = "backends: {hosts: [127.0.0.1]}\n";

/// The problems as --check prints them.
std::string lines_of(const load_result& loaded) {
    std::string text;
    for (const auto& one : loaded.problems) text += describe(one) + '\n';
    return text;
}

std::string problems_of(const std::string& text, const environment& variables = {}) {
    return lines_of(load_text(text, "proxy.yaml", variables));
}

load_result from_environment(environment variables) {
    variables.try_emplace("DB_HOST", "127.0.0.1");
    return load(std::nullopt, variables);
}

}  // namespace

TEST_CASE("D2: environment beats file beats default") {
    const std::string file = "pool: {size: 7, max_overflow: 8}\nbackends: {hosts: [127.0.0.1]}\n";
    const auto loaded = load_text(file, "proxy.yaml", {{"PGSTEADY_POOL__SIZE", "9"}});
    CHECK(lines_of(loaded) == "");
    CHECK(loaded.settings.pool.size == 9);
    CHECK(loaded.settings.pool.max_overflow == 8);
    CHECK(loaded.settings.pool.hold_timeout == 30s);
    CHECK(describe(loaded.sources.at("pool.size")) == "env PGSTEADY_POOL__SIZE");
    CHECK(describe(loaded.sources.at("pool.max_overflow")) == "proxy.yaml:1");
    CHECK_FALSE(loaded.sources.contains("pool.hold_timeout"));
}

TEST_CASE("the environment alone is a whole configuration") {
    const auto loaded = from_environment({{"DB_HOST", "127.0.0.1,127.0.0.2:5433"},
                                          {"DB_PORT", "5555"},
                                          {"DB_USER", "app"},
                                          {"DB_PASS", "secret"},
                                          {"DB_NAME", "shop"},
                                          {"DB_POOL_SIZE", "4"},
                                          {"DB_RETRY_BASE_DELAY", "0.1"},
                                          {"DB_ECHO", "True"}});
    CHECK(lines_of(loaded) == "");
    const auto& all = loaded.settings;
    CHECK(all.backends.hosts == std::vector<host_port>{{"127.0.0.1", 5555}, {"127.0.0.2", 5433}});
    CHECK(all.auth.method == auth_method::scram_sha_256);
    CHECK(all.users.at("app").password == "secret");
    CHECK(all.databases.contains("shop"));
    CHECK(all.retry.initial_delay == 100ms);
    CHECK(all.log.statements);
}

TEST_CASE("D7: with DB_HOST and no DB_USER sign-in is passthrough") {
    const auto loaded = from_environment({});
    CHECK(loaded.ok());
    CHECK(loaded.settings.auth.method == auth_method::passthrough);
    CHECK(loaded.settings.users.empty());
}

TEST_CASE("two names of one setting that differ are an error naming both") {
    CHECK(lines_of(from_environment({{"DB_POOL_SIZE", "5"}, {"DATABASE_POOL_SIZE", "6"}})) ==
          "env DATABASE_POOL_SIZE: error: pool.size: differs from DB_POOL_SIZE; both name the same setting: unset one "
          "of them\n");
    CHECK(from_environment({{"DB_POOL_TIMEOUT", "30"}, {"PGSTEADY_POOL__HOLD_TIMEOUT", "30s"}}).ok());
    const environment three{
        {"DB_HOST", "127.0.0.1"}, {"DB_PORT", "5432"}, {"DATABASE_URL", "postgres://127.0.0.1:5432/x"}};
    CHECK(from_environment(three).ok());
    const auto both =
        from_environment({{"DB_PASS", "one"}, {"DB_USER", "u"}, {"DATABASE_URL", "postgres://u:two@127.0.0.1/x"}});
    CHECK(lines_of(both).find("backends.password: differs from DB_PASS") != std::string::npos);
    CHECK(lines_of(both).find("two") == std::string::npos);
}

TEST_CASE("an empty variable counts as not set") {
    const auto loaded = from_environment({{"DB_POOL_SIZE", ""}, {"DB_PASS", ""}, {"DATABASE_URL", ""}});
    CHECK(loaded.ok());
    CHECK(loaded.settings.pool.size == 20);
}

TEST_CASE("old habits are understood: never recycle is -1, a recycled pool idles for less") {
    CHECK(from_environment({{"DB_POOL_RECYCLE", "-1"}}).settings.pool.lifetime == 0s);
    const auto loaded = from_environment({{"DB_POOL_RECYCLE", "300"}, {"DB_POOL_SIZE", "3"}});
    CHECK(lines_of(loaded) == "");
    CHECK(loaded.settings.pool.idle_timeout == 150s);
    CHECK(loaded.settings.pool.min_size == 3);
}

TEST_CASE("misspelt variables are found, those of Kubernetes and of scripts are not mistaken") {
    CHECK(lines_of(from_environment({{"PGSTEADY_POOL_SIZE", "1"}})) ==
          "env PGSTEADY_POOL_SIZE: error: unknown variable; did you mean PGSTEADY_POOL__SIZE?\n");
    CHECK(lines_of(from_environment({{"PGSTEADY_MAX_OVERFLOW", "1"}})).find("PGSTEADY_POOL__MAX_OVERFLOW?") !=
          std::string::npos);
    CHECK(lines_of(from_environment({{"PGSTEADY_NONSENSE__X", "1"}})).find("unknown variable") != std::string::npos);
    CHECK(lines_of(from_environment({{"PGSTEADY_DATABASES__APP__HOSTS", "1"}})).find("list them in the file") !=
          std::string::npos);
    CHECK(lines_of(from_environment({{"PGSTEADY_BIN", "x"},
                                     {"PGSTEADY_DEMO_DIR", "x"},
                                     {"PGSTEADY_SKIP_BUILD", "1"},
                                     {"PGSTEADY_PORT", "tcp://10.0.0.1:6432"},
                                     {"PGSTEADY_SERVICE_HOST", "10.0.0.1"},
                                     {"PGSTEADY_PORT_6432_TCP_ADDR", "10.0.0.1"}})) == "");
    CHECK(lines_of(from_environment({{"DB_PORT", "tcp://10.0.0.1:5432"}})).find("enableServiceLinks") !=
          std::string::npos);
}

TEST_CASE("every problem of a file is reported, with line, key and suggestion") {
    CHECK(problems_of("listen:\n  prot: 1\npool:\n  size: 0\n  hold_timeout: 30\nmax_overflow: 3\npool.size: 3\n"
                      "backends: {hosts: [127.0.0.1]}\ntimeouts: 5s\nlog: {level: [a]}\nmonitor: {user: }\n") ==
          "proxy.yaml:2: error: listen.prot: unknown key; did you mean listen.port?\n"
          "proxy.yaml:4: error: pool.size: out of range; allowed: 1 to 100000\n"
          "proxy.yaml:5: error: pool.hold_timeout: a duration needs a unit; did you mean 30s?\n"
          "proxy.yaml:6: error: max_overflow: unknown key; did you mean pool.max_overflow?\n"
          "proxy.yaml:7: error: pool.size: unknown key; nest the levels: one line for each, indented\n"
          "proxy.yaml:9: error: timeouts: a value where a section is expected; indent its keys below it\n"
          "proxy.yaml:10: error: log.level: a list where one value is expected\n"
          "proxy.yaml:11: error: monitor.user: has no value; leave the key out for its default, or write \"\"\n");
}

TEST_CASE("a file that is not there, a folder and a list are problems, not exceptions") {
    CHECK(lines_of(load("/nonexistent/proxy.yaml", {{"DB_HOST", "127.0.0.1"}})) ==
          "/nonexistent/proxy.yaml: error: cannot be read: No such file or directory\n");
    CHECK(lines_of(load("/", {{"DB_HOST", "127.0.0.1"}})) == "/: error: cannot be read: it is a directory\n");
    CHECK(problems_of("- a\n", {{"DB_HOST", "127.0.0.1"}}).find("is not made of keys") != std::string::npos);
}

TEST_CASE("a file is read from disk") {
    const temporary_file file(minimal);
    const auto loaded = load(file.path(), {});
    CHECK(lines_of(loaded) == "");
    CHECK(loaded.settings.backends.hosts.front().host == "127.0.0.1");
}

TEST_CASE("an entry of databases starts from the effective global values") {
    const auto loaded =
        load_text(std::string(minimal) +
                      "pool: {size: 30}\ndatabases:\n  app:\n    dbname: app_prod\n    pool: {mode: session}\n"
                      "    timeouts: {statement: 5s}\n    breaker: {enabled: false}\n  plain:\n",
                  "proxy.yaml", {{"DB_MAX_OVERFLOW", "1"}});
    CHECK(lines_of(loaded) == "");
    const auto& app = loaded.settings.databases.at("app");
    CHECK(app.dbname == "app_prod");
    CHECK(app.pool.mode == pool_mode::session);
    CHECK(app.pool.size == 30);
    CHECK(app.pool.max_overflow == 1);
    CHECK(app.timeouts.statement == 5s);
    CHECK_FALSE(app.breaker.enabled);
    CHECK(loaded.settings.breaker.enabled);
    CHECK(loaded.settings.databases.at("plain").pool == loaded.settings.pool);
}

TEST_CASE("entries report their problems under their own name") {
    CHECK(problems_of(std::string(minimal) +
                      "databases:\n  app:\n    pool: {siez: 1}\n    hots: [a]\n    listen: {}\n"
                      "    timeouts: {login: 1s}\n  \"*\": {}\n  x: 5\nusers:\n  bob:\n    pasword: x\n"
                      "    password: y\n") ==
          "proxy.yaml:4: error: databases.app.pool.siez: unknown key; did you mean pool.size?\n"
          "proxy.yaml:5: error: databases.app.hots: unknown key; did you mean hosts?\n"
          "proxy.yaml:6: error: databases.app.listen: unknown key\n"
          "proxy.yaml:7: error: databases.app.timeouts.login: cannot differ from database to database; set "
          "timeouts.login at the top level\n"
          "proxy.yaml:8: error: databases.*: is not a name; databases that are not listed are served by default; see "
          "auto_pools\n"
          "proxy.yaml:9: error: databases.x: a value where keys are expected; indent its keys below it\n"
          "proxy.yaml:12: error: users.bob.pasword: unknown key; did you mean password?\n");
}

TEST_CASE("secrets come from files and variables, with one line break taken off") {
    const temporary_file secret("hunter2\n");
    const auto with_file = from_environment({{"DB_USER", "u"}, {"DB_PASS_FILE", secret.path()}});
    CHECK(lines_of(with_file) == "");
    CHECK(with_file.settings.backends.password == "hunter2");
    CHECK(with_file.settings.users.at("u").password == "hunter2");
    const auto entry =
        load_text(std::string(minimal) + "users: {a: {password_env: A_PW}, b: {password_file: " + secret.path() + "}}",
                  "proxy.yaml", {{"A_PW", "one"}});
    CHECK(lines_of(entry) == "");
    CHECK(entry.settings.users.at("a").password == "one");
    CHECK(entry.settings.users.at("b").password == "hunter2");
}

TEST_CASE("a secret given twice must agree, and the environment beats the file's") {
    const temporary_file secret("hunter2");
    CHECK(from_environment({{"DB_USER", "u"}, {"DB_PASS", "hunter2"}, {"DB_PASS_FILE", secret.path()}}).ok());
    const auto differ = from_environment({{"DB_USER", "u"}, {"DB_PASS", "other"}, {"DB_PASS_FILE", secret.path()}});
    CHECK(lines_of(differ) ==
          "env DB_PASS_FILE: error: backends.password_file: differs from backends.password; both name "
          "the same setting: give one of them\n");
    const auto beaten = load_text("backends: {hosts: [127.0.0.1], user: u, password_file: " + secret.path() + "}",
                                  "proxy.yaml", {{"DB_PASS", "stronger"}});
    CHECK(beaten.ok());
    CHECK(beaten.settings.backends.password == "stronger");
}

TEST_CASE("secret files that are missing, empty or not one line are problems") {
    const temporary_file empty("\n");
    const temporary_file lines("a\nb\n");
    CHECK(lines_of(from_environment({{"DB_USER", "u"}, {"DB_PASS_FILE", "/nonexistent"}})).find("does not exist") !=
          std::string::npos);
    CHECK(lines_of(from_environment({{"DB_USER", "u"}, {"DB_PASS_FILE", "/dev/zero"}})).find("is not a plain file") !=
          std::string::npos);
    CHECK(lines_of(from_environment({{"DB_USER", "u"}, {"DB_PASS_FILE", empty.path()}})).find("is empty") !=
          std::string::npos);
    CHECK(lines_of(from_environment({{"DB_USER", "u"}, {"DB_PASS_FILE", lines.path()}})).find("more than one line") !=
          std::string::npos);
    CHECK(problems_of(std::string(minimal) + "users: {a: {password_env: MISSING_ONE}}") ==
          "proxy.yaml:2: error: users.a.password_env: variable MISSING_ONE is not set\n");
}

TEST_CASE("no problem ever repeats a secret") {
    const auto text = problems_of(
        "backends: {hosts: [\"u:hunter2@db\"], password: \"hunter2\\x07\"}\nadmin: {operate_token: [hunter2, {a: b}]}\n"
        "users: {a: {password: hunter2, verifier: hunter2, password_env: X}, b: hunter2}\n",
        {{"PGSTEADY_MONITOR__PASSWORD", "hunter2\n"}, {"DATABASE_URL", "postgres://u:hunter2/x@db/y"}});
    CHECK(text != "");
    CHECK(text.find("hunter2") == std::string::npos);
}

TEST_CASE("D9: sslmode is verify-full when a CA is given, else prefer with a warning") {
    const temporary_file ca("pem");
    const auto verified = from_environment({{"DB_HOST", "db.example"}, {"PGSTEADY_BACKENDS__TLS__CA_FILE", ca.path()}});
    CHECK(lines_of(verified) == "");
    CHECK(verified.settings.backends.tls.sslmode == server_tls_mode::verify_full);
    const auto open = from_environment({{"DB_HOST", "db.example"}});
    CHECK(open.ok());
    CHECK(open.settings.backends.tls.sslmode == server_tls_mode::prefer);
    CHECK(lines_of(open).find("warning: backends.tls.sslmode: does not verify servers") != std::string::npos);
    CHECK(lines_of(from_environment({})) == "");  // loopback needs no warning
}

TEST_CASE("auth.method auto: md5 only when every user has an md5 verifier") {
    const std::string md5 = "{verifier: md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}";
    CHECK(load_text(std::string(minimal) + "users: {a: " + md5 + "}", "f", {}).settings.auth.method ==
          auth_method::md5);
    const auto mixed = problems_of(std::string(minimal) + "users: {a: " + md5 + ", b: {password: x}}");
    CHECK(mixed.find("users.a.verifier: is an md5 verifier, with which nobody can sign in by SCRAM") !=
          std::string::npos);
}

TEST_CASE("an entry of users beats the pair of DB_USER and DB_PASS") {
    const auto loaded = load_text(std::string(minimal) + "users: {app: {password: mine, max_clients: 3}}", "f",
                                  {{"DB_USER", "app"}, {"DB_PASS", "theirs"}});
    CHECK(loaded.settings.users.at("app").password == "mine");
    CHECK(loaded.settings.users.at("app").max_clients == 3);
}
