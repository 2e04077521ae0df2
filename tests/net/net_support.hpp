// What the tests of proxy/net share: bounded turns of a real loop, connected sockets, a handler that remembers.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/stream.hpp"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::net::test {

using kind = io_result::kind;

/// The engine that the tests are about: PGSTEADY_IO_ENGINE, as for the proxy. All of them run under each.
inline io_engine engine_under_test() {
    static const io_engine engine = [] {
        const char* const name = std::getenv("PGSTEADY_IO_ENGINE");
        if (name == nullptr || std::string_view(name) != "io_uring") return io_engine::epoll;
        std::string problem;
        if (event_loop::has_io_uring(problem)) return io_engine::io_uring;
        MESSAGE("epoll in place of io_uring: " << problem);
        return io_engine::epoll;
    }();
    return engine;
}

struct test_loop : event_loop {
    test_loop() : event_loop(engine_under_test()) {}
};

/// Turns until `happened`, at most `turns` of them; a turn waits for an event, at most 200 ms.
inline bool run_until(event_loop& loop, const std::function<bool()>& happened, int turns = 2000) {
    for (int i = 0; i < turns && !happened(); ++i) loop.run_once(std::chrono::milliseconds(200));
    return happened();
}

/// Turns that do not wait: whatever is ready now is told.
inline void run_ready(event_loop& loop, int turns = 3) {
    for (int i = 0; i < turns; ++i) loop.run_once(std::chrono::milliseconds(0));
}

/// Remembers what it was told and does what the test says.
struct recorder final : stream_handler {
    int readable = 0;
    int writable = 0;
    std::function<void()> when_readable;
    std::function<void()> when_writable;

    void on_readable() override {
        ++readable;
        if (when_readable) when_readable();
    }
    void on_writable() override {
        ++writable;
        if (when_writable) when_writable();
    }
};

struct fd_pair {
    unique_fd ours;
    unique_fd theirs;  ///< blocking
};

inline fd_pair unix_pair() {
    int fds[2] = {-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    return {unique_fd(fds[0]), unique_fd(fds[1])};
}

/// Over loopback, with small buffers so that back-pressure comes soon.
inline fd_pair tcp_pair() {
    const unique_fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listening.get(), generic, size) == 0);
    REQUIRE(::listen(listening.get(), 1) == 0);
    REQUIRE(::getsockname(listening.get(), generic, &size) == 0);
    fd_pair pair;
    pair.theirs.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(pair.theirs.get(), generic, size) == 0);
    pair.ours.reset(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(pair.ours);
    return pair;
}

inline void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        REQUIRE(sent > 0);
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

/// What is there now, without waiting; sets `ended` at FIN or reset.
inline std::string take_available(int fd, bool* ended = nullptr) {
    std::string taken;
    std::string buffer(65'536, '\0');
    for (;;) {
        const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) {
            taken.append(buffer, 0, static_cast<std::size_t>(got));
            continue;
        }
        if (ended != nullptr) *ended = got == 0 || (errno != EAGAIN && errno != EINTR);
        return taken;
    }
}

/// Everything that a stream has to give until would_block, the end or an error, which is returned.
inline io_result drain(stream& from, std::string& into, std::size_t at_once = 16'384) {
    std::string buffer(at_once, '\0');
    for (;;) {
        const io_result got = from.read(buffer);
        into.append(buffer, 0, got.bytes);
        if (got.result != kind::ok) return got;
        if (!from.readable()) return {kind::would_block};
    }
}

/// Distinct at every offset within any window, so that lost, doubled or swapped bytes are seen.
inline std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    std::uint32_t state = 0x9e3779b9U;
    for (char& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

}  // namespace pgsteady::net::test
