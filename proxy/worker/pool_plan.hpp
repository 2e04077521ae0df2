// What the configuration says about one pool (a database and a user) and about one user's sign-in.
// Pure: settings in, answers out.
#pragma once

#include "protocol/client_login.hpp"

#include "config/config.hpp"

#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/role_cache.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// Everything needed to open servers of a pool and to run it.
struct pool_plan {
    std::string database;  ///< as the client names it
    std::string user;      ///< as the client names it
    std::vector<config::host_port> hosts;
    std::string server_database;
    std::string server_user;
    std::string server_password;  ///< empty: from the client (passthrough), or none
    std::string server_verifier;  ///< md5… form, if that is all there is
    config::policies policies;
    session_mode mode = session_mode::transaction;
    bool named = false;  ///< the configuration names it: keeps min_size warm
    bool password_from_client = false;

    [[nodiscard]] std::string key() const { return database + '\0' + user; }
    [[nodiscard]] std::string label() const { return database + '/' + user; }
};

/// The plan for this database and user, or nothing if the configuration admits no such database.
[[nodiscard]] std::optional<pool_plan> plan_pool(const config::settings& all, std::string_view database,
                                                 std::string_view user);

/// What a rule of auth.hba_file asks of a client, as auth.method would say it. Not of `reject`; `cert` asks no question.
[[nodiscard]] config::auth_method method_of(const config::hba_rule& rule);

/// How `user` proves who he is, if that is to be done by `how`.
[[nodiscard]] client_login::credentials credentials_of(const config::settings& all, config::auth_method how,
                                                       std::string_view user);

/// `user` is not configured here, and servers are to be asked what they have of it (auth.query).
[[nodiscard]] bool is_looked_up(const config::settings& all, config::auth_method how, std::string_view database,
                                std::string_view user);
/// Where and how: the hosts of the database, or the cluster's own if there is no such database, which is not to be told yet
/// (P13).
[[nodiscard]] lookup_place place_of_lookup(const config::settings& all, std::string_view database,
                                           std::string_view user);
/// How `user` proves who he is by what a server has stored.
[[nodiscard]] client_login::credentials credentials_of(config::auth_method how, std::string_view user,
                                                       const role_secret& stored);

/// The same for the console: always by what the configuration says of its own users, whatever auth.method is.
[[nodiscard]] client_login::credentials console_credentials_of(const config::settings& all, std::string_view user);

/// `min_size` is kept as it is: 0 for pools that the configuration does not name.
[[nodiscard]] pool_rules rules_of(const config::pool_settings& from, const config::connect_backoff_settings& redial);
[[nodiscard]] session_mode session_mode_of(config::pool_mode mode);

}  // namespace pgsteady
