// How often one address may have passwords tried on the servers, at any time that a test likes.
#include "proxy/worker/source_limits.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

using answer = source_limits::answer;

config::passthrough_settings rules(std::uint32_t per_minute, std::uint32_t at_once) {
    config::passthrough_settings made;
    made.max_tries_per_minute = per_minute;
    made.max_concurrent = at_once;
    return made;
}

const source_limits::time_point start{1h};

/// One try from beginning to end.
answer try_once(source_limits& limits, const std::string& source, source_limits::time_point now) {
    const answer given = limits.begin(source, now);
    if (given == answer::admitted) limits.ended(source);
    return given;
}

}  // namespace

TEST_CASE("D38: a minute's tries may come at once; further ones come back at the mean rate") {
    source_limits limits(rules(6, 0));
    for (int i = 0; i < 6; ++i) CHECK(try_once(limits, "10.0.0.1", start) == answer::admitted);
    CHECK(try_once(limits, "10.0.0.1", start) == answer::too_many_tries);
    CHECK(try_once(limits, "10.0.0.1", start + 9s) == answer::too_many_tries);
    CHECK(try_once(limits, "10.0.0.1", start + 11s) == answer::admitted);
    CHECK(try_once(limits, "10.0.0.1", start + 11s) == answer::too_many_tries);
    CHECK(try_once(limits, "10.0.0.1", start + 10min) == answer::admitted);
}

TEST_CASE("D38: a refused try is not counted, and no other address pays for it") {
    source_limits limits(rules(1, 0));
    CHECK(try_once(limits, "10.0.0.1", start) == answer::admitted);
    for (int i = 0; i < 100; ++i) CHECK(try_once(limits, "10.0.0.1", start + 1s) == answer::too_many_tries);
    CHECK(try_once(limits, "10.0.0.2", start + 1s) == answer::admitted);
    CHECK(try_once(limits, "10.0.0.1", start + 61s) == answer::admitted);
}

TEST_CASE("D38: tries at the same time have a limit of their own; each that ends makes room") {
    source_limits limits(rules(0, 2));
    CHECK(limits.begin("a", start) == answer::admitted);
    CHECK(limits.begin("a", start) == answer::admitted);
    CHECK(limits.begin("a", start) == answer::too_many_at_once);
    CHECK(limits.begin("b", start) == answer::admitted);
    limits.ended("a");
    CHECK(limits.begin("a", start) == answer::admitted);
    CHECK(limits.begin("a", start) == answer::too_many_at_once);
}

TEST_CASE("an end that nothing began gives nobody a place") {
    source_limits limits(rules(0, 1));
    limits.ended("a");
    CHECK(limits.begin("a", start) == answer::admitted);
    CHECK(limits.begin("a", start) == answer::too_many_at_once);
}

TEST_CASE("zero is no limit") {
    source_limits limits(rules(0, 0));
    for (int i = 0; i < 1000; ++i) CHECK(limits.begin("a", start) == answer::admitted);
}

TEST_CASE("P59: memory is bounded: strangers are refused while it is full, quiet addresses are forgotten") {
    source_limits limits(rules(5, 0));
    CHECK(limits.begin("busy", start) == answer::admitted);
    for (std::size_t i = 1; i < source_limits::most_sources; ++i)
        REQUIRE(try_once(limits, "source " + std::to_string(i), start) == answer::admitted);
    CHECK(limits.known() == source_limits::most_sources);
    CHECK(try_once(limits, "stranger", start + 30s) == answer::too_many_tries);
    CHECK(try_once(limits, "source 1", start + 30s) == answer::admitted);
    CHECK(limits.known() == source_limits::most_sources);
    CHECK(try_once(limits, "stranger", start + 62s) == answer::admitted);
    CHECK(limits.known() == 3);  // the stranger, the one that tried again, and the one that is still trying
}

TEST_CASE("a source is an address without its port; all Unix sockets are one") {
    CHECK(source_of("10.0.0.1:5432") == "10.0.0.1");
    CHECK(source_of("[::1]:5432") == "[::1]");
    CHECK(source_of("unix") == "unix");
    CHECK(source_of("/run/pgsteady/.s.PGSQL.5432") == "unix");
    CHECK(source_of("") == "");
}
