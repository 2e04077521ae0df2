// Which answers wait until it is known whether their servers end, too.
#include "proxy/policy/answer_hold.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

TEST_CASE("D30: an answer is held once, until that is over, whatever ends meanwhile") {
    answer_hold hold;
    CHECK_FALSE(hold.on());
    CHECK(hold.begin(true));
    CHECK(hold.on());
    CHECK(hold.begin(false));  // more of it has come: it is held already
    hold.end();
    CHECK_FALSE(hold.on());
    CHECK_FALSE(hold.begin(true));  // another server ends: this answer has waited
    hold.answered();
    CHECK(hold.begin(true));
}

TEST_CASE("D30: what may not be held passes, and has not used up its turn") {
    answer_hold hold;
    CHECK_FALSE(hold.begin(false));
    CHECK_FALSE(hold.on());
    CHECK(hold.begin(true));
}

TEST_CASE("D30: answers are held for a small part of what the barrier may take") {
    CHECK(answer_hold::length(500ms) > 20ms);  // servers of one host end within that
    CHECK(answer_hold::length(500ms) < 40ms);  // and this is what the others' clients pay
    CHECK(answer_hold::length(0ms) == 0ms);
}
