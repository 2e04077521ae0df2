// Sockets that go from one process to another: messages with descriptors, and a listener that goes on where one stopped.
#include "proxy/net/descriptor_mail.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/net/socket_address.hpp"

#include "tests/net/net_support.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

using namespace pgsteady::net;
using namespace pgsteady::net::test;
using namespace std::chrono_literals;

namespace {

struct mail_pair {
    unique_fd one, other;
    mail_pair() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        one.reset(ends[0]);
        other.reset(ends[1]);
    }
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

struct folder {
    std::string path;
    folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "pgsteady-mail-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    ~folder() { std::filesystem::remove_all(path); }
};

unique_fd connected(const socket_address& to) {
    unique_fd fd(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), to.data(), to.size()) != 0) fd.reset();
    return fd;
}

}  // namespace

TEST_CASE("a message arrives with its descriptors, and with its border") {
    mail_pair ends;
    const unique_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(send_mail(ends.one.get(), "take this", {file.get(), file.get()}));
    CHECK(send_mail(ends.one.get(), "and that"));
    const auto first = receive_mail(ends.other.get(), 1s);
    REQUIRE(first);
    CHECK(first->text == "take this");
    REQUIRE(first->descriptors.size() == 2);
    for (const unique_fd& each : first->descriptors) {
        CHECK(each.get() != file.get());
        CHECK(is_open(each.get()));
        CHECK((::fcntl(each.get(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    CHECK(receive_mail(ends.other.get(), 1s)->text == "and that");
}

TEST_CASE("silence, a closed end and too large a message are no messages") {
    mail_pair ends;
    CHECK_FALSE(receive_mail(ends.other.get(), 0ms));
    CHECK_FALSE(send_mail(ends.one.get(), std::string(max_mail_text + 1, 'x')));
    CHECK_FALSE(send_mail(ends.one.get(), "x", std::vector<int>(max_mail_descriptors + 1, 0)));
    CHECK(::send(ends.one.get(), std::string(max_mail_text + 1, 'x').data(), max_mail_text + 1, 0) > 0);
    CHECK_FALSE(receive_mail(ends.other.get(), 1s));
    ends.one.reset();
    CHECK_FALSE(receive_mail(ends.other.get(), 1s));
    CHECK_FALSE(send_mail(ends.other.get(), "anybody there?"));
}

TEST_CASE("the kernel says who is at the other end") {
    mail_pair ends;
    const auto who = mail_peer_of(ends.one.get());
    REQUIRE(who);
    CHECK(who->process == ::getpid());
    CHECK(who->user == ::geteuid());
}

TEST_CASE("a place to meet: its owner's alone, and free again when whoever was there is gone") {
    const folder where;
    const std::string path = where.path + "/door";
    CHECK_FALSE(connect_mail(path));
    unique_fd first = listen_for_mail(path);
    REQUIRE(first);
    struct stat file {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0600);
    CHECK(connect_mail(path));
    CHECK_FALSE(listen_for_mail(path));  // somebody is there
    first.reset();
    CHECK(listen_for_mail(path));
    CHECK_FALSE(listen_for_mail(where.path + '/' + std::string(200, 'x')));
}

TEST_CASE("only what listens is inherited, each socket once, by its address") {
    inherited_sockets given;
    given.add(unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    given.add(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    CHECK(given.empty());
    unique_fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::listen(listening.get(), 1) == 0);  // the kernel binds it
    const std::string address = socket_address::local_of(listening.get()).to_string();
    given.add(std::move(listening));
    CHECK_FALSE(given.take("127.0.0.1:1"));
    CHECK(given.take(address));
    CHECK_FALSE(given.take(address));
}

TEST_CASE("who is in the queue when a listener hands over is accepted by the next one") {
    test_loop first_loop;
    test_loop second_loop;
    int by_first = 0;
    std::vector<unique_fd> by_second;
    auto first = listener::open(first_loop, {.host = "127.0.0.1"},
                                {.accepted = [&](int fd, std::string) { ::close(fd), ++by_first; }, .exhausted = {}});
    REQUIRE(first.listening);
    const auto address = *socket_address::numeric("127.0.0.1", first.listening->port());
    inherited_sockets given;
    for (unique_fd& each : first.listening->copies()) given.add(std::move(each));
    const unique_fd early = connected(address);
    first.listening->hand_over();
    listen_settings again{.host = "127.0.0.1", .port = address.port()};
    again.inherited = &given;
    auto second = listener::open(
        second_loop, again, {.accepted = [&](int fd, std::string) { by_second.emplace_back(fd); }, .exhausted = {}});
    REQUIRE_MESSAGE(second.listening, second.problem);
    CHECK(second.listening->port() == address.port());
    const unique_fd late = connected(address);
    run_until(second_loop, [&] { return by_second.size() == 2; });
    CHECK(by_second.size() == 2);
    // The first one's epoll set has forgotten a socket that is still open elsewhere.
    run_ready(first_loop);
    CHECK(by_first == 0);
}

TEST_CASE("the file of a Unix socket stays when its listener hands over") {
    const folder where;
    test_loop loop;
    auto first = listener::open(loop, {.host = where.path, .port = 5432}, {});
    REQUIRE_MESSAGE(first.listening, first.problem);
    inherited_sockets given;
    for (unique_fd& each : first.listening->copies()) given.add(std::move(each));
    first.listening->hand_over();
    first.listening.reset();
    CHECK(std::filesystem::exists(where.path + "/.s.PGSQL.5432"));
    listen_settings again{.host = where.path, .port = 5432};
    again.inherited = &given;
    auto second = listener::open(loop, again, {});
    REQUIRE_MESSAGE(second.listening, second.problem);
    CHECK(connected(*socket_address::unix_socket(where.path, 5432)));
    second.listening->close();
    CHECK_FALSE(std::filesystem::exists(where.path + "/.s.PGSQL.5432"));
}
