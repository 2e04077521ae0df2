// See keepalive.hpp.
#include "proxy/net/keepalive.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace pgsteady::net {

namespace {

void set_unless_zero(int fd, int level, int name, int value) {
    if (value > 0) ::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

void apply_keepalive(int fd, const keepalive_rules& rules) {
    if (rules.idle.count() <= 0) return;
    set_unless_zero(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_unless_zero(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(rules.idle.count()));
    set_unless_zero(fd, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(rules.interval.count()));
    set_unless_zero(fd, IPPROTO_TCP, TCP_KEEPCNT, rules.count);
}

}  // namespace pgsteady::net
