// Whose WAL a server is known to have (recovery.md 2.6). What the monitor did not see counts as the worst: T4.
#include "proxy/policy/lineage.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

using millis = std::chrono::milliseconds;

struct observed {
    lineage all{2, 1000ms};
    lineage::time_point start{};

    static probe_result primary(std::int64_t started, std::optional<std::uint64_t> recovered, std::int64_t statistics,
                                std::uint32_t timeline = 1) {
        probe_result found;
        found.role = host_role::primary;
        found.system_identifier = "7001";
        found.started_micros = started;
        found.recovered_to = recovered;
        found.statistics_since = statistics;
        found.timeline = timeline;
        found.replicas = {{"standby", "", "async"}};
        return found;
    }
    static probe_result standby(std::uint64_t received, std::uint32_t receiver, std::int64_t started = 200) {
        probe_result found = primary(started, received, 20);
        found.role = host_role::standby;
        found.received = received;
        found.streaming = receiver != 0;
        found.receiver_pid = receiver;
        found.receiver_name = "standby";
        found.replicas.clear();
        return found;
    }
    void sees(std::size_t host, const probe_result& found, millis when) {
        all.awake(start + when);
        all.answered(host, found, start + when);
    }
    void ends(std::size_t host, millis when) {
        all.awake(start + when);
        all.disconnected(host, start + when);
    }
    void refused(std::size_t host, millis from, millis until) {
        for (millis when = from; when <= until; when += 250ms) all.nobody(host, start + when);
    }
    [[nodiscard]] std::optional<std::uint64_t> upto(std::size_t host, const probe_result& from) const {
        const incarnation key{from.started_micros, from.recovered_to, from.statistics_since, from.timeline,
                              from.system_identifier};
        for (const inheritance& each : all.of(host))
            if (each.from.is(key)) return each.upto;
        return std::nullopt;
    }
};

const probe_result first = observed::primary(100, std::nullopt, 10);
const probe_result recovered = observed::primary(101, 0x500, 11);

}  // namespace

TEST_CASE("a crash that was watched: its recovery's end is what was inherited") {
    observed world;
    world.sees(0, first, 1000ms);
    world.ends(0, 1600ms);
    world.refused(0, 1650ms, 6000ms);
    world.sees(0, recovered, 6200ms);
    CHECK(world.upto(0, first) == 0x500U);
    world.sees(0, recovered, 7200ms);
    CHECK(world.upto(0, first) == 0x500U);
}

TEST_CASE("T4: a crash that was not watched all the time says nothing about what is behind it") {
    observed late;
    late.sees(0, first, 1000ms);
    late.ends(0, 1600ms);
    late.sees(0, recovered, 2200ms);
    CHECK_FALSE(late.upto(0, first).has_value());

    observed gap;
    gap.sees(0, first, 1000ms);
    gap.refused(0, 1100ms, 1900ms);
    gap.refused(0, 2500ms, 3000ms);
    gap.sees(0, recovered, 3100ms);
    CHECK_FALSE(gap.upto(0, first).has_value());

    observed silent;  // the end came late
    silent.sees(0, first, 1000ms);
    silent.ends(0, 2600ms);
    silent.sees(0, recovered, 2700ms);
    CHECK_FALSE(silent.upto(0, first).has_value());
}

TEST_CASE("T4: what a watcher finds that has been asleep may have happened at any time meanwhile") {
    for (const millis slept : {400ms, 600ms}) {
        observed
            end;  // there was time for two crashes: the first answer, the end and the next answer are found at once
        end.sees(0, first, 1000ms);
        end.all.disconnected(0, end.start + 1000ms + slept);
        end.sees(0, recovered, 1000ms + slept);
        CHECK(end.upto(0, first).has_value() == (slept < lineage::blind_at_most));

        observed answer;
        answer.sees(0, first, 1000ms);
        answer.all.answered(0, first, answer.start + 1000ms + slept);
        answer.sees(0, recovered, 1050ms + slept);
        CHECK(answer.upto(0, first).has_value() == (slept < lineage::blind_at_most));
    }
}

TEST_CASE("T4: of two crashes that were both watched the first one's recovery counts") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(0, recovered, 1400ms);
    world.sees(0, observed::primary(102, 0x900, 12), 1800ms);
    CHECK(world.upto(0, first) == 0x500U);
    CHECK(world.upto(0, recovered) == 0x900U);
    world.sees(0, observed::primary(103, 0xB00, 13), 9000ms);  // not watched: nothing holds any more
    CHECK(world.all.of(0).empty());
}

TEST_CASE("T4: the hole that is left is as large as blind_at_most, and not larger") {
    // A life of which no look tells: it recovers to 0x200, gives numbers again, and crashes; what is seen next has recovered to 0x500.
    // Nothing that an account without special rights is shown tells it from the direct successor.
    const auto credited = [](millis between_looks) {
        observed world;
        world.sees(0, first, 1000ms);
        world.ends(0, 1600ms);
        world.sees(0, recovered, 1600ms + between_looks);
        return world.upto(0, first) == 0x500U;
    };
    CHECK(credited(lineage::blind_at_most));  // the limit by design
    CHECK_FALSE(credited(lineage::blind_at_most + 1ms));
    // Any look within that time, at which nobody is served, makes the hole as small as the longest time between two looks.
    observed world;
    world.sees(0, first, 1000ms);
    world.ends(0, 1600ms);
    world.refused(0, 1650ms, 9000ms);
    world.sees(0, recovered, 9000ms);
    CHECK(world.upto(0, first) == 0x500U);
    // And if the life in between is seen but once, it is its WAL that counts from there on, not the first one's.
    observed seen;
    seen.sees(0, first, 1000ms);
    seen.ends(0, 1600ms);
    seen.sees(0, observed::primary(101, 0x200, 11), 1700ms);
    seen.ends(0, 1750ms);
    seen.sees(0, observed::primary(102, 0x500, 12), 1800ms);
    CHECK(seen.upto(0, first).value_or(0) <= 0x200U);
}

TEST_CASE("a clean restart inherits everything; with other statistics it was none") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(0, observed::primary(101, std::nullopt, 10), 1400ms);
    CHECK(world.upto(0, first) == inheritance::everything);
    world.sees(0, observed::primary(102, std::nullopt, 12), 1800ms);
    CHECK(world.all.of(0).empty());
}

TEST_CASE("another system, or a timeline that came from nowhere, inherits nothing") {
    observed world;
    world.sees(0, first, 1000ms);
    probe_result other = recovered;
    other.system_identifier = "7002";
    world.sees(0, other, 1200ms);
    CHECK(world.all.of(0).empty());
    observed restored;
    restored.sees(0, first, 1000ms);
    restored.sees(0, observed::primary(101, 0x500, 11, 2), 1200ms);
    CHECK(restored.all.of(0).empty());
}

TEST_CASE("a promotion while the former primary refuses everybody: all that was replayed is inherited") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.ends(0, 1500ms);
    world.refused(0, 1600ms, 5000ms);
    world.sees(1, observed::standby(0x400, 0), 4000ms);
    world.sees(1, observed::primary(200, 0x410, 20, 2), 5200ms);
    CHECK(world.upto(1, first) == 0x410U);
}

TEST_CASE(
    "a promotion while the former primary is silent: what came on the same connection is inherited, and no more") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.sees(1, observed::standby(0x400, 77), 4000ms);
    CHECK(world.upto(1, first) == 0x400U);
    world.sees(1, observed::standby(0x500, 78), 5000ms);  // another connection: to whom?
    world.sees(1, observed::primary(200, 0x510, 20, 2), 5200ms);
    CHECK(world.upto(1, first) == 0x400U);
}

TEST_CASE("of two standbys with one name nobody knows which of them streams from the primary") {
    observed world;
    probe_result crowded = first;
    crowded.replicas.push_back(crowded.replicas.front());
    world.sees(0, crowded, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.sees(1, observed::standby(0x400, 77), 4000ms);
    CHECK(world.upto(1, first) == 0x300U);
}

TEST_CASE("T2: WAL that a crashed and restarted primary sent is not its former life's") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.sees(0, recovered, 3000ms);  // a gap: it may have served in between
    world.sees(1, observed::standby(0x900, 78), 3010ms);
    world.sees(0, recovered, 4000ms);  // until here it was that one
    CHECK(world.upto(1, first) == 0x300U);
    CHECK(world.upto(1, recovered) == 0x900U);
}

TEST_CASE("T4: what a standby has got since the last look at its primary may be a later life's") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.ends(0, 1500ms);
    world.refused(0, 1600ms, 1600ms);
    world.sees(1, observed::standby(0x600, 78), 1900ms);  // it has recovered, serves and sends
    world.sees(0, recovered, 1950ms);                     // and only now somebody looks
    world.sees(1, observed::primary(200, 0x610, 20, 2), 5200ms);
    CHECK(world.upto(1, first) == 0x300U);
}

TEST_CASE("a standby that was started anew may have been made anew") {
    observed world;
    world.sees(0, first, 1000ms);
    world.sees(1, observed::standby(0x300, 77), 1000ms);
    world.sees(1, observed::standby(0x300, 79, 201), 9000ms);
    CHECK(world.all.of(1).empty());
    observed demoted;
    demoted.sees(0, first, 1000ms);
    demoted.sees(0, recovered, 1100ms);
    demoted.sees(0, observed::standby(0x600, 5), 1200ms);
    CHECK(demoted.all.of(0).empty());
}

TEST_CASE("what is not shown to the account is not known") {
    observed world;
    world.sees(0, first, 1000ms);
    probe_result blind = recovered;
    blind.started_micros = 0;
    world.sees(0, blind, 1100ms);
    world.sees(0, recovered, 1200ms);
    CHECK(world.all.of(0).empty());
}

TEST_CASE("inheritances and samples are bounded") {
    observed world;
    for (int i = 1; i < 50; ++i)
        world.sees(0, observed::primary(100 + i, 0x100U * static_cast<unsigned>(i), i), 100ms * i);
    CHECK(world.all.of(0).size() == lineage::kept);
    for (int i = 1; i < 500; ++i)
        world.sees(1, observed::standby(0x100U * static_cast<unsigned>(i), 0), 10'000ms + 100ms * i);
    world.sees(0, observed::primary(149, 0x3100, 49), 10'001ms);
    CHECK(world.all.of(1).size() <= lineage::kept);
}
