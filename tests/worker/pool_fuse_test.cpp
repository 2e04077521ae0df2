// A pool whose account or database is refused, and one that is mended.
#include "proxy/worker/pool_fuse.hpp"

#include "protocol/sqlstate.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const pool_fuse::time_point start{100h};
const error_fields no_database = fatal_error(sqlstate::invalid_catalog_name, "database \"x\" does not exist");

struct pool_door {
    pool_fuse subject{config::breaker_settings{}};
    pool_fuse::time_point now = start;

    void knock(int times = 1) {
        for (int time = 0; time < times; ++time) {
            REQUIRE(subject.may_dial(now));
            subject.refused(no_database, now, 0.5);
        }
    }
};

}  // namespace

TEST_CASE("2.12: five refused sign-ins in a row close a pool's door, and the server's words are what clients hear") {
    pool_door test;
    test.knock(4);
    CHECK_FALSE(test.subject.refusal().has_value());
    CHECK(test.subject.now().opened_by.empty());
    test.subject.let_in(test.now);
    test.knock(5);
    CHECK_FALSE(test.subject.may_dial(test.now));
    REQUIRE(test.subject.refusal().has_value());
    CHECK(test.subject.refusal()->sqlstate == "3D000");
    CHECK(test.subject.now().trips_total == 1);
    CHECK(test.subject.now().opened_by == "login_refused");
    CHECK(test.subject.now().last_failure == "3D000: database \"x\" does not exist");
    CHECK(test.subject.now().failures_total == 9);
}

TEST_CASE("D5: one dial at a time finds out whether it is mended, at least every five seconds") {
    pool_door test;
    test.knock(5);
    for (const auto pause : {1s, 2s, 4s}) {
        test.now += pause - 1ms;
        CHECK_FALSE(test.subject.may_dial(test.now));
        test.now += 1ms;
        CHECK(test.subject.may_dial(test.now));
        CHECK_FALSE(test.subject.may_dial(test.now));
        CHECK_FALSE(test.subject.refusal().has_value());  // being found out: whoever waits may wait for it
        test.subject.refused(no_database, test.now, 0.5);
        CHECK(test.subject.refusal().has_value());
    }
    for (int time = 0; time < 5; ++time) {
        test.now += 5s;
        REQUIRE(test.subject.may_dial(test.now));
        test.subject.refused(no_database, test.now, 0.5);
    }
    test.now += 5s;
    REQUIRE(test.subject.may_dial(test.now));
    test.subject.let_in(test.now);
    CHECK(test.subject.may_dial(test.now));
    CHECK_FALSE(test.subject.refusal().has_value());
}

TEST_CASE("a dial that met a host in trouble says nothing about the pool") {
    pool_door test;
    test.knock(5);
    test.now += 1s;
    REQUIRE(test.subject.may_dial(test.now));
    test.subject.told_nothing();
    CHECK(test.subject.now().state == breaker_state::open);
    CHECK(test.subject.may_dial(test.now));
}

TEST_CASE("D1, D38: switched off it never closes; a password that is right opens it") {
    pool_door test;
    test.knock(5);
    test.subject.let_in(test.now);  // a client's own sign-in
    CHECK(test.subject.may_dial(test.now));
    config::breaker_settings off;
    off.enabled = false;
    test.subject.set_rules(off, test.now);
    test.knock(50);
    CHECK_FALSE(test.subject.refusal().has_value());
}

TEST_CASE("an operator closes and opens a pool's door") {
    pool_door test;
    test.subject.force(breaker_force::open, test.now);
    CHECK_FALSE(test.subject.may_dial(test.now + 1h));
    REQUIRE(test.subject.refusal().has_value());
    CHECK(test.subject.refusal()->sqlstate == "57P03");
    CHECK(test.subject.now().opened_by == "forced");
    test.subject.force(breaker_force::automatic, test.now);
    test.subject.let_in(test.now);
    CHECK(test.subject.may_dial(test.now));
}
