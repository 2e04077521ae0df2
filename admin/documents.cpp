#include "admin/documents.hpp"

#include "admin/json_text.hpp"
#include "admin/printable.hpp"

#include <boost/json.hpp>
#include <fmt/chrono.h>

#include <algorithm>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

[[nodiscard]] json::string text(std::string_view ours) { return json::string(ours.data(), ours.size()); }

[[nodiscard]] std::string utc(std::chrono::system_clock::time_point at) {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

[[nodiscard]] std::string checked_at(const observation& seen) {
    const bool known = seen.now.last_check.time_since_epoch().count() != 0;
    return utc(known ? seen.now.last_check : seen.taken_at);
}

template <class number>
[[nodiscard]] json::value or_null(const std::optional<number>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

[[nodiscard]] json::value problem_or_null(const std::string& problem) {
    return problem.empty() ? json::value(nullptr) : json::value(json_string(problem));
}

[[nodiscard]] json::object switches_document(const switch_status& switches) {
    return {{"recovery.enabled", switches.recovery},
            {"breaker.enabled", switches.breaker},
            {"read_only.enabled", switches.read_only},
            {"replay.enabled", switches.replay},
            {"guard.enabled", switches.guard}};
}

[[nodiscard]] json::object retry_document(const retry_status& retry) {
    return {{"max_retries", retry.max_retries},
            {"initial_delay", retry.initial_delay},
            {"max_delay", retry.max_delay},
            {"multiplier", retry.multiplier},
            {"strategy", text(retry.strategy)},
            {"timeout", retry.timeout},
            {"jitter", retry.jitter}};
}

[[nodiscard]] json::object breaker_document(const breaker_status& breaker) {
    return {{"scope", json_string(breaker.scope)},
            {"state", text(to_string(breaker.state))},
            {"open", breaker.state == breaker_state::open},
            {"failures", breaker.failures},
            {"threshold", breaker.threshold},
            {"failures_total", breaker.failures_total},
            {"trips_total", breaker.trips_total},
            {"opened_by", problem_or_null(breaker.opened_by)},
            {"last_failure", problem_or_null(breaker.last_failure)}};
}

[[nodiscard]] json::array breakers_document(const snapshot& now) {
    json::array result{breaker_document(now.breaker)};
    for (const breaker_status& each : now.breaker_scopes) result.push_back(breaker_document(each));
    return result;
}

[[nodiscard]] json::object backend_document(const backend_status& backend) {
    const auto latency = backend.latency_seconds;
    return {{"backend", json_string(backend.address)},
            {"reachable", or_null(backend.reachable)},
            {"role", text(backend.role)},
            {"lag_seconds", or_null(backend.lag_seconds)},
            {"timeline", or_null(backend.timeline)},
            {"latency_ms", latency ? json::value(rounded(*latency * 1000, 3)) : json::value(nullptr)},
            {"last_problem", problem_or_null(backend.last_problem)}};
}

[[nodiscard]] json::array backends_document(const snapshot& now) {
    json::array result;
    for (const backend_status& each : now.backends) result.push_back(backend_document(each));
    return result;
}

[[nodiscard]] json::object outcomes_document(const std::vector<outcome_total>& outcomes) {
    json::object result;
    for (const outcome_total& each : outcomes) result[each.outcome] = each.count;
    return result;
}

[[nodiscard]] json::object replay_document(const snapshot& now) {
    json::object result = outcomes_document(now.replays);
    result["replayed_requests"] = now.replayed_requests;
    result["gave_way"] = now.transactions_gave_way;
    for (const outcome_total& each : now.resumes) result["resume_" + each.outcome] = each.count;
    for (const outcome_total& each : now.replay_barriers) result["barrier_" + each.outcome] = each.count;
    return result;
}

[[nodiscard]] json::array workers_document(const snapshot& now) {
    json::array result;
    for (const worker_status& each : now.workers)
        result.push_back(json::object{{"worker", each.index}, {"clients", each.clients}, {"answered", each.answered}});
    return result;
}

[[nodiscard]] json::array pinned_document(const pool_status& pool) {
    json::array result;
    for (const pinned_session& each : pool.pinned)
        result.push_back(json::object{{"session", each.id},
                                      {"peer", json_string(each.peer)},
                                      {"state", json_string(each.state)},
                                      {"reason", json_string(each.reason)}});
    return result;
}

/// What /status shows of a pool, and /connections begins with.
[[nodiscard]] json::object pool_document(const pool_status& pool) {
    return {{"pool", text(pool_name(pool.database, pool.user))},
            {"database", json_string(pool.database)},
            {"user", json_string(pool.user)},
            {"mode", text(pool.mode)},
            {"size", pool.size},
            {"max_overflow", pool.max_overflow},
            {"open", pool.open},
            {"active", pool.active},
            {"idle", pool.idle},
            {"overflow", overflow(pool)},
            {"waiting", pool.waiting},
            {"utilisation_percent", rounded(utilisation(pool) * 100, 1)}};
}

[[nodiscard]] json::array pools_document(const snapshot& now) {
    json::array result;
    for (const pool_status& each : now.pools) result.push_back(pool_document(each));
    return result;
}

[[nodiscard]] json::object pool_details(const pool_status& pool, const recent_means& recent) {
    json::object result = pool_document(pool);
    const auto wait = recent.pool_wait_ms.find(pool_name(pool.database, pool.user));
    result["clients"] = pool.clients;
    result["dialling"] = pool.dialling;
    result["oldest_wait_ms"] = rounded(pool.oldest_wait_seconds * 1000, 1);
    result["wait_time_ms"] = wait == recent.pool_wait_ms.end() ? 0.0 : rounded(wait->second, 2);
    result["checkouts"] = pool.checkouts;
    result["checkins"] = pool.checkins;
    result["consecutive_failures"] = pool.consecutive_failures;
    result["last_problem"] = problem_or_null(pool.last_problem);
    result["pinned"] = pinned_document(pool);
    result["paused"] = pool.paused;
    result["retry_config"] = retry_document(pool.retry);
    result["switches"] = switches_document(pool.switches);
    return result;
}

[[nodiscard]] json::value switchover_document(const std::optional<switchover_status>& of) {
    if (!of) return nullptr;
    return json::object{{"step", text(of->step)},
                        {"since", text(utc(of->since))},
                        {"cluster", json_string(of->cluster)},
                        {"what", json_string(of->sentence)}};
}

[[nodiscard]] json::array events_document(const snapshot& now) {
    json::array result;
    for (const event_status& each : now.events)
        result.push_back(json::object{{"when", text(utc(each.when))},
                                      {"name", text(each.name)},
                                      {"what", json_string(each.sentence)},
                                      {"warning", each.warning}});
    return result;
}

/// The latest, the oldest first; the proxy keeps more of them than anybody reads at a glance.
[[nodiscard]] json::object incidents_document(const snapshot& now) {
    constexpr std::size_t most = 20;
    json::array latest;
    for (std::size_t i = now.incidents.size() > most ? now.incidents.size() - most : 0; i < now.incidents.size(); ++i)
        latest.push_back(json::object{{"when", text(utc(now.incidents[i].when))},
                                      {"incident", text(now.incidents[i].number)},
                                      {"what", json_string(now.incidents[i].sentence)}});
    return {{"total", now.incidents_total}, {"latest", std::move(latest)}};
}

/// Connections to servers over all pools.
struct connection_sums {
    std::uint64_t open = 0;
    std::uint64_t active = 0;
    std::uint64_t idle = 0;
    std::uint64_t waiting = 0;

    void add(const pool_status& pool) {
        open += pool.open;
        active += pool.active;
        idle += pool.idle;
        waiting += pool.waiting;
    }
};

[[nodiscard]] json::object alert_document(const alert& of) {
    json::object result{
        {"name", text(of.name)},        {"about", problem_or_null(of.about)},     {"level", text(to_string(of.level))},
        {"since", text(utc(of.since))}, {"value", rounded(of.value, 2)},          {"threshold", of.threshold},
        {"advice", text(of.advice)},    {"incidents", json_strings(of.incidents)}};
    if (of.until.time_since_epoch().count() != 0) result["until"] = text(utc(of.until));
    return result;
}

}  // namespace

json::object webhook_document(std::string_view event, const alert& of, const observation& seen) {
    return {{"source", "pgsteady"},
            {"version", text(seen.now.version)},
            {"event", text(event)},
            {"time", text(utc(seen.taken_at))},
            {"mode", text(to_string(seen.now.mode))},
            {"state", text(to_string(seen.now.state))},
            {"alert", alert_document(of)}};
}

json::object alerts_document(const alerts& all, bool with_resolved) {
    json::array active;
    for (const alert& each : all.active()) active.push_back(alert_document(each));
    json::object result{{"active", std::move(active)}};
    if (!with_resolved) return result;
    json::array resolved;
    for (const alert& each : all.resolved()) resolved.push_back(alert_document(each));
    result["resolved"] = std::move(resolved);
    return result;
}

double utilisation(const pool_status& pool) {
    const double capacity = static_cast<double>(pool.size) + static_cast<double>(pool.max_overflow);
    return capacity > 0 ? static_cast<double>(pool.active) / capacity : 0;
}

std::uint32_t overflow(const pool_status& pool) { return pool.open > pool.size ? pool.open - pool.size : 0; }

bool serves_reads(const snapshot& now) {
    return now.mode != service_mode::offline && now.state != service_state::disconnected;
}

json::object health_document(const observation& seen) {
    connection_sums sums;
    for (const pool_status& each : seen.now.pools) sums.add(each);
    return {{"state", text(to_string(seen.now.state))},
            {"last_check", text(checked_at(seen))},
            {"consecutive_failures", seen.now.consecutive_failures},
            {"connections", json::object{{"total", sums.open},
                                         {"active", sums.active},
                                         {"idle", sums.idle},
                                         {"wait_time_ms", rounded(seen.recent.wait_ms, 2)}}},
            {"performance", json::object{{"success_rate", rounded(seen.recent.success_percent, 2)},
                                         {"avg_execution_time", rounded(seen.recent.execution_ms, 3)}}},
            {"circuit_breaker", json::object{{"open", seen.now.breaker.state == breaker_state::open},
                                             {"failures", seen.now.breaker.failures},
                                             {"threshold", seen.now.breaker.threshold}}}};
}

json::object found_document(const observation& seen) {
    const snapshot& now = seen.now;
    return {{"state", text(to_string(now.state))},
            {"mode", text(to_string(now.mode))},
            {"mode_cause", problem_or_null(now.mode_cause)},
            {"held_by_operator", now.held_by_operator},
            {"backends", backends_document(now)},
            {"circuit_breaker", breakers_document(now)}};
}

json::object status_document(const observation& seen) {
    const snapshot& now = seen.now;
    return {{"state", text(to_string(now.state))},
            {"mode", text(to_string(now.mode))},
            {"mode_cause", problem_or_null(now.mode_cause)},
            {"held_by_operator", now.held_by_operator},
            {"switchover", switchover_document(now.switchover)},
            {"draining", now.draining},
            {"version", text(now.version)},
            {"io_engine", text(to_string(now.engine))},
            {"uptime_seconds", now.uptime.count()},
            {"last_check", text(checked_at(seen))},
            {"clients", now.clients},
            {"servers", now.servers},
            {"memory_resident_bytes", now.memory_resident_bytes},
            {"switches", switches_document(now.switches)},
            {"retry_config", retry_document(now.retry)},
            {"circuit_breaker", breakers_document(now)},
            {"backends", backends_document(now)},
            {"pools", pools_document(now)},
            {"retries", outcomes_document(now.retries)},
            {"replay", replay_document(now)},
            {"in_doubt", outcomes_document(now.in_doubt)},
            {"fences", outcomes_document(now.fences)},
            {"events", events_document(now)},
            {"incidents", incidents_document(now)},
            {"workers", workers_document(now)}};
}

std::optional<json::object> connections_document(const observation& seen, const std::optional<std::string>& only) {
    json::array pools;
    connection_sums sums;
    for (const pool_status& each : seen.now.pools) {
        if (only && *only != pool_name(each.database, each.user) && *only != each.database) continue;
        pools.push_back(pool_details(each, seen.recent));
        sums.add(each);
    }
    if (only && pools.empty()) return std::nullopt;
    return json::object{{"total", json::object{{"open", sums.open},
                                               {"active", sums.active},
                                               {"idle", sums.idle},
                                               {"waiting", sums.waiting},
                                               {"clients", seen.now.clients}}},
                        {"pools", std::move(pools)}};
}

}  // namespace pgsteady::admin
