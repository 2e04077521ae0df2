// Nearest names: near enough to be helpful, far enough not to be silly.

#include "config/suggest.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace pgsteady::config;

TEST_CASE("edit distance counts insertions, deletions, substitutions and swaps") {
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("abc", "abc") == 0);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("size", "siez") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("the nearest name is offered only when it is near") {
    constexpr std::array<std::string_view, 3> known{"size", "max_overflow", "lifetime"};
    CHECK(nearest("siez", known) == "size");
    CHECK(nearest("max_overlow", known) == "max_overflow");
    CHECK(nearest("lifetme", known) == "lifetime");
    CHECK(nearest("banana", known) == "");
    CHECK(nearest("", known) == "");
    CHECK(nearest(std::string(10'000, 'x'), known) == "");
}
