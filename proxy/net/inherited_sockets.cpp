// See inherited_sockets.hpp.
#include "proxy/net/inherited_sockets.hpp"

#include "proxy/net/socket_address.hpp"

#include <sys/socket.h>

#include <algorithm>

namespace pgsteady::net {

void inherited_sockets::add(unique_fd fd) {
    int listens = 0;
    socklen_t size = sizeof listens;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return;
    std::string address = socket_address::local_of(fd.get()).to_string();
    sockets_.push_back({std::move(address), std::move(fd)});
}

unique_fd inherited_sockets::take(std::string_view address) {
    const auto at =
        std::find_if(sockets_.begin(), sockets_.end(), [&](const bound& each) { return each.address == address; });
    if (at == sockets_.end()) return {};
    unique_fd found = std::move(at->fd);
    sockets_.erase(at);
    return found;
}

}  // namespace pgsteady::net
