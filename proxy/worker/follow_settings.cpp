// What another configuration means for what is running: pools, permits, sign-ins, workers. What it says of existing
// connections counts from now on; none is ended because of it, but for those that no pool wants any more.
#include "proxy/console/door.hpp"
#include "proxy/session/redact.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace pgsteady {
namespace {

/// Former settings are kept for so long: whoever was reading them has finished by then.
constexpr std::chrono::minutes settings_kept{10};

/// Where servers are and as whom they are signed in to: what a pool that exists cannot change.
[[nodiscard]] bool same_servers(const pool_plan& one, const pool_plan& other) {
    return one.hosts == other.hosts && one.server_database == other.server_database &&
           one.server_user == other.server_user && one.server_verifier == other.server_verifier &&
           one.mode == other.mode;
}

/// Standbys' servers are opened when reads need them, and not kept for later.
[[nodiscard]] pool_rules standby_rules(pool_rules rules) {
    rules.min_size = 0;
    return rules;
}

}  // namespace

/// Verifiers are expensive: those of passwords that have not changed are kept.
proxy_state::verifier_map proxy_state::verifiers_for(const config::settings& next) const {
    verifier_map result;
    const bool all_need_one = next.auth.by_rules() || next.auth.method == config::auth_method::scram_sha_256;
    const config::settings& now = settings();
    for (const auto& [name, user] : next.users) {
        if (!user.verifier.empty() || user.password.empty()) continue;
        if (!all_need_one && console_role_of(next, name) == console_role::nobody) continue;
        const auto before = now.users.find(name);
        const auto known =
            before != now.users.end() && before->second.password == user.password ? verifier_of(name) : std::nullopt;
        result.emplace(name, known ? *known : make_scram_verifier(user.password, random_bytes(16), 4096));
    }
    return result;
}

std::vector<std::string> proxy_state::replace_settings(std::shared_ptr<const config::settings> next) {
    verifier_map verifiers = verifiers_for(*next);
    std::vector<std::string> stay_as_they_are;
    {
        const std::scoped_lock lock(mutex_);
        const auto now = std::chrono::steady_clock::now();
        std::erase_if(former_, [now](const auto& each) { return now - each.first > settings_kept; });
        former_.emplace_back(now, settings_owner_);
        settings_owner_ = next;
        settings_ = next.get();
        verifiers_ = std::move(verifiers);
        change_of_all_ = {};
        change_of_pool_.clear();
        for (const auto& [key, pool] : pools_)
            if (!follow(*pool, *next)) stay_as_they_are.push_back("pool " + pool->plan.label());
    }
    clients.set_limit(next->limits.max_clients);
    unauthenticated.set_limit(next->limits.max_unauthenticated);
    servers.set_limit(next->limits.max_server_connections);
    cancels.set_limit(next->limits.max_cancels);
    fences.set_limit(next->fence.max_cancels);
    console_clients.set_limit(next->admin.max_console_clients);
    waiting.set_limit(next->hold.max_clients);
    lookups_->follow_settings();
    tell_clusters();
    for (worker* each : workers) each->post([each] { each->follow_settings(); });
    return stay_as_they_are;
}

/// False: its servers would be others now, so it goes on with those that it has.
bool proxy_state::follow(shared_pool& pool, const config::settings& next) {
    std::optional<pool_plan> plan = plan_pool(next, pool.plan.database, pool.plan.user);
    if (!plan) {  // nobody new is admitted; what is idle goes
        config::policies last = *pool.live.get();
        last.pool.min_size = 0;
        pool.live.put(std::move(last));
        ++pool.generation;
        return true;
    }
    const bool same = same_servers(pool.plan, *plan);
    if (same && !plan->server_password.empty()) pool.learn_password(plan->server_password);
    const std::uint32_t most = plan->policies.pool.size + plan->policies.pool.max_overflow;
    for (server_group* each : {&pool.primaries, &pool.standbys}) {
        each->full_size = most;
        if (each->crowded_until == 0) each->permits.set_limit(most);
    }
    pool.fences.set_rules(next.fence.max_pending, next.fence.timeout);
    pool.live.put(std::move(plan->policies));
    return same;
}

void worker::log_statements(bool on) {
    if (!on) tables_.on_statement = nullptr;
    else
        tables_.on_statement = [](std::int32_t client_pid, std::string_view text) {
            log::info("statement of client process {}: {}", client_pid, redacted(text));
        };
}

void worker::follow_settings() {
    const config::settings& now = shared_.settings();
    budget_.set_rules(now.retry);
    log_statements(now.log.statements);
    std::vector<local_pool*> all;  // following hands out servers, and what clients then do may make pools
    for (const auto& [key, pool] : pools_) all.push_back(pool.get());
    for (local_pool* each : all) each->follow_settings();
    if (index_ == 0) warm_up();
    tick_soon();  // timeouts may be on that were off
    settle();
}

void local_pool::follow_settings() {
    take_settings();
    on_orders();
}

void local_pool::take_settings() {
    const live_policies::value now = shared->live.get();
    timeouts = now->timeouts;
    reset_query = now->pool.reset_query;
    connect_query = now->pool.connect_query;
    slow_after = worker_.shared().settings().log.slow_statement;
    facts.prepared_bytes = now->pool.prepared_statements;
    facts.journal_bytes = now->replay.max_transaction;
    worker_.tables().journals.limit =
        worker_.shared().settings().limits.replay_journals / std::max<std::size_t>(1, worker_.shared().workers.size());
    idle_listener =
        now->pool.overflow_idle_timeout.count() > 0 ? now->pool.overflow_idle_timeout : now->pool.idle_timeout;
    facts.shares_listen = now->pool.shared_listen;
    facts.notification_bytes = now->pool.notification_queue;
    facts.pin_opaque = now->pool.opaque_functions_are == config::opaque_functions::pin;
    const pool_rules rules = rules_of(now->pool, worker_.shared().settings().connect.backoff);
    primaries_.core.set_rules(rules);
    standbys_.core.set_rules(standby_rules(rules));
    follow_live_policies();
}

}  // namespace pgsteady
