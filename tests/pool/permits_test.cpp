// Permits: never more than the limit, under threads too; both or neither.
#include "proxy/pool/permits.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

using namespace pgsteady;

TEST_CASE("D41: a permit is given up to the limit and again after it came back") {
    permit_counter permits(2);
    CHECK(permits.try_take());
    CHECK(permits.try_take());
    CHECK_FALSE(permits.try_take());
    permits.give_back();
    CHECK(permits.try_take());
    permits.set_limit(3);
    CHECK(permits.try_take());
    permits.set_limit(1);
    CHECK_FALSE(permits.try_take());
    CHECK(permits.used() == 3);
}

TEST_CASE("P51: a limit of 0 is none") {
    permit_counter permits(0);
    for (int i = 0; i < 1'000; ++i) REQUIRE(permits.try_take());
}

TEST_CASE("take_both takes from both or from neither") {
    permit_counter pool(5);
    permit_counter process(1);
    CHECK(take_both(pool, process));
    CHECK_FALSE(take_both(pool, process));
    CHECK(pool.used() == 1);
    CHECK(process.used() == 1);
}

TEST_CASE("of several that want to give one back above a floor, only as many do") {
    permit_counter permits(0);
    for (int i = 0; i < 5; ++i) REQUIRE(permits.try_take());
    int given = 0;
    for (int i = 0; i < 10; ++i) given += permits.try_give_back_above(3) ? 1 : 0;
    CHECK(given == 2);
    CHECK(permits.used() == 3);
}

TEST_CASE("threads never hold more than the limit together") {
    permit_counter permits(3);
    std::atomic<int> most{0};
    std::atomic<int> now{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 5'000; ++i) {
                if (!permits.try_take()) continue;
                const int held = ++now;
                for (int seen = most.load(); held > seen && !most.compare_exchange_weak(seen, held);) {
                }
                --now;
                permits.give_back();
            }
        });
    for (std::thread& each : threads) each.join();
    CHECK(most.load() <= 3);
    CHECK(permits.used() == 0);
}

TEST_CASE("T23: after 53300 a tenth fewer than are held may be held, and never none") {
    permit_counter permits(30);
    for (int i = 0; i < 20; ++i) REQUIRE(permits.try_take());
    permits.shrink();
    CHECK(permits.limit() == 18);
    CHECK_FALSE(permits.try_take());
    permits.shrink();
    CHECK(permits.limit() == 18);
    for (int i = 0; i < 19; ++i) permits.give_back();
    permits.shrink();
    CHECK(permits.limit() == 1);
    permits.give_back();
    permits.shrink();
    CHECK(permits.limit() == 1);
    CHECK(permits.try_take());
    permits.grow(3);
    CHECK(permits.limit() == 2);
    permits.grow(3);
    CHECK(permits.limit() == 2);  // there is room already
    CHECK(permits.try_take());
    permits.grow(3);
    CHECK(permits.try_take());
    permits.grow(3);
    CHECK(permits.limit() == 3);
    permit_counter unlimited(0);
    unlimited.grow(3);
    CHECK(unlimited.limit() == 0);
    for (int i = 0; i < 5; ++i) REQUIRE(unlimited.try_take());
    unlimited.shrink();
    CHECK(unlimited.limit() == 4);
}
