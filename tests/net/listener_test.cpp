// listener: addresses, inherited options, and running out of descriptors without a spin.
#include "proxy/net/listener.hpp"

#include "proxy/net/socket_address.hpp"

#include "tests/net/net_support.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>

using namespace pgsteady::net;
using namespace pgsteady::net::test;

namespace {

struct accepted_list {
    std::vector<unique_fd> fds;
    std::vector<std::string> peers;
    std::vector<int> exhausted;

    listener::callbacks callbacks() {
        return {.accepted =
                    [this](int fd, std::string peer) {
                        fds.emplace_back(fd);
                        peers.push_back(std::move(peer));
                    },
                .exhausted = [this](int error_number) { exhausted.push_back(error_number); }};
    }
};

unique_fd connect_to(const std::string& host, std::uint16_t port) {
    const auto address =
        host.starts_with('/') ? socket_address::unix_socket(host, port) : socket_address::numeric(host, port);
    unique_fd fd(::socket(address->family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address->data(), address->size()) != 0) fd.reset();
    return fd;
}

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(fd, level, name, &value, &size);
    return value;
}

struct temporary_folder {
    std::string path;
    temporary_folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "pgsteady-listen-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

}  // namespace

TEST_CASE("connections are accepted ready to use, with their peer's address") {
    test_loop loop;
    accepted_list accepted;
    const auto opened = listener::open(loop, {.host = "127.0.0.1"}, accepted.callbacks());
    REQUIRE(opened.listening);
    CHECK(opened.listening->port() != 0);
    const unique_fd client = connect_to("127.0.0.1", opened.listening->port());
    REQUIRE(run_until(loop, [&] { return accepted.fds.size() == 1; }));
    CHECK(accepted.peers[0] == socket_address::local_of(client.get()).to_string());
    const int fd = accepted.fds[0].get();
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
}

TEST_CASE("a Unix socket is made where PostgreSQL's clients look, with its permissions, and removed again") {
    const temporary_folder folder;
    test_loop loop;
    accepted_list accepted;
    const std::string file = folder.path + "/.s.PGSQL.6432";
    {
        const auto opened =
            listener::open(loop, {.host = folder.path, .port = 6432, .unix_permissions = 0700}, accepted.callbacks());
        REQUIRE(opened.listening);
        CHECK(opened.listening->addresses() == std::vector<std::string>{file});
        struct stat info {};
        REQUIRE(::stat(file.c_str(), &info) == 0);
        CHECK((info.st_mode & 0777) == 0700);
        const unique_fd client = connect_to(folder.path, 6432);
        REQUIRE(run_until(loop, [&] { return accepted.fds.size() == 1; }));
        CHECK(accepted.peers[0] == "unix");
        // Someone is listening here: a second one must not take the place.
        const auto second = listener::open(loop, {.host = folder.path, .port = 6432}, accepted.callbacks());
        CHECK(second.listening == nullptr);
        CHECK(second.problem.find("Address already in use") != std::string::npos);
        CHECK(std::filesystem::exists(file));
    }
    CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("a socket file that a dead process left behind is replaced") {
    const temporary_folder folder;
    const auto address = socket_address::unix_socket(folder.path, 6432);
    {
        const unique_fd dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(::bind(dead.get(), address->data(), address->size()) == 0);
    }
    test_loop loop;
    accepted_list accepted;
    const auto opened = listener::open(loop, {.host = folder.path, .port = 6432}, accepted.callbacks());
    CHECK(opened.listening);
    CHECK(connect_to(folder.path, 6432));
}

TEST_CASE("several listeners share a port when told so, and not otherwise") {
    test_loop loop;
    accepted_list accepted;
    const auto first = listener::open(loop, {.host = "127.0.0.1", .reuse_port = true}, accepted.callbacks());
    REQUIRE(first.listening);
    const std::uint16_t port = first.listening->port();
    CHECK(
        listener::open(loop, {.host = "127.0.0.1", .port = port, .reuse_port = true}, accepted.callbacks()).listening);
    const auto alone = listener::open(loop, {.host = "127.0.0.1", .port = port}, accepted.callbacks());
    CHECK(alone.listening == nullptr);
    CHECK(alone.problem.find("cannot bind 127.0.0.1:" + std::to_string(port)) != std::string::npos);
}

TEST_CASE("\"*\" and names listen on all their addresses, at one port") {
    test_loop loop;
    for (const std::string host : {"*", "localhost"}) {
        accepted_list accepted;
        const auto opened = listener::open(loop, {.host = host}, accepted.callbacks());
        REQUIRE(opened.listening);
        for (const std::string& address : opened.listening->addresses()) {
            CHECK(address.ends_with(":" + std::to_string(opened.listening->port())));
        }
        CHECK(connect_to("127.0.0.1", opened.listening->port()));
        CHECK(run_until(loop, [&] { return accepted.fds.size() == 1; }));
    }
}

TEST_CASE("an address that is not ours is a problem with a reason") {
    test_loop loop;
    accepted_list accepted;
    const auto opened = listener::open(loop, {.host = "192.0.2.1"}, accepted.callbacks());
    CHECK(opened.listening == nullptr);
    CHECK(opened.problem.find("192.0.2.1") != std::string::npos);
}

TEST_CASE("a turn accepts its share, the next turn goes on") {
    test_loop loop;
    accepted_list accepted;
    const auto opened = listener::open(loop, {.host = "127.0.0.1", .accepts_per_turn = 3}, accepted.callbacks());
    std::vector<unique_fd> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(connect_to("127.0.0.1", opened.listening->port()));
    loop.run_once(std::chrono::milliseconds(200));
    CHECK(accepted.fds.size() == 3);
    CHECK(run_until(loop, [&] { return accepted.fds.size() == 8; }));
}

TEST_CASE("a closed listener accepts nobody and frees its port") {
    test_loop loop;
    accepted_list accepted;
    const auto opened = listener::open(loop, {.host = "127.0.0.1"}, accepted.callbacks());
    const std::uint16_t port = opened.listening->port();
    opened.listening->close();
    opened.listening->close();
    CHECK_FALSE(connect_to("127.0.0.1", port));
    CHECK(listener::open(loop, {.host = "127.0.0.1", .port = port}, accepted.callbacks()).listening);
}

TEST_CASE("without descriptors the listener says so once, pauses, and goes on when there are some") {
    test_loop loop;
    accepted_list accepted;
    const auto opened =
        listener::open(loop, {.host = "127.0.0.1", .retry_after = std::chrono::milliseconds(2)}, accepted.callbacks());
    const unique_fd first = connect_to("127.0.0.1", opened.listening->port());
    const unique_fd second = connect_to("127.0.0.1", opened.listening->port());
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const unique_fd highest(::dup(second.get()));
    const rlimit none{.rlim_cur = static_cast<rlim_t>(highest.get()) + 1, .rlim_max = before.rlim_max};
    std::vector<unique_fd> fillers;  // any gap below the limit
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) fillers.emplace_back(fd);

    loop.run_once(std::chrono::milliseconds(200));
    // Paused: the waiting connections do not make a turn return before the retry is due.
    loop.run_once(std::chrono::milliseconds(0));
    run_until(
        loop, [&] { return false; }, 4);  // a few retries fail
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK(accepted.fds.empty());
    CHECK(accepted.exhausted == std::vector<int>{EMFILE});

    CHECK(run_until(loop, [&] { return accepted.fds.size() == 2; }));
    CHECK(accepted.exhausted.size() == 1);
}
