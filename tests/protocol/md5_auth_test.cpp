// PostgreSQL's md5 password forms. Expected values were computed with another implementation.
#include "protocol/md5_auth.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;

TEST_CASE("md5_password_hash is what pg_authid stores") {
    CHECK(md5_password_hash("alice", "s3cret") == "md58213e4d0d5792b064442db7988e9f4c4");
    CHECK(md5_password_hash("", "") == "md5d41d8cd98f00b204e9800998ecf8427e");
    CHECK(is_md5_password_hash(md5_password_hash("alice", "s3cret")));
}

TEST_CASE("md5_response answers the salt of the server") {
    CHECK(md5_response("md58213e4d0d5792b064442db7988e9f4c4", std::string_view("\x01\x02\xfe\x00", 4)) ==
          "md54ce6e30c1ba08e46b53947a2266db9f8");
}

TEST_CASE("md5_response gives nothing for inputs of another shape") {
    const std::string hash = md5_password_hash("alice", "s3cret");
    CHECK(md5_response(hash, "").empty());
    CHECK(md5_response(hash, "abc").empty());
    CHECK(md5_response(hash, "abcde").empty());
    CHECK(md5_response("", "abcd").empty());
    CHECK(md5_response("md5", "abcd").empty());
    CHECK(md5_response("s3cret", "abcd").empty());
    CHECK(md5_response(hash + "0", "abcd").empty());
    for (std::size_t length = 0; length < hash.size(); ++length)
        CHECK(md5_response(hash.substr(0, length), "abcd").empty());
}

TEST_CASE("only lower-case hexadecimal of the right length is an md5 hash") {
    CHECK_FALSE(is_md5_password_hash("md5D41D8CD98F00B204E9800998ECF8427E"));
    CHECK_FALSE(is_md5_password_hash("md5d41d8cd98f00b204e9800998ecf8427g"));
    CHECK_FALSE(is_md5_password_hash("MD5d41d8cd98f00b204e9800998ecf8427e"));
}
