#include "admin/metrics_text.hpp"

#include "admin/documents.hpp"
#include "admin/exposition.hpp"
#include "admin/printable.hpp"

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <utility>

namespace pgsteady::admin {
namespace {

using kind = exposition::kind;

/// One sample per possible value, 1 for the current one: a change of state can be drawn and alerted on.
template <class enumeration, class name_list>
void add_states(exposition& to, std::string_view name, const name_list& names, enumeration current) {
    for (std::size_t at = 0; at < names.size(); ++at)
        to.add(label(name, names[at]), std::uint64_t{at == static_cast<std::size_t>(current)});
}

/// Pools with their label, which is written in many families and made once.
struct labelled_pool {
    const pool_status* pool;
    std::string name;
    std::string label;
};

[[nodiscard]] std::vector<labelled_pool> labelled(const std::vector<pool_status>& pools) {
    std::vector<labelled_pool> result;
    result.reserve(pools.size());
    for (const pool_status& each : pools) {
        std::string name = pool_name(each.database, each.user);
        std::string shown = label("pool", name);
        result.push_back({&each, std::move(name), std::move(shown)});
    }
    return result;
}

void add_kept_names(exposition& to, const observation& seen, const std::vector<labelled_pool>& pools) {
    to.begin(kind::Gauge, "db_connections_active", "Server connections that work for a client.");
    for (const labelled_pool& each : pools) to.add(each.label, std::uint64_t{each.pool->active});
    to.begin(kind::Gauge, "db_connections_idle", "Server connections that wait for a client.");
    for (const labelled_pool& each : pools) to.add(each.label, std::uint64_t{each.pool->idle});
    if (!seen.now.old_metric_names) return;
    to.begin(kind::Gauge, "db_connections_wait_time_ms",
             "Mean wait, in the last minute, of requests that had to wait for a server connection, in milliseconds.");
    for (const labelled_pool& each : pools) {
        const auto found = seen.recent.pool_wait_ms.find(each.name);
        to.add(each.label, found == seen.recent.pool_wait_ms.end() ? 0.0 : found->second);
    }
}

void add_operations(exposition& to, const snapshot& now) {
    std::vector<std::string> labels;
    for (const operation_totals& each : now.operations)
        labels.push_back(label("operation", each.operation) + ',' + label("status", each.status));
    to.begin(kind::Histogram, "db_query_duration_seconds",
             "From a request's first byte at the proxy to the end of its reply.");
    for (std::size_t at = 0; at < labels.size(); ++at) to.add(labels[at], now.operations[at].seconds);
    to.begin(kind::Counter, "db_query_total", "Requests by operation and how they ended.");
    for (std::size_t at = 0; at < labels.size(); ++at) to.add(labels[at], now.operations[at].count);
}

void add_breaker(exposition& to, const snapshot& now) {
    to.begin(kind::Gauge, "db_circuit_breaker_state", "1 for the state that the circuit breaker is in.");
    add_states(to, "state", breaker_state_names, now.breaker.state);
    to.count("db_circuit_breaker_failures_total", "Failures that the circuit breaker has counted.",
             now.breaker.failures_total);
    to.count("pgsteady_circuit_breaker_trips_total", "How often the circuit breaker has opened.",
             now.breaker.trips_total);
    std::vector<std::string> labels;
    for (const breaker_status& each : now.breaker_scopes) labels.push_back(label("scope", printable(each.scope)));
    to.begin(kind::Gauge, "pgsteady_breaker_state", "By what a breaker guards: 0 closed, 1 half open, 2 open.");
    for (std::size_t at = 0; at < labels.size(); ++at) {
        const breaker_state state = now.breaker_scopes[at].state;
        to.add(labels[at], std::uint64_t{state == breaker_state::open        ? 2U
                                         : state == breaker_state::half_open ? 1U
                                                                             : 0U});
    }
    to.begin(kind::Counter, "pgsteady_breaker_trips_total", "How often it has opened, by what it guards.");
    for (std::size_t at = 0; at < labels.size(); ++at) to.add(labels[at], now.breaker_scopes[at].trips_total);
}

[[nodiscard]] double unix_seconds(std::chrono::system_clock::time_point when) {
    return std::chrono::duration<double>(when.time_since_epoch()).count();
}

void add_service(exposition& to, const snapshot& now) {
    to.begin(kind::Gauge, "pgsteady_build_info", "Always 1; the labels say what is running.");
    to.add(label("version", now.version) + ',' + label("revision", now.build.revision) + ',' +
               label("compiler", now.build.compiler) + ',' + label("openssl", now.build.openssl) + ',' +
               label("parser", now.build.parser),
           std::uint64_t{1});
    to.begin(kind::Gauge, "pgsteady_io_engine", "1 for what the workers wait in for their sockets.");
    add_states(to, "engine", io_engine_names, now.engine);
    to.gauge("pgsteady_uptime_seconds", "Since the process started.", static_cast<double>(now.uptime.count()));
    to.begin(kind::Gauge, "pgsteady_state", "1 for how well the backends are reached.");
    add_states(to, "state", service_state_names, now.state);
    to.begin(kind::Gauge, "pgsteady_mode", "1 for what happens to statements.");
    add_states(to, "mode", service_mode_names, now.mode);
    to.gauge("pgsteady_held_by_operator", "1 while an operator holds new work.", now.held_by_operator ? 1 : 0);
    to.gauge("pgsteady_two_primaries", "1 while two backends take writes.", now.two_primaries ? 1 : 0);
    to.gauge("pgsteady_draining", "1 while the process is ending.", now.draining ? 1 : 0);
    to.gauge("pgsteady_consecutive_failures", "Failures to reach a backend, in a row.", now.consecutive_failures);
}

void add_process(exposition& to, const snapshot& now) {
    to.gauge("pgsteady_memory_resident_bytes", "Memory of the process that is in RAM.",
             static_cast<double>(now.memory_resident_bytes));
    to.begin(kind::Gauge, "pgsteady_memory_bytes", "Memory by what it is used for, as far as it is counted.");
    for (const word_count& each : now.memory) to.add(label("part", each.word), each.count);
    to.gauge("pgsteady_clients", "Clients that are connected.", static_cast<double>(now.clients));
    to.gauge("pgsteady_servers", "Connections to servers that are open.", static_cast<double>(now.servers));
    to.begin(kind::Gauge, "pgsteady_worker_clients", "Clients by worker thread.");
    for (const worker_status& each : now.workers) to.add(label("worker", std::to_string(each.index)), each.clients);
    to.begin(kind::Gauge, "pgsteady_worker_answered", "1 if the worker thread answered in time for this page.");
    for (const worker_status& each : now.workers)
        to.add(label("worker", std::to_string(each.index)), std::uint64_t{each.answered});
    to.begin(kind::Counter, "pgsteady_config_reloads_total",
             "Times that the configuration was loaded again, by outcome.");
    to.add(label("outcome", "applied"), now.reload.applied);
    to.add(label("outcome", "unchanged"), now.reload.unchanged);
    to.add(label("outcome", "rejected"), now.reload.rejected);
    to.gauge("pgsteady_config_last_reload_successful", "0 after a configuration was rejected, until one is accepted.",
             now.reload.last_failed ? 0 : 1);
    to.begin(kind::Gauge, "pgsteady_config_last_reload_timestamp_seconds",
             "When the configuration was last loaded again.");
    if (now.reload.last != std::chrono::system_clock::time_point{}) to.add({}, unix_seconds(now.reload.last));
}

void add_tls(exposition& to, const snapshot& now) {
    to.begin(kind::Counter, "pgsteady_tls_handshakes_total", "TLS handshakes by side and result.");
    for (const tls_total& each : now.tls) {
        const std::string side = label("side", each.side) + ',';
        to.add(side + label("result", "success"), each.handshakes);
        to.add(side + label("result", "failure"), each.failed);
    }
    to.begin(kind::Gauge, "pgsteady_tls_certificate_expiry_timestamp_seconds",
             "When a certificate that is shown expires.");
    for (const certificate_status& each : now.certificates) to.add(label("key", each.key), unix_seconds(each.expires));
}

void add_backends(exposition& to, const snapshot& now) {
    std::vector<std::string> labels;
    for (const backend_status& each : now.backends) labels.push_back(label("backend", printable(each.address)));
    const auto add_known = [&](std::string_view name, std::string_view help, auto value) {
        to.begin(kind::Gauge, name, help);
        for (std::size_t at = 0; at < labels.size(); ++at)
            if (const auto known = value(now.backends[at])) to.add(labels[at], static_cast<double>(*known));
    };
    add_known("pgsteady_backend_up", "1 if the backend was reached last time, 0 if not.",
              [](const backend_status& each) { return each.reachable; });
    to.begin(kind::Gauge, "pgsteady_backend_info", "Always 1; the label says which role the backend has.");
    for (std::size_t at = 0; at < labels.size(); ++at)
        to.add(labels[at] + ',' + label("role", now.backends[at].role), std::uint64_t{1});
    add_known("pgsteady_backend_lag_seconds", "How far the backend's replay is behind.",
              [](const backend_status& each) { return each.lag_seconds; });
    add_known("pgsteady_backend_latency_seconds", "Round trip of the last look at the backend.",
              [](const backend_status& each) { return each.latency_seconds; });
    add_known("pgsteady_backend_timeline", "The timeline that the backend is on.",
              [](const backend_status& each) { return each.timeline; });
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
    {"pgsteady_pool_sessions_in_transaction", "Sessions with an open transaction.",
     [](const pool_status& pool) -> double { return pool.in_transaction; }},
    {"pgsteady_pool_sessions_idle_in_transaction", "Sessions with an open transaction that do nothing.",
     [](const pool_status& pool) -> double { return pool.idle_in_transaction; }},
    {"pgsteady_pool_oldest_transaction_seconds", "How long the oldest open transaction has been open.",
     [](const pool_status& pool) { return pool.oldest_transaction_seconds; }},
    {"pgsteady_pool_paused", "1 while an operator has paused the pool.",
     [](const pool_status& pool) -> double { return pool.paused ? 1 : 0; }},
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

void add_pools(exposition& to, const snapshot& now, const std::vector<labelled_pool>& pools) {
    const auto add_all = [&](kind type, const pool_metric& metric) {
        to.begin(type, metric.name, metric.help);
        for (const labelled_pool& each : pools) to.add(each.label, metric.value(*each.pool));
    };
    for (const pool_metric& each : pool_gauges) add_all(kind::Gauge, each);
    to.begin(kind::Gauge, "pgsteady_pool_pins", "Sessions that keep their server connection, by reason.");
    for (const labelled_pool& each : pools)
        for (const word_count& pin : each.pool->pins) to.add(each.label + ',' + label("reason", pin.word), pin.count);
    // A sum over workers of which one is missing would look like a restart and a burst after it.
    if (std::any_of(now.workers.begin(), now.workers.end(), [](const worker_status& each) { return !each.answered; }))
        return;
    for (const pool_metric& each : pool_counters) add_all(kind::Counter, each);
}

/// Histograms of those pools that have some; the others' requests are in the histograms without a pool.
void add_pool_durations(exposition& to, const std::vector<labelled_pool>& pools) {
    const auto add_all = [&](std::string_view name, std::string_view help, histogram pool_durations::*which) {
        to.begin(kind::Histogram, name, help);
        for (const labelled_pool& each : pools)
            if (each.pool->durations) to.add(each.label, (*each.pool->durations).*which);
    };
    add_all("pgsteady_pool_queue_wait_seconds", "Waits for a server connection, by pool.", &pool_durations::queue_wait);
    add_all("pgsteady_pool_connect_seconds", "From dialling a server to its first ReadyForQuery, by pool.",
            &pool_durations::connect);
    add_all("pgsteady_pool_auth_seconds", "Of that, the sign-in.", &pool_durations::auth);
    using by_operation = pool_durations::by_operation;
    const auto add_operations_of = [&](std::string_view name, std::string_view help, histogram by_operation::*which) {
        to.begin(kind::Histogram, name, help);
        for (const labelled_pool& each : pools) {
            if (!each.pool->durations) continue;
            for (const by_operation& one : each.pool->durations->operations)
                to.add(each.label + ',' + label("operation", one.operation), one.*which);
        }
    };
    add_operations_of("pgsteady_pool_first_byte_seconds",
                      "From a request's first byte at the proxy to the first of its reply.", &by_operation::first_byte);
    add_operations_of("pgsteady_pool_request_seconds",
                      "From a request's first byte at the proxy to the end of its reply.", &by_operation::total);
    std::uint64_t without = 0;
    for (const labelled_pool& each : pools) without += each.pool->durations ? 0 : 1;
    to.gauge("pgsteady_pools_without_histograms", "Pools beyond admin.histogram_pools.", static_cast<double>(without));
}

/// Samples of one counter that differ in one label.
void add_counts(exposition& to, const char* name, const char* help, const char* differs,
                std::initializer_list<std::pair<const char*, std::uint64_t>> counts) {
    to.begin(kind::Counter, name, help);
    for (const auto& [value, count] : counts) to.add(label(differs, value), count);
}

void add_outcomes(exposition& to, const char* name, const char* help, const std::vector<outcome_total>& outcomes) {
    to.begin(kind::Counter, name, help);
    for (const outcome_total& each : outcomes) to.add(label("outcome", each.outcome), each.count);
}

void add_client_totals(exposition& to, const counter_totals& totals) {
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

void add_server_totals(exposition& to, const counter_totals& totals) {
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

void add_durations(exposition& to, const snapshot& now) {
    to.begin(kind::Histogram, "pgsteady_queue_wait_seconds", "Waits of requests for a server connection.");
    to.add({}, now.wait_seconds);
    to.begin(kind::Histogram, "pgsteady_connect_seconds", "From dialling a server to its first ReadyForQuery.");
    to.add({}, now.connect_seconds);
}

void add_recovery(exposition& to, const snapshot& now) {
    to.begin(kind::Counter, "pgsteady_retries_total", "Requests sent again, by why and by how that ended.");
    for (const retry_total& each : now.retry_classes)
        to.add(label("class", each.cause) + ',' + label("outcome", each.outcome), each.count);
    to.count("pgsteady_incidents_total", "Failures that clients met, each with a number that errors and the log share.",
             now.incidents_total);
    add_outcomes(to, "pgsteady_recoveries_total", "What lost servers led to: requests sent again, answered, or not.",
                 now.retries);
    add_outcomes(to, "pgsteady_replays_total", "Transactions replayed, by how that ended.", now.replays);
    to.count("pgsteady_replayed_requests_total", "Requests that replays have sent again.", now.replayed_requests);
    to.count("pgsteady_transactions_gave_way_total",
             "Transactions interrupted unheard since a replay needed rows that it had before.",
             now.transactions_gave_way);
    add_outcomes(to, "pgsteady_replay_barriers_total",
                 "Times that new work waited for replays, or these for each other, by whether all came in time.",
                 now.replay_barriers);
    add_outcomes(to, "pgsteady_resumes_total", "Answers delivered in part that came again, by how that ended.",
                 now.resumes);
    to.begin(kind::Histogram, "pgsteady_replay_seconds", "From the loss of a server to the end of a replay.");
    to.add({}, now.replay_seconds);
    add_outcomes(to, "pgsteady_in_doubt_total", "Commits whose outcome was in doubt, by what was found.", now.in_doubt);
    to.begin(
        kind::Counter, "pgsteady_in_doubt_resolved_total",
        "Commits whose answer was lost and that a primary was asked about, by what was found and what that rests on.");
    for (const retry_total& each : now.in_doubt_paths)
        to.add(label("outcome", each.outcome) + ',' + label("path", each.cause), each.count);
    to.count("pgsteady_channels_dropped_total", "Times that a client listened on more than limits.max_channels.",
             now.channels_dropped);
    to.gauge("pgsteady_shared_listeners", "Connections that listen for all clients of a pool.",
             static_cast<double>(now.listeners_opened - std::min(now.listeners_opened, now.listeners_closed)));
    to.count("pgsteady_shared_listeners_lost_total", "Times that one was lost while clients listened.",
             now.listeners_lost);
    to.count("pgsteady_notifications_total", "Notifications from them, once for each client.", now.notifications);
    to.count("pgsteady_notification_overflows_total", "Clients ended by pool.notification_queue.",
             now.notifications_overflowed);
    to.count("pgsteady_captures_total", "Transactions whose number was captured before their commit.", now.captures);
    to.count("pgsteady_captures_impossible_total", "Server connections on which commits in doubt cannot be looked up.",
             now.captures_impossible);
    to.gauge("pgsteady_in_doubt_unresolved", "Commits whose outcome is still being looked for.",
             static_cast<double>(now.in_doubt_unresolved));
    add_outcomes(to, "pgsteady_holds_total", "Requests that were held, by how that ended.", now.holds);
    const admin_port_status& port = now.admin_port;
    to.gauge("pgsteady_admin_connections", "HTTP connections of the admin port.",
             static_cast<double>(port.connections));
    to.gauge("pgsteady_admin_listeners", "Listeners to the event stream.", static_cast<double>(port.listeners));
    to.gauge("pgsteady_admin_commands", "Commands that take time, in progress or waiting for their turn.",
             static_cast<double>(port.commands));
    to.count("pgsteady_admin_accepted_total", "HTTP connections that came.", port.accepted);
    to.count("pgsteady_admin_answers_total", "HTTP requests that were answered.", port.answers);
    to.begin(kind::Counter, "pgsteady_admin_refused_total", "What met a limit of the admin port, by limit.");
    for (const outcome_total& each : port.refused) to.add(label("limit", each.outcome), each.count);
    to.gauge("pgsteady_console_clients", "Clients of the psql console.", static_cast<double>(now.console_clients));
    to.count("pgsteady_console_refused_total", "Clients beyond admin.max_console_clients.", now.console_refused_total);
    add_outcomes(to, "pgsteady_user_lookups_total",
                 "auth.query: what servers said of users (found, unknown), and sign-ins that needed no question "
                 "(remembered), or could ask nobody (kept, failed).",
                 now.user_lookups);
    to.begin(kind::Gauge, "pgsteady_users_remembered", "auth.query: names whose answer is remembered.");
    for (const word_count& each : now.users_remembered)
        to.add(label("kind", each.word), static_cast<double>(each.count));
    add_outcomes(to, "pgsteady_webhook_messages_total", "Messages about alerts, by what became of them.", now.webhook);
    to.begin(kind::Histogram, "pgsteady_recovery_seconds",
             "From the loss of a server to the full answer of the request that it had.");
    to.add({}, now.recovery_seconds);
    to.begin(kind::Counter, "pgsteady_failures_total",
             "Server connections lost and dials that failed, by what that meant.");
    for (const outcome_total& each : now.failures) to.add(label("verdict", each.outcome), each.count);
    to.count("pgsteady_proof_questions_total", "Questions to the catalogue whether a read only reads.",
             now.proofs_asked);
    to.count("pgsteady_proofs_known_total", "Reads known to only read, without a question.", now.proofs_known);
    to.begin(kind::Gauge, "pgsteady_proof_cache_bytes", "What is remembered of the catalogue's answers.");
    to.add({}, static_cast<double>(now.proof_cache_bytes));
    add_outcomes(to, "pgsteady_fences_total",
                 "Server processes of lost connections that were brought to their end, by what became of that.",
                 now.fences);
}

}  // namespace

void write_metrics(std::string& out, const observation& seen, metric_format format) {
    exposition to(out, format);
    const std::vector<labelled_pool> pools = labelled(seen.now.pools);
    add_kept_names(to, seen, pools);
    add_operations(to, seen.now);
    add_breaker(to, seen.now);
    add_service(to, seen.now);
    add_process(to, seen.now);
    add_tls(to, seen.now);
    add_backends(to, seen.now);
    add_pools(to, seen.now, pools);
    add_pool_durations(to, pools);
    add_client_totals(to, seen.now.totals);
    add_server_totals(to, seen.now.totals);
    add_durations(to, seen.now);
    add_recovery(to, seen.now);
    to.end();
}

bool accepts_openmetrics(std::string_view accept) {
    const std::size_t at = accept.find("application/openmetrics-text");
    if (at == std::string_view::npos) return false;
    const std::string_view range = accept.substr(at, accept.find(',', at) - at);
    return range.find("q=0;") == std::string_view::npos && !range.ends_with("q=0") && !range.ends_with("q=0.0");
}

}  // namespace pgsteady::admin
