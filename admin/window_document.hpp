// /api/database-recovery/metrics: what happened in a window of 1 to 60 minutes, as JSON (product.md section 4).
// Not to be confused with /metrics, which is for Prometheus. Pure.
#pragma once

#include "admin/history.hpp"
#include "admin/observer.hpp"

#include <boost/json/object.hpp>

namespace pgsteady::admin {

[[nodiscard]] boost::json::object window_document(const observation& seen, const window_totals& in,
                                                  std::chrono::minutes asked);

}  // namespace pgsteady::admin
