// Orders over HTTP: who may give them, what is taken, what is refused and how, what is logged.
#include "admin/admin_server.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;

namespace {

config::admin_settings with_tokens() {
    config::admin_settings result;
    result.operate_token = "operate";
    result.read_token = "read";
    return result;
}

constexpr const char* retry_path = "/api/database-recovery/retry-config";
constexpr const char* test_path = "/api/database-recovery/test-connection";
constexpr const char* as_json = "Content-Type: application/json\r\n";

std::vector<std::string> problem_keys(const http_reply& answer) {
    std::vector<std::string> result;
    const boost::json::value document = answer.json();
    for (const auto& each : document.at("errors").as_array()) result.emplace_back(each.at("key").as_string());
    return result;
}

}  // namespace

TEST_CASE("D36: an order needs the operate token, on loopback too") {
    running_server at(with_tokens());
    CHECK(at.ask("PUT", retry_path, as_json, "{}").status == 401);
    CHECK(at.ask("PUT", retry_path, std::string(as_json) + "Authorization: Bearer wrong\r\n", "{}").status == 401);
    CHECK(at.ask("PUT", retry_path, std::string(as_json) + "Authorization: Bearer read\r\n", "{}").status == 403);
    CHECK_FALSE(at.retry.has_value());
    CHECK(at.order("PUT", retry_path, "{}").status == 200);
    CHECK(at.retry.has_value());
    running_server without_token;
    CHECK(without_token.order("PUT", retry_path, "{}").status == 403);
}

TEST_CASE("D36: a page of another origin cannot give orders, even with the token") {
    running_server at(with_tokens());
    const std::string token = std::string(as_json) + "Authorization: Bearer operate\r\n";
    CHECK(at.ask("PUT", retry_path, token + "Origin: http://evil.example\r\n", "{}").status == 403);
    CHECK(at.ask("PUT", retry_path, token + "Sec-Fetch-Site: cross-site\r\n", "{}").status == 403);
    CHECK(at.ask("PUT", retry_path, token + "Origin: http://localhost\r\n", "{}").status == 200);
}

TEST_CASE("The retry configuration is taken as the old systems sent it") {
    running_server at(with_tokens());
    const http_reply answer =
        at.order("PUT", retry_path, R"({"max_retries": 5, "initial_delay": 0.1, "max_delay": "10s",
        "multiplier": 1.5, "strategy": "linear_backoff", "timeout": 20, "jitter": false, "pool": "app/alice"})");
    REQUIRE(answer.status == 200);
    const boost::json::value shown = answer.json();
    CHECK(shown.at("ok") == true);
    CHECK(shown.at_pointer("/changes/0/before") == "3");
    CHECK(shown.at("lasts") == "until the configuration is loaded again");
    REQUIRE(at.retry.has_value());
    CHECK(at.retry->max_retries == 5);
    CHECK(at.retry->initial_delay == 0.1);
    CHECK(at.retry->max_delay == 10);
    CHECK(at.retry->multiplier == 1.5);
    CHECK(at.retry->strategy == "linear_backoff");
    CHECK(at.retry->timeout == 20);
    CHECK(at.retry->jitter == false);
    CHECK(at.retry->pool == "app/alice");
}

TEST_CASE("Every problem of an order is told at once, and nothing is applied") {
    running_server at(with_tokens());
    const http_reply answer =
        at.order("PUT", retry_path, R"({"max_retries": -1, "initial_delay": "fast", "max_delay": 1e9,
        "multiplier": 0.5, "strategy": "hope", "jitter": 1, "retries": 3, "pool": ""})");
    CHECK(answer.status == 422);
    CHECK(answer.header("content-type") == "application/problem+json");
    CHECK(problem_keys(answer) == std::vector<std::string>{"max_retries", "initial_delay", "max_delay", "multiplier",
                                                           "strategy", "jitter", "pool", "retries"});
    CHECK_FALSE(at.retry.has_value());
    CHECK(at.audited == "");
}

TEST_CASE("What is not an order is refused with its own status") {
    running_server at(with_tokens());
    CHECK(at.order("PUT", retry_path, "{").status == 400);
    CHECK(at.order("PUT", retry_path, "[]").status == 400);
    CHECK(at.order("PUT", retry_path, std::string(50, '[') + std::string(50, ']')).status == 400);
    CHECK(at.ask("PUT", retry_path, "Authorization: Bearer operate\r\nContent-Type: text/plain\r\n", "{}").status ==
          415);
    CHECK(at.ask("PUT", retry_path, "Authorization: Bearer operate\r\n", "{}").status == 415);
    CHECK(at.order("PUT", retry_path, std::string(70'000, ' ')).status == 413);
    const http_reply unknown = at.order("PUT", retry_path, R"({"pool": "nope"})");
    CHECK(unknown.status == 404);
    CHECK(problem_keys(unknown) == std::vector<std::string>{"pool"});
    CHECK_FALSE(at.retry.has_value());
}

TEST_CASE("Every change is logged with who, what, before and after, and never with the token") {
    running_server at(with_tokens());
    CHECK(at.order("PUT", retry_path, R"({"max_retries": 5})").status == 200);
    CHECK(at.audited ==
          "127.0.0.1 with the operate token, PUT /api/database-recovery/retry-config: app/alice max_retries: 3 -> 5\n");
}

TEST_CASE("D1: the kill switches are named as in the configuration") {
    running_server at(with_tokens());
    const http_reply answer =
        at.order("PUT", "/api/v1/switches", R"({"guard.enabled": false, "recovery.enabled": true})");
    CHECK(answer.status == 200);
    REQUIRE(at.switches.has_value());
    CHECK(at.switches->guard == false);
    CHECK(at.switches->recovery == true);
    CHECK_FALSE(at.switches->breaker.has_value());
    CHECK(at.order("PUT", "/api/v1/switches", R"({"guard": false})").status == 422);
}

TEST_CASE("test-connection answers per target") {
    running_server at(with_tokens());
    const http_reply answer = at.order("POST", test_path, R"({"connection_type": "all", "test_query": "SELECT 1"})");
    REQUIRE(answer.status == 200);
    const boost::json::value shown = answer.json();
    CHECK(shown.at("ok") == false);
    CHECK(shown.at_pointer("/results/0/server_version") == "15.1");
    CHECK(shown.at_pointer("/results/0/latency_ms") == 0.5);
    CHECK(shown.at_pointer("/results/1/error/sqlstate") == "08001");
    CHECK(at.order("POST", test_path, R"({"connection_type": "nope"})").status == 404);
    CHECK(at.order("POST", test_path, "").status == 200);
    CHECK(at.tested->target == "all");
    CHECK(at.audited == "");
}

TEST_CASE("D36: without the operate token test-connection asks only what everybody may know") {
    running_server at(with_tokens());
    const std::string reader = std::string(as_json) + "Authorization: Bearer read\r\n";
    CHECK(at.ask("POST", test_path, as_json, "{}").status == 401);
    CHECK(at.ask("POST", test_path, reader, R"({"test_query": " select  version() ; "})").status == 200);
    CHECK_FALSE(at.tested->free_query);
    CHECK(at.ask("POST", test_path, reader, R"({"test_query": "SELECT 1; DROP TABLE a"})").status == 403);
    CHECK(at.order("POST", test_path, R"({"test_query": "SELECT count(*) FROM a"})").status == 200);
    CHECK(at.tested->free_query);
    CHECK(at.audited.find("query of its own") != std::string::npos);
}

TEST_CASE("A slow command holds up nobody, and only a few wait for their turn") {
    http_limits limits;
    limits.slow_commands = 2;
    running_server at(with_tokens(), limits);
    at.blocked = true;
    std::vector<http_client> waiting;
    for (int each = 0; each < 2; ++each) {
        waiting.emplace_back(at.server->port());
        waiting.back().send(
            std::string("POST ") + test_path +
            " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operate\r\nContent-Length: 0\r\n\r\n");
    }
    while (at.order("POST", test_path, "").status != 503) {
    }
    CHECK(at.get("/healthz").status == 200);
    at.blocked = false;
    for (http_client& each : waiting) CHECK(each.receive().status == 200);
    CHECK(at.order("POST", test_path, "").status == 200);
}

TEST_CASE("A command that fails inside tells nothing") {
    running_server at(with_tokens());
    const http_reply answer = at.order("POST", test_path, R"({"connection_type": "throw"})");
    CHECK(answer.status == 500);
    CHECK(answer.body.find("hook-secret") == std::string::npos);
    CHECK(at.warned().find("hook-secret") != std::string::npos);
}

TEST_CASE("Who changes something sees it in the next answer") {
    std::atomic<int> taken = 0;
    config::admin_settings settings = with_tokens();
    settings.port = 0;
    http_limits limits;
    limits.snapshot_age = std::chrono::hours(1);
    running_server other;
    admin_server server(settings,
                        {.take_snapshot =
                             [&] {
                                 ++taken;
                                 return sample_snapshot();
                             },
                         .take_readiness = [] { return readiness{}; },
                         .warn = {},
                         .alarm = {},
                         .run = other.orders()},
                        limits);
    REQUIRE(server.start().empty());
    http_client client(server.port());
    const std::string head = " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operate\r\n";
    for (int each = 0; each < 3; ++each) {
        client.send("GET /metrics" + head + "\r\n");
        CHECK(client.receive().status == 200);
    }
    CHECK(taken.load() == 1);
    client.send("PUT " + std::string(retry_path) + head + as_json + "Content-Length: 2\r\n\r\n{}");
    CHECK(client.receive().status == 200);
    client.send("GET /metrics" + head + "\r\n");
    CHECK(client.receive().status == 200);
    CHECK(taken.load() == 2);
}

TEST_CASE("Every command needs the operate token, answers with what it did and found, and leaves a line") {
    running_server at(with_tokens());
    const char* paths[] = {"/api/database-recovery/recover", "/api/database-recovery/circuit-breaker/reset",
                           "/api/v1/hold", "/api/v1/resume"};
    for (const char* path : paths) {
        INFO(path);
        CHECK(at.ask("POST", path).status == 401);
        CHECK(at.ask("POST", path, "Authorization: Bearer read\r\n").status == 403);
        CHECK(at.get(path).status == 405);
        CHECK(at.order("POST", path, R"({"unknown": 1})").status == 422);
        CHECK(at.said == "");
        const http_reply answer = at.order("POST", path, "");
        CHECK(answer.status == 200);
        const boost::json::value shown = answer.json();
        CHECK(shown.at("ok") == true);
        CHECK(shown.at_pointer("/found/mode") == "normal");
        CHECK(shown.at_pointer("/found/backends/0/backend") == "db1:5432");
        CHECK(at.audited.find(std::string("POST ") + path + ": ") != std::string::npos);
        at.said.clear();
    }
}

TEST_CASE("D5: breakers are reset, or forced for a scope that the order names") {
    running_server at(with_tokens());
    const char* path = "/api/database-recovery/circuit-breaker/reset";
    CHECK(at.order("POST", path, "{}").status == 200);
    CHECK(at.order("POST", path, R"({"action": "open", "scope": "write"})").status == 200);
    CHECK(at.order("POST", path, R"({"action": "close", "scope": "db1:5432"})").status == 200);
    CHECK(at.order("POST", path, R"({"action": "auto"})").status == 200);
    CHECK(at.said == "breaker 0 all breaker 1 write breaker 2 db1:5432 breaker 3 all ");
    CHECK(at.order("POST", path, R"({"action": "open"})").status == 422);
    CHECK(at.order("POST", path, R"({"action": "explode"})").status == 422);
    CHECK(at.order("POST", path, R"({"scope": "nope"})").status == 404);
}

TEST_CASE("D6: a switchover has begun when it is answered") {
    running_server at(with_tokens());
    CHECK(at.ask("POST", "/api/v1/switchover").status == 401);
    const http_reply answer = at.order("POST", "/api/v1/switchover", "");
    CHECK(answer.status == 202);
    CHECK(answer.json().at("done") == false);
    CHECK(at.order("POST", "/api/v1/switchover", R"({"backend": "busy"})").status == 409);
}

TEST_CASE("A pool is named in the path, encoded or not") {
    running_server at(with_tokens());
    CHECK(at.ask("POST", "/api/v1/pools/app/pause").status == 401);
    CHECK(at.order("POST", "/api/v1/pools/app%2Falice/pause", "").status == 200);
    CHECK(at.order("POST", "/api/v1/pools/app/alice/resume", "{}").status == 200);
    CHECK(at.order("POST", "/api/v1/pools/a%252Fb/reconnect", "").status == 200);
    CHECK(at.said == "pool app/alice 0 pool app/alice 1 pool a%2Fb 2 ");
    CHECK(at.order("POST", "/api/v1/pools//pause", "").status == 404);
    CHECK(at.order("POST", "/api/v1/pools/%zz/pause", "").status == 400);
    CHECK(at.order("POST", "/api/v1/pools/app/explode", "").status == 404);
    CHECK(at.order("GET", "/api/v1/pools/app/pause", "").status == 405);
}

TEST_CASE("Sessions are listed for readers and ended by operators") {
    running_server at(with_tokens());
    CHECK(at.get("/api/v1/sessions").status == 401);
    const http_reply listed = at.get("/api/v1/sessions", "Authorization: Bearer read\r\n");
    REQUIRE(listed.status == 200);
    const boost::json::value shown = listed.json();
    CHECK(shown.at_pointer("/sessions/0/session") == 7);
    CHECK(shown.at_pointer("/sessions/0/user") == "al\xEF\xBF\xBDice");
    CHECK(shown.at_pointer("/sessions/0/waits_for") == "all server connections are busy");
    CHECK(shown.at_pointer("/sessions/0/server").is_null());
    CHECK(at.ask("DELETE", "/api/v1/sessions/7", "Authorization: Bearer read\r\n").status == 403);
    CHECK(at.order("DELETE", "/api/v1/sessions/7", "").status == 200);
    CHECK(at.audited.find("session 7 is ended") != std::string::npos);
    CHECK(at.order("DELETE", "/api/v1/sessions/8", "").status == 404);
    CHECK(at.order("DELETE", "/api/v1/sessions/7x", "").status == 404);
}

TEST_CASE("A reload answers with what changed and what waits, or with all problems and nothing done") {
    running_server at(with_tokens());
    CHECK(at.ask("POST", "/api/v1/reload").status == 401);
    CHECK(at.order("POST", "/api/v1/reload", R"({"force": true})").status == 422);
    CHECK(at.said.empty());
    const http_reply done = at.order("POST", "/api/v1/reload", "");
    REQUIRE(done.status == 200);
    CHECK(done.json().at_pointer("/changes/0/what") == "pool.size");
    CHECK(done.json().at_pointer("/needs_restart/0") == "listen.port");
    CHECK(done.json().at("warnings").as_array().empty());
    CHECK(at.said == "reload by 127.0.0.1 with the operate token ");
    CHECK(at.audited.empty());  // whoever reloads writes the line
    at.reload_problem = "proxy.yaml:3: error: pool.siez: unknown key";
    const http_reply refused = at.order("POST", "/api/v1/reload", "{}");
    CHECK(refused.status == 422);
    CHECK(refused.body.find("proxy.yaml:3: error: pool.siez: unknown key") != std::string::npos);
}
