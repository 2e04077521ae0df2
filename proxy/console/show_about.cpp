// SHOW CONFIG, VERSION, STATE, MEM, DNS_HOSTS, DNS_ZONES, HELP, and our own BACKENDS (show.hpp): about the process itself.
#include "config/keys.hpp"

#include "proxy/console/show.hpp"

#include <fmt/format.h>

#include <string>

namespace pgsteady {
namespace {

using type = console_type;

/// The only one that SET changes; the others change with the file or over HTTP.
constexpr std::string_view settable_key = "log.level";

std::string shown(const config::slot& where, const config::value_rule& rule) {
    std::string text = config::format(where, rule);
    return rule.secret && !text.empty() ? "(set)" : text;
}

/// What exporters and scripts look for under PgBouncer's names.
void add_pgbouncer_keys(console_table& to, const config::settings& now, const config::settings& defaults) {
    const auto add = [&to](const char* key, std::uint32_t value, std::uint32_t usual) {
        to.row().add(key).add(value).add(usual).add("no");
    };
    add("max_client_conn", now.limits.max_clients, defaults.limits.max_clients);
    add("default_pool_size", now.pool.size, defaults.pool.size);
    add("min_pool_size", now.pool.min_size, defaults.pool.min_size);
    add("reserve_pool_size", now.pool.max_overflow, defaults.pool.max_overflow);
    add("max_user_connections", 0, 0);  // servers are limited per pool and in all, not per user
}

}  // namespace

console_table config_table(const console_view& view) {
    console_table made;
    made.columns = {{"key"}, {"value"}, {"default"}, {"changeable"}};
    config::settings now = *view.settings;  // slots are mutable
    config::settings defaults;
    for (const config::key& each : config::keys())
        made.row()
            .add(each.path)
            .add(shown(each.find(now), each.rule))
            .add(config::format(each.find(defaults), each.rule))
            .add(each.path == settable_key ? "yes" : "no");
    add_pgbouncer_keys(made, now, defaults);
    return made;
}

console_table version_table(const console_view& view) {
    console_table made;
    made.columns = {{"version"}};
    made.row().add("pgsteady " + view.now.version + " (console of PgBouncer 1.18.0)");
    return made;
}

console_table mem_table(const console_view& view) {
    console_table made;
    made.columns = {
        {"name"}, {"size", type::int4}, {"used", type::int4}, {"free", type::int4}, {"memtotal", type::int8}};
    made.row().add("process").add(1).add(1).add(0).add(view.now.memory_resident_bytes);
    return made;
}

console_table dns_hosts_table(const console_view&) {
    console_table made;  // empty: names are resolved at every dial
    made.columns = {{"hostname"}, {"ttl", type::int8}, {"addrs"}};
    return made;
}

console_table dns_zones_table(const console_view&) {
    console_table made;
    made.columns = {{"zonename"}, {"serial", type::int8}, {"count", type::int4}};
    return made;
}

console_table state_table(const console_view& view) {
    console_table made;
    made.columns = {{"key"}, {"value"}};
    const auto add = [&made](const char* key, bool is) { made.row().add(key).add(is ? "yes" : "no"); };
    add("active", !view.now.all_paused && !view.now.draining);
    add("paused", view.now.all_paused);
    add("suspended", false);
    add("draining", view.now.draining);
    add("held_by_operator", view.now.held_by_operator);
    made.row().add("state").add(admin::to_string(view.now.state));
    made.row().add("service").add(admin::to_string(view.now.mode));
    if (!view.now.mode_cause.empty()) made.row().add("cause").add(view.now.mode_cause);
    made.row().add("io_engine").add(admin::to_string(view.now.engine));
    made.row().add("uptime_seconds").add(std::to_string(view.now.uptime.count()));
    return made;
}

console_table backends_table(const console_view& view) {
    console_table made;
    made.columns = {{"address"},
                    {"role"},
                    {"reachable"},
                    {"lag", type::numeric},
                    {"latency_ms", type::numeric},
                    {"timeline", type::int8},
                    {"last_problem"}};
    for (const admin::backend_status& each : view.now.backends) {
        console_row& row = made.row();
        row.add(each.address).add(each.role);
        if (each.reachable) row.add(*each.reachable ? "yes" : "no");
        else row.null();
        if (each.lag_seconds) row.add(fmt::format("{:.3f}", *each.lag_seconds));
        else row.null();
        if (each.latency_seconds) row.add(fmt::format("{:.3f}", *each.latency_seconds * 1000));
        else row.null();
        row.add(each.timeline);
        if (each.last_problem.empty()) row.null();
        else row.add(each.last_problem);
    }
    return made;
}

console_answer help_answer() {
    return {
        .notices = {console_notice("Console usage",
                                   "\n\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION|STATE|BACKENDS"
                                   "\n\tSHOW SOCKETS|ACTIVE_SOCKETS|LISTS|MEM"
                                   "\n\tSHOW DNS_HOSTS|DNS_ZONES"
                                   "\n\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS"
                                   "\n\tSET log.level = debug|info|warning|error"
                                   "\n\tRELOAD"
                                   "\n\tPAUSE [<db>]"
                                   "\n\tRESUME [<db>]"
                                   "\n\tRECONNECT [<db>]"
                                   "\n\tWAIT_CLOSE [<db>]"
                                   "\n\tDISABLE <db>"
                                   "\n\tENABLE <db>"
                                   "\n\tKILL <db>"
                                   "\n\tKILL_CLIENT <id>"
                                   "\n\tSHUTDOWN")}};
}

}  // namespace pgsteady
