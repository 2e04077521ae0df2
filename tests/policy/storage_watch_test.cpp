// When statements that meet a full or failing disk close the way for writes, and what opens it again.
#include "proxy/policy/storage_watch.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const storage_watch::time_point start{100h};

struct disk {
    storage_watch subject{config::breaker_settings{}};
    storage_watch::time_point now = start;

    void strike(int times = 1) {
        for (int time = 0; time < times; ++time) subject.strike(now, 0.5);
    }
    void try_it(write_attempt how) {
        now = subject.next_attempt().value();
        REQUIRE(subject.begin_attempt(now));
        subject.end_attempt(how, now, 0.5);
    }
};

}  // namespace

TEST_CASE("2.12: three failures of storage within ten seconds close the way for writes, fewer do not") {
    disk test;
    for (int time = 0; time < 20; ++time, test.now += 6s) test.strike();
    CHECK_FALSE(test.subject.failing());
    CHECK_FALSE(test.subject.next_attempt().has_value());
    test.now += 11s;
    test.strike(2);
    CHECK_FALSE(test.subject.failing());
    test.strike();
    CHECK(test.subject.failing());
    CHECK(test.subject.next_attempt() == test.now + 1s);
}

TEST_CASE("D5: attempts to write are made less and less often; two that succeed open the way") {
    disk test;
    test.strike(3);
    for (const auto pause : {2s, 4s, 8s}) {
        test.try_it(write_attempt::failed);
        CHECK(test.subject.next_attempt() == test.now + pause);
    }
    test.try_it(write_attempt::wrote);
    CHECK(test.subject.failing());
    CHECK(test.subject.state() == breaker_state::half_open);
    CHECK(test.subject.next_attempt() == test.now);
    test.try_it(write_attempt::wrote);
    CHECK_FALSE(test.subject.failing());
    test.strike(2);
    CHECK_FALSE(test.subject.failing());
    test.strike();
    CHECK(test.subject.failing());
    CHECK(test.subject.next_attempt() == test.now + 16s);  // it came back within a minute
}

TEST_CASE("an account that may not write cannot keep the way closed for good") {
    disk test;
    test.strike(3);
    test.try_it(write_attempt::forbidden);
    test.try_it(write_attempt::forbidden);
    CHECK_FALSE(test.subject.failing());
}

TEST_CASE("an attempt whose connection ends has told nothing, and one that nobody began neither") {
    disk test;
    test.strike(3);
    test.try_it(write_attempt::given_up);
    CHECK(test.subject.failing());
    test.try_it(write_attempt::wrote);
    test.subject.end_attempt(write_attempt::given_up, test.now, 0.5);
    CHECK(test.subject.state() == breaker_state::half_open);
    test.try_it(write_attempt::wrote);
    CHECK_FALSE(test.subject.failing());
    test.subject.end_attempt(write_attempt::given_up, test.now, 0.5);
    CHECK_FALSE(test.subject.failing());
}

TEST_CASE("another primary has another disk") {
    disk test;
    test.strike(2);
    test.subject.forget(test.now);
    test.strike(2);
    CHECK_FALSE(test.subject.failing());
    test.strike();
    test.subject.forget(test.now);
    CHECK_FALSE(test.subject.failing());
}

TEST_CASE("D1: switched off, nothing closes the way, and what is closed opens") {
    disk test;
    test.strike(3);
    config::breaker_settings off;
    off.enabled = false;
    test.subject.set_rules(off, test.now);
    CHECK_FALSE(test.subject.failing());
    test.strike(30);
    CHECK_FALSE(test.subject.failing());
}
