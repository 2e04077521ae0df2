// The ramp after an outage under a clock of our own.
#include "proxy/policy/ramp.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const ramp::time_point start{100h};

std::uint32_t take_all(ramp& subject, ramp::time_point now) {
    const std::uint32_t count = subject.may_start(now);
    subject.started(now, count);
    return count;
}

}  // namespace

TEST_CASE("D4: without an outage there is no ramp") {
    ramp subject(32);
    CHECK(subject.may_start(start) == ramp::unlimited);
    subject.started(start, 5000);
    subject.failed(start);
    CHECK(subject.may_start(start) == ramp::unlimited);
    CHECK_FALSE(subject.next_step(start).has_value());
}

TEST_CASE("D4: 32 in the first 100 ms, then twice as many in each, for a second") {
    ramp subject(32);
    subject.begin(start);
    std::uint32_t expected = 32;
    for (auto now = start; now < start + 1s; now += 100ms) {
        CHECK(take_all(subject, now) == expected);
        CHECK(subject.may_start(now + 99ms) == 0);
        CHECK(subject.next_step(now + 99ms) == now + 100ms);
        expected *= 2;
    }
    CHECK(subject.may_start(start + 1s) == ramp::unlimited);
    CHECK_FALSE(subject.next_step(start + 1s).has_value());
}

TEST_CASE("what a step leaves over is not saved up") {
    ramp subject(32);
    subject.begin(start);
    subject.started(start, 1);
    CHECK(subject.may_start(start) == 31);
    CHECK(subject.may_start(start + 100ms) == 64);
    CHECK(subject.may_start(start + 350ms) == 256);
}

TEST_CASE("T26: 5000 held clients start in the ramp's steps") {
    ramp subject(32);
    subject.begin(start);
    std::uint32_t left = 5000;
    int steps = 0;
    for (auto now = start; left > 0; now += 100ms, ++steps) {
        const std::uint32_t go = std::min(left, subject.may_start(now));
        CHECK(go <= 32U << steps);
        subject.started(now, go);
        left -= go;
    }
    CHECK(steps == 8);  // 32 * (2^8 - 1) = 8160
}

TEST_CASE("a failure starts the ramp over") {
    ramp subject(32);
    subject.begin(start);
    CHECK(take_all(subject, start + 300ms) == 256);
    subject.failed(start + 310ms);
    CHECK(subject.may_start(start + 310ms) == 0);
    CHECK(take_all(subject, start + 400ms) == 32);
    CHECK(take_all(subject, start + 500ms) == 64);
    subject.failed(start + 600ms);
    CHECK(subject.may_start(start + 600ms) == 32);  // nothing has started in this step yet
}

TEST_CASE("T26: a host that keeps failing is never dialled more than 32 times per step") {
    ramp subject(32);
    subject.begin(start);
    std::mt19937 draw(5);
    for (auto step = start; step < start + 10s; step += 100ms) {
        std::uint32_t in_step = 0;
        for (auto now = step; now < step + 100ms; now += 10ms) {
            in_step += take_all(subject, now);
            if (now == step || draw() % 3 == 0) subject.failed(now + 5ms);
        }
        CHECK(in_step <= 32);
    }
    CHECK(subject.next_step(start + 10s).has_value());
}

TEST_CASE("beginning twice is beginning once; it may begin again when it is over") {
    ramp subject(4);
    subject.begin(start);
    CHECK(take_all(subject, start) == 4);
    subject.begin(start + 50ms);
    CHECK(subject.may_start(start + 50ms) == 0);
    CHECK(subject.may_start(start + 2s) == ramp::unlimited);
    subject.failed(start + 3s);
    subject.begin(start + 5s);
    CHECK(take_all(subject, start + 5s) == 4);
    CHECK(take_all(subject, start + 5100ms) == 8);
}

TEST_CASE("P51: a first step of 0 is no ramp; a huge one does not overflow") {
    ramp off(0);
    off.begin(start);
    CHECK(off.may_start(start) == ramp::unlimited);
    ramp huge(UINT32_MAX);
    huge.begin(start);
    CHECK(huge.may_start(start + 950ms) == ramp::unlimited - 1);
    huge.started(start + 950ms, UINT32_MAX);
    huge.started(start + 950ms, UINT32_MAX);
    CHECK(huge.may_start(start + 950ms) == ramp::unlimited - 1);  // 2^9 times as much may start
}
