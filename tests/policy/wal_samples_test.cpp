// Samples of the WAL position and synchronous standbys (D28).
#include "proxy/policy/wal_samples.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("D28: an insert position behind a page header is the page's beginning") {
    CHECK(without_page_header(0x3000028) == 0x3000000);  // a fresh segment: what a standby calls 0/3000000
    CHECK(without_page_header(0x3002018) == 0x3002000);
    CHECK(without_page_header(0x3000060) == 0x3000060);
    CHECK(without_page_header(0x3002020) == 0x3002020);
}

TEST_CASE("D28: the newest sample that is replayed") {
    wal_samples samples;
    const std::uint64_t start = samples.newest();
    CHECK(start != 0);
    CHECK(samples.newest_replayed(1'000'000) == 0);
    for (const std::uint64_t position : {10'000U, 20'000U, 20'000U, 30'000U}) {
        samples.asked();
        samples.answered(position);
    }
    CHECK(samples.newest() == start + 4);
    CHECK(samples.newest_replayed(9'999) == 0);
    CHECK(samples.newest_replayed(10'000) == start + 1);
    CHECK(samples.newest_replayed(20'000) == start + 3);  // nothing was written between the second and the third
    CHECK(samples.newest_replayed(40'000) == start + 4);
    samples.forget();
    CHECK(samples.newest_replayed(40'000) == 0);
    CHECK(samples.newest() == start + 4);
}

TEST_CASE("D28: samples are bounded") {
    wal_samples samples;
    for (std::uint64_t i = 1; i <= 5000; ++i) {
        samples.asked();
        samples.answered(i * 100'000);
    }
    CHECK(samples.newest_replayed(5000 * 100'000ULL) == samples.newest());
    CHECK(samples.newest_replayed(1000 * 100'000ULL) == 0);
}

TEST_CASE("D28: which standbys every commit waits for") {
    const receiver_name b{"b", ""};
    CHECK(is_synchronous({{"b", "", "sync"}, {"c", "", "potential"}}, "FIRST 1 (b, c)", b));
    CHECK_FALSE(is_synchronous({{"b", "", "potential"}, {"c", "", "sync"}}, "FIRST 1 (c, b)", b));
    CHECK_FALSE(is_synchronous({{"b", "", "async"}}, "", b));
    CHECK_FALSE(is_synchronous({{"b", "", ""}}, "*", b));
    CHECK_FALSE(is_synchronous({}, "*", b));
    CHECK_FALSE(is_synchronous({{"", "", "sync"}}, "*", {}));
    // A quorum of one out of two may be the other one.
    CHECK_FALSE(is_synchronous({{"b", "", "quorum"}, {"c", "", "quorum"}}, "ANY 1 (b, c)", b));
    CHECK(is_synchronous({{"b", "", "quorum"}, {"c", "", "quorum"}}, "ANY 2 (b, c)", b));
    // Two of one name cannot be told apart, unless by their slots.
    CHECK_FALSE(is_synchronous({{"walreceiver", "", "sync"}, {"walreceiver", "", "async"}}, "*", {"walreceiver", ""}));
    CHECK_FALSE(
        is_synchronous({{"walreceiver", "one", "async"}, {"walreceiver", "two", "sync"}}, "*", {"walreceiver", "one"}));
    CHECK(
        is_synchronous({{"walreceiver", "one", "async"}, {"walreceiver", "two", "sync"}}, "*", {"walreceiver", "two"}));
}

TEST_CASE("D28: whether a quorum is everybody") {
    CHECK(quorum_is_everybody("ANY 2 (a, b)"));
    CHECK(quorum_is_everybody("any 1 (a)"));
    CHECK_FALSE(quorum_is_everybody("ANY 1 (a, b)"));
    CHECK_FALSE(quorum_is_everybody("ANY 1 (*)"));
    CHECK_FALSE(quorum_is_everybody("FIRST 2 (a, b)"));
    CHECK_FALSE(quorum_is_everybody("a, b"));
    CHECK_FALSE(quorum_is_everybody("ANY x (a)"));
    CHECK_FALSE(quorum_is_everybody("ANY 2 (a, \"b,c\")"));
    CHECK_FALSE(quorum_is_everybody("ANY 2"));
    CHECK_FALSE(quorum_is_everybody(""));
}
