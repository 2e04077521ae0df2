// What another configuration means for pools, permits and sign-ins that are there already.
#include "proxy/worker/proxy_state.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<config::settings> some_settings() {
    auto all = std::make_shared<config::settings>();
    all->backends.hosts = {{"127.0.0.1", 5432}};
    all->auth.method = config::auth_method::scram_sha_256;
    all->users["app"].password = "first";
    all->users["other"].password = "same";
    return all;
}

}  // namespace

TEST_CASE("Pools that are there follow: sizes, timeouts, policies; what operators changed ends") {
    proxy_state state(some_settings(), 1);
    const auto pool = state.pool_for("db", "app").pool;
    REQUIRE(pool != nullptr);
    CHECK(pool->primaries.permits.limit() == 30);
    policy_change change;
    change.max_retries = 9;
    (void)state.change_policies(change, nullptr);
    REQUIRE(pool->live.get()->retry.max_retries == 9);

    auto next = some_settings();
    next->pool.size = 7;
    next->pool.max_overflow = 1;
    next->pool.hold_timeout = 4s;
    next->limits.max_clients = 77;
    CHECK(state.replace_settings(next).empty());
    CHECK(&state.settings() == next.get());
    CHECK(pool->primaries.permits.limit() == 8);
    CHECK(pool->standbys.permits.limit() == 8);
    CHECK(pool->primaries.full_size == 8);
    CHECK(pool->live.get()->pool.hold_timeout == 4s);
    CHECK(pool->live.get()->retry.max_retries == 3);
    CHECK(state.clients.limit() == 77);
    CHECK(state.pool_for("db", "app").pool == pool);
}

TEST_CASE("While a server has no room (53300) its pool keeps the smaller number, and grows to the new one afterwards") {
    proxy_state state(some_settings(), 1);
    const auto pool = state.pool_for("db", "app").pool;
    pool->primaries.permits.set_limit(3);
    pool->primaries.crowded_until = 1;
    auto next = some_settings();
    next->pool.size = 50;
    (void)state.replace_settings(next);
    CHECK(pool->primaries.permits.limit() == 3);
    CHECK(pool->primaries.full_size == 60);
}

TEST_CASE("A changed password counts for clients and servers; one that is the same keeps its verifier") {
    proxy_state state(some_settings(), 1);
    state.derive_verifiers();
    const auto pool = state.pool_for("db", "app").pool;
    CHECK(pool->current_secrets().password == "first");
    const auto before = state.verifier_of("app");
    const auto same_before = state.verifier_of("other");
    REQUIRE(before);
    auto next = some_settings();
    next->users["app"].password = "second";
    next->users["new"].password = "third";
    (void)state.replace_settings(next);
    CHECK(pool->current_secrets().password == "second");
    CHECK(state.verifier_of("app")->stored_key != before->stored_key);
    CHECK(state.verifier_of("other")->salt == same_before->salt);
    CHECK(state.verifier_of("new"));
    next = some_settings();
    next->users.erase("app");
    (void)state.replace_settings(next);
    CHECK_FALSE(state.verifier_of("app"));
}

TEST_CASE("A pool whose servers would be others goes on with those that it has, and is named") {
    proxy_state state(some_settings(), 1);
    const auto pool = state.pool_for("db", "app").pool;
    auto next = some_settings();
    next->databases["db"].hosts = {{"127.0.0.9", 5432}};
    CHECK(state.replace_settings(next) == std::vector<std::string>{"pool db/app"});
    CHECK(pool->plan.hosts.front().host == "127.0.0.1");
}

TEST_CASE("A database that is gone admits nobody, and its idle servers are not wanted any more") {
    auto first = some_settings();
    first->databases["db"] = {};
    first->auto_pools.enabled = false;
    proxy_state state(first, 1);
    const auto pool = state.pool_for("db", "app").pool;
    REQUIRE(pool != nullptr);
    const std::uint64_t before = pool->generation;
    auto next = some_settings();
    next->auto_pools.enabled = false;
    CHECK(state.replace_settings(next).empty());
    CHECK(state.pool_for("db", "app").pool == nullptr);
    CHECK(pool->generation > before);
    CHECK(pool->live.get()->pool.min_size == 0);
}
