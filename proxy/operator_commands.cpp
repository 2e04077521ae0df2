#include "proxy/operator_commands.hpp"

#include "config/value.hpp"

#include "admin/printable.hpp"
#include "proxy/test_connections.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/pool_command.hpp"
#include "proxy/worker/worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <thread>
#include <tuple>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_sessions = 1000;
constexpr const char* pools_to_come = "pools to come";

[[nodiscard]] std::optional<config::milliseconds> milliseconds_of(const std::optional<double>& seconds) {
    if (!seconds) return std::nullopt;
    return config::milliseconds(std::llround(*seconds * 1000));
}

[[nodiscard]] std::optional<config::retry_strategy> strategy_of(const std::optional<std::string>& name) {
    if (!name) return std::nullopt;
    if (*name == "linear_backoff") return config::retry_strategy::linear_backoff;
    if (*name == "fixed_delay") return config::retry_strategy::fixed_delay;
    return config::retry_strategy::exponential_backoff;
}

[[nodiscard]] std::string shown(bool value) { return value ? "true" : "false"; }
[[nodiscard]] std::string shown(config::milliseconds value) { return config::format_duration(value); }
[[nodiscard]] std::string shown(config::retry_strategy value) { return std::string(strategy_name(value)); }
template <class number>
[[nodiscard]] std::string shown(number value) {
    return fmt::format("{}", value);
}

/// What is different between two states of one pool.
class differences {
public:
    explicit differences(std::string where) : where_(std::move(where)) {}

    template <class value>
    void compare(const char* key, const value& before, const value& after) {
        if (before != after) found.push_back({where_, key, shown(before), shown(after)});
    }
    std::vector<admin::change> found;

private:
    std::string where_;
};

void add_differences(std::vector<admin::change>& to, std::string where, const config::policies& before,
                     const config::policies& after) {
    differences all(std::move(where));
    all.compare("max_retries", before.retry.max_retries, after.retry.max_retries);
    all.compare("initial_delay", before.retry.initial_delay, after.retry.initial_delay);
    all.compare("max_delay", before.retry.max_delay, after.retry.max_delay);
    all.compare("multiplier", before.retry.multiplier, after.retry.multiplier);
    all.compare("strategy", before.retry.strategy, after.retry.strategy);
    all.compare("timeout", before.pool.hold_timeout, after.pool.hold_timeout);
    all.compare("jitter", before.retry.jitter, after.retry.jitter);
    all.compare("recovery.enabled", before.recovery.enabled, after.recovery.enabled);
    all.compare("breaker.enabled", before.breaker.enabled, after.breaker.enabled);
    all.compare("read_only.enabled", before.read_only.enabled, after.read_only.enabled);
    all.compare("replay.enabled", before.replay.enabled, after.replay.enabled);
    all.compare("guard.enabled", before.guard.enabled, after.guard.enabled);
    to.insert(to.end(), all.found.begin(), all.found.end());
}

/// A cluster is called by its hosts.
[[nodiscard]] std::string name_of(const cluster& which) {
    std::string result;
    for (const host_view& each : which.view()->hosts) result += (result.empty() ? "" : ",") + each.address;
    return result;
}

[[nodiscard]] std::string_view shown_breaker(const host_view& host) { return to_string(host.breaker); }

/// Until it is true, or so long.
template <class condition>
[[nodiscard]] bool becomes(condition holds, std::chrono::milliseconds patience) {
    const auto limit = std::chrono::steady_clock::now() + patience;
    while (!holds()) {
        if (std::chrono::steady_clock::now() >= limit) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

/// Transactions and statements in progress on a cluster; a worker that does not answer in time counts as one.
[[nodiscard]] std::size_t open_work_of(const proxy_state& state, const cluster* which) {
    std::vector<std::future<std::size_t>> answers;
    for (worker* each : state.workers) answers.push_back(each->ask_open_work(which));
    std::size_t sum = 0;
    for (std::future<std::size_t>& each : answers)
        sum += each.wait_for(200ms) == std::future_status::ready ? each.get() : 1;
    return sum;
}

[[nodiscard]] admin::outcome no_such_pool() {
    return {.what = admin::verdict::unknown_target, .problems = {{"pool", "there is no such pool or database"}}};
}

[[nodiscard]] admin::outcome too_many_marks() {
    return {.what = admin::verdict::not_now, .problems = {{"database", "too many databases are marked already"}}};
}

}  // namespace

std::string_view strategy_name(config::retry_strategy strategy) {
    switch (strategy) {
        case config::retry_strategy::exponential_backoff: return "exponential_backoff";
        case config::retry_strategy::linear_backoff: return "linear_backoff";
        case config::retry_strategy::fixed_delay: return "fixed_delay";
    }
    return "exponential_backoff";
}

std::string pool_name_of(const shared_pool& pool) { return admin::pool_name(pool.plan.database, pool.plan.user); }

admin::commands operator_commands::hooks() {
    admin::commands result;
    result.change_retry = [this](const admin::retry_order& order) { return change_retry(order); };
    result.change_switches = [this](const admin::switch_order& order) { return change_switches(order); };
    result.begin_switchover = [this](const admin::switchover_order& order) { return begin_switchover(order); };
    result.order_pool = [this](const std::string& pool, admin::pool_action action) { return order_pool(pool, action); };
    result.servers = [this] { return servers(); };
    result.order_database = [this](const std::string& name, admin::database_action action) {
        return order_database(name, action);
    };
    result.end_session = [this](std::uint64_t id) { return end_session(id); };
    result.sessions = [this] { return sessions(); };
    result.recover = [this] { return recover(); };
    result.force_breaker = [this](const admin::breaker_order& order) { return force_breaker(order); };
    result.hold = [this](bool on) { return hold(on); };
    result.test_connection = [this](const admin::test_order& order) { return test_connections(state_, order); };
    result.audit = [](const std::string& line) { log::warning("audit: {}", line); };
    return result;
}

std::vector<std::shared_ptr<shared_pool>> operator_commands::pools_named(const std::string& name) const {
    std::vector<std::shared_ptr<shared_pool>> result;
    for (const std::shared_ptr<shared_pool>& each : state_.pools())
        if (each->plan.database == name || pool_name_of(*each) == name) result.push_back(each);
    return result;
}

admin::outcome operator_commands::change_retry(const admin::retry_order& order) {
    policy_change change;
    change.max_retries = order.max_retries;
    change.initial_delay = milliseconds_of(order.initial_delay);
    change.max_delay = milliseconds_of(order.max_delay);
    change.multiplier = order.multiplier;
    change.strategy = strategy_of(order.strategy);
    change.timeout = milliseconds_of(order.timeout);
    change.jitter = order.jitter;
    return change_policies(change, order.pool);
}

admin::outcome operator_commands::change_switches(const admin::switch_order& order) {
    policy_change change;
    change.recovery = order.recovery;
    change.breaker = order.breaker;
    change.read_only = order.read_only;
    change.replay = order.replay;
    change.guard = order.guard;
    return change_policies(change, order.pool);
}

/// Hosts are probed at once and pauses between dials forgotten; idle servers that do not answer are dropped.
admin::outcome operator_commands::recover() {
    admin::outcome did;
    std::vector<std::pair<std::shared_ptr<cluster>, std::uint64_t>> asked;
    for (const std::shared_ptr<cluster>& each : state_.clusters()) {
        asked.emplace_back(each, each->view()->version);
        each->recover();
        did.did.push_back("probing " + name_of(*each));
    }
    for (const std::shared_ptr<shared_pool>& pool : state_.pools())
        for (worker* each : state_.workers) each->post([each, pool] { each->part_of(pool).recover(); });
    did.did.push_back(fmt::format("{} pool(s): idle servers are being probed, pauses before dials are forgotten",
                                  state_.pools().size()));
    const auto told = [&asked] {
        return std::all_of(asked.begin(), asked.end(),
                           [](const auto& each) { return each.first->view()->version != each.second; });
    };
    (void)becomes(told, state_.settings().monitor.timeout + 200ms);
    return did;
}

/// What is forced shows in the view a moment later; the answer tells what it then shows.
admin::outcome operator_commands::force_breaker(const admin::breaker_order& order) {
    const breaker_force how = order.action == admin::breaker_action::open    ? breaker_force::open
                              : order.action == admin::breaker_action::close ? breaker_force::closed
                                                                             : breaker_force::automatic;
    struct target {
        std::shared_ptr<cluster> which;
        std::string scope;
        std::string before;
    };
    std::vector<target> targets;
    for (const std::shared_ptr<cluster>& each : state_.clusters()) {
        if (order.scope == "all" || order.scope == "write") targets.push_back({each, "write", {}});
        for (const host_view& host : each->view()->hosts)
            if (order.scope == "all" || order.scope == host.address)
                targets.push_back({each, host.address, std::string(shown_breaker(host))});
    }
    admin::outcome did;
    for (const std::shared_ptr<shared_pool>& pool : state_.pools()) {
        if (order.scope != pool_name_of(*pool) &&
            !(order.scope == "all" && order.action == admin::breaker_action::reset))
            continue;
        pool->fuse.force(how, std::chrono::steady_clock::now());
        if (how == breaker_force::automatic) pool->fuse.let_in(std::chrono::steady_clock::now());
        did.did.push_back(fmt::format("pool {}: {}", pool_name_of(*pool), to_string(how)));
    }
    for (const target& each : targets) {
        if (!each.which->force(each.scope, how)) continue;
        did.did.push_back(fmt::format("{} of {}: {}", each.scope, name_of(*each.which), to_string(how)));
        if (order.action == admin::breaker_action::reset) each.which->recover();
    }
    if (did.did.empty())
        return {.what = admin::verdict::unknown_target, .problems = {{"scope", "there is no such breaker"}}};
    std::this_thread::sleep_for(order.action == admin::breaker_action::reset ? 300ms : 50ms);
    for (const target& each : targets)
        for (const host_view& host : each.which->view()->hosts)
            if (host.address == each.scope && shown_breaker(host) != each.before)
                did.changes.push_back({each.scope, "breaker", each.before, std::string(shown_breaker(host))});
    return did;
}

admin::outcome operator_commands::hold(bool on) {
    admin::outcome did;
    if (!on && switchover_.cancel()) did.did.emplace_back("the switchover is cancelled");
    for (const std::shared_ptr<cluster>& each : state_.clusters()) {
        const bool before = each->view()->held_by_operator;
        each->hold(on);
        if (!becomes([&] { return each->view()->held_by_operator == on; }, 1s))
            return {.what = admin::verdict::not_now,
                    .problems = {{name_of(*each), "the monitor has not taken the order; look at /status"}}};
        if (before != on) did.changes.push_back({name_of(*each), "held_by_operator", shown(before), shown(on)});
    }
    if (did.changes.empty() && did.did.empty()) did.did.emplace_back(on ? "was held already" : "was not held");
    return did;
}

admin::outcome operator_commands::order_pool(const std::string& name, admin::pool_action action) {
    const std::vector<std::shared_ptr<shared_pool>> targets = pools_named(name);
    if (targets.empty()) return no_such_pool();
    if (action == admin::pool_action::resume && !state_.marks.resume(name)) return too_many_marks();
    return order_pools(targets, action);
}

/// The mark comes first: a pool that is made meanwhile is among the targets or follows the mark.
admin::outcome operator_commands::order_database(const std::string& name, admin::database_action action) {
    using order = admin::database_action;
    const bool known = state_.settings().databases.contains(name) || !pools_named(name).empty();
    if (!name.empty() && !known && action != order::enable)
        return {.what = admin::verdict::unknown_target,
                .problems = {{"database", "there is no database or pool of this name"}}};
    switch (action) {
        case order::disable:
            if (!state_.marks.disable(name)) return too_many_marks();
            return {.did = {"new clients of " + name + " are refused"}};
        case order::enable: state_.marks.enable(name); return {.did = {"new clients of " + name + " are admitted"}};
        case order::pause:
        case order::kill:
            if (!state_.marks.pause(name)) return too_many_marks();
            break;
        case order::resume:
            if (!state_.marks.resume(name)) return too_many_marks();
            break;
        case order::reconnect: break;
    }
    const admin::pool_action of_pools = action == order::resume      ? admin::pool_action::resume
                                        : action == order::reconnect ? admin::pool_action::reconnect
                                                                     : admin::pool_action::pause;
    admin::outcome did = order_pools(name.empty() ? state_.pools() : pools_named(name), of_pools);
    if (action != order::kill) return did;
    admin::outcome killed = kill_sessions(name);
    did.did.insert(did.did.end(), killed.did.begin(), killed.did.end());
    return did;
}

admin::outcome operator_commands::kill_sessions(const std::string& database) {
    std::vector<std::future<std::size_t>> ended;
    for (worker* each : state_.workers) ended.push_back(each->end_sessions_of(database));
    const auto limit = std::chrono::steady_clock::now() + 1s;
    std::size_t sum = 0;
    std::size_t silent = 0;
    for (auto& each : ended) {
        if (each.wait_until(limit) == std::future_status::ready) sum += each.get();
        else ++silent;
    }
    admin::outcome did{.did = {fmt::format("{} session(s) of {} are ended", sum, database)}};
    if (silent > 0) did.did.push_back(fmt::format("{} worker(s) are too busy and will follow", silent));
    return did;
}

admin::outcome operator_commands::order_pools(const std::vector<std::shared_ptr<shared_pool>>& targets,
                                              admin::pool_action action) {
    admin::outcome did;
    for (const std::shared_ptr<shared_pool>& each : targets) {
        const bool before = each->paused;
        switch (action) {
            case admin::pool_action::pause: order(state_, each, pool_command::pause); break;
            case admin::pool_action::resume: order(state_, each, pool_command::resume); break;
            case admin::pool_action::reconnect:
                order(state_, each, pool_command::reconnect);
                did.did.push_back(pool_name_of(*each) +
                                  ": servers that are open now are closed as soon as they are free");
        }
        if (before != each->paused)
            did.changes.push_back({pool_name_of(*each), "paused", shown(before), shown(each->paused.load())});
    }
    if (did.changes.empty() && did.did.empty())
        did.did.emplace_back(action == admin::pool_action::pause ? "was paused already" : "was not paused");
    return did;
}

admin::outcome operator_commands::end_session(std::uint64_t id) {
    worker* owner = state_.workers[id % state_.workers.size()];
    std::future<std::string> ended = owner->end_session(id);
    if (ended.wait_for(1s) != std::future_status::ready)
        return {.what = admin::verdict::not_now, .problems = {{"id", "its worker is too busy; it will be ended"}}};
    const std::string who = ended.get();
    if (who.empty()) return {.what = admin::verdict::unknown_target, .problems = {{"id", "there is no such session"}}};
    return {.did = {fmt::format("session {} ({}) is ended", id, who)}};
}

/// Those of workers that answer in time.
std::vector<admin::session_status> operator_commands::sessions() const {
    std::vector<std::future<std::vector<session_snapshot>>> answers;
    for (worker* each : state_.workers)
        answers.push_back(each->ask_sessions(most_sessions / state_.workers.size() + 1));
    std::vector<admin::session_status> result;
    const auto limit = std::chrono::steady_clock::now() + 500ms;
    for (auto& answer : answers) {
        if (answer.wait_until(limit) != std::future_status::ready) continue;
        for (session_snapshot& each : answer.get())
            result.push_back({each.id, std::move(each.user), std::move(each.database), std::move(each.peer),
                              std::move(each.state), std::move(each.pins), std::move(each.waits_for), each.wait_seconds,
                              std::move(each.server), each.server_pid, each.age_seconds, each.silent_seconds,
                              std::move(each.application_name), std::move(each.tls)});
    }
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return result;
}

/// Those of workers that answer in time.
std::vector<admin::server_status> operator_commands::servers() const {
    std::vector<std::future<std::vector<server_snapshot>>> answers;
    for (worker* each : state_.workers) answers.push_back(each->ask_servers(most_sessions / state_.workers.size() + 1));
    std::vector<admin::server_status> result;
    const auto limit = std::chrono::steady_clock::now() + 500ms;
    for (auto& answer : answers) {
        if (answer.wait_until(limit) != std::future_status::ready) continue;
        for (server_snapshot& each : answer.get())
            result.push_back({std::move(each.user), std::move(each.database), std::move(each.pool_user),
                              std::move(each.state), std::move(each.host), each.port, each.pid, each.standby, each.tls,
                              each.condemned, each.age_seconds, each.idle_seconds, each.client, each.prepared});
    }
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
        return std::tie(a.database, a.pool_user, a.host, a.port, a.pid) <
               std::tie(b.database, b.pool_user, b.host, b.port, b.pid);
    });
    return result;
}

admin::outcome operator_commands::begin_switchover(const admin::switchover_order& order) {
    std::vector<std::shared_ptr<cluster>> found = state_.clusters();
    if (order.backend)
        std::erase_if(found, [&](const auto& each) {
            const auto& hosts = each->view()->hosts;
            return std::none_of(hosts.begin(), hosts.end(),
                                [&](const auto& host) { return host.address == *order.backend; });
        });
    if (found.empty())
        return {.what = admin::verdict::unknown_target, .problems = {{"backend", "there is no such backend"}}};
    if (found.size() > 1)
        return {.what = admin::verdict::invalid, .problems = {{"backend", "says which of several clusters is meant"}}};
    switchover::plan what;
    what.which = found.front();
    what.name = name_of(*what.which);
    what.settings = state_.settings().switchover;
    if (const auto patience = state_.values_of(*found.front()).hold_timeout; patience.count() > 0)
        what.patience = patience;
    what.open_work = [this, which = what.which.get()] { return open_work_of(state_, which); };
    what.tell = [](const switchover::status& now) {
        log::warning("switchover of {}: {}: {}", now.cluster, to_string(now.at), now.sentence);
    };
    const std::string name = what.name;
    if (!switchover_.begin(std::move(what)))
        return {.what = admin::verdict::not_now,
                .problems = {{"backend", "a switchover is in progress; /api/v1/resume ends it"}}};
    return {.what = admin::verdict::begun, .did = {"switchover of " + name + " has begun"}};
}

/// All or nothing: the outcome is looked at for every pool before the first one is changed.
admin::outcome operator_commands::change_policies(const policy_change& change, const std::optional<std::string>& pool) {
    const std::vector<std::shared_ptr<shared_pool>> targets = pool ? pools_named(*pool) : state_.pools();
    if (pool && targets.empty()) return no_such_pool();
    std::vector<std::string> keys;
    const config::policies before_to_come = state_.policies_to_come();
    const auto fits = [&change](config::policies with) {
        change.apply_to(with);
        return with.retry.initial_delay <= with.retry.max_delay;
    };
    bool all_fit = pool || fits(before_to_come);
    for (const std::shared_ptr<shared_pool>& each : targets) {
        keys.push_back(each->plan.key());
        all_fit = all_fit && fits(*each->live.get());
    }
    if (!all_fit)
        return {.what = admin::verdict::invalid, .problems = {{"initial_delay", "would be longer than max_delay"}}};
    admin::outcome did;
    const auto changed = state_.change_policies(change, pool ? &keys : nullptr);
    state_.tell_clusters();
    if (!pool) add_differences(did.changes, pools_to_come, before_to_come, state_.policies_to_come());
    for (const proxy_state::changed_pool& each : changed)
        add_differences(did.changes, pool_name_of(*each.pool), *each.before, *each.after);
    return did;
}

}  // namespace pgsteady
