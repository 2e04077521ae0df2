// What an operator changes while the proxy runs reaches the pools that are there and those to come.
#include "proxy/worker/live_policies.hpp"

#include "proxy/worker/proxy_state.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<const config::settings> some_settings() {
    auto all = std::make_shared<config::settings>();
    all->backends.hosts = {{"127.0.0.1", 5432}};
    all->backends.user = "app";
    return all;
}

}  // namespace

TEST_CASE("A change sets what it names and leaves the rest") {
    config::policies now;
    policy_change change;
    change.max_retries = 7;
    change.timeout = 5s;
    change.guard = false;
    change.apply_to(now);
    config::policies expected;
    expected.retry.max_retries = 7;
    expected.pool.hold_timeout = 5s;
    expected.guard.enabled = false;
    CHECK(now == expected);
}

TEST_CASE("Of two changes the later one counts, field by field") {
    policy_change first;
    first.max_retries = 7;
    first.recovery = false;
    policy_change second;
    second.max_retries = 1;
    second.jitter = false;
    first.add(second);
    CHECK(first.max_retries == 1);
    CHECK(first.recovery == false);
    CHECK(first.jitter == false);
    CHECK_FALSE(first.breaker.has_value());
}

TEST_CASE("A reader keeps the value that it took") {
    live_policies live{config::policies{}};
    const live_policies::value taken = live.get();
    config::policies next;
    next.retry.max_retries = 9;
    live.put(next);
    CHECK(taken->retry.max_retries == config::retry_settings{}.max_retries);
    CHECK(live.get()->retry.max_retries == 9);
}

TEST_CASE("D1: a change of all pools reaches existing ones, later ones, and those with changes of their own") {
    proxy_state state(some_settings(), 1);
    const auto first = state.pool_for("a", "app").pool;
    REQUIRE(first != nullptr);
    policy_change own;
    own.max_retries = 8;
    const std::vector<std::string> keys{first->plan.key()};
    const auto changed = state.change_policies(own, &keys);
    REQUIRE(changed.size() == 1);
    CHECK(changed[0].before->retry.max_retries == 3);
    CHECK(changed[0].after->retry.max_retries == 8);
    const auto second = state.pool_for("b", "app").pool;
    CHECK(second->live.get()->retry.max_retries == 3);

    policy_change off;
    off.recovery = false;
    CHECK(state.change_policies(off, nullptr).size() == 2);
    CHECK_FALSE(first->live.get()->recovery.enabled);
    CHECK(first->live.get()->retry.max_retries == 8);
    const auto third = state.pool_for("c", "app").pool;
    CHECK_FALSE(third->live.get()->recovery.enabled);
    CHECK(third->live.get()->retry.max_retries == 3);
    CHECK(third->plan.policies.recovery.enabled);
}
