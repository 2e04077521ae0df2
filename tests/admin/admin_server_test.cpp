// The admin port as a client on loopback meets it.
#include "admin/admin_server.hpp"

#include "tests/admin/admin_support.hpp"

#include <thread>

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
using std::chrono::milliseconds;

namespace {

http_limits hasty() {
    http_limits result;
    result.read_timeout = milliseconds(150);
    result.write_timeout = milliseconds(1000);
    result.idle_timeout = milliseconds(300);
    return result;
}

/// As many descriptors as this process may have.
std::size_t raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

}  // namespace

TEST_CASE("Every path answers with its type") {
    running_server at;
    REQUIRE(at.problem == "");
    const std::pair<const char*, const char*> paths[] = {
        {"/", "text/plain; charset=utf-8"},
        {"/healthz", "text/plain; charset=utf-8"},
        {"/readyz", "text/plain; charset=utf-8"},
        {"/metrics", "text/plain; version=0.0.4; charset=utf-8"},
        {"/api/database-recovery/health", "application/json"},
        {"/api/database-recovery/status", "application/json"},
        {"/api/database-recovery/connections", "application/json"},
        {"/api/database-recovery/metrics", "application/json"},
        {"/api/database-recovery/alerts", "application/json"},
        {"/api/v1/monitoring/health", "application/json"},
        {"/api/v1/monitoring/dashboard", "application/json"},
        {"/api/v1/monitoring/alerts", "application/json"},
        {"/api/v1/monitoring/database", "application/json"},
        {"/api/v1/monitoring/database/pool-metrics", "application/json"},
    };
    const std::string index = at.get("/").body;
    for (const auto& [path, type] : paths) {
        INFO(path);
        const http_reply answer = at.get(path);
        CHECK(answer.status == 200);
        CHECK(answer.header("content-type") == type);
        CHECK(answer.header("cache-control") == "no-store");
        CHECK(answer.header("x-content-type-options") == "nosniff");
        CHECK(index.find(std::string(" ") + path + " ") != std::string::npos);
        const http_reply head = at.ask("HEAD", path);
        CHECK(head.status == 200);
        CHECK(std::stoul(head.header("content-length")) > 0);
    }
}

TEST_CASE("The documents come through whole") {
    running_server at;
    CHECK(at.get("/healthz").body == "ok\n");
    const boost::json::value health = at.get("/api/database-recovery/health").json();
    CHECK(health.at_pointer("/connections/total") == 20);
    CHECK(at.get("/api/database-recovery/status").json().at("version") == "1.2.3");
    CHECK(at.get("/api/database-recovery/connections?pool=app%2Falice").json().at("pools").as_array().size() == 1);
    CHECK(at.get("/api/database-recovery/connections?pool=nope").status == 404);
    CHECK(at.get("/metrics").body.find("pgsteady_build_info{version=\"1.2.3\",") != std::string::npos);
}

TEST_CASE("Metrics of a window have the keys of the old systems; the window is 1 to 60 minutes") {
    running_server at;
    const std::string path = "/api/database-recovery/metrics";
    const boost::json::value shown = at.get(path + "?time_window_minutes=5").json();
    CHECK(keys_of(shown) == std::vector<std::string>{"time_window_minutes", "covers_seconds", "connection_metrics",
                                                     "query_metrics", "recovery_metrics"});
    CHECK(shown.at("time_window_minutes") == 5);
    CHECK(shown.at("covers_seconds") == 77);
    CHECK(shown.at_pointer("/query_metrics/count") == 200);
    CHECK(shown.at_pointer("/query_metrics/success_rate") == 99.5);
    CHECK(shown.at_pointer("/query_metrics/by_operation/select/errors") == 1);
    CHECK(shown.at_pointer("/query_metrics/by_operation/select/mean_ms") == 12.3);
    CHECK(shown.at_pointer("/connection_metrics/total") == 20);
    CHECK(shown.at_pointer("/recovery_metrics/recoveries") == 0);
    CHECK(shown.at_pointer("/recovery_metrics/mean_time_to_recover_seconds").is_null());
    for (const char* wrong : {"0", "61", "-1", "ten", "5x", ""})
        CHECK_MESSAGE(at.get(path + "?time_window_minutes=" + wrong).status == 422, wrong);
}

TEST_CASE("D8: ready while holding and read-only, not when offline or draining; the body says which") {
    running_server at;
    const std::pair<service_mode, unsigned> modes[] = {{service_mode::normal, 200},
                                                       {service_mode::holding, 200},
                                                       {service_mode::read_only, 200},
                                                       {service_mode::offline, 503}};
    for (const auto& [mode, status] : modes) {
        at.mode = mode;
        const http_reply answer = at.get("/readyz");
        CHECK(answer.status == status);
        CHECK(answer.body == std::string(to_string(mode)) + "\n");
    }
    at.mode = service_mode::normal;
    at.draining = true;
    CHECK(at.get("/readyz").status == 503);
    CHECK(at.get("/readyz").body == "draining\n");
    CHECK(at.get("/healthz").status == 200);
}

TEST_CASE("Health is 503 when nothing can be served") {
    running_server at;
    at.mode = service_mode::holding;
    CHECK(at.get("/api/database-recovery/health").status == 200);
    at.state = service_state::disconnected;
    const http_reply answer = at.get("/api/database-recovery/health");
    CHECK(answer.status == 503);
    CHECK(answer.json().at("state") == "disconnected");
}

TEST_CASE("Probes do not wait for workers") {
    running_server at;
    at.failing = true;
    CHECK(at.get("/healthz").status == 200);
    CHECK(at.get("/readyz").status == 200);
}

TEST_CASE("Unknown paths and wrong methods are problems that say what to do") {
    running_server at;
    const http_reply unknown = at.get("/api/database-recovery/nothing");
    CHECK(unknown.status == 404);
    CHECK(unknown.header("content-type") == "application/problem+json");
    CHECK(unknown.json().at("status") == 404);
    for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"}) {
        const http_reply wrong = at.ask(method, "/metrics", "Content-Length: 0\r\n");
        CHECK_MESSAGE(wrong.status == 405, method);
        CHECK(wrong.header("allow") == "GET, HEAD");
    }
}

TEST_CASE("A connection is used again, for pipelined requests and after refusals too") {
    running_server at;
    http_client client(at.server->port());
    const std::string host = "Host: 127.0.0.1\r\n\r\n";
    client.send("GET /healthz HTTP/1.1\r\n" + host + "GET /nothing HTTP/1.1\r\n" + host + "HEAD / HTTP/1.1\r\n" + host);
    CHECK(client.receive().status == 200);
    CHECK(client.receive().status == 404);
    CHECK(client.receive(false).status == 200);
    client.send("GET /readyz HTTP/1.1\r\n" + host);
    CHECK(client.receive().body == "normal\n");
}

TEST_CASE("HTTP/1.0 is answered and closed") {
    running_server at;
    http_client client(at.server->port());
    client.send("GET /healthz HTTP/1.0\r\n\r\n");
    CHECK(client.receive().status == 200);
    CHECK(client.closed_by_server());
}

TEST_CASE("A body of 64 KiB is taken, a larger one is refused before it is read") {
    running_server at;
    const std::string most(64 * 1024, 'x');
    CHECK(at.ask("GET", "/healthz", "", most).status == 200);
    const http_reply refused = at.ask("GET", "/healthz", "", most + 'x');
    CHECK(refused.status == 413);
    CHECK(refused.header("content-type") == "application/problem+json");
    http_client endless(at.server->port());
    endless.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n");
    CHECK(endless.receive().status == 413);
}

TEST_CASE("A chunked body is limited too") {
    running_server at;
    http_client client(at.server->port());
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int chunk = 0; chunk < 20 && client.send("2000\r\n" + std::string(0x2000, 'x') + "\r\n"); ++chunk) {
    }
    CHECK(client.receive().status == 413);
}

TEST_CASE("A refused request's body is not waited for, and the answer still arrives") {
    running_server at;
    const http_reply answer = at.ask("POST", "/nothing", "", std::string(200 * 1024, 'x'));
    CHECK((answer.status == 413 || answer.status == 404));
    http_client client(at.server->port());
    client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n" +
                std::string(60'000, 'x'));
    CHECK(client.receive().status == 404);
    CHECK(client.closed_by_server());
}

TEST_CASE("Expect: 100-continue is told to go on, or why not") {
    running_server at;
    http_client client(at.server->port());
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(client.receive().status == 100);
    client.send("{}");
    CHECK(client.receive().status == 200);
    client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(client.receive().status == 404);
}

TEST_CASE("A head beyond 8 KiB is refused, and so is what is not HTTP") {
    running_server at;
    CHECK(at.get("/healthz", "X-Long: " + std::string(9000, 'x') + "\r\n").status == 431);
    CHECK(at.get('/' + std::string(9000, 'x')).status == 431);
    for (const char* garbage : {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
                                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
                                "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"}) {
        http_client client(at.server->port());
        client.send(garbage);
        CHECK_MESSAGE(client.receive().status == 400, garbage);
        CHECK(client.closed_by_server());
    }
}

TEST_CASE("A name that loopback does not have is refused") {
    running_server at;
    for (const char* host : {"evil.example", "evil.example:6433", ""}) {
        http_client client(at.server->port());
        client.send("GET /healthz HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n");
        CHECK_MESSAGE(client.receive().status == 403, host);
    }
    CHECK(at.get("/healthz", "Host: localhost\r\n").status == 403);
}

TEST_CASE("With a read token, reading needs it; probes and the index do not") {
    config::admin_settings settings;
    settings.read_token = "read-secret";
    settings.operate_token = "operate-secret";
    running_server at(settings);
    for (const char* path : {"/metrics", "/api/database-recovery/health", "/api/database-recovery/status",
                             "/api/database-recovery/connections"}) {
        INFO(path);
        const http_reply none = at.get(path);
        CHECK(none.status == 401);
        CHECK(none.header("www-authenticate") == "Bearer realm=\"pgsteady\"");
        CHECK(at.get(path, "Authorization: Bearer wrong-secret\r\n").status == 401);
        CHECK(at.get(path, "Authorization: Bearer read-secret\r\n").status == 200);
        CHECK(at.get(path, "Authorization: Bearer operate-secret\r\n").status == 200);
        CHECK(at.get(path, "Authorization: Bearer read-secret\r\n").body.find("-secret") == std::string::npos);
    }
    for (const char* path : {"/", "/healthz", "/readyz"}) CHECK(at.get(path).status == 200);
    CHECK(at.warned().find("with 401") != std::string::npos);
    CHECK(at.warned().find("-secret") == std::string::npos);
}

TEST_CASE("A failing hook is a 500 that tells nothing, and a warning that does") {
    running_server at;
    at.failing = true;
    const http_reply answer = at.get("/api/database-recovery/status");
    CHECK(answer.status == 500);
    CHECK(answer.body.find("hook-secret") == std::string::npos);
    CHECK(at.warned().find("hook-secret") != std::string::npos);
    at.failing = false;
    CHECK(at.get("/api/database-recovery/status").status == 200);
}

TEST_CASE("Who is slow is closed: before a byte, within a head, within a body, between requests") {
    running_server at({}, hasty());
    for (const char* part : {"", "G", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
                             "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"}) {
        http_client client(at.server->port());
        client.send(part);
        CHECK_MESSAGE(client.closed_by_server(), part);
    }
    http_client idle(at.server->port());
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(idle.receive().status == 200);
    CHECK(idle.closed_by_server());
}

TEST_CASE("Dripping bytes does not win time: the clock is that of the whole request") {
    running_server at({}, hasty());
    http_client client(at.server->port());
    bool open = true;
    for (int drip = 0; drip < 100 && open; ++drip) {
        open = client.send("X");
        std::this_thread::sleep_for(milliseconds(10));
    }
    CHECK_FALSE(open);
}

TEST_CASE("A thousand idle connections hurt nobody") {
    const std::size_t count = std::min<std::size_t>(1000, (raise_descriptor_limit() - 400) & ~std::size_t{1});
    running_server at;
    std::vector<http_client> idle;
    for (std::size_t each = 0; each < count; ++each) {
        idle.emplace_back(at.server->port());
        REQUIRE(idle.back().connected());
        if (each % 2 == 0) idle.back().send("GET /met");
    }
    const auto start = std::chrono::steady_clock::now();
    CHECK(at.get("/healthz").status == 200);
    CHECK(at.get("/metrics").status == 200);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
    CHECK(idle.front().closed_by_server());  // the longest silence gave way
    idle.back().send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(idle.back().receive().status == 200);
}

TEST_CASE("When nobody is silent, newcomers are told to come again") {
    http_limits one;
    one.connections = 0;
    running_server at({}, one);
    http_client client(at.server->port());
    const http_reply answer = client.receive();
    CHECK(answer.status == 503);
    CHECK(answer.header("retry-after") == "1");
    CHECK(answer.json().at("status") == 503);
}

TEST_CASE("Each limit of the admin port is a key of the configuration, and what meets it is counted") {
    config::admin_settings settings;
    settings.max_head = 2048;
    settings.max_body = 1024;
    settings.max_connections = 7;
    settings.max_listeners = 0;
    settings.read_timeout = milliseconds(50);
    const http_limits limits = limits_of(settings, hasty());
    CHECK(limits.connections == 7);
    CHECK(limits.idle_timeout == settings.idle_timeout);
    CHECK(limits.sample_interval == hasty().sample_interval);
    running_server at(settings, limits);
    CHECK(at.get("/healthz", "X-Long: " + std::string(3000, 'x') + "\r\n").status == 431);
    http_client full(at.server->port());
    full.send("POST /api/v1/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n");
    CHECK(full.receive().status / 100 == 4);
    CHECK(at.get("/api/v1/events").status == 503);
    http_client slow(at.server->port());
    slow.send("GET /he");
    CHECK(slow.closed_by_server());
    const std::string metrics = at.get("/metrics").body;
    for (const char* line : {"pgsteady_admin_refused_total{limit=\"listeners\"} 1\n",
                             "pgsteady_admin_refused_total{limit=\"connections\"} 0\n",
                             "pgsteady_admin_refused_total{limit=\"timeout\"} 1\n"})
        CHECK_MESSAGE(metrics.find(line) != std::string::npos, line);
    CHECK(metrics.find("pgsteady_admin_connections 0\n") == std::string::npos);  // whoever asks is one
}

TEST_CASE("Limits of a configuration that was loaded again count from the next request on; 0 is no limit of time") {
    running_server at;
    CHECK(at.get("/healthz", "X-Long: " + std::string(3000, 'x') + "\r\n").status == 200);
    config::admin_settings settings;
    settings.max_head = 2048;
    settings.read_timeout = settings.idle_timeout = settings.write_timeout = milliseconds(0);
    at.server->follow(settings, {});
    // It is told by letter, in the order in which things are told: a request that comes later finds it there.
    CHECK(at.get("/healthz").status == 200);
    CHECK(at.get("/healthz", "X-Long: " + std::string(3000, 'x') + "\r\n").status == 431);
}

TEST_CASE("Snapshots are shared by requests that come close together") {
    std::atomic<int> taken = 0;
    config::admin_settings settings;
    settings.port = 0;
    http_limits limits;
    limits.snapshot_age = std::chrono::hours(1);
    const auto take = [&] {
        ++taken;
        return sample_snapshot();
    };
    admin_server server(
        settings,
        {.take_snapshot = take, .take_readiness = [] { return readiness{}; }, .warn = {}, .alarm = {}, .run = {}},
        limits);
    REQUIRE(server.start().empty());
    http_client client(server.port());
    for (int each = 0; each < 20; ++each) {
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        CHECK(client.receive().status == 200);
    }
    CHECK(taken.load() == 1);
}

TEST_CASE("What cannot be opened is said before anything runs") {
    running_server first;
    REQUIRE(first.problem == "");
    const auto problem_with = [&](auto change) {
        config::admin_settings settings;
        settings.port = 0;
        change(settings);
        return admin_server(settings, first.hooks()).start();
    };
    CHECK(problem_with([&](auto& to) { to.port = first.server->port(); }).find("in use") != std::string::npos);
    CHECK(problem_with([](auto& to) { to.host = "0.0.0.0"; }).find("token") != std::string::npos);
    CHECK(problem_with([](auto& to) { to.tls.cert_file = "/some/file"; }).find("admin.tls") != std::string::npos);
    CHECK(problem_with([](auto& to) {
              to.host = "192.0.2.1";
              to.operate_token = "x";
          }) != "");
    CHECK(problem_with([](auto& to) { to.host = "localhost"; }) == "");
    CHECK(problem_with([](auto& to) {
              to.host = "*";
              to.operate_token = "x";
          }) == "");
}

TEST_CASE("Stopping closes every connection, twice is fine, and so is stopping what never started") {
    running_server at;
    http_client idle(at.server->port());
    http_client half(at.server->port());
    half.send("GET /hea");
    CHECK(at.get("/healthz").status == 200);
    at.server->stop();
    CHECK(idle.closed_by_server());
    CHECK(half.closed_by_server());
    at.server->stop();
    admin_server never({}, at.hooks());
    never.stop();
}
