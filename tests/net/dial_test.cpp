// dial: success, every way to fail, and cancelling at every stage.
#include "proxy/net/dial.hpp"

#include "proxy/net/listener.hpp"

#include "tests/net/net_support.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/tcp.h>

#include <filesystem>
#include <optional>

using namespace pgsteady::net;
using namespace pgsteady::net::test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct dialler {
    test_loop loop;
    std::optional<dial_result> result;
    unique_fd fd;
    int calls = 0;

    [[nodiscard]] dial_handle start(const std::string& host, std::uint16_t port, clock::duration within = seconds(5)) {
        return dial(loop, host, port, loop.now() + within, dial_options{}, [this](dial_result got) {
            ++calls;
            fd.reset(got.fd);
            result = std::move(got);
        });
    }
    bool finished() {
        return run_until(loop, [&] { return result.has_value(); });
    }
};

struct a_listener {
    std::vector<unique_fd> accepted;
    listener::opened opened;

    explicit a_listener(event_loop& loop, const std::string& host = "127.0.0.1", std::uint16_t port = 0)
        : opened(listener::open(
              loop, {.host = host, .port = port},
              {.accepted = [this](int fd, const std::string&) { accepted.emplace_back(fd); }, .exhausted = {}})) {
        REQUIRE(opened.listening);
    }
    [[nodiscard]] std::uint16_t port() const { return opened.listening->port(); }
};

/// A port of loopback at which nobody listens, held so that nobody else takes it.
struct dead_port {
    unique_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::uint16_t port = 0;
    dead_port() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
        port = ntohs(address.sin_port);
    }
};

/// A listening socket whose backlog is full: further connections get no answer.
struct deaf_port {
    dead_port place;
    std::vector<unique_fd> waiting;
    deaf_port() {
        REQUIRE(::listen(place.fd.get(), 0) == 0);
        for (int i = 0; i < 4; ++i) {
            unique_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address.sin_port = htons(place.port);
            ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
            waiting.push_back(std::move(fd));
        }
    }
};

int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(fd, level, name, &value, &size);
    return value;
}

}  // namespace

TEST_CASE("a numeric address is connected without a resolver, never from within dial, and tuned") {
    dialler d;
    a_listener there(d.loop);
    const dial_handle handle = d.start("127.0.0.1", there.port());
    CHECK(d.calls == 0);
    CHECK(handle.in_progress());
    REQUIRE(d.finished());
    CHECK_FALSE(handle.in_progress());
    REQUIRE(d.fd);
    CHECK(d.result->problem.empty());
    CHECK(d.result->error_number == 0);
    CHECK(d.result->address == "127.0.0.1:" + std::to_string(there.port()));
    const int fd = d.fd.get();
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 5);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 2);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 3);
    CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 10'000);
}

TEST_CASE("a dialled connection becomes a stream and carries data") {
    dialler d;
    a_listener there(d.loop);
    const dial_handle handle = d.start("127.0.0.1", there.port());
    REQUIRE(d.finished());
    recorder handler;
    auto s = stream::adopt(d.loop, d.fd.release(), &handler, stream::preparation::prepared);
    REQUIRE(run_until(d.loop, [&] { return there.accepted.size() == 1; }));
    send_all(there.accepted[0].get(), "hello");
    REQUIRE(run_until(d.loop, [&] { return handler.readable > 0; }));
    std::string received;
    drain(*s, received);
    CHECK(received == "hello");
}

TEST_CASE("P54: a name is resolved anew and each of its addresses is tried") {
    dialler d;
    // Only IPv4 listens; "localhost" may well give ::1 first.
    a_listener there(d.loop);
    const dial_handle handle = d.start("localhost", there.port());
    REQUIRE(d.finished());
    CHECK(d.fd);
    CHECK(d.result->address == "127.0.0.1:" + std::to_string(there.port()));
}

TEST_CASE("a Unix socket is dialled by its directory") {
    std::string folder = (std::filesystem::temp_directory_path() / "pgsteady-dial-XXXXXX").string();
    REQUIRE(::mkdtemp(folder.data()) != nullptr);
    {
        dialler d;
        a_listener there(d.loop, folder, 5432);
        const dial_handle handle = d.start(folder, 5432);
        REQUIRE(d.finished());
        CHECK(d.fd);
        CHECK(d.result->address == folder + "/.s.PGSQL.5432");
        d.result.reset();
        const dial_handle nobody = d.start(folder, 5433);
        REQUIRE(d.finished());
        CHECK(d.result->error_number == ENOENT);
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("a path that is too long is a failure, not a crash") {
    dialler d;
    const dial_handle handle = d.start("/" + std::string(300, 'x'), 5432);
    REQUIRE(d.finished());
    CHECK(d.result->error_number == ENAMETOOLONG);
    CHECK(d.result->fd == -1);
}

TEST_CASE("a refused connection says so, with the address") {
    dialler d;
    const dead_port nobody;
    const dial_handle handle = d.start("127.0.0.1", nobody.port);
    REQUIRE(d.finished());
    CHECK(d.result->fd == -1);
    CHECK(d.result->error_number == ECONNREFUSED);
    CHECK_FALSE(d.result->unresolved);
    CHECK(d.result->problem == "cannot connect to 127.0.0.1:" + std::to_string(nobody.port) + ": Connection refused");
}

TEST_CASE("an address that does not answer times out at the deadline") {
    dialler d;
    const deaf_port deaf;
    const time_point began = d.loop.now();
    const dial_handle handle = d.start("127.0.0.1", deaf.place.port, milliseconds(20));
    REQUIRE(d.finished());
    CHECK(d.result->error_number == ETIMEDOUT);
    CHECK(d.loop.now() - began >= milliseconds(20));
}

TEST_CASE("a deadline that has passed fails without trying") {
    dialler d;
    a_listener there(d.loop);
    const dial_handle handle = d.start("127.0.0.1", there.port(), -seconds(1));
    REQUIRE(d.finished());
    CHECK(d.result->error_number == ETIMEDOUT);
}

TEST_CASE("a name that does not exist is unresolved, not refused") {
    dialler d;
    const dial_handle handle = d.start("no-such-host.invalid", 5432, seconds(20));
    REQUIRE(d.finished());
    CHECK(d.result->unresolved);
    CHECK(d.result->fd == -1);
    CHECK(d.result->problem.find("no-such-host.invalid") != std::string::npos);
}

TEST_CASE("a cancelled dial never calls back, whatever it was doing") {
    const deaf_port deaf;
    const dead_port dead;
    dialler d;
    {
        dial_handle queued = d.start("127.0.0.1", dead.port);
        queued.cancel();
        { const dial_handle dropped = d.start("127.0.0.1", dead.port); }
        dial_handle resolving = d.start("localhost", dead.port);
        resolving.cancel();
        dial_handle connecting = d.start("127.0.0.1", deaf.place.port);
        run_ready(d.loop);
        connecting.cancel();
        CHECK_FALSE(connecting.in_progress());
    }
    run_ready(d.loop, 20);
    CHECK(d.calls == 0);
}

TEST_CASE("a handle may be dropped or replaced from its own callback") {
    test_loop loop;
    const dead_port dead;
    int failures = 0;
    dial_handle handle;
    std::function<void(dial_result)> again = [&](dial_result) {
        if (++failures < 3) {
            handle = dial(loop, "127.0.0.1", dead.port, loop.now() + seconds(5), dial_options{}, again);
        } else {
            handle = dial_handle();
        }
    };
    handle = dial(loop, "127.0.0.1", dead.port, loop.now() + seconds(5), dial_options{}, again);
    CHECK(run_until(loop, [&] { return failures == 3; }));
}

TEST_CASE("a loop may die while a dial is resolving or queued") {
    const dead_port dead;
    std::optional<event_loop> loop(std::in_place);
    const auto never = [](const dial_result&) { CHECK(false); };
    {
        const dial_handle queued = dial(*loop, "127.0.0.1", dead.port, loop->now() + seconds(5), dial_options{}, never);
        const dial_handle resolving =
            dial(*loop, "localhost", dead.port, loop->now() + seconds(5), dial_options{}, never);
    }
    loop.reset();
}
