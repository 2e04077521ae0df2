// Listening sockets that this process was handed instead of binding them itself: by the process whose place it takes
// (proxy/takeover.hpp). Whoever is in their queues is accepted here; nobody is refused in between. What nobody takes is
// closed with this object. A plain value.
#pragma once

#include "proxy/net/unique_fd.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::net {

class inherited_sockets {
public:
    /// Kept under the address that it is bound to. Closed at once if it is no socket that listens.
    void add(unique_fd fd);
    /// `address`: as of socket_address::to_string(). None if there is none bound to it.
    [[nodiscard]] unique_fd take(std::string_view address);
    [[nodiscard]] bool empty() const { return sockets_.empty(); }

private:
    struct bound {
        std::string address;
        unique_fd fd;
    };
    std::vector<bound> sockets_;
};

}  // namespace pgsteady::net
