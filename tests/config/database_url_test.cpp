// DATABASE_URL in all the forms that libraries write, and the passwords that people forget to encode.

#include "config/database_url.hpp"

#include <doctest/doctest.h>

using namespace pgsteady::config;

namespace {

std::string value(const database_url& url, std::string_view path) {
    const auto* found = url.find(path);
    return found == nullptr ? "-" : *found;
}

}  // namespace

TEST_CASE("a full URL sets hosts, user, password, database and TLS") {
    const auto url = parse_database_url(
        "postgresql://app:p%40ss%2F@db1:5433,db2/shop?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=5");
    CHECK_FALSE(url.problem);
    CHECK(value(url, "backends.hosts") == "db1:5433,db2");
    CHECK(value(url, "backends.user") == "app");
    CHECK(value(url, "backends.password") == "p@ss/");
    CHECK(value(url, "backends.database") == "shop");
    CHECK(value(url, "backends.tls.sslmode") == "verify-full");
    CHECK(value(url, "backends.tls.ca_file") == "/ca.pem");
    CHECK(value(url, "connect.timeout") == "5");
}

TEST_CASE("short and foreign forms") {
    CHECK(value(parse_database_url("postgres://db"), "backends.hosts") == "db");
    CHECK(value(parse_database_url("postgres://db"), "backends.user") == "-");
    CHECK(value(parse_database_url("postgresql+asyncpg://u:p@db/x?ssl=require"), "backends.tls.sslmode") == "require");
    CHECK(value(parse_database_url("postgresql+asyncpg://u:p@db/x?ssl=true"), "backends.tls.sslmode") == "require");
    CHECK(value(parse_database_url("postgresql:///x?host=/run/postgresql"), "backends.hosts") == "/run/postgresql");
    CHECK(value(parse_database_url("postgresql://%2Frun%2Fpg/x"), "backends.hosts") == "/run/pg");
    CHECK(value(parse_database_url("postgres://u:p@[::1]:5433/x"), "backends.hosts") == "[::1]:5433");
    CHECK(value(parse_database_url("postgres://u:a@b@db/x"), "backends.password") == "a@b");
}

TEST_CASE("parameters without a meaning here are named, not obeyed") {
    const auto url = parse_database_url("postgres://db/x?application_name=a&target_session_attrs=any");
    CHECK(url.ignored == std::vector<std::string>{"application_name", "target_session_attrs"});
}

TEST_CASE("what is no URL is refused without repeating any of it") {
    for (const auto* text : {"", "db:5432", "mysql://u:hunter2@db/x", "postgres://u:%zz@db", "postgres://u:%4",
                             "postgres://u:hun/ter2@db/x", "postgres://u:hun?ter2@db/x"}) {
        CAPTURE(text);
        const auto url = parse_database_url(text);
        REQUIRE(url.problem);
        CHECK(url.problem->message.find("ter2") == std::string::npos);
        CHECK(url.problem->suggestion.find("ter2") == std::string::npos);
        CHECK(url.ignored.empty());
    }
}
