// When memory is given back: after a crowd, once, and not for ordinary coming and going.

#include "proxy/policy/crowd_watch.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

TEST_CASE("a crowd that has left is told once, after a while, and the next one again") {
    crowd_watch watch;
    const crowd_watch::time_point start{100s};
    for (int crowd = 0; crowd < 3; ++crowd) {
        const auto began = start + crowd * 100s;
        CHECK_FALSE(watch.has_left(10'000, began));
        CHECK_FALSE(watch.has_left(5'001, began + 1s));
        CHECK_FALSE(watch.has_left(5'000, began + 2s));
        CHECK_FALSE(watch.has_left(20, began + 3s));
        CHECK(watch.has_left(20, began + 4s));
        CHECK_FALSE(watch.has_left(20, began + 50s));
        CHECK_FALSE(watch.has_left(0, began + 60s));
    }
}

TEST_CASE("who leaves in parts is told of by halves") {
    crowd_watch watch;
    crowd_watch::time_point now{100s};
    int told = 0;
    for (std::size_t left = 4096; left > 0; --left) told += watch.has_left(left, now += 1s) ? 1 : 0;
    CHECK(told == 4);
}

TEST_CASE("a crowd that comes back in time has not left, and a few clients are none") {
    crowd_watch watch;
    crowd_watch::time_point now{100s};
    for (int turn = 0; turn < 20; ++turn) {
        CHECK_FALSE(watch.has_left(1000, now += 1s));
        CHECK_FALSE(watch.has_left(10, now += 1s));
    }
    crowd_watch calm;
    CHECK_FALSE(calm.has_left(crowd_watch::smallest_crowd - 1, now));
    CHECK_FALSE(calm.has_left(0, now + 1s));
    CHECK_FALSE(calm.has_left(0, now + 10s));
}
