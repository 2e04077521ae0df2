// See service.hpp.
#include "proxy/policy/service.hpp"

#include <algorithm>

namespace pgsteady {

service_mode judge_service(const cluster_view& seen, const service_rules& rules,
                           std::chrono::steady_clock::time_point now) {
    switch (seen.writes) {
        case write_way::flow: return service_mode::normal;
        case write_way::held: return service_mode::holding;
        case write_way::off: return service_mode::read_only;
        case write_way::failing:
            return rules.read_only && rules.breaker ? service_mode::read_only : service_mode::normal;
        case write_way::missing: break;
    }
    const bool ends = rules.hold_timeout.count() > 0;
    if (ends && seen.deaf_since && now - *seen.deaf_since >= rules.hold_timeout) return service_mode::offline;
    // Without a read-only mode a pool of standbys is what any pool is (D1): it serves what there is, from the start.
    if (!rules.read_only && seen.standbys_only && !seen.readable.empty()) return service_mode::read_only;
    const bool can_read = rules.read_only && !seen.readable.empty();
    const bool waited = ends && now - seen.lost_since >= rules.hold_timeout;
    return can_read && (seen.lone_standby || waited) ? service_mode::read_only : service_mode::holding;
}

std::optional<std::chrono::steady_clock::time_point> next_service_change(const cluster_view& seen,
                                                                         const service_rules& rules,
                                                                         std::chrono::steady_clock::time_point now) {
    if (seen.writes != write_way::missing || rules.hold_timeout.count() <= 0) return std::nullopt;
    std::optional<std::chrono::steady_clock::time_point> soonest;
    const auto at = [&](std::chrono::steady_clock::time_point when) {
        if (when > now) soonest = soonest ? std::min(*soonest, when) : when;
    };
    at(seen.lost_since + rules.hold_timeout);
    if (seen.deaf_since) at(*seen.deaf_since + rules.hold_timeout);
    return soonest;
}

}  // namespace pgsteady
