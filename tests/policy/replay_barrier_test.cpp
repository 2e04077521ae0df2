// In which order an outage is made good (D30), told as stories.
#include "proxy/policy/replay_barrier.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

constexpr auto limit = 500ms;

struct story {
    replay_barrier barrier;
    replay_barrier::time_point now{1h};

    [[nodiscard]] replay_barrier::number enter(replay_barrier::number again = 0) {
        return barrier.enter(again, limit, now);
    }
    void restored(replay_barrier::number which) { barrier.restored(which, now); }
    void leave(replay_barrier::number which) { barrier.leave(which, now); }
    void pass(replay_barrier::duration time) {
        now += time;
        barrier.look(now);
    }
};

}  // namespace

TEST_CASE("D30: all restore first, then all go on, then new work comes in") {
    story at;
    CHECK_FALSE(at.barrier.any());
    const auto a = at.enter();
    const auto b = at.enter();
    CHECK(a != b);
    CHECK(at.barrier.closed());
    CHECK_FALSE(at.barrier.lets_go_on());
    at.restored(a);
    CHECK_FALSE(at.barrier.lets_go_on());
    at.restored(b);
    CHECK(at.barrier.lets_go_on());
    CHECK(at.barrier.closed());
    at.leave(a);
    CHECK(at.barrier.closed());
    at.leave(b);
    CHECK_FALSE(at.barrier.any());
    CHECK_FALSE(at.barrier.closed());
    CHECK(at.barrier.completed() == 1);
    CHECK(at.barrier.expired() == 0);
}

TEST_CASE("D30: one lost server is no outage, unless nobody can be served") {
    story at;
    const auto a = at.enter();
    CHECK_FALSE(at.barrier.closed());
    at.barrier.note_outage();
    CHECK(at.barrier.closed());
    at.leave(a);
    CHECK_FALSE(at.barrier.closed());
    at.barrier.note_outage();
    CHECK_FALSE(at.barrier.closed());
    (void)at.enter();
    CHECK_FALSE(at.barrier.closed());
}

TEST_CASE("D30: the outage itself may last; from the first server on each step has its time") {
    story at;
    const auto a = at.enter();
    const auto b = at.enter();
    at.pass(1h);
    CHECK(at.barrier.closed());
    at.restored(a);  // the other one never gets a server, or waits for this one
    at.pass(limit - 1ms);
    CHECK_FALSE(at.barrier.lets_go_on());
    at.pass(1ms);
    CHECK(at.barrier.lets_go_on());
    CHECK(at.barrier.closed());
    at.pass(limit);
    CHECK_FALSE(at.barrier.closed());
    CHECK(at.barrier.expired() == 1);
    at.leave(a);
    at.restored(b);
    at.leave(b);
    CHECK_FALSE(at.barrier.any());
    CHECK(at.barrier.completed() == 0);
}

TEST_CASE("D30: new work that could be served starts the clock as well") {
    story at;
    (void)at.enter();
    (void)at.enter();
    at.barrier.work_is_possible(at.now);
    at.pass(limit);
    at.barrier.work_is_possible(at.now);
    at.pass(limit);
    CHECK_FALSE(at.barrier.any());
}

TEST_CASE("D30: answers are held for a moment from each loss on, and until all that was answered is done again") {
    story at;
    const auto held = [&at] { return at.barrier.answers_held_until() - at.now; };
    CHECK(held() <= 0ms);
    at.barrier.loses_locks(limit, at.now);
    CHECK(held() > 20ms);  // servers of one host end within that
    CHECK(held() < 40ms);  // and this is what others pay if nobody is interrupted
    at.pass(10ms);
    const auto a = at.enter();
    CHECK(held() == limit);  // a new server may have to be opened, and asked who stands in the way
    at.pass(20ms);
    at.restored(a);
    CHECK(held() > 0ms);  // the moment has not passed
    at.pass(20ms);
    CHECK(held() <= 0ms);
    const auto b = at.enter(a);  // interrupted once more
    CHECK(b == a);
    CHECK(held() == limit);
    at.pass(limit);
    CHECK(held() <= 0ms);
}

TEST_CASE("D30: a client that leaves is not waited for") {
    story at;
    const auto a = at.enter();
    const auto b = at.enter();
    at.restored(a);
    at.leave(b);
    CHECK(at.barrier.lets_go_on());
}

TEST_CASE("D30: who is interrupted again begins again; who comes late is waited for, but stops nobody") {
    story at;
    const auto a = at.enter();
    const auto b = at.enter();
    at.restored(a);
    CHECK(at.enter(a) == a);
    at.restored(b);
    CHECK_FALSE(at.barrier.lets_go_on());
    at.restored(a);
    CHECK(at.barrier.lets_go_on());
    const auto late = at.enter();
    CHECK(at.barrier.lets_go_on());
    at.leave(a);
    at.leave(b);
    CHECK(at.barrier.closed());
    at.leave(late);
    CHECK_FALSE(at.barrier.any());
}

TEST_CASE("D30: another outage begins anew, with time of its own") {
    story at;
    const auto a = at.enter();
    const auto b = at.enter();
    at.restored(a);
    at.restored(b);
    REQUIRE(at.barrier.lets_go_on());
    SUBCASE("since who went on is interrupted again") { CHECK(at.enter(a) == a); }
    SUBCASE("since nobody can be served") { at.barrier.note_outage(); }
    CHECK_FALSE(at.barrier.lets_go_on());
    at.pass(1h);
    CHECK(at.barrier.closed());
    at.restored(a);
    at.restored(b);
    CHECK(at.barrier.lets_go_on());
    at.pass(limit - 1ms);
    CHECK(at.barrier.closed());
}

TEST_CASE("D30: a slow one of the last outage does not open the barrier of the next") {
    story at;
    const auto slow = at.enter();
    at.restored(slow);
    at.pass(limit);
    CHECK_FALSE(at.barrier.any());
    const auto a = at.enter();
    const auto b = at.enter();
    CHECK(at.barrier.closed());
    at.leave(slow);
    at.restored(slow);
    CHECK(at.barrier.inside() == 2);
    at.restored(a);
    CHECK_FALSE(at.barrier.lets_go_on());
    at.restored(b);
    CHECK(at.barrier.lets_go_on());
}

TEST_CASE("D30: switched off, nothing is closed") {
    story at;
    CHECK(at.barrier.enter(0, 0ms, at.now) == 0);
    CHECK(at.barrier.enter(0, 0ms, at.now) == 0);
    CHECK_FALSE(at.barrier.any());
}

TEST_CASE("D30: who waits with a server of its own starts the clock again after another one was interrupted again") {
    story at;
    const auto waits = at.enter();
    const auto b = at.enter();
    at.restored(waits);
    at.pass(limit / 2);
    CHECK(at.enter(b) == b);
    at.pass(1h);
    CHECK_FALSE(at.barrier.lets_go_on());  // there may be no server at all
    at.barrier.work_is_possible(at.now);
    at.pass(limit - 1ms);
    at.barrier.work_is_possible(at.now);  // said with every look: once is enough
    CHECK_FALSE(at.barrier.lets_go_on());
    at.pass(1ms);
    CHECK(at.barrier.lets_go_on());
}

TEST_CASE(
    "D30: each of the two steps has time of its own, and who is left behind by it stands in no later barrier's way") {
    story at;
    const auto a = at.enter();
    const auto slow = at.enter();
    at.restored(a);
    at.pass(limit - 1ms);
    at.restored(slow);
    REQUIRE(at.barrier.lets_go_on());
    at.pass(limit - 1ms);
    CHECK(at.barrier.closed());
    at.pass(1ms);
    CHECK_FALSE(at.barrier.any());
    const auto alone = at.enter();
    CHECK(at.barrier.inside() == 1);
    CHECK_FALSE(at.barrier.closed());  // nor does the number of those that the last one had
    at.restored(alone);
    CHECK(at.barrier.lets_go_on());
}
