// keepalive_rules: how the kernel is to notice a TCP peer that has vanished. Plain values and the calls that set
// them; must never fail a connection: an option that the system refuses is left as it was.
// Used by listener and dial.
#pragma once

#include <chrono>

namespace pgsteady::net {

/// 0 leaves a value to the system; `idle` 0 turns probes off.
struct keepalive_rules {
    std::chrono::seconds idle{0};      ///< silence before the first probe
    std::chrono::seconds interval{0};  ///< between probes
    int count = 0;                     ///< unanswered ones that end the connection
};

/// Sets them on a TCP socket; sockets accepted from a listening one inherit them.
void apply_keepalive(int fd, const keepalive_rules& rules);

}  // namespace pgsteady::net
