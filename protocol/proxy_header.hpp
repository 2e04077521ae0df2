// The PROXY protocol, version 2: what a load balancer puts in front of a client's first byte, to say who connects (HAProxy's
// proxy-protocol.txt, section 2.2). Whoever sends it is believed, so it is read only where the configuration says that a
// balancer is in front. Version 1, which is text, is not read. Pure; keeps no state.
#pragma once

#include "protocol/startup.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgsteady {

struct proxy_header {
    std::string address;  ///< of the client, as it travels: 4 or 16 bytes; empty: the sender speaks for itself
    std::uint16_t port = 0;
};

/// Of addresses and what may follow them, of which nothing is used.
inline constexpr std::size_t proxy_header_body_max = 4'096;

/// Reads one header from the start of `in`. Sets `consumed` to its size when ok, else to 0; says why in `problem` when
/// malformed. What is none is refused at its first wrong byte.
[[nodiscard]] parse_status parse_proxy_header(std::string_view in, std::size_t& consumed, proxy_header& out,
                                              std::string& problem);

}  // namespace pgsteady
