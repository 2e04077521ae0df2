// /metrics: a snapshot as Prometheus text or OpenMetrics (product.md section 5). Names of the old systems are kept, new
// ones begin with pgsteady_ and follow the naming rules: base units, counters end in _total.
// Cardinality is that of pools, backends and workers, which the proxy bounds; no label holds a session or a statement.
#pragma once

#include "admin/exposition.hpp"
#include "admin/observer.hpp"

#include <string>
#include <string_view>

namespace pgsteady::admin {

[[nodiscard]] constexpr std::string_view content_type_of(metric_format format) {
    return format == metric_format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                : "text/plain; version=0.0.4; charset=utf-8";
}

/// Appends the whole page to `out`.
void write_metrics(std::string& out, const observation& seen, metric_format format = metric_format::prometheus);

/// Whether a scraper's Accept asks for OpenMetrics. Prometheus names it first where it wants it.
[[nodiscard]] bool accepts_openmetrics(std::string_view accept);

}  // namespace pgsteady::admin
