// What the tests of the admin room share: a snapshot with something in every field, and an HTTP client that can misbehave.
// The client blocks, with a limit of ten seconds on everything, and knows nothing that a test could rely on by accident.
#pragma once

#include "admin/admin_server.hpp"
#include "admin/observer.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace pgsteady::admin::test {

inline snapshot sample_snapshot() {
    snapshot result;
    result.version = "1.2.3";
    result.build = {.revision = "0123456789ab", .compiler = "gcc 12.2.0", .openssl = "3.0.17", .parser = "15.1"};
    result.engine = io_engine::io_uring;
    result.uptime = std::chrono::seconds(77);
    result.clients = 9;
    result.servers = 20;
    result.memory_resident_bytes = 12'345'678;
    result.workers = {{0, 4, true}, {1, 5, true}};
    pool_status pool;
    pool.database = "app";
    pool.user = "alice";
    pool.mode = "transaction";
    pool.size = 18;
    pool.max_overflow = 10;
    pool.clients = 9;
    pool.open = 20;
    pool.active = 5;
    pool.idle = 15;
    pool.waiting = 2;
    pool.oldest_wait_seconds = 0.25;
    pool.checkouts = 100;
    pool.checkins = 95;
    pool.waits = 4;
    pool.wait_seconds = 0.01;
    pool.pinned = {{7, "127.0.0.1:5000", "in_transaction", "temporary table"}};
    result.pools = {pool};
    result.backends = {{.address = "db1:5432", .reachable = true},
                       {.address = "db2:5432", .reachable = false, .last_problem = "connection refused"}};
    result.totals.clients_accepted = 12;
    result.operations = {{"select", "success", 199, {{0.001, 0.1}, {150, 40, 9}, 2.46}},
                         {"select", "error", 1, {{0.001, 0.1}, {1, 0, 0}, 0.0}}};
    result.wait_seconds = {{0.001, 0.1}, {2, 2, 0}, 0.01};
    result.connect_seconds = {{0.001, 0.1}, {0, 20, 0}, 0.2};
    return result;
}

inline void tell_incident(snapshot& to) {
    to.incidents.push_back({std::chrono::system_clock::now(), "01000001", 1, 1, "client 4 lost its server"});
    to.incidents_total = 1;
}

inline observation sample_observation() {
    observation seen;
    seen.now = sample_snapshot();
    recent_window window;
    seen.recent = window.means(recent_window::time_point{} + std::chrono::hours(1), seen.now);
    seen.taken_at = std::chrono::system_clock::time_point(std::chrono::seconds(1737369000));  // 2025-01-20T10:30:00Z
    return seen;
}

inline std::vector<std::string> keys_of(const boost::json::value& object) {
    std::vector<std::string> result;
    for (const auto& member : object.as_object()) result.emplace_back(member.key());
    return result;
}

struct http_reply {
    unsigned status = 0;                         ///< 0: the server closed without an answer
    std::map<std::string, std::string> headers;  ///< names in small letters
    std::string body;

    [[nodiscard]] boost::json::value json() const { return boost::json::parse(body); }
    [[nodiscard]] std::string header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string() : found->second;
    }
};

class http_client {
public:
    /// `window`: about as many bytes may lie unread on this side; 0: as many as the system likes.
    explicit http_client(std::uint16_t port, int window = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        if (window > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
        const timeval limit{10, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    }
    ~http_client() {
        if (fd_ >= 0) ::close(fd_);
    }
    http_client(http_client&& from) noexcept
        : fd_(std::exchange(from.fd_, -1)), connected_(from.connected_), rest_(std::move(from.rest_)) {}
    http_client& operator=(http_client&&) = delete;

    [[nodiscard]] bool connected() const { return connected_; }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// The next answer; `with_body` is false for the answer to HEAD.
    [[nodiscard]] http_reply receive(bool with_body = true) {
        http_reply result;
        while (rest_.find("\r\n\r\n") == std::string::npos)
            if (!read_more()) return result;
        const std::size_t end = rest_.find("\r\n\r\n");
        parse_head(rest_.substr(0, end + 2), result);
        rest_.erase(0, end + 4);
        const std::size_t length =
            with_body && !result.header("content-length").empty() ? std::stoul(result.header("content-length")) : 0;
        while (rest_.size() < length && read_more()) {
        }
        result.body = rest_.substr(0, length);
        rest_.erase(0, length);
        return result;
    }

    /// The data of the next frame of this name in an event stream; empty: the server has closed. Others are passed over.
    [[nodiscard]] std::string frame(const std::string& name) {
        for (;;) {
            while (rest_.find("\n\n") == std::string::npos)
                if (!read_more()) return {};
            const std::string one = rest_.substr(0, rest_.find("\n\n") + 1);
            rest_.erase(0, one.size() + 1);
            const std::size_t event = one.find("event: ");
            if (event == std::string::npos) continue;
            seen_.push_back(one.substr(event + 7, one.find('\n', event) - event - 7));
            const std::size_t data = one.find("data: ");
            if (seen_.back() == name) return one.substr(data + 6, one.find('\n', data) - data - 6);
        }
    }
    /// The names of all frames so far.
    [[nodiscard]] const std::vector<std::string>& seen_frames() const { return seen_; }

    /// Whether the server closes before it says anything more.
    [[nodiscard]] bool closed_by_server() { return rest_.empty() && !read_more(); }

private:
    bool read_more() {
        char bytes[4096];
        const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
        if (got > 0) rest_.append(bytes, static_cast<std::size_t>(got));
        return got > 0;
    }
    static void parse_head(const std::string& head, http_reply& to) {
        to.status = static_cast<unsigned>(std::stoul(head.substr(9, 3)));
        std::size_t at = head.find("\r\n") + 2;
        while (at < head.size()) {
            const std::size_t colon = head.find(": ", at);
            const std::size_t end = head.find("\r\n", at);
            std::string name = head.substr(at, colon - at);
            std::transform(name.begin(), name.end(), name.begin(),
                           [](unsigned char each) { return std::tolower(each); });
            to.headers[name] = head.substr(colon + 2, end - colon - 2);
            at = end + 2;
        }
    }

    int fd_;
    bool connected_ = false;
    std::string rest_;
    std::vector<std::string> seen_;
};

/// A server on a free port of loopback, with a sample behind it whose mode and state tests may change.
struct running_server {
    explicit running_server(config::admin_settings settings = {}, http_limits limits = {}) {
        settings.port = 0;
        limits.snapshot_age = std::chrono::milliseconds(0);
        server = std::make_unique<admin_server>(settings, hooks(), limits);
        problem = server->start();
    }

    [[nodiscard]] admin_server::hooks hooks() {
        return {.take_snapshot =
                    [this] {
                        if (failing) throw std::runtime_error("hook-secret");
                        snapshot now = sample_snapshot();
                        now.mode = mode;
                        now.state = state;
                        now.draining = draining;
                        if (tells_incidents) tell_incident(now);
                        return now;
                    },
                .take_readiness =
                    [this] {
                        return readiness{mode, draining};
                    },
                .warn =
                    [this](const std::string& line) {
                        const std::lock_guard lock(mutex);
                        warnings += line + '\n';
                    },
                .alarm = {},
                .run = orders(),
                .configuration =
                    [] {
                        return std::vector<config::effective_value>{{"pool.size", "20", "proxy.yaml:3"},
                                                                    {"admin.operate_token", "(set)", "env TOKEN"}};
                    }};
    }

    /// Commands that remember what they were ordered and answer with a change that names it.
    [[nodiscard]] commands orders() {
        commands result;
        result.change_retry = [this](const retry_order& order) {
            if (order.pool && *order.pool == "nope")
                return outcome{.what = verdict::unknown_target, .problems = {{"pool", "there is none"}}};
            const std::lock_guard lock(mutex);
            retry = order;
            return outcome{.changes = {{"app/alice", "max_retries", "3", "5"}}};
        };
        result.change_switches = [this](const switch_order& order) {
            const std::lock_guard lock(mutex);
            switches = order;
            return outcome{.changes = {{"app/alice", "guard.enabled", "true", "false"}}};
        };
        result.recover = [this] {
            const std::lock_guard lock(mutex);
            said += "recover ";
            return outcome{.did = {"probing db1:5432"}};
        };
        result.reload = [this](const std::string& who) {
            const std::lock_guard lock(mutex);
            said += "reload by " + who + ' ';
            if (reload_problem.empty())
                return reload_outcome{.did = {.changes = {{"configuration", "pool.size", "20", "30"}}},
                                      .needs_restart = {"listen.port"}};
            return reload_outcome{.did = {.what = verdict::invalid, .problems = {{"pool.siez", reload_problem}}}};
        };
        result.force_breaker = [this](const breaker_order& order) {
            const std::lock_guard lock(mutex);
            said += "breaker " + std::to_string(static_cast<int>(order.action)) + ' ' + order.scope + ' ';
            if (order.scope == "nope")
                return outcome{.what = verdict::unknown_target, .problems = {{"scope", "no such"}}};
            return outcome{.changes = {{"db1:5432", "breaker", "open", "closed"}}};
        };
        result.hold = [this](bool on) {
            const std::lock_guard lock(mutex);
            said += on ? "hold " : "resume ";
            return outcome{.changes = {{"db1:5432", "held_by_operator", on ? "false" : "true", on ? "true" : "false"}}};
        };
        result.order_pool = [this](const std::string& pool, pool_action action) {
            const std::lock_guard lock(mutex);
            said += "pool " + pool + ' ' + std::to_string(static_cast<int>(action)) + ' ';
            return outcome{.changes = {{pool, "paused", "false", "true"}}};
        };
        result.sessions = [] {
            return std::vector<session_status>{{.id = 7,
                                                .user = "al\x01ice",
                                                .database = "app",
                                                .peer = "127.0.0.1:5000",
                                                .state = "waiting",
                                                .waits_for = "all server connections are busy",
                                                .wait_seconds = 1.5}};
        };
        result.end_session = [](std::uint64_t id) {
            if (id != 7) return outcome{.what = verdict::unknown_target, .problems = {{"id", "no such"}}};
            return outcome{.did = {"session 7 is ended"}};
        };
        result.begin_switchover = [this](const switchover_order& order) {
            const std::lock_guard lock(mutex);
            said += "switchover ";
            if (order.backend == "busy")
                return outcome{.what = verdict::not_now, .problems = {{"backend", "in progress"}}};
            return outcome{.what = verdict::begun, .did = {"begun"}};
        };
        result.test_connection = [this](const test_order& order) -> std::optional<std::vector<test_result>> {
            while (blocked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            if (order.target == "nope") return std::nullopt;
            if (order.target == "throw") throw std::runtime_error("hook-secret");
            const std::lock_guard lock(mutex);
            tested = order;
            return std::vector<test_result>{
                {.target = "app/alice", .kind = "pool", .ok = true, .latency_ms = 0.5, .server_version = "15.1"},
                {.target = "db2:5432", .kind = "backend", .sqlstate = "08001", .error = "refused"}};
        };
        result.audit = [this](const std::string& line) {
            const std::lock_guard lock(mutex);
            audited += line + '\n';
        };
        return result;
    }

    /// One request on a connection of its own.
    [[nodiscard]] http_reply ask(const std::string& method, const std::string& target, const std::string& headers = {},
                                 const std::string& body = {}) const {
        http_client client(server->port());
        std::string text = method + ' ' + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers;
        if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
        client.send(text + "\r\n" + body);
        return client.receive(method != "HEAD");
    }
    [[nodiscard]] http_reply get(const std::string& target, const std::string& headers = {}) const {
        return ask("GET", target, headers);
    }
    /// An order with the operate token.
    [[nodiscard]] http_reply order(const std::string& method, const std::string& target,
                                   const std::string& body) const {
        return ask(method, target, "Authorization: Bearer operate\r\nContent-Type: application/json\r\n", body);
    }
    [[nodiscard]] std::string warned() {
        const std::lock_guard lock(mutex);
        return warnings;
    }

    std::atomic<service_mode> mode{service_mode::normal};
    std::atomic<service_state> state{service_state::connected};
    std::atomic<bool> draining{false};
    std::atomic<bool> tells_incidents{false};
    std::atomic<bool> failing{false};
    std::atomic<bool> blocked{false};
    std::mutex mutex;
    std::string warnings;
    std::string audited;
    std::string reload_problem;  ///< empty: a reload succeeds
    std::string said;            ///< which commands were given, in order
    std::optional<retry_order> retry;
    std::optional<switch_order> switches;
    std::optional<test_order> tested;
    std::unique_ptr<admin_server> server;
    std::string problem;
};

}  // namespace pgsteady::admin::test
