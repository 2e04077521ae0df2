// /metrics: a snapshot as Prometheus text (product.md section 5). Names of the old systems are kept, new ones begin
// with pgsteady_ and follow the naming rules: base units, counters end in _total.
// Cardinality is that of pools, backends and workers, which the proxy bounds; no label holds a session or a statement.
#pragma once

#include "admin/observer.hpp"

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

inline constexpr std::string_view metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

[[nodiscard]] std::vector<prometheus::MetricFamily> metric_families(const observation& seen);
[[nodiscard]] std::string metrics_text(const observation& seen);

}  // namespace pgsteady::admin
