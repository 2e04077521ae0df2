// Who crashed the server: stories as sessions see them (recovery.md 2.2, E2c), under a clock of our own.
#include "proxy/policy/crash_record.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const crash_record::time_point start{100h};
const auto old = start - 1h;  // when connections were opened that are nothing special
const std::uint64_t deadly = statement_fingerprint("SELECT crash()");
const std::uint64_t innocent = statement_fingerprint("SELECT 1");

/// One process dies under `victim`; two siblings are told.
void crash(crash_record& record, std::uint64_t victim, crash_record::time_point now) {
    record.told_of_crash(now - 10ms, now);
    record.ended_silently(1, std::array{victim}, now - 5ms, now + 2ms);
    record.told_of_crash(now - 10ms, now + 4ms);
}

}  // namespace

TEST_CASE("D25: a statement is withheld from its third crash on, not before") {
    crash_record record;
    auto now = start;
    for (const std::uint32_t count : {1U, 2U, 3U}) {
        crash(record, deadly, now);
        now += 200ms;  // crash recovery can be that quick: the next crash is another one
        CHECK(record.crashes(deadly, now) == count);
        CHECK(record.withheld(deadly, now) == (count >= 3));
        CHECK(record.crashes(innocent, now) == 0);
    }
    CHECK(record.withheld(deadly, now + 5s));
}

TEST_CASE("T22: the crash that is still being looked into counts, and counts once") {
    crash_record record;
    record.ended_silently(1, std::array{deadly}, old, start);
    CHECK(record.crashes(deadly, start) == 0);  // an end without a word may be the network
    record.told_of_crash(old, start + 5ms);
    CHECK(record.crashes(deadly, start + 5ms) == 1);
    CHECK(record.crashes(deadly, start + 2s) == 1);
    CHECK(record.crashes(deadly, start + 3s) == 1);
}

TEST_CASE("T22: crashes that follow each other within a second are told apart by the age of the connections that end") {
    crash_record record;
    auto now = start;
    for (const std::uint32_t count : {1U, 2U, 3U}) {
        const auto opened = now;
        now += 50ms;
        record.ended_silently(1, std::array{deadly}, opened, now);
        record.told_of_crash(opened, now + 1ms);
        now += 10ms;
        CHECK(record.crashes(deadly, now) == count);
    }
    // Late news of the first crash changes nothing about the last one.
    record.told_of_crash(start - 1s, now);
    record.ended_silently(1, std::array{innocent}, start - 1s, now);
    CHECK(record.crashes(deadly, now) == 3);
    CHECK(record.crashes(innocent, now) == 0);
    CHECK(record.withheld(deadly, now + 5s));
}

TEST_CASE("D25: only a sole victim is blamed") {
    SUBCASE("two sessions ended without a word") {
        crash_record record;
        record.ended_silently(1, std::array{deadly}, old, start);
        record.told_of_crash(old, start);
        CHECK(record.crashes(deadly, start) == 1);
        record.ended_silently(2, std::array{innocent}, old, start + 10ms);
        CHECK(record.crashes(deadly, start + 10ms) == 0);
        CHECK(record.crashes(deadly, start + 5s) == 0);
        CHECK(record.crashes(innocent, start + 5s) == 0);
    }
    SUBCASE("the client whose statement it was tries again on a server that is going down, too") {
        crash_record record;
        record.ended_silently(1, std::array{deadly}, old, start);
        record.told_of_crash(old, start);
        record.ended_silently(1, std::array{deadly}, old, start + 10ms);
        CHECK(record.crashes(deadly, start + 10ms) == 1);
        CHECK(record.crashes(deadly, start + 5s) == 1);
    }
    SUBCASE("all ended without a word: the postmaster was killed, or the network is cut") {
        crash_record record;
        for (std::uint64_t session = 1; session <= 10; ++session)
            record.ended_silently(session, std::array{deadly}, old, start);
        CHECK(record.crashes(deadly, start + 5s) == 0);
    }
    SUBCASE("nobody else was told: one backend was lost") {
        crash_record record;
        for (int time = 0; time < 10; ++time) record.ended_silently(1, std::array{deadly}, old, start + time * 2s);
        CHECK(record.crashes(deadly, start + 20s) == 0);
    }
    SUBCASE("the word and the end are too far apart to belong together") {
        crash_record record;
        record.ended_silently(1, std::array{deadly}, old, start);
        record.told_of_crash(old, start + 1001ms);
        CHECK(record.crashes(deadly, start + 1001ms) == 0);
        CHECK(record.crashes(deadly, start + 5s) == 0);
    }
    SUBCASE("the victim was at rest") {
        crash_record record;
        record.ended_silently(0, {}, old, start);
        record.told_of_crash(old, start);
        CHECK(record.crashes(deadly, start + 5s) == 0);
        CHECK(record.size() == 0);
    }
}

TEST_CASE("everything that the victim had in flight is blamed, each once per crash") {
    crash_record record;
    record.ended_silently(1, std::array{deadly, innocent, deadly}, old, start);
    record.told_of_crash(old, start);
    CHECK(record.crashes(deadly, start + 5s) == 1);
    CHECK(record.crashes(innocent, start + 5s) == 1);
}

TEST_CASE("a statement is forgotten ten minutes after its last crash") {
    crash_record record;
    crash(record, deadly, start);
    crash(record, deadly, start + 9min);
    CHECK(record.crashes(deadly, start + 18min) == 2);
    CHECK(record.crashes(deadly, start + 20min) == 0);
    CHECK(record.size() == 0);
}

TEST_CASE("memory is bounded: the statement whose crash is longest ago makes room") {
    crash_record record;
    auto now = start;
    for (std::uint64_t statement = 0; statement < 2 * crash_record::most_entries; ++statement, now += 100ms)
        crash(record, statement, now);
    CHECK(record.size() == crash_record::most_entries);
    CHECK(record.crashes(0, now) == 0);
    CHECK(record.crashes(2 * crash_record::most_entries - 1, now) == 1);

    std::array<std::uint64_t, 1000> many{};
    for (std::size_t at = 0; at < many.size(); ++at) many[at] = 1'000'000 + at;
    record.ended_silently(1, many, now - 1ms, now);
    record.told_of_crash(now - 1ms, now);
    CHECK(record.crashes(many.front(), now + 5s) == 1);
    CHECK(record.crashes(many[crash_record::most_in_flight], now + 5s) == 0);
    CHECK(record.size() <= crash_record::most_entries);
}

TEST_CASE("fingerprints are FNV-1a, and tell texts apart") {
    CHECK(statement_fingerprint("") == 0xcbf29ce484222325);
    CHECK(statement_fingerprint("a") == 0xaf63dc4c8601ec8c);
    CHECK(statement_fingerprint("foobar") == 0x85944171f73967e8);
    std::set<std::uint64_t> seen;
    for (int number = 0; number < 10'000; ++number)
        seen.insert(statement_fingerprint("SELECT " + std::to_string(number)));
    CHECK(seen.size() == 10'000);
}
