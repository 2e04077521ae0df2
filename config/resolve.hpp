// What one pair of database and user gets: the entry's or the automatic policies, the user's on top.
//
// Pure. Precedence: user, then database, then global. Called once per sign-in or pool, not per message.
#pragma once

#include "config/config.hpp"

#include <cstdint>
#include <optional>
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

}  // namespace pgsteady::config
