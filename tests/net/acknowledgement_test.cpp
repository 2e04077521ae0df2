// A peer that acknowledges nothing is lost; one that is slow, busy or was idle is not.
#include "proxy/net/acknowledgement.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

using namespace pgsteady::net;
using namespace std::chrono_literals;

namespace {
constexpr time_point at(std::chrono::milliseconds when) { return time_point{} + 1h + when; }
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
