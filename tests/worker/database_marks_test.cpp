// What operators say about databases holds for pools and clients that come later.
#include "proxy/worker/database_marks.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("a pause of one database is no affair of the others") {
    database_marks marks;
    CHECK_FALSE(marks.paused("shop"));
    REQUIRE(marks.pause("shop"));
    CHECK(marks.paused("shop"));
    CHECK_FALSE(marks.paused("till"));
    CHECK_FALSE(marks.now().all_paused);
    REQUIRE(marks.resume("shop"));
    CHECK_FALSE(marks.paused("shop"));
}

TEST_CASE("of a pause of all, single databases can be let go") {
    database_marks marks;
    REQUIRE(marks.pause("shop"));
    REQUIRE(marks.pause(""));
    CHECK(marks.paused("anything"));
    CHECK(marks.now().all_paused);
    REQUIRE(marks.resume("shop"));
    CHECK_FALSE(marks.paused("shop"));
    CHECK(marks.paused("till"));
    CHECK_FALSE(marks.now().all_paused);
    REQUIRE(marks.pause("shop"));
    CHECK(marks.paused("shop"));
    REQUIRE(marks.resume(""));
    CHECK_FALSE(marks.paused("shop"));
    CHECK_FALSE(marks.paused("till"));
}

TEST_CASE("disabled is remembered by name, and the number of names is limited") {
    database_marks marks;
    REQUIRE(marks.disable("shop"));
    CHECK(marks.disabled("shop"));
    CHECK_FALSE(marks.disabled("till"));
    CHECK(marks.now().disabled == std::vector<std::string>{"shop"});
    marks.enable("shop");
    CHECK_FALSE(marks.disabled("shop"));
    for (std::size_t i = 0; i < database_marks::most; ++i) REQUIRE(marks.disable(std::to_string(i)));
    CHECK_FALSE(marks.disable("one more"));
    for (std::size_t i = 0; i < database_marks::most; ++i) REQUIRE(marks.pause(std::to_string(i)));
    CHECK_FALSE(marks.pause("one more"));
}
