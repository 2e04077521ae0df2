// What auth.hba_file and auth.ident_file say about one client: which rule is about it, and whom a certificate speaks for.
// Pure functions; the first line that fits counts, as in PostgreSQL. Must never let in on an address that it cannot read.
#pragma once

#include "config/config.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::config {

/// Who asks to be let in.
struct entrant {
    bool by_unix_socket = false;
    bool with_tls = false;
    bool replicates = false;            ///< physically, without a database: only the keyword replication is about it
    std::vector<std::uint8_t> address;  ///< 4 or 16 bytes; empty: a Unix socket, or unknown
    std::string_view database;
    std::string_view user;
};

/// Null: no rule is about this client, so it is not let in.
[[nodiscard]] const hba_rule* rule_for(std::span<const hba_rule> rules, const entrant& who);

/// Whether by this map the owner of a certificate with this common name may be `user`.
[[nodiscard]] bool may_be(std::span<const ident_line> lines, std::string_view map, std::string_view common_name,
                          std::string_view user);

/// Of an address as text, IPv4 within IPv6 as IPv4; empty if it is none. The zone of a link-local address does not matter.
[[nodiscard]] std::vector<std::uint8_t> network_bytes(const std::string& address);
/// The same of a peer: "10.0.0.1:5432", "[::1]:5432".
[[nodiscard]] std::vector<std::uint8_t> peer_bytes(std::string_view peer);

/// Why this name of a certificate is no good pattern; empty: it is one, or no pattern at all.
[[nodiscard]] std::string problem_of_pattern(const std::string& certified);

/// Everybody whom this rule is about is on this machine.
[[nodiscard]] bool is_for_loopback(const hba_rule& rule);

}  // namespace pgsteady::config
