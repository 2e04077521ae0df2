// A peer that acknowledges nothing is lost; one that is slow, busy or was idle is not.
#include "proxy/net/acknowledgement.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

using namespace pgsteady::net;
using namespace std::chrono_literals;

namespace {
constexpr time_point at(std::chrono::milliseconds when) { return time_point{} + 1h + when; }

/// Two ends of a TCP connection on loopback.
struct tcp_pair {
    tcp_pair() {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in here{};
        here.sin_family = AF_INET;
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof here;
        REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&here), size) == 0);
        REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size) == 0);
        REQUIRE(::listen(listener, 1) == 0);
        ours = ::socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(::connect(ours, reinterpret_cast<sockaddr*>(&here), size) == 0);
        theirs = ::accept(listener, nullptr, nullptr);
        REQUIRE(theirs >= 0);
        ::close(listener);
    }
    ~tcp_pair() {
        ::close(ours);
        ::close(theirs);
    }
    tcp_pair(const tcp_pair&) = delete;
    tcp_pair& operator=(const tcp_pair&) = delete;
    /// Whatever arrives at the other end is thrown away before TCP sees it, as if the network had swallowed it.
    void swallow() const {
        sock_filter nothing{BPF_RET | BPF_K, 0, 0, 0};
        const sock_fprog program{1, &nothing};
        REQUIRE(::setsockopt(theirs, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
    }
    void let_through() const {
        const int unused = 0;
        REQUIRE(::setsockopt(theirs, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused) == 0);
    }
    int ours = -1;
    int theirs = -1;
};

/// Looks until it is true; far more patience than it can take.
template <typename Condition>
bool comes_true(Condition condition) {
    for (int look = 0; look < 3000; ++look) {
        if (condition()) return true;
        (void)::poll(nullptr, 0, 10);
    }
    return false;
}
}  // namespace

TEST_CASE("what is acknowledged is never lost, however long ago that was") {
    acknowledgement_watch watch;
    for (int second = 0; second < 100; ++second) CHECK_FALSE(watch.lost(std::nullopt, at(second * 1s), 10s));
}

TEST_CASE("a silence counts from the look that saw it first, not from the idle time before") {
    acknowledgement_watch watch;
    CHECK_FALSE(watch.lost(60s, at(0s), 10s));
    CHECK_FALSE(watch.lost(61s, at(1s), 10s));
    CHECK_FALSE(watch.lost(69'999ms, at(9'999ms), 10s));
    CHECK(watch.lost(70s, at(10s), 10s));
}

TEST_CASE("an acknowledgement between two looks begins it anew: a closed window that is probed is no dead server") {
    acknowledgement_watch watch;
    CHECK_FALSE(watch.lost(5s, at(0s), 10s));
    CHECK_FALSE(watch.lost(3s, at(9s), 10s));
    CHECK_FALSE(watch.lost(13s, at(18s), 10s));
    CHECK(watch.lost(14s, at(19s), 10s));
    CHECK_FALSE(watch.lost(std::nullopt, at(20s), 10s));
    CHECK_FALSE(watch.lost(25s, at(21s), 10s));
}

TEST_CASE("what is no TCP connection is never silent") {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) == 0);
    CHECK(::write(ends[0], "x", 1) == 1);
    CHECK_FALSE(unacknowledged_for(ends[0]));
    CHECK_FALSE(unacknowledged_for(-1));
    for (const int end : ends) ::close(end);
}

TEST_CASE("a network that swallows what is sent is seen as silence, and its return as none") {
    const tcp_pair connection;
    REQUIRE(::write(connection.ours, "x", 1) == 1);
    CHECK(comes_true([&] { return !unacknowledged_for(connection.ours); }));
    connection.swallow();
    REQUIRE(::write(connection.ours, "y", 1) == 1);
    acknowledgement_watch watch;
    const auto lost = [&] {
        return watch.lost(unacknowledged_for(connection.ours), std::chrono::steady_clock::now(), 100ms);
    };
    CHECK_FALSE(lost());
    CHECK(comes_true(lost));
    connection.let_through();
    CHECK(comes_true([&] { return !unacknowledged_for(connection.ours); }));
    CHECK_FALSE(lost());
}

TEST_CASE("a peer that does not read, and whose window is closed, acknowledges") {
    const tcp_pair connection;
    const std::array<char, 65536> plenty{};
    while (::send(connection.ours, plenty.data(), plenty.size(), MSG_DONTWAIT) > 0) {
    }
    CHECK(comes_true([&] { return !unacknowledged_for(connection.ours); }));
}
