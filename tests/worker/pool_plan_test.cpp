// What settings say about one user's sign-in: configured, looked up on a server, or by a rule.
#include "proxy/worker/pool_plan.hpp"

#include "protocol/md5_auth.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

using method = client_login::auth_method;
using how = config::auth_method;

config::settings settings_with_query() {
    config::settings all;
    all.backends.hosts = {{"db", 5432}};
    all.auth.method = how::scram_sha_256;
    all.auth.query.user = "asker";
    return all;
}

role_secret stored(std::string text) {
    role_secret made;
    made.known = true;
    made.text = std::move(text);
    if (!is_md5_password_hash(made.text)) made.verifier = make_scram_verifier("x", "0123456789abcdef", 1);
    return made;
}

}  // namespace

TEST_CASE("P11: who is configured here is never looked up") {
    config::settings all = settings_with_query();
    all.users["here"].password = "x";
    all.users["limited"].max_clients = 3;
    CHECK_FALSE(is_looked_up(all, how::scram_sha_256, "db", "here"));
    CHECK(is_looked_up(all, how::scram_sha_256, "db", "there"));
    CHECK(is_looked_up(all, how::md5, "db", "there"));
    CHECK(is_looked_up(all, how::scram_sha_256, "db", "limited"));  // it has limits here, and its password there
    CHECK_FALSE(is_looked_up(all, how::trust, "db", "there"));
    CHECK_FALSE(is_looked_up(all, how::passthrough, "db", "there"));
    all.databases["other"].auth_user = "asker_of_it";
    all.auth.query.user.clear();
    CHECK(is_looked_up(all, how::scram_sha_256, "other", "there"));
    CHECK_FALSE(is_looked_up(all, how::scram_sha_256, "db", "there"));
}

TEST_CASE("P13: which hosts are asked does not tell whether a database exists") {
    config::settings all = settings_with_query();
    all.auto_pools.enabled = false;
    all.databases["own"].hosts = {{"other", 5433}};
    CHECK(place_of_lookup(all, "own", "u").hosts == all.databases["own"].hosts);
    CHECK(place_of_lookup(all, "own", "u").database.empty());
    CHECK(place_of_lookup(all, "nowhere", "u").hosts == all.backends.hosts);
    all.databases["own"].auth_query = "select $1, 'x'";
    CHECK(place_of_lookup(all, "own", "u").database == "own");
}

TEST_CASE("P13: whoever does not exist is asked by SCRAM, and fails") {
    for (const how each : {how::scram_sha_256, how::md5}) {
        const auto found = credentials_of(each, "ghost", role_secret{});
        CHECK(found.method == method::scram);
        CHECK_FALSE(found.known_user);
    }
}

TEST_CASE("what is stored decides within what is allowed: md5 is no SCRAM, SCRAM is good enough for md5") {
    const std::string hash = md5_password_hash("u", "x");
    const auto weak = credentials_of(how::scram_sha_256, "u", stored(hash));
    CHECK(weak.method == method::scram);
    CHECK_FALSE(weak.verifier);
    CHECK(credentials_of(how::md5, "u", stored(hash)).md5_hash == hash);
    CHECK(credentials_of(how::md5, "u", stored("SCRAM-SHA-256$…")).method == method::scram);
    CHECK(credentials_of(how::md5, "u", stored("x")).md5_hash == hash);
    CHECK(credentials_of(how::scram_sha_256, "u", stored("x")).verifier);
}

TEST_CASE("rules: users keep their passwords for servers, and a password that is tried there may become one") {
    config::settings all = settings_with_query();
    all.users["u"].password = "x";
    all.auth.hba_file = "hba";
    const auto plan = plan_pool(all, "d", "u");
    REQUIRE(plan);
    CHECK(plan->server_password == "x");
    CHECK_FALSE(plan->password_from_client);
    CHECK_FALSE(plan_pool(all, "d", "v")->password_from_client);
    all.auth.hba.resize(1);
    all.auth.hba[0].how = config::hba_rule::method::password;
    CHECK(plan_pool(all, "d", "v")->password_from_client);
    CHECK_FALSE(plan_pool(all, "d", "u")->password_from_client);
}

TEST_CASE("P6: a pool of somebody who is looked up is never signed in to as the asking account") {
    const config::settings all = settings_with_query();
    const auto plan = plan_pool(all, "d", "u");
    REQUIRE(plan);
    CHECK(plan->server_user == "u");
    CHECK(plan->server_password.empty());
}
