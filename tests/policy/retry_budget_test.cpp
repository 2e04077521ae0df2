// The budget that keeps retries from becoming the load, and the sum that forgets on which it stands.
#include "proxy/policy/retry_budget.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <utility>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const retry_budget::time_point start{100h};

config::retry_settings rules_of(double share, std::uint32_t reserve) {
    config::retry_settings rules;
    rules.budget = share;
    rules.budget_reserve = reserve;
    return rules;
}

int taken(retry_budget& budget, retry_budget::time_point now, std::uint64_t statements, int tries) {
    int count = 0;
    for (int time = 0; time < tries; ++time) count += budget.take(now, statements) ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("T27: a tenth of the last ten seconds' statements may be retries") {
    retry_budget budget(rules_of(0.10, 0), start);
    CHECK(taken(budget, start + 5s, 1000, 500) == 100);
    CHECK(budget.refused_total() == 400);
    CHECK(taken(budget, start + 6s, 1100, 500) == 10);
    CHECK(taken(budget, start + 6s, 1100, 500) == 0);
}

TEST_CASE("T27: without statements there is the reserve, for ten seconds' worth, and it comes back") {
    retry_budget budget(rules_of(0.10, 10), start);
    CHECK(taken(budget, start, 0, 500) == 100);
    CHECK(taken(budget, start + 5s, 0, 500) == 0);
    CHECK(taken(budget, start + 11s, 0, 500) == 100);
}

TEST_CASE("with a share and a reserve of 0 nothing is retried; with either 0 the other counts") {
    retry_budget none(rules_of(0, 0), start);
    CHECK(taken(none, start + 1s, 1'000'000, 10) == 0);
    retry_budget reserve_only(rules_of(0, 1), start);
    CHECK(taken(reserve_only, start + 1s, 1'000'000, 100) == 10);
    retry_budget whole(rules_of(1, 0), start);
    CHECK(taken(whole, start + 1s, 100, 1000) == 100);
}

TEST_CASE("an hour without a retry saves up no more than ten seconds of statements") {
    retry_budget budget(rules_of(0.10, 0), start);
    // 1000 a second for an hour: a tenth of 10000, give or take a slot.
    const int count = taken(budget, start + 1h, 3'600'000, 10'000);
    CHECK(count >= 900);
    CHECK(count <= 1000);
    CHECK(taken(budget, start + 1h + 11s, 3'600'000, 10'000) == 0);  // and it is forgotten as it was earned
}

TEST_CASE("a counter that goes back is a new one") {
    retry_budget budget(rules_of(0.10, 0), start, 5000);
    CHECK(taken(budget, start + 1s, 5000, 10) == 0);
    CHECK(taken(budget, start + 1s, 0, 10) == 0);
    CHECK(taken(budget, start + 2s, 50, 10) == 5);
}

TEST_CASE("new limits apply at once") {
    retry_budget budget(rules_of(0.10, 0), start);
    CHECK(taken(budget, start + 1s, 100, 100) == 10);
    budget.set_rules(rules_of(0.20, 0));
    CHECK(taken(budget, start + 1s, 100, 100) == 10);
}

TEST_CASE("T27: property: over any ten seconds retries stay within share and reserve") {
    for (unsigned seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        std::mt19937 draw(seed);
        const double share = static_cast<double>(draw() % 50) / 100;
        const auto reserve = static_cast<std::uint32_t>(draw() % 5);
        retry_budget budget(rules_of(share, reserve), start);
        auto now = start;
        std::uint64_t statements = 0;
        std::deque<std::pair<retry_budget::time_point, std::uint64_t>> history;  // statements so far
        std::deque<retry_budget::time_point> retries;
        history.emplace_back(now, 0);
        for (int step = 0; step < 1000; ++step) {
            now += std::chrono::milliseconds{draw() % 200};
            statements += draw() % 20;
            history.emplace_back(now, statements);
            if (budget.take(now, statements)) retries.push_back(now);
            // Slots are exact to a second: compare retries of nine seconds with statements of eleven.
            while (retries.size() > 0 && now - retries.front() > 9s) retries.pop_front();
            while (history.size() > 1 && now - history[1].first > 11s) history.pop_front();
            const double fair = share * static_cast<double>(statements - history.front().second) + 10.0 * reserve;
            CHECK(static_cast<double>(retries.size()) <= fair + 1e-9);
        }
    }
}

TEST_CASE("a sliding count forgets after its span, to a tenth of it") {
    sliding_count count(10s);
    count.add(start, 5);
    count.add(start + 3s, 7);
    CHECK(count.sum(start + 8s) == 12);
    CHECK(count.sum(start + 10s) == 7);
    CHECK(count.sum(start + 9s) == 7);  // time does not go back
    CHECK(count.sum(start + 13s) == 0);
    count.add(start + 13s, 3);
    CHECK(count.sum(start + 1000h) == 0);
    count.add(start + 1000h, UINT64_MAX);
    count.add(start + 1000h, 5);
    CHECK(count.sum(start + 1000h) == UINT64_MAX);
    count.clear();
    CHECK(count.sum(start + 1000h) == 0);
}

TEST_CASE("what came at an unknown time is spread evenly, and what came before the span is not counted") {
    sliding_count count(10s);
    count.add_spread(start, start + 4s, 50);
    CHECK(count.sum(start + 4s) == 50);
    CHECK(count.sum(start + 12s) == 20);
    sliding_count much(10s);
    much.add_spread(start - 90s, start + 9s, 1000);
    CHECK(much.sum(start + 9s) == 100);
    sliding_count back(10s);
    back.add_spread(start + 5s, start, 10);  // time does not go back
    CHECK(back.sum(start) == 10);
}
