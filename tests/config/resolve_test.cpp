// What a pair of database and user gets.

#include "config/resolve.hpp"

#include <doctest/doctest.h>

using namespace pgsteady::config;
using namespace std::chrono_literals;

namespace {

settings example() {
    settings all;
    all.backends.hosts = {{"a", 5432}};
    all.limits.max_clients_per_user = 50;
    auto& app = all.databases["app"];
    app.hosts = {{"b", 5433}};
    app.dbname = "app_prod";
    app.user = "owner";
    app.password = "secret";
    app.pool.size = 40;
    app.timeouts.statement = 5s;
    app.max_clients = 500;
    auto& report = all.users["report"];
    report.mode = pool_mode::session;
    report.pool_size = 2;
    report.statement_timeout = 10min;
    report.max_clients = 10;
    return all;
}

}  // namespace

TEST_CASE(
    "auth.query: a database may have an account, a database and a query of its own, the password going with the "
    "account") {
    settings all;
    all.auth.query.user = "asker";
    all.auth.query.password = "of asker";
    all.auth.query.database = "postgres";
    all.databases["own"].auth_user = "other";
    all.databases["partly"].auth_dbname = "users";
    CHECK(auth_query_of(all, "any") == all.auth.query);
    const auth_query_settings own = auth_query_of(all, "own");
    CHECK(own.user == "other");
    CHECK(own.password.empty());
    CHECK(own.database == "postgres");
    CHECK(auth_query_of(all, "partly").user == "asker");
    CHECK(auth_query_of(all, "partly").password == "of asker");
    CHECK(auth_query_of(all, "partly").database == "users");
    all.auth.query.user.clear();
    CHECK(looks_users_up(all));
}

TEST_CASE("a cluster goes by the values of the databases that live on its hosts, not by the global ones") {
    settings all = example();
    auto& app = all.databases["app"];
    app.pool.hold_timeout = 2s;
    app.read_only.enabled = false;
    app.breaker.failure_threshold = 50;
    const auto alone = policies_on(all, app.hosts);
    REQUIRE(alone.size() == 1);
    CHECK(common_values(alone).hold_timeout == 2s);
    CHECK_FALSE(common_values(alone).read_only.enabled);
    CHECK(common_values(alone).breaker.failure_threshold == 50);
    const auto global = policies_on(all, all.backends.hosts);
    REQUIRE(global.size() == 1);
    CHECK(common_values(global) == cluster_values{});
}

TEST_CASE("databases that share hosts: whatever makes one of them act") {
    settings all = example();
    policies one = all;
    policies other = all;
    one.pool.hold_timeout = 0ms;
    one.read_only.enabled = false;
    one.read_only.max_lag = 1s;
    one.breaker.enabled = false;
    one.breaker.failure_threshold = 1;
    other.pool.hold_timeout = 9s;
    other.read_only.max_lag = 5s;
    other.read_only.max_lag_bytes = 0;
    other.breaker.failure_threshold = 7;
    for (const auto& both : {std::vector{one, other}, std::vector{other, one}}) {
        const cluster_values common = common_values(both);
        CHECK(common.hold_timeout == 9s);
        CHECK(common.read_only == other.read_only);  // whoever does not read has no say in how old it may be
        CHECK(common.breaker == other.breaker);
    }
    one = other;
    one.read_only.max_lag = 3s;
    one.read_only.max_lag_bytes = 100;
    one.breaker.failure_threshold = 6;
    for (const auto& both : {std::vector{one, other}, std::vector{other, one}}) {
        CHECK(common_values(both).read_only == one.read_only);
        CHECK(common_values(both).breaker.failure_threshold == 6);
    }
}

TEST_CASE("pools for databases that are not listed belong to the hosts that all share") {
    settings all = example();
    auto& second = all.databases["second"];  // without hosts of its own
    second.pool.hold_timeout = 1s;
    CHECK(policies_on(all, all.backends.hosts).size() == 2);
    all.auto_pools.enabled = false;
    const auto listed = policies_on(all, all.backends.hosts);
    REQUIRE(listed.size() == 1);
    CHECK(common_values(listed).hold_timeout == 1s);
}

TEST_CASE("D7: a database that is not listed gets an automatic pool that keeps nothing warm") {
    const auto made = resolve(example(), "shop", "bob");
    REQUIRE(made);
    CHECK_FALSE(made->named);
    CHECK(made->dbname == "shop");
    CHECK(made->hosts == std::vector<host_port>{{"a", 5432}});
    CHECK(made->rules.pool.min_size == 0);
    CHECK(made->rules.pool.size == 20);
    CHECK(made->server_user.empty());
    CHECK(made->max_clients_of_user == 50);
    CHECK(made->max_clients_of_database == 0);
}

TEST_CASE("without automatic pools only listed databases exist") {
    settings all = example();
    all.auto_pools.enabled = false;
    CHECK_FALSE(resolve(all, "shop", "bob"));
    CHECK(resolve(all, "app", "bob"));
}

TEST_CASE("a listed database brings its own cluster, name, user and policies") {
    const auto made = resolve(example(), "app", "bob");
    REQUIRE(made);
    CHECK(made->named);
    CHECK(made->hosts == std::vector<host_port>{{"b", 5433}});
    CHECK(made->dbname == "app_prod");
    CHECK(made->server_user == "owner");
    CHECK(made->server_password == "secret");
    CHECK(made->rules.pool.size == 40);
    CHECK(made->rules.pool.min_size == 5);
    CHECK(made->rules.timeouts.statement == 5s);
    CHECK(made->max_clients_of_database == 500);
}

TEST_CASE("a user's values beat the database's") {
    const auto made = resolve(example(), "app", "report");
    REQUIRE(made);
    CHECK(made->rules.pool.mode == pool_mode::session);
    CHECK(made->rules.pool.size == 2);
    CHECK(made->rules.pool.min_size == 2);
    CHECK(made->rules.timeouts.statement == 10min);
    CHECK(made->max_clients_of_user == 10);
}
