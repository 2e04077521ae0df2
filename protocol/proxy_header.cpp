#include "protocol/proxy_header.hpp"

#include "protocol/wire.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t fixed_bytes = 16;  // signature, version and command, family, length

constexpr unsigned version_2 = 0x2;
constexpr unsigned command_local = 0x0;
constexpr unsigned command_proxy = 0x1;
constexpr unsigned stream_over_ipv4 = 0x11;
constexpr unsigned stream_over_ipv6 = 0x21;

}  // namespace

parse_status parse_proxy_header(std::string_view in, std::size_t& consumed, proxy_header& out, std::string& problem) {
    consumed = 0;
    out = {};
    const auto malformed = [&](std::string_view why) {
        problem = why;
        return parse_status::malformed;
    };
    const std::size_t common = std::min(in.size(), signature.size());
    if (in.substr(0, common) != signature.substr(0, common)) return malformed("no PROXY protocol header (version 2)");
    if (in.size() < fixed_bytes) return parse_status::need_more;
    wire_reader reader(in.substr(signature.size()));
    const unsigned kind = reader.u8().value_or(0);
    const unsigned family = reader.u8().value_or(0);
    const std::size_t length = reader.u16().value_or(0);
    const unsigned command = kind & 0xF;
    if (kind >> 4 != version_2) return malformed("unknown version of the PROXY protocol");
    if (command > command_proxy) return malformed("unknown command in the PROXY protocol header");
    if (length > proxy_header_body_max) return malformed("PROXY protocol header too long");
    if (reader.remaining() < length) return parse_status::need_more;

    // Of other families, and of the sender's own health checks, the rest is skipped, as the protocol asks.
    const std::size_t address = family == stream_over_ipv4 ? 4 : family == stream_over_ipv6 ? 16 : 0;
    if (command != command_local && address != 0) {
        if (length < 2 * address + 4) return malformed("PROXY protocol header too short for its addresses");
        out.address = reader.bytes(address).value_or(std::string_view());
        (void)reader.bytes(address);
        out.port = reader.u16().value_or(0);
    }
    consumed = fixed_bytes + length;
    return parse_status::ok;
}

}  // namespace pgsteady
