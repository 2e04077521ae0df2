#include "admin/metrics_text.hpp"

#include "admin/documents.hpp"
#include "admin/printable.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <utility>

namespace pgsteady::admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using labels = std::vector<ClientMetric::Label>;

/// Builds families one after the other; a family without samples is left out.
class sheet {
public:
    void begin(MetricType type, std::string name, std::string help) {
        drop_empty();
        families_.push_back({std::move(name), std::move(help), type, {}});
    }
    void add(labels of, double value) {
        ClientMetric sample;
        sample.label = std::move(of);
        if (families_.back().type == MetricType::Counter) sample.counter.value = value;
        else sample.gauge.value = value;
        families_.back().metric.push_back(std::move(sample));
    }
    void add(labels of, const histogram& seconds);
    void gauge(std::string name, std::string help, double value) {
        begin(MetricType::Gauge, std::move(name), std::move(help));
        add({}, value);
    }
    void count(std::string name, std::string help, std::uint64_t value) {
        begin(MetricType::Counter, std::move(name), std::move(help));
        add({}, static_cast<double>(value));
    }
    [[nodiscard]] std::vector<MetricFamily> take() {
        drop_empty();
        return std::move(families_);
    }

private:
    void drop_empty() {
        if (!families_.empty() && families_.back().metric.empty()) families_.pop_back();
    }
    std::vector<MetricFamily> families_;
};

void sheet::add(labels of, const histogram& seconds) {
    if (seconds.buckets.size() != seconds.bounds.size() + 1) return;
    ClientMetric sample;
    sample.label = std::move(of);
    auto& to = sample.histogram;
    for (std::size_t at = 0; at < seconds.buckets.size(); ++at) {
        to.sample_count += seconds.buckets[at];
        const bool last = at == seconds.bounds.size();
        to.bucket.push_back({to.sample_count, last ? std::numeric_limits<double>::infinity() : seconds.bounds[at]});
    }
    to.sample_sum = seconds.sum;
    families_.back().metric.push_back(std::move(sample));
}

/// One sample per possible value, 1 for the current one: a change of state can be drawn and alerted on.
template <class enumeration, class name_list>
void add_states(sheet& to, const std::string& label, const name_list& names, enumeration current) {
    for (std::size_t at = 0; at < names.size(); ++at)
        to.add({{label, std::string(names[at])}}, at == static_cast<std::size_t>(current) ? 1 : 0);
}

void add_kept_names(sheet& to, const observation& seen) {
    const auto per_pool = [&](std::string name, std::string help, auto value) {
        to.begin(MetricType::Gauge, std::move(name), std::move(help));
        for (const pool_status& each : seen.now.pools) {
            std::string pool = pool_name(each.database, each.user);
            const double shown = value(each, pool);
            to.add({{"pool", std::move(pool)}}, shown);
        }
    };
    per_pool("db_connections_active", "Server connections that work for a client.",
             [](const pool_status& pool, const std::string&) { return static_cast<double>(pool.active); });
    per_pool("db_connections_idle", "Server connections that wait for a client.",
             [](const pool_status& pool, const std::string&) { return static_cast<double>(pool.idle); });
    per_pool("db_connections_wait_time_ms",
             "Mean wait, in the last minute, of requests that had to wait for a server connection, in milliseconds.",
             [&](const pool_status&, const std::string& name) {
                 const auto found = seen.recent.pool_wait_ms.find(name);
                 return found == seen.recent.pool_wait_ms.end() ? 0.0 : found->second;
             });
}

void add_operations(sheet& to, const snapshot& now) {
    to.begin(MetricType::Histogram, "db_query_duration_seconds",
             "From a request's first byte at the proxy to the end of its reply.");
    for (const operation_totals& each : now.operations)
        to.add({{"operation", each.operation}, {"status", each.status}}, each.seconds);
    to.begin(MetricType::Counter, "db_query_total", "Requests by operation and how they ended.");
    for (const operation_totals& each : now.operations)
        to.add({{"operation", each.operation}, {"status", each.status}}, static_cast<double>(each.count));
}

void add_breaker(sheet& to, const snapshot& now) {
    to.begin(MetricType::Gauge, "db_circuit_breaker_state", "1 for the state that the circuit breaker is in.");
    add_states(to, "state", breaker_state_names, now.breaker.state);
    to.count("db_circuit_breaker_failures_total", "Failures that the circuit breaker has counted.",
             now.breaker.failures_total);
    to.count("pgsteady_circuit_breaker_trips_total", "How often the circuit breaker has opened.",
             now.breaker.trips_total);
}

void add_process(sheet& to, const snapshot& now) {
    to.begin(MetricType::Gauge, "pgsteady_build_info", "Always 1; the label says what is running.");
    to.add({{"version", now.version}}, 1);
    to.gauge("pgsteady_uptime_seconds", "Since the process started.", static_cast<double>(now.uptime.count()));
    to.begin(MetricType::Gauge, "pgsteady_state", "1 for how well the backends are reached.");
    add_states(to, "state", service_state_names, now.state);
    to.begin(MetricType::Gauge, "pgsteady_mode", "1 for what happens to statements.");
    add_states(to, "mode", service_mode_names, now.mode);
    to.gauge("pgsteady_held_by_operator", "1 while an operator holds new work.", now.held_by_operator ? 1 : 0);
    to.gauge("pgsteady_two_primaries", "1 while two backends take writes.", now.two_primaries ? 1 : 0);
    to.gauge("pgsteady_draining", "1 while the process is ending.", now.draining ? 1 : 0);
    to.gauge("pgsteady_consecutive_failures", "Failures to reach a backend, in a row.", now.consecutive_failures);
    to.gauge("pgsteady_memory_resident_bytes", "Memory of the process that is in RAM.",
             static_cast<double>(now.memory_resident_bytes));
    to.gauge("pgsteady_clients", "Clients that are connected.", static_cast<double>(now.clients));
    to.gauge("pgsteady_servers", "Connections to servers that are open.", static_cast<double>(now.servers));
    to.begin(MetricType::Gauge, "pgsteady_worker_clients", "Clients by worker thread.");
    for (const worker_status& each : now.workers)
        to.add({{"worker", std::to_string(each.index)}}, static_cast<double>(each.clients));
}

void add_backends(sheet& to, const snapshot& now) {
    to.begin(MetricType::Gauge, "pgsteady_backend_up", "1 if the backend was reached last time, 0 if not.");
    for (const backend_status& each : now.backends)
        if (each.reachable) to.add({{"backend", printable(each.address)}}, *each.reachable ? 1 : 0);
    to.begin(MetricType::Gauge, "pgsteady_backend_info", "Always 1; the label says which role the backend has.");
    for (const backend_status& each : now.backends)
        to.add({{"backend", printable(each.address)}, {"role", each.role}}, 1);
    to.begin(MetricType::Gauge, "pgsteady_backend_lag_seconds", "How far the backend's replay is behind.");
    for (const backend_status& each : now.backends)
        if (each.lag_seconds) to.add({{"backend", printable(each.address)}}, *each.lag_seconds);
    to.begin(MetricType::Gauge, "pgsteady_backend_latency_seconds", "Round trip of the last look at the backend.");
    for (const backend_status& each : now.backends)
        if (each.latency_seconds) to.add({{"backend", printable(each.address)}}, *each.latency_seconds);
}

struct pool_metric {
    const char* name;
    const char* help;
    double (*value)(const pool_status&);
};

constexpr pool_metric pool_gauges[] = {
    {"pgsteady_pool_size", "Lasting server connections that the pool may have.",
     [](const pool_status& pool) -> double { return pool.size; }},
    {"pgsteady_pool_max_overflow", "Server connections that it may have beyond those, under pressure.",
     [](const pool_status& pool) -> double { return pool.max_overflow; }},
    {"pgsteady_pool_servers", "Server connections that it has.",
     [](const pool_status& pool) -> double { return pool.open; }},
    {"pgsteady_pool_overflow", "How many of them are beyond its size.",
     [](const pool_status& pool) -> double { return overflow(pool); }},
    {"pgsteady_pool_dialling", "Server connections that are being made.",
     [](const pool_status& pool) -> double { return pool.dialling; }},
    {"pgsteady_pool_utilisation_ratio", "Share of its capacity, overflow included, that is in use.", utilisation},
    {"pgsteady_pool_clients", "Clients of the pool.", [](const pool_status& pool) -> double { return pool.clients; }},
    {"pgsteady_pool_waiting_clients", "Clients that wait for a server connection.",
     [](const pool_status& pool) -> double { return pool.waiting; }},
    {"pgsteady_pool_oldest_wait_seconds", "How long the first of them has been waiting.",
     [](const pool_status& pool) { return pool.oldest_wait_seconds; }},
    {"pgsteady_pool_pinned_sessions", "Sessions that keep their server connection for themselves.",
     [](const pool_status& pool) { return static_cast<double>(pool.pinned.size()); }},
    {"pgsteady_pool_consecutive_failures", "Failures to make a server connection, in a row.",
     [](const pool_status& pool) -> double { return pool.consecutive_failures; }},
};

constexpr pool_metric pool_counters[] = {
    {"pgsteady_pool_checkouts_total", "Server connections given to a client.",
     [](const pool_status& pool) { return static_cast<double>(pool.checkouts); }},
    {"pgsteady_pool_checkins_total", "Server connections given back.",
     [](const pool_status& pool) { return static_cast<double>(pool.checkins); }},
    {"pgsteady_pool_waits_total", "Requests that had to wait for a server connection.",
     [](const pool_status& pool) { return static_cast<double>(pool.waits); }},
    {"pgsteady_pool_wait_seconds_total", "How long they waited, in all.",
     [](const pool_status& pool) { return pool.wait_seconds; }},
};

void add_pools(sheet& to, const snapshot& now) {
    const auto add_all = [&](MetricType type, const pool_metric& metric) {
        to.begin(type, metric.name, metric.help);
        for (const pool_status& each : now.pools)
            to.add({{"pool", pool_name(each.database, each.user)}}, metric.value(each));
    };
    for (const pool_metric& each : pool_gauges) add_all(MetricType::Gauge, each);
    // A sum over workers of which one is missing would look like a restart and a burst after it.
    if (std::any_of(now.workers.begin(), now.workers.end(), [](const worker_status& each) { return !each.answered; }))
        return;
    for (const pool_metric& each : pool_counters) add_all(MetricType::Counter, each);
}

/// Samples of one counter that differ in one label.
void add_counts(sheet& to, const char* name, const char* help, const char* label,
                std::initializer_list<std::pair<const char*, std::uint64_t>> counts) {
    to.begin(MetricType::Counter, name, help);
    for (const auto& [value, count] : counts) to.add({{label, value}}, static_cast<double>(count));
}

void add_outcomes(sheet& to, const char* name, const char* help, const std::vector<outcome_total>& outcomes) {
    to.begin(MetricType::Counter, name, help);
    for (const outcome_total& each : outcomes) to.add({{"outcome", each.outcome}}, static_cast<double>(each.count));
}

void add_client_totals(sheet& to, const counter_totals& totals) {
    to.count("pgsteady_clients_accepted_total", "Clients that connected.", totals.clients_accepted);
    to.count("pgsteady_clients_closed_total", "Clients that left or were ended.", totals.clients_closed);
    to.count("pgsteady_clients_refused_total", "Clients turned away because a cap was reached.",
             totals.clients_refused);
    add_counts(to, "pgsteady_logins_total", "Sign-ins of clients.", "result",
               {{"success", totals.logins_succeeded}, {"failure", totals.logins_failed}});
    add_counts(to, "pgsteady_client_bytes_total", "Bytes between clients and the proxy.", "direction",
               {{"in", totals.client_bytes_in}, {"out", totals.client_bytes_out}});
    add_counts(to, "pgsteady_cancels_total", "Cancel requests.", "result",
               {{"received", totals.cancels_received}, {"forwarded", totals.cancels_forwarded}});
}

void add_server_totals(sheet& to, const counter_totals& totals) {
    add_counts(to, "pgsteady_server_bytes_total", "Bytes between servers and the proxy.", "direction",
               {{"in", totals.server_bytes_in}, {"out", totals.server_bytes_out}});
    to.count("pgsteady_servers_opened_total", "Server connections made.", totals.servers_opened);
    to.count("pgsteady_servers_closed_total", "Server connections closed.", totals.servers_closed);
    to.count("pgsteady_servers_lost_total", "Server connections that broke while a client was using them.",
             totals.servers_lost);
    to.count("pgsteady_dials_failed_total", "Attempts to make a server connection that failed.", totals.dials_failed);
    to.count("pgsteady_checkouts_total", "Server connections given to a client.", totals.checkouts);
    to.count("pgsteady_checkins_total", "Server connections given back.", totals.checkins);
    to.count("pgsteady_waits_total", "Requests that had to wait for a server connection.", totals.waits);
    to.count("pgsteady_wait_timeouts_total", "Requests that waited in vain.", totals.wait_timeouts);
    to.count("pgsteady_restores_total", "Times that a client's settings were brought to a server.", totals.restores);
    to.count("pgsteady_pins_total", "Times that a session began to keep its server.", totals.pins);
}

void add_durations(sheet& to, const snapshot& now) {
    to.begin(MetricType::Histogram, "pgsteady_queue_wait_seconds", "Waits of requests for a server connection.");
    to.add({}, now.wait_seconds);
    to.begin(MetricType::Histogram, "pgsteady_connect_seconds", "From dialling a server to its first ReadyForQuery.");
    to.add({}, now.connect_seconds);
}

void add_recovery(sheet& to, const snapshot& now) {
    add_outcomes(to, "pgsteady_retries_total", "Statements sent again, by how that ended.", now.retries);
    add_outcomes(to, "pgsteady_replays_total", "Transactions replayed, by how that ended.", now.replays);
    add_outcomes(to, "pgsteady_in_doubt_total", "Commits whose outcome was in doubt, by what was found.", now.in_doubt);
}

}  // namespace

std::vector<MetricFamily> metric_families(const observation& seen) {
    sheet result;
    add_kept_names(result, seen);
    add_operations(result, seen.now);
    add_breaker(result, seen.now);
    add_process(result, seen.now);
    add_backends(result, seen.now);
    add_pools(result, seen.now);
    add_client_totals(result, seen.now.totals);
    add_server_totals(result, seen.now.totals);
    add_durations(result, seen.now);
    add_recovery(result, seen.now);
    return result.take();
}

std::string metrics_text(const observation& seen) {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, metric_families(seen));
    return std::move(out).str();
}

}  // namespace pgsteady::admin
