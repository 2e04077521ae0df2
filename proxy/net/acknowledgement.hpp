// Whether the peer of a TCP connection still acknowledges what it is sent. TCP_USER_TIMEOUT cannot tell: the kernel also
// counts the time in which a living peer has closed its window, so a COPY that waits for a lock, or requests behind a slow
// statement, would be taken for a dead server. Pure but for one question to the kernel. Owned by whoever owns the connection.
#pragma once

#include "proxy/net/event_loop.hpp"

#include <chrono>
#include <optional>

namespace pgsteady::net {

/// How long ago the last acknowledgement came, if something that was sent has none; nothing: all of it has, or `fd` is no
/// TCP connection. A peer that answers window probes acknowledges.
[[nodiscard]] std::optional<std::chrono::milliseconds> unacknowledged_for(int fd);

/// Leaves to acknowledgement_watch what TCP_USER_TIMEOUT was to do.
void clear_user_timeout(int fd);

/// Looks now and then; between two looks nothing is known, so a silence begins when it is first seen.
class acknowledgement_watch {
public:
    /// `silence`: of unacknowledged_for(). True: nothing was acknowledged for `limit`, and something should have been.
    [[nodiscard]] bool lost(std::optional<std::chrono::milliseconds> silence, time_point now,
                            std::chrono::milliseconds limit);

private:
    std::optional<time_point> since_;
};

}  // namespace pgsteady::net
