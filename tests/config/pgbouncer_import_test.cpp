// --import-pgbouncer: a configuration of PgBouncer's becomes one of ours, and what does not is said.

#include "config/pgbouncer_import.hpp"

#include "config/load.hpp"
#include "config/resolve.hpp"

#include "tests/config/temporary_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

using namespace pgsteady::config;

namespace {

using files = std::map<std::string, std::string>;

pgbouncer_import imported(const files& all) {
    return import_pgbouncer("pgbouncer.ini", [&](const std::string& path) -> std::optional<std::string> {
        const auto found = all.find(path);
        if (found == all.end()) return std::nullopt;
        return found->second;
    });
}

/// What the result says when it is loaded as ours.
settings settings_of(const pgbouncer_import& made) {
    const load_result loaded = load_text(made.yaml, "made", {});
    std::string said;
    for (const problem& each : loaded.problems) said += describe(each) + '\n';
    CHECK_MESSAGE(loaded.ok(), said);
    return loaded.settings;
}

bool notes(const pgbouncer_import& made, std::string_view text) {
    return std::any_of(made.notes.begin(), made.notes.end(),
                       [&](const std::string& each) { return each.find(text) != std::string::npos; });
}

const std::string usual = R"([databases]
; the shop
shop = host=db1,db2 port=5433 dbname='the shop' pool_size=7 pool_mode=statement
log = host=/run/db user=writer password='it''s' max_db_client_connections=9 connect_query='select ''a'''
* = host=db1

[pgbouncer]
listen_addr = *
listen_port = 6543
auth_type = scram-sha-256
auth_file = /etc/userlist.txt
pool_mode = transaction
max_client_conn = 500
default_pool_size = 15
reserve_pool_size = 3
query_wait_timeout = 12.5
tcp_user_timeout = 9000
server_reset_query = DISCARD ALL
ignore_startup_parameters = extra_float_digits
%include more.ini

[users]
ann = pool_size=2 query_timeout=3
)";

const files usual_files{{"pgbouncer.ini", usual},
                        {"more.ini", "server_idle_timeout = 60\nauth_query = select 1\n"},
                        {"/etc/userlist.txt",
                         "\"ann\" \"p\"\"w\"\n\"bob\" "
                         "\"SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\" x\n\"eve\" \"\"\n"}};

}  // namespace

TEST_CASE("import: databases, pools, limits, users and times become ours") {
    const pgbouncer_import made = imported(usual_files);
    REQUIRE(made.ok);
    const settings got = settings_of(made);
    CHECK(got.listen.host == "0.0.0.0");
    CHECK(got.listen.port == 6543);
    CHECK(got.limits.max_clients == 500);
    CHECK(got.pool.mode == pool_mode::transaction);
    CHECK(got.pool.size == 15);
    CHECK(got.pool.max_overflow == 3);
    CHECK(got.pool.min_size == 0);
    CHECK(got.pool.hold_timeout == milliseconds(12'500));
    CHECK(got.pool.idle_timeout == milliseconds(60'000));
    CHECK(got.connect.tcp_user_timeout == milliseconds(9'000));
    REQUIRE(got.backends.hosts.size() == 1);
    CHECK(got.backends.hosts[0].host == "db1");
    CHECK(got.auto_pools.enabled);
    REQUIRE(got.databases.count("shop") == 1);
    const auto& shop = got.databases.at("shop");
    REQUIRE(shop.hosts.size() == 2);
    CHECK(shop.hosts[1].host == "db2");
    CHECK(shop.hosts[1].port == 5433);
    CHECK(shop.dbname == "the shop");
    CHECK(got.databases.at("log").hosts.at(0).host == "/run/db");
    CHECK(got.databases.at("log").user == "writer");
    CHECK(got.databases.at("log").password == "it's");
    CHECK(got.databases.at("log").max_clients == 9);
    CHECK(got.databases.at("log").pool.connect_query == "select 'a'");
    CHECK(got.users.at("ann").password == "p\"w");
    CHECK(got.users.at("bob").verifier.starts_with("SCRAM"));
    CHECK(got.users.count("eve") == 0);
}

TEST_CASE("import: databases that look their users up in their own way") {
    const pgbouncer_import made = imported(
        {{"pgbouncer.ini",
          "[databases]\nown = host=db1 auth_user=asker auth_dbname=users auth_query='select u, p from users($1)'\n"
          "shared = host=db1 auth_dbname=other\n[pgbouncer]\nauth_type = scram-sha-256\nauth_file = list\n"},
         {"list", "\"asker\" \"secret\"\n"}});
    REQUIRE(made.ok);
    const settings got = settings_of(made);
    const auth_query_settings own = auth_query_of(got, "own");
    CHECK(own.user == "asker");
    CHECK(own.password == "secret");
    CHECK(own.database == "users");
    CHECK(own.sql == "select u, p from users($1)");
    CHECK_FALSE(auth_query_of(got, "shared").enabled());
    CHECK(notes(made, "pgbouncer.ini:3: auth_query: there is no auth_user for it"));
    CHECK(got.auth.method == auth_method::scram_sha_256);
}

TEST_CASE("import: what is lost is said, with its line; what nobody misses is not") {
    const pgbouncer_import made = imported(usual_files);
    CHECK(notes(made, "more.ini:2: auth_query: there is no auth_user for it"));
    CHECK(notes(made, "user eve has no password"));
    CHECK_FALSE(notes(made, "ignore_startup_parameters"));
    CHECK_FALSE(notes(made, "p\"w"));  // secrets stay in the result
}

TEST_CASE("import: PgBouncer's defaults hold where they are others than ours") {
    const settings got =
        settings_of(imported({{"pgbouncer.ini", "[databases]\nx = host=h\n[pgbouncer]\nauth_type = md5\n"}}));
    CHECK(got.pool.mode == pool_mode::session);
    CHECK(got.pool.max_overflow == 0);
    CHECK_FALSE(got.auto_pools.enabled);  // no entry *
}

TEST_CASE("import: users who are known by md5 verifiers sign in by md5") {
    const std::string ini = "[databases]\nx = host=h\n[pgbouncer]\nauth_type = md5\nauth_file = u\n";
    const std::string md5 = "\"ann\" \"md5d4d649a27c8c3a3b5be4b5ab6d0fd8a8\"\n\"bob\" \"text\"\n";
    CHECK(settings_of(imported({{"pgbouncer.ini", ini}, {"u", md5}})).auth.method == auth_method::md5);
    CHECK(settings_of(imported({{"pgbouncer.ini", ini}, {"u", "\"bob\" \"text\"\n"}})).auth.method ==
          auth_method::scram_sha_256);
}

TEST_CASE("import: who looks users up, with its password, and rules of entry") {
    const temporary_file rules("local all all md5\n");
    const std::string ini =
        "[databases]\nx = host=h\n[pgbouncer]\nauth_user = ann\nauth_dbname = y\nauth_file = u\n"
        "auth_query = SELECT u, p FROM s.f($1)\nauth_hba_file = " +
        rules.path() + '\n';
    const pgbouncer_import made = imported({{"pgbouncer.ini", ini}, {"u", "\"ann\" \"text\"\n"}});
    const settings got = settings_of(made);
    CHECK(got.auth.query.user == "ann");
    CHECK(got.auth.query.password == "text");
    CHECK(got.auth.query.database == "y");
    CHECK(got.auth.query.sql == "SELECT u, p FROM s.f($1)");
    CHECK(got.auth.method == auth_method::md5);
    CHECK(got.auth.hba_file == rules.path());
    CHECK(got.auth.hba.size() == 1);
    CHECK(notes(made, "auth_query: it runs with search_path = pg_catalog"));
}

TEST_CASE("import: odd files are told of, never guessed at") {
    const auto made =
        imported({{"pgbouncer.ini",
                   "[databases]\nx = host='h\ny = port=1\n[pgbouncer]\nauth_type = pam\nauth_file = /no\n"
                   "max_client_conn = many\nfuture_setting = 1\nserver_lifetime = soon\nnonsense\n%include gone.ini\n"
                   "[peers]\n1 = host=p\n"}});
    CHECK(made.ok);
    for (const char* each :
         {"pgbouncer.ini:2: cannot be read as a connection string", "ini:3: host: none is named",
          "auth_type: pam is not offered", "cannot read /no", "limits.max_clients", "future_setting: not known here",
          "server_lifetime: is no time", "ini:10: is neither", "cannot read gone.ini", "cancel requests"})
        CHECK_MESSAGE(notes(made, each), each);
    CHECK_FALSE(imported({}).ok);
    CHECK_FALSE(imported({{"pgbouncer.ini", "# nothing\n"}}).ok);
    CHECK(notes(imported({{"pgbouncer.ini", "%include pgbouncer.ini\n"}}), "nested too deeply"));
}
