// The files that `auth` names, as load() takes them: users, rules, maps; and the account that looks users up.
#include "config/load.hpp"

#include "tests/config/temporary_file.hpp"

#include <doctest/doctest.h>

using namespace pgsteady::config;
using namespace std::chrono_literals;

namespace {

const std::string scram =
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const std::string md5 = "md5" + std::string(32, 'a');

load_result loaded(const std::string& text, const environment& variables = {}) {
    return load_text("backends: {hosts: [127.0.0.1]}\n" + text, "proxy.yaml", variables);
}

std::string lines_of(const load_result& from) {
    std::string text;
    for (const auto& one : from.problems) text += describe(one) + '\n';
    return text;
}

}  // namespace

TEST_CASE("users_file: PgBouncer's list, with passwords and what pg_authid stores") {
    const temporary_file file("; comment\n\"plain\" \"pass \"\"word\"\"\" more\n\"scram\" \"" + scram +
                              "\"\n\"old\" \"" + md5 + "\"\n\"nobody\" \"\"\n\n");
    const load_result got = loaded("auth: {method: md5, users_file: " + file.path() + "}");
    CHECK(lines_of(got) == "");
    const auto& users = got.settings.users;
    REQUIRE(users.size() == 3);
    CHECK(users.at("plain").password == "pass \"word\"");
    CHECK(users.at("scram").verifier == scram);
    CHECK(users.at("old").verifier == md5);
    CHECK_FALSE(users.at("plain").listed);
}

TEST_CASE("users_file: what the configuration lists wins, and may leave the password to the file") {
    const temporary_file file("\"a\" \"theirs\"\n\"b\" \"theirs\"\n");
    const load_result got =
        loaded("auth: {users_file: " + file.path() + "}\nusers: {a: {password: mine}, b: {max_clients: 3}}");
    CHECK(lines_of(got) == "");
    CHECK(got.settings.users.at("a").password == "mine");
    CHECK(got.settings.users.at("b").password == "theirs");
    CHECK(got.settings.users.at("b").listed);
    CHECK(got.settings.auth.method == auth_method::scram_sha_256);
}

TEST_CASE("users_file: a line of another form is an error with its place, and shows no secret") {
    const temporary_file file("\"a\" \"good\"\nb \"hunter2\"\n\"c\" \"hunter2\n\"d\"\n");
    const std::string problems = lines_of(loaded("auth: {users_file: " + file.path() + "}"));
    for (const char* place : {":2:", ":3:", ":4:"}) CHECK(problems.find(file.path() + place) != std::string::npos);
    CHECK(problems.find("hunter2") == std::string::npos);
    CHECK(lines_of(loaded("auth: {users_file: /nowhere}")).find("cannot be read") != std::string::npos);
}

TEST_CASE("a password file, or a variable, may hold what pg_authid stores") {
    const temporary_file file(scram + "\n");
    const load_result got =
        loaded("users: {a: {password_file: " + file.path() + "}, b: {password_env: B}, c: {password_env: C}}",
               {{"B", scram}, {"C", "plain"}});
    CHECK(lines_of(got) == "");
    CHECK(got.settings.users.at("a").verifier == scram);
    CHECK(got.settings.users.at("a").password.empty());
    CHECK(got.settings.users.at("b").verifier == scram);
    CHECK(got.settings.users.at("c").password == "plain");
}

TEST_CASE("hba_file: its problems have its lines; a rule that trusts other machines has to be meant") {
    const temporary_file file("host all all 127.0.0.1/32 trust\nhost all all 10.0.0.0/8 trust\nhost all +x all md5\n");
    const std::string text = "auth: {hba_file: " + file.path() + "}\nlisten: {host: 0.0.0.0}\n";
    const std::string problems = lines_of(loaded(text));
    CHECK(problems.find(file.path() + ":2:") != std::string::npos);
    CHECK(problems.find(file.path() + ":3:") != std::string::npos);
    CHECK(problems.find(file.path() + ":1:") == std::string::npos);
    const temporary_file good("host all all 10.0.0.0/8 trust\n");
    const std::string allowed =
        "auth: {allow_remote_trust: true, hba_file: " + good.path() + "}\nlisten: {host: 0.0.0.0}\n";
    const load_result got = loaded(allowed);
    CHECK(lines_of(got) == "");
    CHECK(got.settings.auth.by_rules());
    CHECK(got.settings.auth.hba.size() == 1);
}

TEST_CASE("hba_file: certificates need somebody who vouches for them, and maps have to exist") {
    const temporary_file rules("hostssl all all all cert map=people\n");
    const temporary_file maps("others a b\n");
    const std::string problems =
        lines_of(loaded("auth: {hba_file: " + rules.path() + ", ident_file: " + maps.path() + "}"));
    CHECK(problems.find("listen.tls.ca_file") != std::string::npos);
    CHECK(problems.find("map people is not in auth.ident_file") != std::string::npos);
}

TEST_CASE("hba_file: an empty one admits nobody, and a missing one is an error") {
    const temporary_file empty("# nothing\n");
    const load_result got = loaded("auth: {hba_file: " + empty.path() + "}");
    CHECK(lines_of(got) == "");
    CHECK(got.settings.auth.by_rules());
    CHECK(got.settings.auth.hba.empty());
    CHECK_FALSE(loaded("auth: {hba_file: /nowhere}").ok());
}

TEST_CASE("auth.query: with an account users are known, and sign in by what the server has stored") {
    const temporary_file secret("hunter2\n");
    const load_result got = loaded("auth: {query: {user: asker, password_file: " + secret.path() + "}}");
    CHECK(lines_of(got) == "");
    CHECK(got.settings.auth.method == auth_method::scram_sha_256);
    CHECK(got.settings.auth.query.password == "hunter2");
    CHECK(got.settings.auth.query.max_age == 1s);
    CHECK(loaded("auth: {method: scram-sha-256, query: {user: asker}}").ok());
}

TEST_CASE("P4, P5: the usual query names every operator and honours valid until and login") {
    const std::string sql = auth_query_settings{}.sql;
    for (const char* part : {"OPERATOR(pg_catalog.<)", "OPERATOR(pg_catalog.=)", "pg_catalog.now()",
                             "pg_catalog.pg_authid", "rolvaliduntil", "rolcanlogin", "$1"})
        CHECK(sql.find(part) != std::string::npos);
}

TEST_CASE("auth.query: what cannot work is told") {
    CHECK(lines_of(loaded("auth: {query: {password: x}}")).find("auth.query.user: is missing") != std::string::npos);
    CHECK(lines_of(loaded("auth: {query: {user: a, sql: select 1}}")).find("asks for nobody") != std::string::npos);
    CHECK(lines_of(loaded("auth: {query: {user: a, timeout: 0}}")).find("cannot be off") != std::string::npos);
    CHECK(lines_of(loaded("auth: {method: trust, query: {user: a}}")).find("is not used") != std::string::npos);
}
