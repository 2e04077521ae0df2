// Comparison and removal of secrets.
#include "protocol/constant_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>

using namespace pgsteady;

TEST_CASE("constant_time_equal compares lengths and every byte") {
    CHECK(constant_time_equal("", ""));
    CHECK(constant_time_equal(std::string_view(), std::string_view("", 0)));
    CHECK_FALSE(constant_time_equal("a", ""));
    CHECK_FALSE(constant_time_equal("", "a"));
    const std::string secret("se\0cret", 7);
    CHECK(constant_time_equal(secret, std::string(secret)));
    CHECK_FALSE(constant_time_equal(secret, secret + "x"));
    for (std::size_t i = 0; i < secret.size(); ++i) {
        std::string other = secret;
        other[i] = static_cast<char>(other[i] ^ 0x80);
        CHECK_FALSE(constant_time_equal(secret, other));
    }
}

TEST_CASE("wipe leaves nothing of the text in its buffer") {
    std::string secret(100, 's');
    secret.resize(40);
    const char* const buffer = secret.data();
    const std::size_t capacity = secret.capacity();
    wipe(secret);
    CHECK(secret.empty());
    REQUIRE(secret.data() == buffer);
    REQUIRE(secret.capacity() == capacity);
    CHECK(std::count(buffer, buffer + capacity, 's') == 0);
}
