// See acknowledgement.hpp.
#include "proxy/net/acknowledgement.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace pgsteady::net {

std::optional<std::chrono::milliseconds> unacknowledged_for(int fd) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_unacked == 0) return std::nullopt;
    return std::chrono::milliseconds(info.tcpi_last_ack_recv);
}

void clear_user_timeout(int fd) {
    const int none = 0;
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof none);
}

bool acknowledgement_watch::lost(std::optional<std::chrono::milliseconds> silence, time_point now,
                                 std::chrono::milliseconds limit) {
    if (!silence) {
        since_.reset();
        return false;
    }
    // An idle connection heard its last acknowledgement long ago: what counts is the time since this silence was seen.
    if (!since_ || now - *silence > *since_) since_ = now;
    return now - *since_ >= limit;
}

}  // namespace pgsteady::net
