// stream without TLS: edges, ends, back-pressure, gathering, moving between loops.
#include "proxy/net/stream.hpp"

#include "tests/net/net_support.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/tcp.h>

#include <numeric>
#include <thread>

using namespace pgsteady::net;
using namespace pgsteady::net::test;

namespace {

using maker = fd_pair (*)();

struct one_end {
    test_loop loop;
    recorder handler;
    unique_fd peer;
    std::unique_ptr<stream> s;

    explicit one_end(maker make) {
        fd_pair pair = make();
        peer = std::move(pair.theirs);
        s = stream::adopt(loop, pair.ours.release(), &handler);
        REQUIRE(s);
        run_ready(loop);
        handler.readable = handler.writable = 0;
    }
};

std::vector<iovec> cut(const std::string& bytes, std::size_t piece) {
    std::vector<iovec> chunks;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        chunks.push_back({const_cast<char*>(bytes.data()) + at, std::min(piece, bytes.size() - at)});
    }
    return chunks;
}

/// Writes until the socket is full; returns what was accepted.
std::size_t fill(stream& s, const std::string& bytes) {
    std::size_t accepted = 0;
    while (accepted < bytes.size()) {
        const io_result sent = s.write(std::string_view(bytes).substr(accepted));
        accepted += sent.bytes;
        if (sent.result == kind::would_block) break;
        REQUIRE(sent.result == kind::ok);
    }
    return accepted;
}

}  // namespace

TEST_CASE("a message is told once, read whole, and leaves nothing readable") {
    for (const maker make : {unix_pair, tcp_pair}) {
        one_end end(make);
        send_all(end.peer.get(), "hello");
        REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
        CHECK(end.handler.readable == 1);
        CHECK(end.handler.writable == 0);
        char buffer[64];
        const io_result got = end.s->read(buffer);
        CHECK(got.ok());
        CHECK(std::string_view(buffer, got.bytes) == "hello");
        CHECK_FALSE(end.s->readable());
        CHECK(end.s->read(buffer).result == kind::would_block);

        CHECK(end.s->write("answer").ok());
        run_ready(end.loop);
        CHECK(take_available(end.peer.get()) == "answer");
        // The peer took it, and that is no news: no event, no wake-up.
        run_ready(end.loop);
        CHECK(end.handler.readable == 1);
        CHECK(end.handler.writable == 0);
    }
}

TEST_CASE("P58: a reader that pauses with bytes left goes on later without a new edge") {
    one_end end(tcp_pair);
    send_all(end.peer.get(), "abcdef");
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
    char buffer[4];
    CHECK(end.s->read(buffer).bytes == 4);
    CHECK(end.s->readable());
    run_ready(end.loop);
    CHECK(end.handler.readable == 1);
    const io_result rest = end.s->read(buffer);
    CHECK(std::string_view(buffer, rest.bytes) == "ef");
    CHECK_FALSE(end.s->readable());
}

TEST_CASE("P58: bytes that arrive after a short read make a new edge") {
    one_end end(tcp_pair);
    for (int i = 1; i <= 20; ++i) {
        send_all(end.peer.get(), "x");
        REQUIRE(run_until(end.loop, [&] { return end.handler.readable == i; }));
        char buffer[8];
        CHECK(end.s->read(buffer).bytes == 1);
    }
}

TEST_CASE("an end that arrives together with data is seen after the data") {
    for (const maker make : {unix_pair, tcp_pair}) {
        one_end end(make);
        send_all(end.peer.get(), "last words");
        end.peer.reset();
        REQUIRE(run_until(end.loop, [&] { return end.s->hangup_seen(); }));
        char buffer[64];
        const io_result data = end.s->read(buffer);
        CHECK(std::string_view(buffer, data.bytes) == "last words");
        // The short read must not be taken for "drained": the FIN will not be told again.
        CHECK(end.s->readable());
        CHECK(end.s->read(buffer).result == kind::eof);
        CHECK(end.s->read(buffer).result == kind::eof);
    }
}

TEST_CASE("an end that comes between a short read and the next turn is told") {
    one_end end(tcp_pair);
    send_all(end.peer.get(), "data");
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable == 1; }));
    char buffer[64];
    CHECK(end.s->read(buffer).bytes == 4);
    end.peer.reset();
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable == 2; }));
    CHECK(end.s->read(buffer).result == kind::eof);
}

TEST_CASE("a peer that only stops writing can still be written to") {
    one_end end(tcp_pair);
    ::shutdown(end.peer.get(), SHUT_WR);
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
    char buffer[8];
    CHECK(end.s->read(buffer).result == kind::eof);
    CHECK(end.s->write("still here").ok());
    CHECK(take_available(end.peer.get()) == "still here");
}

TEST_CASE("a reset is an error of the next read, with its errno") {
    one_end end(tcp_pair);
    const linger none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(end.peer.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    end.peer.reset();
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
    char buffer[8];
    const io_result got = end.s->read(buffer);
    CHECK(got.result == kind::error);
    CHECK(got.error_number == ECONNRESET);
}

TEST_CASE("writing to a peer that is gone is an error and no signal") {
    one_end end(unix_pair);
    end.peer.reset();
    io_result sent = end.s->write("anyone?");
    if (end.loop.engine() == io_engine::io_uring) {  // it leaves with the turn, and the reader hears how that went
        CHECK(sent.ok());
        run_ready(end.loop);
        CHECK(end.handler.readable > 0);
        CHECK(end.s->hangup_seen());
        sent = end.s->write("anyone?");
    }
    CHECK(sent.result == kind::error);
    CHECK(sent.error_number == EPIPE);
}

TEST_CASE("close with reset is a reset to the peer, without is an end") {
    for (const bool with_reset : {true, false}) {
        one_end end(tcp_pair);
        end.s->close(with_reset);
        end.s->close(with_reset);
        char byte = 0;
        const ssize_t got = ::recv(end.peer.get(), &byte, 1, 0);
        CHECK(got == (with_reset ? -1 : 0));
        run_ready(end.loop);
        CHECK(end.handler.readable == 0);
    }
}

TEST_CASE("back-pressure: a full socket blocks the writer, room is told once, and no byte is lost") {
    for (const maker make : {unix_pair, tcp_pair}) {
        one_end end(make);
        const std::string bytes = pattern(8 << 20);
        std::size_t accepted = fill(*end.s, bytes);
        REQUIRE(accepted < bytes.size());
        CHECK(end.s->write_blocked());
        run_ready(end.loop);
        CHECK(end.handler.writable == 0);

        end.handler.when_writable = [&] {
            CHECK_FALSE(end.s->write_blocked());
            accepted += fill(*end.s, bytes.substr(accepted));
        };
        std::string received;
        REQUIRE(run_until(
            end.loop,
            [&] {
                received += take_available(end.peer.get());
                return received.size() == bytes.size();
            },
            100'000));
        CHECK(received == bytes);
        CHECK(end.handler.writable > 0);
        CHECK_FALSE(end.s->write_blocked());
        const int told = end.handler.writable;
        run_ready(end.loop);
        CHECK(end.handler.writable == told);
    }
}

TEST_CASE("P57: reading goes on while a write is blocked") {
    for (const maker make : {unix_pair, tcp_pair}) {
        one_end end(make);
        fill(*end.s, pattern(8 << 20));
        REQUIRE(end.s->write_blocked());
        send_all(end.peer.get(), "please stop");
        REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
        char buffer[64];
        CHECK(end.s->read(buffer).bytes == 11);
        CHECK(end.s->write_blocked());
        CHECK(end.handler.writable == 0);
    }
}

TEST_CASE("a peer that vanishes wakes a blocked writer") {
    one_end end(tcp_pair);
    const std::string bytes = pattern(8 << 20);
    fill(*end.s, bytes);
    const linger none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(end.peer.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    end.peer.reset();
    REQUIRE(run_until(end.loop, [&] { return end.handler.writable > 0; }));
    CHECK(end.s->write("x").result == kind::error);
}

TEST_CASE("chunks are gathered in order, empty ones and more than the kernel takes at once included") {
    one_end end(unix_pair);
    const std::string bytes = pattern(3 * 1024 + 5);
    std::vector<iovec> chunks = cut(bytes, 1);
    chunks.insert(chunks.begin() + 7, iovec{nullptr, 0});
    REQUIRE(chunks.size() > 1024);
    std::string received;
    std::span<const iovec> rest(chunks);
    const io_result sent = end.s->write(rest);
    CHECK(sent.ok());
    CHECK(sent.bytes == bytes.size());
    run_ready(end.loop);
    CHECK(take_available(end.peer.get()) == bytes);
    CHECK(end.s->write(std::span<const iovec>()).ok());
    CHECK(end.s->write("").ok());
}

TEST_CASE("a gathered write that blocks in the middle of a chunk says how far it came") {
    one_end end(tcp_pair);
    const std::string bytes = pattern(16 << 20);
    const std::vector<iovec> chunks = cut(bytes, 100'003);
    const io_result sent = end.s->write(chunks);
    REQUIRE(sent.result == kind::would_block);
    std::string received;
    REQUIRE(run_until(end.loop, [&] {
        received += take_available(end.peer.get());
        return received.size() >= sent.bytes;
    }));
    CHECK(received == bytes.substr(0, sent.bytes));
}

TEST_CASE("D41: a stream moved between two running loops loses nothing") {
    for (const maker make : {unix_pair, tcp_pair}) {
        fd_pair pair = make();
        test_loop first;
        test_loop second;
        std::string received;
        recorder handler;
        auto s = stream::adopt(first, pair.ours.release(), &handler);
        handler.when_readable = [&] { drain(*s, received, 16); };
        send_all(pair.theirs.get(), "one ");
        REQUIRE(run_until(first, [&] { return received == "one "; }));

        s->leave_loop();
        CHECK(s->loop() == nullptr);
        send_all(pair.theirs.get(), "two ");
        run_ready(first);
        CHECK(received == "one ");

        std::thread other([&] { second.run(); });
        second.post([&] {
            REQUIRE(s->move_to(second));
            handler.when_readable = [&] {
                drain(*s, received, 16);
                if (received.ends_with("three")) second.stop();
            };
        });
        send_all(pair.theirs.get(), "three");
        other.join();
        CHECK(received == "one two three");
    }
}

TEST_CASE("D41: a stream that moves while its write is blocked is told of room in its new loop") {
    for (const maker make : {unix_pair, tcp_pair}) {
        one_end end(make);
        test_loop other;
        fill(*end.s, pattern(8 << 20));
        REQUIRE(end.s->write_blocked());
        REQUIRE(end.s->move_to(other));
        CHECK(run_until(other, [&] {
            take_available(end.peer.get());
            return end.handler.writable > 0;
        }));
        end.s.reset();
    }
}

TEST_CASE("without a handler readiness is remembered for the next one") {
    fd_pair pair = tcp_pair();
    test_loop loop;
    auto s = stream::adopt(loop, pair.ours.release(), nullptr);
    send_all(pair.theirs.get(), "early");
    REQUIRE(run_until(loop, [&] { return s->readable(); }));
    recorder handler;
    s->set_handler(&handler);
    std::string received;
    drain(*s, received);
    CHECK(received == "early");
}

TEST_CASE("an adopted socket is non-blocking, without delay, and knows its peer") {
    one_end tcp(tcp_pair);
    const int fd = tcp.s->native_handle();
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    ::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
    CHECK(no_delay == 1);
    CHECK(tcp.s->peer_address().starts_with("127.0.0.1:"));
    CHECK(tcp.s->peer_is_local());
    one_end local(unix_pair);
    CHECK(local.s->peer_address() == "unix");
    CHECK(local.s->peer_is_local());
}

TEST_CASE("a descriptor that cannot be watched is closed and reported") {
    test_loop loop;
    const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(stream::adopt(loop, ::dup(file), nullptr) == nullptr);
    ::close(file);
}

TEST_CASE("shutdown_write ends our side and lets the peer finish") {
    one_end end(tcp_pair);
    CHECK(end.s->write("bye").ok());
    end.s->shutdown_write();
    bool ended = false;
    CHECK(take_available(end.peer.get(), &ended) == "bye");
    CHECK(ended);
    send_all(end.peer.get(), "so long");
    std::string received;
    REQUIRE(run_until(end.loop, [&] { return end.handler.readable > 0; }));
    drain(*end.s, received);
    CHECK(received == "so long");
}
