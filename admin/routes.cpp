#include "admin/routes.hpp"

#include "admin/command_routes.hpp"
#include "admin/documents.hpp"
#include "admin/json_text.hpp"
#include "admin/metrics_text.hpp"
#include "admin/page_routes.hpp"
#include "admin/window_document.hpp"

#include <boost/json.hpp>

#include <charconv>
#include <chrono>

namespace pgsteady::admin {
namespace {

[[nodiscard]] reply get_healthz(const request&, const route_context&) { return text_answer(200, "ok\n"); }

[[nodiscard]] reply get_readyz(const request&, const route_context& context) {
    const readiness now = context.watch.ready();
    std::string body(now.draining ? "draining" : to_string(now.mode));
    return text_answer(now.ready() ? 200 : 503, std::move(body) + '\n');
}

[[nodiscard]] reply get_health(const request&, const route_context& context) {
    const observation& seen = context.watch.observe();
    return json_answer(serves_reads(seen.now) ? 200 : 503, health_document(seen));
}

[[nodiscard]] reply get_status(const request&, const route_context& context) {
    return json_answer(200, status_document(context.watch.observe()));
}

[[nodiscard]] reply get_connections(const request& from, const route_context& context) {
    const auto document = connections_document(context.watch.observe(), from.parameter("pool"));
    return document ? json_answer(200, *document) : problem_answer(404, "no such pool; leave ?pool= out to see all");
}

[[nodiscard]] reply get_metrics(const request& from, const route_context& context) {
    const observation& seen = context.watch.observe();
    const metric_format format =
        accepts_openmetrics(from.accept) ? metric_format::openmetrics : metric_format::prometheus;
    response result;
    result.content_type = content_type_of(format);
    result.headers.emplace_back("Vary", "Accept");
    result.body.reserve(64 * 1024 + seen.now.pools.size() * 4096);
    write_metrics(result.body, seen, format);
    return result;
}

[[nodiscard]] reply get_window(const request& from, const route_context& context) {
    const std::string asked = from.parameter("time_window_minutes").value_or("10");
    int minutes = 0;
    const auto [end, error] = std::from_chars(asked.data(), asked.data() + asked.size(), minutes);
    if (error != std::errc{} || end != asked.data() + asked.size() || minutes < 1 || minutes > 60)
        return problem_answer(422, "time_window_minutes is a whole number from 1 to 60");
    const observation& seen = context.watch.observe();
    const std::chrono::minutes length(minutes);
    return json_answer(200, window_document(seen, context.watch.window(length), length));
}

[[nodiscard]] reply get_alerts(const request& from, const route_context& context) {
    return json_answer(200, alerts_document(context.alarm, from.parameter("include") == "resolved"));
}

// Probes and the index tell nothing that a token should protect, and a kubelet has none.
constexpr route table[] = {
    {"GET", "/", role::nobody, get_page, "the dashboard for browsers, this list for others", "text/html"},
    {"GET", "/openapi.json", role::nobody, get_openapi, "all of this for programs (OpenAPI 3.1)", "application/json"},
    {"GET", "/healthz", role::nobody, get_healthz, "200 while the process is alive", "text/plain"},
    {"GET", "/readyz", role::nobody, get_readyz, "200 while clients should be sent here, 503 when offline or draining",
     "text/plain"},
    {"GET", "/metrics", role::read, get_metrics, "everything countable, for Prometheus", "text/plain"},
    {"GET", "/api/database-recovery/health", role::read, get_health, "200 while reads can be served, 503 if not",
     "Health"},
    {"GET", "/api/database-recovery/status", role::read, get_status, "everything at a glance", "Status"},
    {"GET", "/api/database-recovery/connections", role::read, get_connections, "the pools; ?pool= for one",
     "Connections", "", "pool"},
    {"PUT", "/api/database-recovery/retry-config", role::operate, put_retry_config,
     "how failed statements are retried, until the configuration is loaded again", "Outcome", "RetryOrder"},
    {"POST", "/api/database-recovery/recover", role::operate, post_recover,
     "looks at all backends now, drops what is broken, forgets waits; says what it found", "Outcome"},
    {"POST", "/api/database-recovery/circuit-breaker/reset", role::operate, post_breaker_reset,
     "resets breakers, or forces them open or closed until told otherwise", "Outcome", "BreakerOrder"},
    {"POST", "/api/database-recovery/test-connection", role::read, post_test_connection,
     "signs in to pools and backends and asks them something", "Tests", "TestOrder"},
    {"GET", "/api/database-recovery/metrics", role::read, get_window,
     "the last ?time_window_minutes= (1 to 60) as JSON", "Window", "", "time_window_minutes"},
    {"GET", "/api/database-recovery/alerts", role::read, get_alerts, "what is wrong now; ?include=resolved", "Alerts",
     "", "include"},
    {"GET", "/api/v1/monitoring/health", role::read, get_health, "as /api/database-recovery/health", "Health"},
    {"GET", "/api/v1/monitoring/dashboard", role::read, get_dashboard, "everything at once", "Dashboard"},
    {"GET", "/api/v1/monitoring/alerts", role::read, get_alerts, "as /api/database-recovery/alerts", "Alerts", "",
     "include"},
    {"GET", "/api/v1/monitoring/database", role::read, get_status, "as /api/database-recovery/status", "Status"},
    {"GET", "/api/v1/monitoring/database/pool-metrics", role::read, get_connections,
     "as /api/database-recovery/connections", "Connections", "", "pool"},
    {"POST", "/api/v1/monitoring/database/health-check", role::operate, post_health_check,
     "signs in to all pools and backends now", "Tests"},
    {"POST", "/api/v1/monitoring/database/reset-circuit-breaker", role::operate, post_breaker_reset,
     "as /api/database-recovery/circuit-breaker/reset", "Outcome", "BreakerOrder"},
    {"GET", "/api/v1/events", role::read, get_events,
     "what happens, as it happens (text/event-stream); ?pictures=no leaves out how things are each second",
     "text/event-stream", "", "pictures"},
    {"GET", "/api/v1/config", role::read, get_config, "the configuration in use and where each value comes from",
     "Config"},
    {"GET", "/api/v1/sessions", role::read, get_sessions, "clients: state, why they wait or are pinned; up to 1000",
     "Sessions"},
    {"DELETE", "/api/v1/sessions/{id}", role::operate, delete_session, "ends a client", "Outcome"},
    {"POST", "/api/v1/pools/{name}/pause", role::operate, post_pool_pause,
     "its servers are closed as they become free; statements wait", "Outcome"},
    {"POST", "/api/v1/pools/{name}/resume", role::operate, post_pool_resume, "ends a pause", "Outcome"},
    {"POST", "/api/v1/pools/{name}/reconnect", role::operate, post_pool_reconnect,
     "servers that are open now are closed as soon as they are free", "Outcome"},
    {"POST", "/api/v1/reload", role::operate, post_reload,
     "loads the configuration again, all of it or nothing; says what changed and what needs a restart", "Reload"},
    {"POST", "/api/v1/hold", role::operate, post_hold, "new transactions and writes wait until resume", "Outcome"},
    {"POST", "/api/v1/resume", role::operate, post_resume, "ends a hold or a switchover", "Outcome"},
    {"POST", "/api/v1/switchover", role::operate, post_switchover,
     "holds, lets transactions end, runs the hook, waits for another primary, releases", "Outcome", "SwitchoverOrder"},
    {"PUT", "/api/v1/switches", role::operate, put_switches,
     "the kill switches, until the configuration is loaded again", "Outcome", "SwitchOrder"},
};

}  // namespace

std::span<const route> all_routes() { return table; }

}  // namespace pgsteady::admin
