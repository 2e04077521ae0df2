// What may change while the proxy runs does; what may not keeps its value and is named; no secret is shown.
#include "proxy/reload_plan.hpp"

#include "config/keys.hpp"
#include "config/load.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

config::settings loaded_from(const std::string& text) {
    const config::load_result loaded = config::load_text(text, "proxy.yaml", {});
    for (const config::problem& each : loaded.problems)
        CHECK_MESSAGE(each.level == config::severity::warning, config::describe(each));
    return loaded.settings;
}

const std::string base = "backends: {hosts: 127.0.0.1}\nusers: {app: {password: first-secret}}\n";

const admin::change* change_of(const reload_plan& plan, const std::string& key) {
    for (const admin::change& each : plan.changes)
        if (each.what == key) return &each;
    return nullptr;
}

}  // namespace

TEST_CASE("P56: the same configuration changes nothing") {
    const config::settings now = loaded_from(base);
    const reload_plan plan = plan_reload(now, loaded_from(base));
    CHECK(plan.changes.empty());
    CHECK(plan.needs_restart.empty());
    CHECK(plan.next == now);
}

TEST_CASE("Values that can change are taken, before and after are told") {
    const config::settings now = loaded_from(base);
    const reload_plan plan =
        plan_reload(now, loaded_from(base + "pool: {size: 33, hold_timeout: 7s}\nlog: {level: debug}\n"
                                            "retry: {max_retries: 5}\nguard: {enabled: false}\n"));
    CHECK(plan.needs_restart.empty());
    CHECK(plan.changes.size() == 5);
    REQUIRE(change_of(plan, "pool.size") != nullptr);
    CHECK(change_of(plan, "pool.size")->before == "20");
    CHECK(change_of(plan, "pool.size")->after == "33");
    CHECK(plan.next.pool.size == 33);
    CHECK(plan.next.pool.hold_timeout == 7s);
    CHECK_FALSE(plan.next.guard.enabled);
}

TEST_CASE("What needs a restart keeps its value and is named, and the rest changes all the same") {
    const config::settings now = loaded_from(base);
    const reload_plan plan =
        plan_reload(now, loaded_from("backends: {hosts: 127.0.0.2}\nusers: {app: {password: first-secret}}\n"
                                     "listen: {port: 7000}\nworkers: 7\npool: {mode: session, size: 14}\n"));
    std::vector<std::string> waits = plan.needs_restart;
    std::sort(waits.begin(), waits.end());
    CHECK(waits == std::vector<std::string>{"backends.hosts", "listen.port", "pool.mode", "workers"});
    CHECK(plan.next.listen.port == now.listen.port);
    CHECK(plan.next.backends.hosts == now.backends.hosts);
    CHECK(plan.next.pool.mode == now.pool.mode);
    CHECK(plan.next.pool.size == 14);
    CHECK(plan.changes.size() == 1);
}

TEST_CASE("Entries: added, removed, changed; what follows the global value is told once") {
    const config::settings now = loaded_from(base + "databases: {one: {}, two: {pool: {size: 9}}}\n");
    const reload_plan plan =
        plan_reload(now, loaded_from(base + "pool: {size: 6}\ndatabases: {one: {hosts: 127.0.0.9}, three: {}}\n"));
    CHECK(plan.needs_restart == std::vector<std::string>{"databases.one.hosts"});
    CHECK(plan.next.databases.at("one").hosts.empty());
    CHECK(plan.next.databases.at("one").pool.size == 6);
    CHECK(plan.next.databases.contains("three"));
    CHECK_FALSE(plan.next.databases.contains("two"));
    CHECK(plan.changes.size() == 3);
    CHECK(change_of(plan, "databases.two")->after == "removed");
    CHECK(change_of(plan, "databases.three")->after == "added");
    CHECK(change_of(plan, "databases.one.pool.size") == nullptr);
}

TEST_CASE("The mode of a pool is kept in entries, too, also where it follows the global one") {
    const config::settings now = loaded_from(base + "databases: {one: {}}\n");
    const reload_plan plan = plan_reload(now, loaded_from(base + "pool: {mode: session}\ndatabases: {one: {}}\n"));
    CHECK(plan.next.databases.at("one").pool.mode == config::pool_mode::transaction);
    CHECK(plan.needs_restart == std::vector<std::string>{"pool.mode"});
}

TEST_CASE("D36: a secret that changes is a change, and is not shown") {
    const config::settings now = loaded_from(base + "admin: {operate_token: token-number-one-1}\n");
    const reload_plan plan =
        plan_reload(now, loaded_from("backends: {hosts: 127.0.0.1}\nusers: {app: {password: other-secret}}\n"
                                     "admin: {operate_token: token-number-two-2}\n"));
    CHECK(plan.changes.size() == 2);
    for (const admin::change& each : plan.changes) {
        CHECK(each.before == "(hidden)");
        CHECK(each.after == "(hidden)");
    }
    CHECK(plan.next.users.at("app").password == "other-secret");
}

TEST_CASE("Every key that is kept until a restart exists") {
    std::size_t kept = 0;
    for (const config::key& row : config::keys()) kept += needs_restart(row.path) ? 1 : 0;
    CHECK(kept >= 25);
    for (const char* path :
         {"pool.size", "pool.hold_timeout", "retry.max_retries", "breaker.failure_threshold", "hold.max_clients",
          "read_only.max_lag", "recovery.enabled", "timeouts.statement", "log.level", "admin.operate_token",
          "admin.read_token", "listen.tls.cert_file", "monitor.password", "limits.max_clients"}) {
        CHECK_MESSAGE(config::find_key(path) != nullptr, path);
        CHECK_MESSAGE(!needs_restart(path), path);
    }
}
