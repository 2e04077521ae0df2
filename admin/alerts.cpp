#include "admin/alerts.hpp"

#include "admin/documents.hpp"
#include "admin/printable.hpp"

#include <algorithm>
#include <array>

namespace pgsteady::admin {

std::string_view to_string(alert_level level) {
    switch (level) {
        case alert_level::critical: return "critical";
        case alert_level::warning: return "warning";
        case alert_level::info: return "info";
    }
    return "info";
}

void alerts::add_incidents(alert& to, const observation& seen) {
    static constexpr std::array<std::string_view, 6> noticed{"connection_failures", "circuit_breaker_open",
                                                             "two_primaries",       "success_rate",
                                                             "in_doubt_commit",     "pool_saturation"};
    if (std::find(noticed.begin(), noticed.end(), to.name) == noticed.end()) return;
    std::vector<std::string> latest;
    const auto& all = seen.now.incidents;
    for (auto at = all.rbegin(); at != all.rend() && latest.size() < most_incidents; ++at)
        if (at->when >= to.since - precedes) latest.push_back(at->number);
    std::reverse(latest.begin(), latest.end());
    if (!latest.empty()) to.incidents = std::move(latest);
}

void alerts::see(const observation& seen, alert what, bool raise, bool keep) {
    const std::string key = what.name + '\n' + what.about;
    const auto known = active_.find(key);
    if (known == active_.end() ? !raise : !(raise || keep)) return;
    seen_[key] = true;
    if (known != active_.end()) {
        known->second.value = what.value;
        add_incidents(known->second, seen);
        return;
    }
    if (active_.size() >= most_active) return;
    what.since = seen.taken_at;
    add_incidents(what, seen);
    active_.emplace(key, std::move(what));
}

void alerts::judge(const observation& seen) {
    seen_.clear();
    judge_service(seen);
    judge_requests(seen);
    judge_pools(seen);
    judge_backends(seen);
    judge_configuration(seen);
    for (auto at = active_.begin(); at != active_.end();) {
        if (seen_.contains(at->first)) {
            ++at;
            continue;
        }
        at->second.until = seen.taken_at;
        resolved_.push_front(std::move(at->second));
        if (resolved_.size() > most_resolved) resolved_.pop_back();
        at = active_.erase(at);
    }
}

void alerts::judge_service(const observation& seen) {
    const snapshot& now = seen.now;
    const double failures = now.consecutive_failures;
    see(seen,
        {.name = "connection_failures",
         .about = {},
         .value = failures,
         .threshold = limits_.failures,
         .advice = "see last_problem of the backends in /status; POST /recover looks at them at once"},
        failures >= limits_.failures, failures > 0);
    const bool open = now.breaker.state == breaker_state::open;
    see(seen,
        {.name = "circuit_breaker_open",
         .about = {},
         .level = alert_level::critical,
         .value = open ? 1.0 : 0.0,
         .threshold = 1,
         .advice = "a backend or the way for writes is shut off; /status tells which and why; "
                   "it closes by itself when a probe succeeds"},
        open, now.breaker.state == breaker_state::half_open);
    see(seen,
        {.name = "two_primaries",
         .about = {},
         .level = alert_level::critical,
         .value = now.two_primaries ? 1.0 : 0.0,
         .threshold = 1,
         .advice = "two backends take writes; stop the one that is not wanted, writes are refused until then"},
        now.two_primaries, false);
}

void alerts::judge_requests(const observation& seen) {
    const bool enough = seen.recent.requests >= limits_.success_least;
    see(seen,
        {.name = "success_rate",
         .about = {},
         .value = seen.recent.success_percent,
         .threshold = limits_.success_percent,
         .advice = "see query_metrics of /metrics by operation, and the log"},
        enough && seen.recent.success_percent < limits_.success_percent,
        enough && seen.recent.success_percent < limits_.success_clear);
    const auto in_doubt = static_cast<double>(seen.now.in_doubt_unresolved);
    see(seen,
        {.name = "in_doubt_commit",
         .about = {},
         .level = alert_level::critical,
         .value = in_doubt,
         .threshold = 1,
         .advice = "the outcome of a COMMIT is not known; its incident in the log names client and server: look for "
                   "its effects before it is done again"},
        in_doubt >= 1, false);
}

/// Files: the configuration, and the certificates that it names.
void alerts::judge_configuration(const observation& seen) {
    const reload_status& reload = seen.now.reload;
    see(seen,
        {.name = "reload_failed",
         .about = {},
         .value = reload.last_failed ? 1.0 : 0.0,
         .threshold = 1,
         .advice =
             "the configuration was rejected and the one in use stays; pgsteady --check says what is wrong with it"},
        reload.last_failed, false);
    for (const certificate_status& each : seen.now.certificates) {
        const double days = std::chrono::duration<double>(each.expires - seen.taken_at).count() / 86'400;
        const bool expired = days <= 0;
        const auto judge_one = [&](const char* name, alert_level level, double threshold, bool raise) {
            see(seen,
                {.name = name,
                 .about = each.key,
                 .level = level,
                 .value = days,
                 .threshold = threshold,
                 .advice = "put a new certificate and its key in place and reload; connections keep the old one until "
                           "they end"},
                raise, false);
        };
        judge_one("certificate_expired", alert_level::critical, 0, expired);
        judge_one("certificate_expiry", alert_level::warning, limits_.certificate_days,
                  !expired && days < limits_.certificate_days);
    }
}

void alerts::judge_pools(const observation& seen) {
    for (const pool_status& each : seen.now.pools) {
        const double used = utilisation(each);
        see(seen,
            {.name = "pool_saturation",
             .about = pool_name(each.database, each.user),
             .value = used * 100,
             .threshold = limits_.saturation * 100,
             .advice = "see /connections for pinned sessions and waiters; raise pool.size if the servers have room"},
            used > limits_.saturation, used > limits_.saturation_clear);
    }
}

void alerts::judge_backends(const observation& seen) {
    for (const backend_status& each : seen.now.backends) {
        const double lag = each.lag_seconds.value_or(0);
        see(seen,
            {.name = "replication_lag",
             .about = printable(each.address),
             .value = lag,
             .threshold = limits_.lag_seconds,
             .advice = "the standby replays too slowly; it gets no reads beyond read_only.max_lag"},
            lag > limits_.lag_seconds, lag > limits_.lag_clear);
    }
}

std::vector<alert> alerts::active() const {
    std::vector<alert> result;
    for (const auto& [key, each] : active_) result.push_back(each);
    std::stable_sort(result.begin(), result.end(), [](const alert& a, const alert& b) { return a.level < b.level; });
    return result;
}

}  // namespace pgsteady::admin
