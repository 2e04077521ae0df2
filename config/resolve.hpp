// What one pair of database and user gets: the entry's or the automatic policies, the user's on top.
//
// And what the pools of one list of hosts have in common. Pure. Precedence: user, then database, then global. Called once
// per sign-in or pool, not per message.
#pragma once

#include "config/config.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::config {

struct route {
    bool named = false;  // listed under databases: min_size applies; else an automatic pool
    std::vector<host_port> hosts;
    std::string dbname;                         // name on the server
    std::string server_user;                    // empty: the client's own
    std::string server_password;                // of server_user
    policies rules;                             // min_size is 0 unless named
    std::uint32_t max_clients_of_database = 0;  // 0: no limit
    std::uint32_t max_clients_of_user = 0;      // 0: no limit

    bool operator==(const route&) const = default;
};

/// Nothing when the database is not listed and auto_pools is off.
[[nodiscard]] std::optional<route> resolve(const settings& all, std::string_view database, std::string_view user);

/// How servers are asked for who signs in to `database`: auth.query, but for what its entry says.
[[nodiscard]] auth_query_settings auth_query_of(const settings& all, std::string_view database);
/// They are asked for anybody at all.
[[nodiscard]] bool looks_users_up(const settings& all);

/// The policies of all databases that live on these hosts; the global ones, if pools for databases that are not listed may.
[[nodiscard]] std::vector<policies> policies_on(const settings& all, const std::vector<host_port>& hosts);

/// What a cluster goes by whose pools have these policies: whatever makes one of them act. A switch is on if it is for
/// anybody, waiting ends when the first one stops to wait (0, no limit, is the last), a standby is fresh enough for all,
/// and the breaker is the one that opens first. Pools judge by their own values what the cluster then tells them. Not empty.
[[nodiscard]] cluster_values common_values(std::span<const policies> of, const connect_backoff_settings& backoff = {});

}  // namespace pgsteady::config
