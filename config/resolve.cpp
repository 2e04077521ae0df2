// Lays the user's settings over the database's over the global ones. See resolve.hpp.
#include "config/resolve.hpp"

#include <algorithm>

namespace pgsteady::config {
namespace {

template <class T>
void overlay(T& value, const std::optional<T>& specific) {
    if (specific) value = *specific;
}

void overlay_user(route& made, const user_settings& user) {
    overlay(made.rules.pool.mode, user.mode);
    overlay(made.rules.pool.size, user.pool_size);
    overlay(made.rules.timeouts.statement, user.statement_timeout);
    overlay(made.rules.timeouts.transaction, user.transaction_timeout);
    overlay(made.rules.timeouts.idle_in_transaction, user.idle_in_transaction_timeout);
    overlay(made.rules.timeouts.client_idle, user.client_idle_timeout);
    if (user.max_clients != 0) made.max_clients_of_user = user.max_clients;
    made.rules.pool.min_size = std::min(made.rules.pool.min_size, made.rules.pool.size);
}

void overlay_database(route& made, const database_settings& database) {
    made.named = true;
    made.rules = database;
    if (!database.hosts.empty()) made.hosts = database.hosts;
    if (!database.dbname.empty()) made.dbname = database.dbname;
    made.server_user = database.user;
    made.server_password = database.password;
    if (database.max_clients != 0) made.max_clients_of_database = database.max_clients;
}

}  // namespace

std::optional<route> resolve(const settings& all, std::string_view database, std::string_view user) {
    route made;
    made.hosts = all.backends.hosts;
    made.dbname = database;
    made.rules = all;
    made.max_clients_of_database = all.limits.max_clients_per_database;
    made.max_clients_of_user = all.limits.max_clients_per_user;
    if (const auto entry = all.databases.find(database); entry != all.databases.end())
        overlay_database(made, entry->second);
    else if (!all.auto_pools.enabled) return std::nullopt;
    else made.rules.pool.min_size = 0;  // strangers open no lasting connections (D7)
    if (const auto entry = all.users.find(user); entry != all.users.end()) overlay_user(made, entry->second);
    return made;
}

}  // namespace pgsteady::config
