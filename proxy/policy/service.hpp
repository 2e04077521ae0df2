// What happens to statements, from what is known of the cluster and how long somebody is willing to wait (D3, D6): the one
// place that says so, for a cluster as a whole and for each of its pools, whose hold_timeout and switches are their own
// (D1). Pure: time is an argument.
#pragma once

#include "proxy/policy/cluster_view.hpp"

#include <chrono>
#include <optional>

namespace pgsteady {

struct service_rules {
    std::chrono::milliseconds hold_timeout{30'000};  ///< 0: read-only mode does not begin by itself
    bool read_only = true;                           ///< reads may be all that is served (read_only.enabled)
    bool breaker = true;                             ///< failures may close a way (breaker.enabled)
};

/// By everything in `seen` but its own mode.
[[nodiscard]] service_mode judge_service(const cluster_view& seen, const service_rules& rules,
                                         std::chrono::steady_clock::time_point now);

/// When, after `now`, the answer may change by time alone; nothing: not at all.
[[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next_service_change(
    const cluster_view& seen, const service_rules& rules, std::chrono::steady_clock::time_point now);

}  // namespace pgsteady
