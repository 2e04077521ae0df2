// The documents have exactly the keys that users of the old systems know.
#include "admin/documents.hpp"

#include "admin/json_text.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
using names = std::vector<std::string>;

TEST_CASE("The health document is the one of the old systems, key by key") {
    const boost::json::value expected = boost::json::parse(R"({
        "state": "connected", "last_check": "2025-01-20T10:30:00Z", "consecutive_failures": 0,
        "connections": {"total": 20, "active": 5, "idle": 15, "wait_time_ms": 2.5},
        "performance": {"success_rate": 99.5, "avg_execution_time": 12.3},
        "circuit_breaker": {"open": false, "failures": 0, "threshold": 5}})");
    const boost::json::value shown = boost::json::parse(json_text(health_document(sample_observation())));
    CHECK(shown == expected);
    CHECK(keys_of(shown) == keys_of(expected));
    for (const char* part : {"connections", "performance", "circuit_breaker"})
        CHECK(keys_of(shown.at(part)) == keys_of(expected.at(part)));
}

TEST_CASE("Health shows the breaker and the time of the last look at the backends") {
    observation seen = sample_observation();
    seen.now.last_check = seen.taken_at - std::chrono::minutes(1);
    seen.now.breaker.state = breaker_state::open;
    seen.now.breaker.failures = 6;
    seen.now.state = service_state::recovering;
    const boost::json::value shown = health_document(seen);
    CHECK(shown.at("last_check") == "2025-01-20T10:29:00Z");
    CHECK(shown.at("state") == "recovering");
    CHECK(shown.at_pointer("/circuit_breaker/open") == true);
    CHECK(shown.at_pointer("/circuit_breaker/failures") == 6);
}

TEST_CASE("Reads can be served unless the proxy is offline or reaches nothing") {
    snapshot now;
    for (const auto mode : {service_mode::normal, service_mode::holding, service_mode::read_only}) {
        now.mode = mode;
        CHECK(serves_reads(now));
    }
    now.mode = service_mode::offline;
    CHECK_FALSE(serves_reads(now));
    now.mode = service_mode::normal;
    now.state = service_state::disconnected;
    CHECK_FALSE(serves_reads(now));
}

TEST_CASE("Status shows the latest incidents, under the numbers that clients and the log have, the oldest first") {
    observation seen = sample_observation();
    for (std::uint64_t serial = 1; serial <= 25; ++serial)
        seen.now.incidents.push_back(
            {seen.taken_at, "000000" + std::to_string(10 + serial), 0, serial, "client lo\x01st it"});
    seen.now.incidents_total = 300;
    const boost::json::value shown = status_document(seen);
    CHECK(shown.at_pointer("/incidents/total") == 300);
    const boost::json::array& latest = shown.at_pointer("/incidents/latest").as_array();
    REQUIRE(latest.size() == 20);
    CHECK(latest.front().at("incident") == "00000016");
    CHECK(latest.back().at("incident") == "00000035");
    CHECK(latest.back().at("when") == "2025-01-20T10:30:00Z");
    CHECK(latest.back().at("what").as_string().find('\x01') == boost::json::string::npos);
}

TEST_CASE("Status has everything at a glance") {
    const boost::json::value shown = status_document(sample_observation());
    CHECK(keys_of(shown) == names{"state",
                                  "mode",
                                  "mode_cause",
                                  "held_by_operator",
                                  "switchover",
                                  "draining",
                                  "version",
                                  "io_engine",
                                  "uptime_seconds",
                                  "last_check",
                                  "clients",
                                  "servers",
                                  "memory_resident_bytes",
                                  "switches",
                                  "retry_config",
                                  "circuit_breaker",
                                  "backends",
                                  "pools",
                                  "retries",
                                  "replay",
                                  "in_doubt",
                                  "fences",
                                  "events",
                                  "incidents",
                                  "workers"});
    CHECK(keys_of(shown.at("switches")) ==
          names{"recovery.enabled", "breaker.enabled", "read_only.enabled", "replay.enabled", "guard.enabled"});
    CHECK(keys_of(shown.at("retry_config")) ==
          names{"max_retries", "initial_delay", "max_delay", "multiplier", "strategy", "timeout", "jitter"});
    CHECK(shown.at_pointer("/circuit_breaker/0/scope") == "all");
    CHECK(shown.at_pointer("/backends/0/backend") == "db1:5432");
    CHECK(shown.at_pointer("/backends/1/reachable") == false);
    CHECK(shown.at_pointer("/backends/1/last_problem") == "connection refused");
    CHECK(shown.at_pointer("/backends/0/lag_seconds").is_null());
    CHECK(shown.at_pointer("/mode") == "normal");
    CHECK(shown.at_pointer("/io_engine") == "io_uring");
}

TEST_CASE("Connections shows every pool with what waits and what is pinned") {
    const boost::json::value shown = connections_document(sample_observation(), std::nullopt).value();
    const boost::json::value& pool = shown.at_pointer("/pools/0");
    CHECK(keys_of(pool) == names{"pool",
                                 "database",
                                 "user",
                                 "mode",
                                 "size",
                                 "max_overflow",
                                 "open",
                                 "active",
                                 "idle",
                                 "overflow",
                                 "waiting",
                                 "utilisation_percent",
                                 "clients",
                                 "dialling",
                                 "oldest_wait_ms",
                                 "wait_time_ms",
                                 "checkouts",
                                 "checkins",
                                 "consecutive_failures",
                                 "last_problem",
                                 "pinned",
                                 "paused",
                                 "retry_config",
                                 "switches"});
    CHECK(pool.at("pool") == "app/alice");
    CHECK(pool.at("overflow") == 2);
    CHECK(pool.at("utilisation_percent") == 17.9);
    CHECK(pool.at("oldest_wait_ms") == 250.0);
    CHECK(pool.at_pointer("/pinned/0/reason") == "temporary table");
    CHECK(shown.at_pointer("/total/waiting") == 2);
}

TEST_CASE("Connections can be asked for a pool or a database") {
    const observation seen = sample_observation();
    CHECK(connections_document(seen, "app/alice"));
    CHECK(connections_document(seen, "app"));
    CHECK_FALSE(connections_document(seen, "alice"));
    CHECK_FALSE(connections_document(seen, ""));
}

TEST_CASE("A pool without capacity is not in use") {
    CHECK(utilisation(pool_status{}) == 0);
    CHECK(overflow(pool_status{}) == 0);
}

TEST_CASE("Hostile names and problems leave the document valid") {
    observation seen = sample_observation();
    seen.now.pools[0].database = "a\"\\\n\xFF";
    seen.now.pools[0].last_problem = "\x01\xC0";
    seen.now.backends[0].address = "\xE2\x82";
    for (const auto& document : {status_document(seen), connections_document(seen, std::nullopt).value()})
        CHECK_NOTHROW(static_cast<void>(boost::json::parse(json_text(document))));
}
