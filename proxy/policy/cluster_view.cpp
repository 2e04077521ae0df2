// Names of what a cluster_view says, as status, metrics and the log spell them.
#include "proxy/policy/cluster_view.hpp"

namespace pgsteady {

std::string_view to_string(host_role role) {
    switch (role) {
        case host_role::unknown: return "unknown";
        case host_role::primary: return "primary";
        case host_role::standby: return "standby";
    }
    return "unknown";
}

std::string_view to_string(service_mode mode) {
    switch (mode) {
        case service_mode::normal: return "normal";
        case service_mode::holding: return "holding";
        case service_mode::read_only: return "read_only";
        case service_mode::offline: return "offline";
    }
    return "unknown";
}

std::string_view to_string(breaker_state state) {
    switch (state) {
        case breaker_state::closed: return "closed";
        case breaker_state::open: return "open";
        case breaker_state::half_open: return "half_open";
    }
    return "unknown";
}

}  // namespace pgsteady
