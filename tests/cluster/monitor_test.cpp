// The monitor over real sockets: a thread plays PostgreSQL hosts that answer, refuse, fall silent and come back.
#include "proxy/cluster/monitor.hpp"

#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

std::string frame(char type, const std::string& body) {
    std::string out;
    {
        const frame_builder one(out, type);
        out += body;
    }
    return out;
}

std::string number(std::int32_t value) {
    std::string out;
    put_i32(out, value);
    return out;
}

/// One host. What it does may be changed at any time.
class fake_host {
public:
    std::atomic<bool> standby{false};
    std::atomic<int> timeline{1};
    std::atomic<bool> silent{false};     ///< takes queries and does not answer
    std::atomic<bool> humble{false};     ///< refuses every query but the least
    std::atomic<bool> full_disk{false};  ///< 53100 to whoever writes
    std::atomic<int> writes{0};
    std::atomic<bool> not_ready{false};  ///< 57P03 to whoever signs in
    std::atomic<int> sign_ins{0};

    fake_host() {
        listen(0);
        thread_ = std::thread([this] { run(); });
    }
    ~fake_host() {
        over_ = true;
        thread_.join();
        drop();
        ::close(listening_);
    }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// Every connection ends, as if each had been terminated.
    void drop() {
        const std::scoped_lock lock(mutex_);
        for (const auto& [fd, in] : clients_) ::close(fd);
        clients_.clear();
    }

private:
    void listen(std::uint16_t port) {
        listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::listen(listening_, 16) == 0);
        REQUIRE(::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port_ = ntohs(address.sin_port);
    }
    void run() {
        while (!over_) {
            pollfd incoming{listening_, POLLIN, 0};
            if (::poll(&incoming, 1, 2) > 0) {
                const std::scoped_lock lock(mutex_);
                clients_[::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)];
            }
            const std::scoped_lock lock(mutex_);
            for (auto each = clients_.begin(); each != clients_.end();) {
                if (serve(each->first, each->second)) ++each;
                else {
                    ::close(each->first);
                    each = clients_.erase(each);
                }
            }
        }
    }
    bool serve(int fd, std::string& in) {
        char chunk[4096];
        const ssize_t got = ::recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
        if (got > 0) in.append(chunk, static_cast<std::size_t>(got));
        while (in.size() >= 5) {
            const bool startup = in[0] == '\0';
            const std::size_t size = startup ? load_u32(in.data()) : load_u32(in.data() + 1) + 1;
            if (in.size() < size) return true;
            const std::string message = in.substr(0, size);
            in.erase(0, size);
            const std::string answer = startup ? welcome() : reply(message);
            if (!answer.empty() && ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return false;
            if (startup && not_ready) return false;
        }
        return true;
    }
    std::string welcome() {
        std::string refusal;
        append_error_response(refusal, fatal_error("57P03", "starting up"));
        if (not_ready) return refusal;
        ++sign_ins;
        return frame('R', number(0)) + frame('K', number(7) + number(8)) + frame('Z', "I");
    }
    std::string reply(const std::string& message) {
        if (silent || message[0] != 'Q') return {};
        if (message.find("SET ") == 5) return frame('C', std::string("SET\0", 4)) + frame('Z', "I");
        if (message.find("pgsteady_write_probe") != std::string::npos) {
            ++writes;
            error_fields full = plain_error("53100", "could not extend file");
            full.others.emplace_back('R', "mdextend");
            std::string answer;
            if (full_disk) append_error_response(answer, full);
            return (full_disk ? answer : frame('C', std::string("SELECT 128\0", 11))) + frame('Z', "I");
        }
        const bool least = message.find("SELECT pg_is_in_recovery()") == 5;
        std::string refusal;
        append_error_response(refusal, plain_error("42501", "permission denied"));
        if (humble && !least) return refusal + frame('Z', "I");
        char hexadecimal[16];
        std::snprintf(hexadecimal, sizeof hexadecimal, "%08X", timeline.load());
        std::vector<std::string> values{standby ? "t" : "f"};
        if (!least)
            values.insert(values.end(), {standby ? "" : hexadecimal, "2026-01-01", standby ? "" : "1000",
                                         standby ? "1000" : "", standby ? "1000" : ""});
        std::string body;
        put_u16(body, static_cast<std::uint16_t>(values.size()));
        for (const std::string& each : values) body += number(static_cast<std::int32_t>(each.size())) + each;
        return frame('D', body) + frame('C', std::string("SELECT 1\0", 9)) + frame('Z', "I");
    }

    std::mutex mutex_;
    std::map<int, std::string> clients_;
    int listening_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

/// A monitor over such hosts.
struct rig {
    explicit rig(const std::vector<fake_host*>& hosts, bool with_account = true) {
        cluster_options how;
        for (const fake_host* each : hosts) how.hosts.push_back({"127.0.0.1", each->port()});
        how.monitor.timeout = 300ms;
        how.monitor.interval = 50ms;
        how.monitor.fast_interval = 10ms;
        how.values.hold_timeout = 400ms;
        how.sign_in.tls = server_login::tls_mode::disable;
        how.login = [with_account](std::size_t) {
            return with_account ? std::optional(monitor_login{"watcher", "", "postgres"}) : std::nullopt;
        };
        how.random_bytes = [](std::size_t count) { return std::string(count, 'r'); };
        how.changed = [this](const cluster&, const cluster::view_ptr&) { ++changes; };
        how.tell = [this](const cluster_event& event) {
            const std::scoped_lock lock(mutex);
            told.push_back(event.name);
        };
        watched = watching.watch(std::move(how));
        watching.start();
    }
    ~rig() { watching.stop(); }
    [[nodiscard]] bool becomes(const std::function<bool(const cluster_view&)>& as_wished) const {
        for (int i = 0; i < 2500; ++i) {
            if (as_wished(*watched->view())) return true;
            std::this_thread::sleep_for(2ms);
        }
        return false;
    }
    [[nodiscard]] bool has_told(const std::string& name) {
        const std::scoped_lock lock(mutex);
        return std::find(told.begin(), told.end(), name) != told.end();
    }

    std::atomic<int> changes{0};
    std::mutex mutex;
    std::vector<std::string> told;
    monitor watching;
    std::shared_ptr<cluster> watched;
};

auto primary_is(std::size_t index) {
    return [index](const cluster_view& view) { return view.primary == index && view.mode == service_mode::normal; };
}

}  // namespace

TEST_CASE("roles are found, samples are counted, and a promotion is followed") {
    fake_host a;
    fake_host b;
    b.standby = true;
    rig all({&a, &b});
    REQUIRE(all.becomes(primary_is(0)));
    REQUIRE(all.becomes([](const cluster_view& view) { return view.readable == std::vector<std::size_t>{1}; }));
    const std::uint64_t sample = all.watched->newest_sample();
    REQUIRE(all.becomes([&](const cluster_view&) { return all.watched->newest_sample() > sample; }));
    a.not_ready = true;
    a.drop();
    REQUIRE(all.becomes([](const cluster_view& view) { return view.mode == service_mode::holding; }));
    b.timeline = 2;
    b.standby = false;
    CHECK(all.becomes(primary_is(1)));
    CHECK(all.has_told("primary_moved"));
    a.not_ready = false;
    CHECK(all.becomes([](const cluster_view& view) { return view.hosts[0].role == host_role::primary; }));
    CHECK(all.becomes(primary_is(1)));
    CHECK(all.changes > 0);
    CHECK_FALSE(all.watched->recent_events().empty());
}

TEST_CASE("connections that end are opened again, and nothing else happens") {
    fake_host a;
    rig all({&a});
    REQUIRE(all.becomes(primary_is(0)));
    for (int i = 0; i < 3; ++i) {
        const int before = a.sign_ins;
        a.drop();
        REQUIRE(all.becomes([&](const cluster_view&) { return a.sign_ins > before; }));
        REQUIRE(all.becomes([](const cluster_view& view) { return view.hosts[0].reachable; }));
    }
    CHECK_FALSE(all.has_told("primary_lost"));
}

TEST_CASE("F12: a host that falls silent is lost, then offline, and found again") {
    fake_host a;
    rig all({&a});
    REQUIRE(all.becomes(primary_is(0)));
    a.silent = true;
    CHECK(all.becomes([](const cluster_view& view) { return view.hosts[0].silent && !view.primary; }));
    CHECK(all.becomes([](const cluster_view& view) { return view.mode == service_mode::offline; }));
    a.silent = false;
    CHECK(all.becomes(primary_is(0)));
}

TEST_CASE("an account with few rights learns the role from a lesser probe") {
    fake_host a;
    a.humble = true;
    rig all({&a});
    CHECK(all.becomes(primary_is(0)));
    CHECK(all.watched->view()->timeline == 0);
}

TEST_CASE("D10: without an account nothing is dialled until a pool has met a failure") {
    fake_host a;
    rig all({&a}, false);
    all.watched->report({0, host_report::what::opened, {}, host_role::primary, 3, {}});
    CHECK(all.becomes(primary_is(0)));
    CHECK_FALSE(all.watched->view()->informed);
    CHECK(a.sign_ins == 0);
}

TEST_CASE("operators' orders reach the cluster from any thread") {
    fake_host a;
    rig all({&a});
    REQUIRE(all.becomes(primary_is(0)));
    all.watched->hold(true);
    CHECK(all.becomes(
        [](const cluster_view& view) { return view.held_by_operator && view.mode == service_mode::holding; }));
    all.watched->hold(false);
    CHECK(all.becomes(primary_is(0)));
    CHECK(all.watched->force("write", breaker_force::open));
    CHECK(all.becomes([](const cluster_view& view) { return view.mode == service_mode::read_only; }));
    CHECK(all.watched->force("write", breaker_force::automatic));
    CHECK(all.becomes(primary_is(0)));
    CHECK_FALSE(all.watched->force("nowhere:1", breaker_force::open));
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i)
        threads.emplace_back([&all, i] {
            for (int n = 0; n < 200; ++n) {
                all.watched->report(
                    {0, host_report::what::lost, judge(failure_kind::closed, failure_phase::statement), {}, 0, "EOF"});
                all.watched->waiting(i, static_cast<std::size_t>(n % 2));
                (void)all.watched->view();
            }
        });
    for (std::thread& each : threads) each.join();
    CHECK(all.becomes(primary_is(0)));
}

TEST_CASE("2.12: a primary whose disk is full is tried by the monitor until it can write again") {
    fake_host a;
    rig all({&a});
    REQUIRE(all.becomes(primary_is(0)));
    CHECK(a.writes == 0);
    a.full_disk = true;
    for (int i = 0; i < 3; ++i) all.watched->report({0, host_report::what::storage_failing, {}, {}, 1, {}});
    REQUIRE(all.becomes([](const cluster_view& view) { return view.mode == service_mode::read_only; }));
    REQUIRE(all.becomes([&](const cluster_view&) { return a.writes > 0; }));
    CHECK(all.watched->view()->mode == service_mode::read_only);
    a.full_disk = false;
    all.watched->recover();  // else it is tried in two seconds
    CHECK(all.becomes(primary_is(0)));
    CHECK(a.writes >= 3);
    CHECK_FALSE(all.has_told("primary_lost"));
}

TEST_CASE("a monitor that is stopped lets its clusters be asked") {
    fake_host a;
    std::shared_ptr<cluster> kept;
    {
        rig all({&a});
        REQUIRE(all.becomes(primary_is(0)));
        kept = all.watched;
    }
    kept->report({0, host_report::what::lost, judge(failure_kind::closed, failure_phase::statement), {}, 0, "EOF"});
    kept->recover();
    CHECK(kept->view()->hosts.size() == 1);
}
