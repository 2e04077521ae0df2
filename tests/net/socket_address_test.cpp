// socket_address: text to address and back, and what counts as local.
#include "proxy/net/socket_address.hpp"

#include <doctest/doctest.h>

#include <string>

using pgsteady::net::socket_address;

TEST_CASE("numeric addresses are understood, names are not looked up") {
    CHECK(socket_address::numeric("10.1.2.3", 5432)->to_string() == "10.1.2.3:5432");
    CHECK(socket_address::numeric("::1", 5432)->to_string() == "[::1]:5432");
    CHECK(socket_address::numeric("[2001:db8::1]", 1)->to_string() == "[2001:db8::1]:1");
    CHECK(socket_address::numeric("127.0.0.1", 7)->port() == 7);
    for (const std::string name : {"localhost", "db.example.com", "", "[]", "1.2.3.4.5", "::g"}) {
        CHECK_FALSE(socket_address::numeric(name, 1));
    }
}

TEST_CASE("a Unix socket is PostgreSQL's in its directory") {
    CHECK(socket_address::unix_socket("/run/postgresql", 5432)->to_string() == "/run/postgresql/.s.PGSQL.5432");
    CHECK(socket_address::unix_socket("/tmp/", 1)->to_string() == "/tmp/.s.PGSQL.1");
    CHECK_FALSE(socket_address::unix_socket(std::string(200, 'x'), 5432));
}

TEST_CASE("loopback in every notation and Unix sockets are local, the rest is not") {
    for (const std::string local : {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"}) {
        CHECK(socket_address::numeric(local, 1)->is_local());
    }
    for (const std::string remote : {"128.0.0.1", "10.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1"}) {
        CHECK_FALSE(socket_address::numeric(remote, 1)->is_local());
    }
    CHECK(socket_address::unix_socket("/tmp", 1)->is_local());
    CHECK_FALSE(socket_address().is_local());
    CHECK(socket_address().to_string() == "unknown");
}

TEST_CASE("addresses from bytes, as they travel") {
    CHECK(socket_address::of_bytes(std::string_view("\x0a\0\0\x07", 4), 12345)->to_string() == "10.0.0.7:12345");
    const auto loopback = socket_address::of_bytes(std::string(15, '\0') + '\1', 5432);
    CHECK(loopback->to_string() == "[::1]:5432");
    CHECK(loopback->is_local());
    CHECK_FALSE(socket_address::of_bytes("", 1).has_value());
    CHECK_FALSE(socket_address::of_bytes("abc", 1).has_value());
}
