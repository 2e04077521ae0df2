// Every table of the console from one made-up view. The columns are held against those of PgBouncer 1.18.0, as it
// describes them itself (Debian 12's package).
#include "proxy/console/show.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

console_view sample_view() {
    console_view view;
    auto settings = std::make_shared<config::settings>();
    settings->backends.hosts = {{"10.0.0.1", 5432}, {"10.0.0.2", 5432}};
    settings->databases["shop"] = {};
    settings->databases["shop"].dbname = "shop_live";
    settings->databases["shop"].user = "owner";
    settings->databases["shop"].pool.size = 7;
    settings->databases["shop"].pool.max_overflow = 3;
    settings->databases["local"].hosts = {{"/run/postgresql", 5433}};
    settings->users["alice"].password = "correct horse";
    settings->users["alice"].mode = config::pool_mode::session;
    settings->admin.admin_users = {"alice"};
    settings->admin.operate_token = "a-secret-token";
    view.settings = settings;
    view.taken_at = std::chrono::system_clock::time_point(1737369000s);  // 2025-01-20 10:30:00
    view.listen_address = "127.0.0.1";
    view.listen_port = 6432;
    view.signing_in = 1;
    view.now.version = "1.2.3";
    view.now.clients = 10;
    view.now.servers = 5;
    view.now.memory_resident_bytes = 12'345'678;
    admin::pool_status pool;
    pool.database = "shop";
    pool.user = "alice";
    pool.mode = "transaction";
    pool.clients = 9;
    pool.open = 5;
    pool.active = 3;
    pool.idle = 1;
    pool.testing = 1;
    pool.cancelling = 2;
    pool.dialling = 4;
    pool.waiting = 2;
    pool.waits_for = "all server connections are busy";
    pool.oldest_wait_seconds = 1.25;
    pool.requests = 400;
    pool.transactions = 200;
    pool.bytes_in = 1000;
    pool.bytes_out = 5000;
    pool.executing_seconds = 2;
    pool.attached_seconds = 3;
    pool.waits = 4;
    pool.wait_seconds = 0.5;
    pool.pinned = {{7, "127.0.0.1:5000", "in_transaction", "temporary table"}};
    view.now.pools = {pool};
    view.now.backends = {{.address = "10.0.0.1:5432", .reachable = true, .role = "primary", .timeline = 3},
                         {.address = "10.0.0.2:5432", .reachable = true, .role = "standby", .lag_seconds = 0.25}};
    view.clients = {{.id = 7,
                     .user = "alice",
                     .database = "shop",
                     .peer = "[::1]:5000",
                     .state = "in_transaction",
                     .pinned = "temporary table",
                     .server = "10.0.0.1:5432",
                     .server_pid = 99,
                     .age_seconds = 60,
                     .silent_seconds = 5,
                     .application_name = "till",
                     .tls = "TLSv1.3"},
                    {.id = 8,
                     .user = "alice",
                     .database = "shop",
                     .peer = "/tmp/.s",
                     .state = "waiting",
                     .waits_for = "the pool is paused",
                     .wait_seconds = 1.5}};
    view.servers = {{.user = "owner",
                     .database = "shop",
                     .pool_user = "alice",
                     .state = "serving",
                     .host = "10.0.0.1",
                     .port = 5432,
                     .pid = 99,
                     .client = 7,
                     .prepared = 12},
                    {.user = "owner",
                     .database = "shop",
                     .pool_user = "alice",
                     .state = "idle",
                     .host = "10.0.0.2",
                     .port = 5432,
                     .pid = 98,
                     .standby = true,
                     .condemned = true,
                     .idle_seconds = 30}};
    return view;
}

console_table table_of(std::string_view name) {
    const console_answer made = show_table(name, sample_view());
    REQUIRE_MESSAGE(made.table, name);
    return *made.table;
}

/// "name:type name:type …"
std::string columns_of(const console_table& table) {
    std::string text;
    for (const console_column& each : table.columns) {
        text += text.empty() ? "" : " ";
        text += std::string(each.name) + ':' +
                (each.type == console_type::text      ? "text"
                 : each.type == console_type::int4    ? "int4"
                 : each.type == console_type::numeric ? "numeric"
                                                      : "int8");
    }
    return text;
}

/// The cell, "NULL" if it is; a row is found by its first cell.
std::string cell(const console_table& table, std::string_view row, std::string_view column) {
    for (const console_row& each : table.rows) {
        if (each.cells().front() != row) continue;
        for (std::size_t i = 0; i < table.columns.size(); ++i)
            if (table.columns[i].name == column) return each.cells()[i].value_or("NULL");
    }
    return "there is no such cell";
}

std::string cell(const console_table& table, std::size_t row, std::string_view column) {
    for (std::size_t i = 0; i < table.columns.size(); ++i)
        if (table.columns[i].name == column) return table.rows.at(row).cells()[i].value_or("NULL");
    return "there is no such cell";
}

constexpr const char* connection_columns =
    "type:text user:text database:text state:text addr:text port:int4 local_addr:text local_port:int4 "
    "connect_time:text "
    "request_time:text wait:int4 wait_us:int4 close_needed:int4 ptr:text link:text remote_pid:int4 tls:text "
    "application_name:text";

struct known_table {
    std::string_view name;
    std::string columns;
};

}  // namespace

TEST_CASE("every table begins with PgBouncer 1.18's columns, in its order and types") {
    const std::string sockets =
        std::string(connection_columns) +
        " recv_pos:int4 pkt_pos:int4 pkt_remain:int4 send_pos:int4 send_remain:int4 pkt_avail:int4 "
        "send_avail:int4";
    const std::string plain =
        "database:text xact_count:numeric query_count:numeric bytes_received:numeric bytes_sent:numeric "
        "xact_time:numeric query_time:numeric wait_time:numeric";
    const known_table tables[] = {
        {"POOLS",
         "database:text user:text cl_active:int4 cl_waiting:int4 cl_active_cancel_req:int4 cl_waiting_cancel_req:int4 "
         "sv_active:int4 sv_active_cancel:int4 sv_being_canceled:int4 sv_idle:int4 sv_used:int4 sv_tested:int4 "
         "sv_login:int4 maxwait:int4 maxwait_us:int4 pool_mode:text"},
        {"CLIENTS", connection_columns},
        {"SERVERS", connection_columns},
        {"SOCKETS", sockets},
        {"ACTIVE_SOCKETS", sockets},
        {"DATABASES",
         "name:text host:text port:int4 database:text force_user:text pool_size:int4 min_pool_size:int4 "
         "reserve_pool:int4 pool_mode:text max_connections:int4 current_connections:int4 paused:int4 disabled:int4"},
        {"STATS",
         "database:text total_xact_count:numeric total_query_count:numeric total_received:numeric total_sent:numeric "
         "total_xact_time:numeric total_query_time:numeric total_wait_time:numeric avg_xact_count:numeric "
         "avg_query_count:numeric avg_recv:numeric avg_sent:numeric avg_xact_time:numeric avg_query_time:numeric "
         "avg_wait_time:numeric"},
        {"STATS_TOTALS", plain},
        {"STATS_AVERAGES", plain},
        {"TOTALS", "name:text value:numeric"},
        {"CONFIG", "key:text value:text default:text changeable:text"},
        {"VERSION", "version:text"},
        {"USERS", "name:text pool_mode:text"},
        {"LISTS", "list:text items:int4"},
        {"DNS_HOSTS", "hostname:text ttl:int8 addrs:text"},
        {"DNS_ZONES", "zonename:text serial:int8 count:int4"},
        {"STATE", "key:text value:text"},
    };
    for (const known_table& each : tables) {
        const console_table made = table_of(each.name);
        const std::string columns = columns_of(made);
        CHECK_MESSAGE(columns.substr(0, each.columns.size()) == each.columns, each.name);
        for (const console_row& row : made.rows) CHECK_MESSAGE(row.cells().size() == made.columns.size(), each.name);
    }
    // Memory beyond 2 GiB does not fit into PgBouncer's int4.
    CHECK(columns_of(table_of("MEM")) == "name:text size:int4 used:int4 free:int4 memtotal:int8");
}

TEST_CASE("tables that need lists from the workers say so, the others do not") {
    CHECK(needs_of_table("CLIENTS")->clients);
    CHECK(needs_of_table("SERVERS")->servers);
    CHECK(needs_of_table("SOCKETS")->clients);
    CHECK_FALSE(needs_of_table("POOLS")->clients);
    CHECK_FALSE(needs_of_table("NO_SUCH"));
}

TEST_CASE("SHOW POOLS tells what clients and servers do, and why clients wait") {
    const console_table pools = table_of("POOLS");
    REQUIRE(pools.rows.size() == 1);
    CHECK(cell(pools, "shop", "user") == "alice");
    CHECK(cell(pools, "shop", "cl_active") == "7");
    CHECK(cell(pools, "shop", "cl_waiting") == "2");
    CHECK(cell(pools, "shop", "sv_active") == "3");
    CHECK(cell(pools, "shop", "sv_idle") == "1");
    CHECK(cell(pools, "shop", "sv_tested") == "1");
    CHECK(cell(pools, "shop", "sv_being_canceled") == "2");
    CHECK(cell(pools, "shop", "sv_login") == "4");
    CHECK(cell(pools, "shop", "maxwait") == "1");
    CHECK(cell(pools, "shop", "maxwait_us") == "250000");
    CHECK(cell(pools, "shop", "pool_mode") == "transaction");
    CHECK(cell(pools, "shop", "waits_for") == "all server connections are busy");
    CHECK(cell(pools, "shop", "pinned") == "1");
    CHECK(cell(pools, "shop", "last_problem") == "NULL");
}

TEST_CASE("SHOW CLIENTS says why a client waits or keeps its server") {
    const console_table clients = table_of("CLIENTS");
    REQUIRE(clients.rows.size() == 2);
    CHECK(cell(clients, 0, "state") == "active");
    CHECK(cell(clients, 0, "activity") == "in_transaction");
    CHECK(cell(clients, 0, "addr") == "::1");
    CHECK(cell(clients, 0, "port") == "5000");
    CHECK(cell(clients, 0, "local_port") == "6432");
    CHECK(cell(clients, 0, "connect_time") == "2025-01-20 10:29:00 UTC");
    CHECK(cell(clients, 0, "request_time") == "2025-01-20 10:29:55 UTC");
    CHECK(cell(clients, 0, "application_name") == "till");
    CHECK(cell(clients, 0, "tls") == "TLSv1.3");
    CHECK(cell(clients, 0, "id") == "7");
    CHECK(cell(clients, 0, "pinned") == "temporary table");
    CHECK(cell(clients, 0, "waits_for") == "NULL");
    CHECK(cell(clients, 1, "state") == "waiting");
    CHECK(cell(clients, 1, "addr") == "unix");
    CHECK(cell(clients, 1, "wait") == "1");
    CHECK(cell(clients, 1, "wait_us") == "500000");
    CHECK(cell(clients, 1, "waits_for") == "the pool is paused");
    CHECK(cell(clients, 1, "link").empty());
}

TEST_CASE("SHOW SERVERS has role and lag, and links that match those of the clients") {
    const console_table servers = table_of("SERVERS");
    const console_table clients = table_of("CLIENTS");
    CHECK(cell(servers, 0, "state") == "active");
    CHECK(cell(servers, 0, "ptr") == cell(clients, 0, "link"));
    CHECK(cell(servers, 0, "link") == cell(clients, 0, "ptr"));
    CHECK(cell(servers, 0, "remote_pid") == "99");
    CHECK(cell(servers, 0, "prepared_statements") == "12");
    CHECK(cell(servers, 0, "role") == "primary");
    CHECK(cell(servers, 0, "lag") == "NULL");
    CHECK(cell(servers, 1, "state") == "idle");
    CHECK(cell(servers, 1, "role") == "standby");
    CHECK(cell(servers, 1, "lag") == "0.250");
    CHECK(cell(servers, 1, "close_needed") == "1");
}

TEST_CASE("SHOW DATABASES lists configured databases and those that have pools") {
    console_view view = sample_view();
    view.now.pools.push_back(view.now.pools.front());
    view.now.pools.back().database = "automatic";
    view.now.disabled_databases = {"shop"};
    view.now.paused_databases = {"local"};
    const console_table all = *show_table("DATABASES", view).table;
    CHECK(all.rows.size() == 3);
    CHECK(cell(all, "shop", "host") == "10.0.0.1,10.0.0.2");
    CHECK(cell(all, "shop", "database") == "shop_live");
    CHECK(cell(all, "shop", "force_user") == "owner");
    CHECK(cell(all, "shop", "pool_size") == "7");
    CHECK(cell(all, "shop", "reserve_pool") == "3");
    CHECK(cell(all, "shop", "current_connections") == "5");
    CHECK(cell(all, "shop", "disabled") == "1");
    CHECK(cell(all, "shop", "paused") == "0");
    CHECK(cell(all, "local", "host") == "NULL");
    CHECK(cell(all, "local", "port") == "5433");
    CHECK(cell(all, "local", "paused") == "1");
    CHECK(cell(all, "automatic", "force_user") == "NULL");
}

TEST_CASE("SHOW STATS has totals since start, and means of the last minute") {
    console_view view = sample_view();
    console_totals recent;
    recent.requests = 100;
    recent.transactions = 50;
    recent.executing_seconds = 0.2;
    recent.waits = 2;
    recent.wait_seconds = 0.01;
    view.recent = {10, {{"shop", recent}}};
    const console_table stats = *show_table("STATS", view).table;
    CHECK(cell(stats, "shop", "total_query_count") == "400");
    CHECK(cell(stats, "shop", "total_xact_count") == "200");
    CHECK(cell(stats, "shop", "total_query_time") == "2000000");
    CHECK(cell(stats, "shop", "total_xact_time") == "3000000");
    CHECK(cell(stats, "shop", "total_wait_time") == "500000");
    CHECK(cell(stats, "shop", "avg_query_count") == "10");
    CHECK(cell(stats, "shop", "avg_query_time") == "2000");
    CHECK(cell(stats, "shop", "avg_wait_time") == "5000");
    CHECK(cell(stats, "shop", "avg_recv") == "0");
    CHECK(cell(stats, "shop", "total_requests") == "400");  // Debian's exporter reads this one
    const console_table totals = *show_table("TOTALS", view).table;
    CHECK(cell(totals, "total_query_count", "value") == "400");
    CHECK(cell(totals, "avg_query_time", "value") == "2000");
    CHECK(cell(*show_table("STATS_AVERAGES", view).table, "shop", "query_count") == "10");
    // A process too young for an average has none, and no division by nothing.
    CHECK(cell(table_of("STATS"), "shop", "avg_query_count") == "0");
}

TEST_CASE("SHOW CONFIG never shows a secret") {
    const console_table all = table_of("CONFIG");
    for (const console_row& row : all.rows)
        for (const auto& each : row.cells()) CHECK(each.value_or("").find("a-secret-token") == std::string::npos);
    CHECK(cell(all, "admin.operate_token", "value") == "(set)");
    CHECK(cell(all, "pool.size", "value") == "20");
    CHECK(cell(all, "log.level", "changeable") == "yes");
    CHECK(cell(all, "max_client_conn", "value") == "10000");
}

TEST_CASE("SHOW LISTS, USERS, STATE and VERSION") {
    const console_table lists = table_of("LISTS");
    CHECK(lists.rows.size() == 12);
    CHECK(cell(lists, "used_clients", "items") == "9");
    CHECK(cell(lists, "login_clients", "items") == "1");
    CHECK(cell(lists, "used_servers", "items") == "5");
    CHECK(cell(table_of("USERS"), "alice", "pool_mode") == "session");
    CHECK(cell(table_of("USERS"), "alice", "console") == "admin");
    CHECK(cell(table_of("STATE"), "active", "value") == "yes");
    CHECK(cell(table_of("STATE"), "service", "value") == "normal");
    CHECK(cell(table_of("STATE"), "io_engine", "value") == "epoll");
    CHECK(table_of("VERSION").rows.front().cells().front() == "pgsteady 1.2.3 (console of PgBouncer 1.18.0)");
    CHECK(cell(table_of("BACKENDS"), "10.0.0.1:5432", "role") == "primary");
}

TEST_CASE("what is not there is answered with a hint, and descriptors are not handed over") {
    const console_answer unknown = show_table("POOL", sample_view());
    REQUIRE(unknown.error);
    CHECK(unknown.error->sqlstate == "42601");
    CHECK(unknown.error->hint.find("SHOW POOLS") != std::string::npos);
    CHECK(show_table("FDS", sample_view()).error->sqlstate == "0A000");
    const console_answer help = show_table("HELP", sample_view());
    CHECK(help.notices.size() == 1);
    CHECK_FALSE(help.table);
    CHECK_FALSE(help.error);
}

TEST_CASE("averages cover the last minute, and less while the process is young") {
    console_averages averages;
    const console_averages::time_point start{std::chrono::hours(1)};
    const auto totals = [](double requests) { return totals_by_database{{"shop", {.requests = requests}}}; };
    CHECK(averages.since_oldest(start, totals(5)).seconds == 0);
    averages.record(start, totals(0));
    averages.record(start + 1s, totals(1000));  // too soon: left out
    const auto young = averages.since_oldest(start + 20s, totals(40));
    CHECK(young.seconds == doctest::Approx(20));
    CHECK(young.happened.at("shop").requests == doctest::Approx(40));
    for (int i = 1; i <= 30; ++i) averages.record(start + i * 10s, totals(i * 10));
    const auto old = averages.since_oldest(start + 301s, totals(301));
    CHECK(old.seconds == doctest::Approx(61));
    CHECK(old.happened.at("shop").requests == doctest::Approx(61));
    // A pool that was dropped and made again counts from nothing, not backwards.
    CHECK(averages.since_oldest(start + 301s, totals(3)).happened.at("shop").requests == 0);
}
