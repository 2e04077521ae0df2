#include "proxy/test_connections.hpp"

#include "protocol/sqlstate.hpp"

#include "config/value.hpp"

#include "admin/printable.hpp"
#include "proxy/server_question.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t at_a_time = 8;
constexpr auto most_time = 20s;

struct target {
    std::string name;
    std::string kind;
    config::host_port host;
    std::optional<server_account> who;  ///< nothing: nobody who could sign in is known
};

/// Types of connections of the old systems: all of ours.
[[nodiscard]] bool means_all(std::string_view name) {
    constexpr std::array<std::string_view, 5> names{"all", "async_engine", "sync_engine", "asyncpg", "psycopg2"};
    return std::find(names.begin(), names.end(), name) != names.end();
}

[[nodiscard]] std::optional<server_account> account_of(const shared_pool& pool) {
    if (!pool.has_credentials()) return std::nullopt;
    shared_pool::secrets secrets = pool.current_secrets();
    return server_account{pool.plan.server_user, pool.plan.server_database, std::move(secrets.password),
                          std::move(secrets.scram), std::move(secrets.md5_hash)};
}

[[nodiscard]] target target_of(const shared_pool& pool) {
    const auto& hosts = pool.plan.hosts;
    return {admin::pool_name(pool.plan.database, pool.plan.user), "pool",
            hosts[pool.preferred_host.load() % hosts.size()], account_of(pool)};
}

/// Who signs in to a backend: the monitor's user, the configured one, or whoever has a pool there.
[[nodiscard]] std::optional<server_account> account_for(const proxy_state& state, const config::host_port& host) {
    const config::settings& all = state.settings();
    const std::string fallback = all.backends.database.empty() ? "postgres" : all.backends.database;
    if (!all.monitor.user.empty())
        return server_account{all.monitor.user, all.monitor.database.empty() ? fallback : all.monitor.database,
                              all.monitor.password};
    if (!all.backends.user.empty()) return server_account{all.backends.user, fallback, all.backends.password};
    for (const std::shared_ptr<shared_pool>& each : state.pools()) {
        const auto& hosts = each->plan.hosts;
        if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) continue;
        if (std::optional<server_account> found = account_of(*each)) return found;
    }
    return std::nullopt;
}

[[nodiscard]] std::vector<config::host_port> backends_of(const proxy_state& state) {
    std::vector<config::host_port> result = state.settings().backends.hosts;
    for (const auto& [name, entry] : state.settings().databases)
        for (const config::host_port& each : entry.hosts)
            if (std::find(result.begin(), result.end(), each) == result.end()) result.push_back(each);
    return result;
}

[[nodiscard]] std::vector<target> targets_named(const proxy_state& state, const std::string& name) {
    std::vector<target> result;
    const bool all = means_all(name);
    for (const std::shared_ptr<shared_pool>& each : state.pools()) {
        target made = target_of(*each);
        if (all || made.name == name || each->plan.database == name) result.push_back(std::move(made));
    }
    for (const config::host_port& each : backends_of(state)) {
        const std::string address = config::format_host(each);
        if (all || address == name) result.push_back({address, "backend", each, account_for(state, each)});
    }
    return result;
}

[[nodiscard]] admin::test_result failed(const target& of, std::string_view sqlstate, std::string message) {
    return {.target = of.name, .kind = of.kind, .sqlstate = std::string(sqlstate), .error = std::move(message)};
}

[[nodiscard]] admin::test_result result_of(const target& of, const server_question& asked) {
    if (asked.problem()) return failed(of, asked.problem()->sqlstate, asked.problem()->message);
    const auto in_ms = [](net::clock::duration time) {
        return std::chrono::duration<double, std::milli>(time).count();
    };
    return {.target = of.name,
            .kind = of.kind,
            .ok = true,
            .connect_ms = in_ms(asked.connect_time()),
            .latency_ms = in_ms(asked.query_time()),
            .server_version = asked.parameter("server_version")};
}

/// A few targets at once, each within the health check's timeout.
void test_some(proxy_state& state, const admin::test_order& order, const std::vector<target>& targets,
               std::vector<admin::test_result>& results) {
    net::event_loop loop;
    struct one {
        const target* of;
        std::unique_ptr<server_question> asked;
    };
    std::vector<one> asking;
    const std::size_t begin = results.size();
    const auto patience = state.settings().health.timeout.count() > 0 ? state.settings().health.timeout : 5s;
    for (std::size_t at = begin; at < std::min(targets.size(), begin + at_a_time); ++at) {
        const target& each = targets[at];
        asking.push_back({&each, nullptr});
        if (!each.who || !state.servers.try_take()) continue;
        server_question::settings what{each.host, *each.who, order.query, order.free_query, patience};
        asking.back().asked =
            std::make_unique<server_question>(loop, state.settings(), state.server_tls.get(), std::move(what));
        asking.back().asked->begin();
    }
    const auto busy = [](const one& each) { return each.asked != nullptr && !each.asked->over(); };
    while (std::any_of(asking.begin(), asking.end(), busy)) loop.run_once(50ms);
    for (const one& each : asking) {
        if (each.asked != nullptr) {
            state.servers.give_back();
            results.push_back(result_of(*each.of, *each.asked));
        } else if (!each.of->who) {
            results.push_back(failed(*each.of, sqlstate::invalid_authorization_specification,
                                     "nobody who could sign in is known yet"));
        } else {
            results.push_back(
                failed(*each.of, sqlstate::too_many_connections, "limits.max_server_connections is reached"));
        }
    }
}

}  // namespace

std::optional<std::vector<admin::test_result>> test_connections(proxy_state& state, const admin::test_order& order) {
    const std::vector<target> targets = targets_named(state, order.target);
    if (targets.empty() && !means_all(order.target)) return std::nullopt;
    std::vector<admin::test_result> results;
    const auto stop = std::chrono::steady_clock::now() + most_time;
    while (results.size() < targets.size()) {
        if (std::chrono::steady_clock::now() < stop) test_some(state, order, targets, results);
        else
            results.push_back(
                failed(targets[results.size()], sqlstate::query_canceled, "not tested: the others took too long"));
    }
    for (worker* each : state.workers) each->post([each] { each->room_made(); });
    return results;
}

}  // namespace pgsteady
