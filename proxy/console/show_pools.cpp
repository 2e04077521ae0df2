// SHOW POOLS, DATABASES, USERS, LISTS (show.hpp): what is configured and how it is used.
#include "config/keys.hpp"
#include "config/resolve.hpp"

#include "proxy/console/show.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace pgsteady {
namespace {

using type = console_type;

const char* name_of(config::pool_mode mode) {
    switch (mode) {
        case config::pool_mode::session: return "session";
        case config::pool_mode::transaction: return "transaction";
        case config::pool_mode::statement: return "statement";
    }
    return "transaction";
}

/// Whole seconds and the microseconds beyond them: how PgBouncer shows a wait.
void add_wait(console_row& to, double seconds) {
    const double whole = std::floor(std::max(seconds, 0.0));
    to.add(static_cast<std::int64_t>(whole)).add(static_cast<std::int64_t>((std::max(seconds, 0.0) - whole) * 1e6));
}

std::vector<const admin::pool_status*> sorted_pools(const admin::snapshot& now) {
    std::vector<const admin::pool_status*> result;
    for (const admin::pool_status& each : now.pools) result.push_back(&each);
    std::sort(result.begin(), result.end(), [](const auto* a, const auto* b) {
        return std::tie(a->database, a->user) < std::tie(b->database, b->user);
    });
    return result;
}

/// Configured ones and those that have pools, in order.
std::set<std::string> database_names(const console_view& view) {
    std::set<std::string> names;
    for (const auto& [name, entry] : view.settings->databases) names.insert(name);
    for (const admin::pool_status& each : view.now.pools) names.insert(each.database);
    return names;
}

std::set<std::string> user_names(const console_view& view) {
    std::set<std::string> names;
    for (const auto& [name, entry] : view.settings->users) names.insert(name);
    for (const admin::pool_status& each : view.now.pools) names.insert(each.user);
    return names;
}

bool contains(const std::vector<std::string>& all, const std::string& name) {
    return std::find(all.begin(), all.end(), name) != all.end();
}

struct usage {
    std::uint64_t clients = 0;
    std::uint64_t servers = 0;
    std::uint64_t pools = 0;
    std::uint64_t paused = 0;
};

template <class Which>
usage usage_of(const admin::snapshot& now, Which which) {
    usage sum;
    for (const admin::pool_status& each : now.pools) {
        if (!which(each)) continue;
        sum.clients += each.clients;
        sum.servers += each.open;
        ++sum.pools;
        if (each.paused) ++sum.paused;
    }
    return sum;
}

std::string hosts_of(const config::route& way) {
    std::string joined;
    for (const config::host_port& each : way.hosts) joined += (joined.empty() ? "" : ",") + each.host;
    return joined;
}

}  // namespace

console_table pools_table(const console_view& view) {
    console_table made;
    made.columns = {{"database"},
                    {"user"},
                    {"cl_active", type::int4},
                    {"cl_waiting", type::int4},
                    {"cl_active_cancel_req", type::int4},
                    {"cl_waiting_cancel_req", type::int4},
                    {"sv_active", type::int4},
                    {"sv_active_cancel", type::int4},
                    {"sv_being_canceled", type::int4},
                    {"sv_idle", type::int4},
                    {"sv_used", type::int4},
                    {"sv_tested", type::int4},
                    {"sv_login", type::int4},
                    {"maxwait", type::int4},
                    {"maxwait_us", type::int4},
                    {"pool_mode"},
                    {"paused", type::int4},
                    {"waits_for"},
                    {"pinned", type::int4},
                    {"service"},
                    {"last_problem"}};
    for (const admin::pool_status* pool : sorted_pools(view.now)) {
        console_row& row = made.row();
        row.add(pool->database).add(pool->user);
        row.add(pool->clients - std::min(pool->waiting, pool->clients)).add(pool->waiting);
        row.add(0).add(0);  // cancel requests are no clients here: see sv_being_canceled
        row.add(pool->active)
            .add(0)
            .add(pool->cancelling)
            .add(pool->idle)
            .add(0)
            .add(pool->testing)
            .add(pool->dialling);
        add_wait(row, pool->oldest_wait_seconds);
        row.add(pool->mode).add(pool->paused);
        if (pool->waits_for.empty()) row.null();
        else row.add(pool->waits_for);
        row.add(pool->pinned.size()).add(admin::to_string(view.now.mode));
        if (pool->last_problem.empty()) row.null();
        else row.add(pool->last_problem);
    }
    return made;
}

console_table databases_table(const console_view& view) {
    console_table made;
    made.columns = {{"name"},
                    {"host"},
                    {"port", type::int4},
                    {"database"},
                    {"force_user"},
                    {"pool_size", type::int4},
                    {"min_pool_size", type::int4},
                    {"reserve_pool", type::int4},
                    {"pool_mode"},
                    {"max_connections", type::int4},
                    {"current_connections", type::int4},
                    {"paused", type::int4},
                    {"disabled", type::int4},
                    {"current_client_connections", type::int4}};
    for (const std::string& name : database_names(view)) {
        const std::optional<config::route> way = config::resolve(*view.settings, name, {});
        if (!way) continue;
        const usage used = usage_of(view.now, [&](const auto& each) { return each.database == name; });
        console_row& row = made.row();
        row.add(name);
        const bool is_socket = !way->hosts.empty() && way->hosts.front().host.starts_with('/');
        if (way->hosts.empty() || is_socket) row.null();
        else row.add(hosts_of(*way));
        row.add(way->hosts.empty() ? 0 : static_cast<int>(way->hosts.front().port)).add(way->dbname);
        if (way->server_user.empty()) row.null();
        else row.add(way->server_user);
        row.add(way->rules.pool.size).add(way->rules.pool.min_size).add(way->rules.pool.max_overflow);
        row.add(name_of(way->rules.pool.mode)).add(view.settings->limits.max_server_connections).add(used.servers);
        row.add((used.pools > 0 && used.paused == used.pools) || view.now.all_paused ||
                contains(view.now.paused_databases, name));
        row.add(contains(view.now.disabled_databases, name)).add(used.clients);
    }
    return made;
}

console_table users_table(const console_view& view) {
    console_table made;
    made.columns = {{"name"},
                    {"pool_mode"},
                    {"current_connections", type::int4},
                    {"current_client_connections", type::int4},
                    {"console"}};
    for (const std::string& name : user_names(view)) {
        console_row& row = made.row();
        row.add(name);
        const auto entry = view.settings->users.find(name);
        if (entry != view.settings->users.end() && entry->second.mode) row.add(name_of(*entry->second.mode));
        else row.null();
        const usage used = usage_of(view.now, [&](const auto& each) { return each.user == name; });
        row.add(used.servers).add(used.clients);
        if (contains(view.settings->admin.admin_users, name)) row.add("admin");
        else if (contains(view.settings->admin.stats_users, name)) row.add("stats");
        else row.null();
    }
    return made;
}

console_table lists_table(const console_view& view) {
    console_table made;
    made.columns = {{"list"}, {"items", type::int4}};
    const auto add = [&made](const char* name, std::uint64_t items) { made.row().add(name).add(items); };
    add("databases", database_names(view).size());
    add("users", user_names(view).size());
    add("pools", view.now.pools.size());
    add("free_clients", 0);  // nothing is kept for later
    add("used_clients", view.now.clients - std::min<std::uint64_t>(view.signing_in, view.now.clients));
    add("login_clients", view.signing_in);
    add("free_servers", 0);
    add("used_servers", view.now.servers);
    add("dns_names", 0);  // names are resolved at every dial
    add("dns_zones", 0);
    add("dns_queries", 0);
    add("dns_pending", 0);
    return made;
}

}  // namespace pgsteady
