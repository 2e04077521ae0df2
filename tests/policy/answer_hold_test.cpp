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

TEST_CASE("D30: others are asked once about an answer, which may be held then") {
    answer_hold hold;
    CHECK_FALSE(hold.asks(false));
    CHECK(hold.asks(true));
    CHECK_FALSE(hold.on());  // they may know nothing at once
    CHECK_FALSE(hold.asks(true));
    hold.await_others();
    CHECK(hold.on());
    CHECK(hold.begin(true));  // more of it has come: they have not answered yet
    hold.end();
    CHECK(hold.begin(true));  // one of them knew of an end
    hold.end();
    CHECK_FALSE(hold.asks(true));
    hold.answered();
    CHECK(hold.begin(true));
    hold.end();
    CHECK_FALSE(hold.asks(true));  // it has waited for more than they could say
    hold.answered();
    CHECK(hold.asks(true));
}

TEST_CASE("D30: what may not be held passes, and has not used up its turn") {
    answer_hold hold;
    CHECK_FALSE(hold.begin(false));
    CHECK_FALSE(hold.on());
    CHECK(hold.begin(true));
}
