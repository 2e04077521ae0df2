// Lays the user's settings over the database's over the global ones. See resolve.hpp.
#include "config/resolve.hpp"

#include <algorithm>
#include <type_traits>

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
    if (!user.listed) made.rules.pool.min_size = 0;  // a file may name thousands
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

std::vector<policies> policies_on(const settings& all, const std::vector<host_port>& hosts) {
    std::vector<policies> found;
    for (const auto& [name, database] : all.databases)
        if ((database.hosts.empty() ? all.backends.hosts : database.hosts) == hosts) found.push_back(database);
    if (found.empty() || (hosts == all.backends.hosts && all.auto_pools.enabled)) found.push_back(all);
    return found;
}

cluster_values common_values(std::span<const policies> of, const connect_backoff_settings& backoff) {
    cluster_values common{of.front().breaker, of.front().read_only, of.front().pool.hold_timeout, backoff};
    const auto smaller_but_zero = [](auto& value, auto other) {
        using type = std::remove_reference_t<decltype(value)>;
        if (other != type{0} && (value == type{0} || other < value)) value = other;
    };
    for (const policies& each : of.subspan(1)) {
        smaller_but_zero(common.hold_timeout, each.pool.hold_timeout);
        const bool opens_first =
            each.breaker.enabled &&
            (!common.breaker.enabled || each.breaker.failure_threshold < common.breaker.failure_threshold);
        if (opens_first) common.breaker = each.breaker;
        if (!each.read_only.enabled) continue;
        if (!common.read_only.enabled) common.read_only = each.read_only;
        smaller_but_zero(common.read_only.max_lag_bytes, each.read_only.max_lag_bytes);
        smaller_but_zero(common.read_only.max_lag, each.read_only.max_lag);
    }
    return common;
}

auth_query_settings auth_query_of(const settings& all, std::string_view database) {
    auth_query_settings how = all.auth.query;
    const auto at = all.databases.find(database);
    if (at == all.databases.end()) return how;
    const database_settings& entry = at->second;
    if (!entry.auth_user.empty()) {
        how.user = entry.auth_user;
        how.password = entry.auth_password;
    }
    if (!entry.auth_dbname.empty()) how.database = entry.auth_dbname;
    if (!entry.auth_query.empty()) how.sql = entry.auth_query;
    return how;
}

bool looks_users_up(const settings& all) {
    return all.auth.query.enabled() ||
           std::ranges::any_of(all.databases, [](const auto& each) { return !each.second.auth_user.empty(); });
}

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
