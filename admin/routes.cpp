#include "admin/routes.hpp"

#include "admin/documents.hpp"
#include "admin/json_text.hpp"
#include "admin/metrics_text.hpp"

#include <fmt/format.h>

namespace pgsteady::admin {
namespace {

[[nodiscard]] response get_index(const request&, const route_context& context) {
    std::string body = "pgsteady, the admin port\n\n";
    for (const route& each : context.table)
        body += fmt::format("{:<6} {:<36} {}\n", each.method, each.path, each.summary);
    return text_answer(200, std::move(body));
}

[[nodiscard]] response get_healthz(const request&, const route_context&) { return text_answer(200, "ok\n"); }

[[nodiscard]] response get_readyz(const request&, const route_context& context) {
    const readiness now = context.watch.ready();
    std::string body(now.draining ? "draining" : to_string(now.mode));
    return text_answer(now.ready() ? 200 : 503, std::move(body) + '\n');
}

[[nodiscard]] response get_health(const request&, const route_context& context) {
    const observation& seen = context.watch.observe();
    return json_answer(serves_reads(seen.now) ? 200 : 503, health_document(seen));
}

[[nodiscard]] response get_status(const request&, const route_context& context) {
    return json_answer(200, status_document(context.watch.observe()));
}

[[nodiscard]] response get_connections(const request& from, const route_context& context) {
    const auto document = connections_document(context.watch.observe(), from.parameter("pool"));
    return document ? json_answer(200, *document) : problem_answer(404, "no such pool; leave ?pool= out to see all");
}

[[nodiscard]] response get_metrics(const request&, const route_context& context) {
    return {.content_type = std::string(metrics_content_type), .body = metrics_text(context.watch.observe())};
}

// Probes and the index tell nothing that a token should protect, and a kubelet has none.
constexpr route table[] = {
    {"GET", "/", role::nobody, get_index, "this page"},
    {"GET", "/healthz", role::nobody, get_healthz, "200 while the process is alive"},
    {"GET", "/readyz", role::nobody, get_readyz, "200 while clients should be sent here, 503 when offline or draining"},
    {"GET", "/metrics", role::read, get_metrics, "everything countable, for Prometheus"},
    {"GET", "/api/database-recovery/health", role::read, get_health, "200 while reads can be served, 503 if not"},
    {"GET", "/api/database-recovery/status", role::read, get_status, "everything at a glance"},
    {"GET", "/api/database-recovery/connections", role::read, get_connections, "the pools; ?pool= for one"},
};

}  // namespace

std::span<const route> all_routes() { return table; }

}  // namespace pgsteady::admin
