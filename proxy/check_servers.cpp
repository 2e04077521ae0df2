// See check_servers.hpp.
#include "proxy/check_servers.hpp"

#include "proxy/server_question.hpp"
#include "proxy/tls_contexts.hpp"
#include "proxy/worker/pool_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto patience = 3s;

constexpr std::string_view limits_query =
    "SELECT pg_catalog.current_setting('max_connections'), "
    "pg_catalog.current_setting('superuser_reserved_connections')";

std::uint64_t number(const server_question& asked, std::size_t column) {
    std::uint64_t value = 0;
    if (column >= asked.row().size() || !asked.row()[column]) return value;
    const std::string& text = *asked.row()[column];
    (void)std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

struct demand {
    std::uint64_t pools = 0;
    std::uint64_t connections = 0;
    std::optional<server_account> who;  // somebody who can sign in
};

/// What the pools that the configuration names may open, by host: databases × users that are known.
std::map<std::pair<std::string, std::uint16_t>, demand> demand_by_host(const config::settings& all) {
    std::map<std::pair<std::string, std::uint16_t>, demand> found;
    std::set<std::string> users;
    for (const auto& [name, user] : all.users)
        if (user.listed) users.insert(name);
    if (!all.backends.user.empty()) users.insert(all.backends.user);
    const std::string fallback = all.backends.database.empty() ? "postgres" : all.backends.database;
    std::set<std::string> databases;
    for (const auto& [name, database] : all.databases) databases.insert(name);
    for (const config::host_port& host : all.backends.hosts) found[{host.host, host.port}];
    const auto add = [&](const std::string& database, const std::string& user, bool named) {
        const std::optional<pool_plan> plan = plan_pool(all, database, user);
        if (!plan) return;
        for (const config::host_port& host : plan->hosts) {
            demand& of = found[{host.host, host.port}];
            if (named) ++of.pools;
            if (named) of.connections += plan->policies.pool.size + plan->policies.pool.max_overflow;
            if (!of.who && !plan->server_password.empty())
                of.who = server_account{plan->server_user, plan->server_database, plan->server_password};
        }
    };
    for (const std::string& database : databases)
        for (const std::string& user : users) add(database, user, true);
    for (const std::string& user : users) add(fallback, user, false);
    for (auto& [host, of] : found)
        if (!of.who && !all.monitor.user.empty())
            of.who = server_account{all.monitor.user, fallback, all.monitor.password};
    return found;
}

std::string verdict(const server_question& asked, const demand& wanted, const config::settings& all) {
    const std::string name = asked.host().host + ':' + std::to_string(asked.host().port);
    if (asked.problem()) return fmt::format("warning: {}: not compared: {}", name, asked.problem()->message);
    const std::uint64_t max_connections = number(asked, 0);
    const std::uint64_t reserved = number(asked, 1);
    if (max_connections == 0) return fmt::format("warning: {}: not compared: its limits are not known", name);
    const std::uint64_t admitted = max_connections - std::min(max_connections, reserved);
    const std::uint32_t cap = all.limits.max_server_connections;
    const std::uint64_t most = cap != 0 && (cap < wanted.connections || wanted.pools == 0) ? cap : wanted.connections;
    std::string line = fmt::format(
        "{}: admits {} connections (max_connections {} - superuser_reserved_connections {}); "
        "{} named pool(s) may open {}",
        name, admitted, max_connections, reserved, wanted.pools, most);
    if (cap != 0) line += fmt::format(", limits.max_server_connections is {}", cap);
    else if (all.auto_pools.enabled)
        line += fmt::format(", each automatic pool {} more", all.pool.size + all.pool.max_overflow);
    const bool too_many = cap > admitted || (cap == 0 && wanted.connections > admitted);
    return too_many ? "warning: " + line + ": more than the server admits; set limits.max_server_connections" : line;
}

}  // namespace

std::vector<std::string> compare_with_servers(const config::settings& settings) {
    std::vector<std::string> lines;
    net::event_loop loop;
    const std::shared_ptr<const net::tls_context> tls = server_tls_context(settings.backends.tls).context;
    std::vector<std::pair<std::unique_ptr<server_question>, demand>> asked;
    for (const auto& [host, wanted] : demand_by_host(settings)) {
        if (!wanted.who) {
            lines.push_back(fmt::format("{}:{}: not compared with its max_connections: no credentials are configured",
                                        host.first, host.second));
            continue;
        }
        server_question::settings what{
            {host.first, host.second}, *wanted.who, std::string(limits_query), false, patience};
        asked.emplace_back(std::make_unique<server_question>(loop, settings, tls, std::move(what)), wanted);
        asked.back().first->begin();
    }
    const auto all_over = [&] {
        return std::all_of(asked.begin(), asked.end(), [](const auto& each) { return each.first->over(); });
    };
    while (!all_over()) loop.run_once(50ms);
    for (const auto& [question, wanted] : asked) lines.push_back(verdict(*question, wanted, settings));
    return lines;
}

}  // namespace pgsteady
