// What only the io_uring engine can get wrong: order of queued sends, bounded buffers, what is under way when a stream leaves.
// Each case says so and passes where the kernel gives no io_uring.
#include "proxy/net/uring_engine.hpp"

#include "tests/net/net_support.hpp"

#include <doctest/doctest.h>

#include <sys/ioctl.h>

#include <thread>

using namespace pgsteady::net;
using namespace pgsteady::net::test;
using std::chrono::milliseconds;

namespace {

bool has_ring() {
    std::string problem;
    if (event_loop::has_io_uring(problem)) return true;
    MESSAGE("no io_uring: " << problem);
    return false;
}

struct one_end {
    event_loop loop{io_engine::io_uring};
    recorder handler;
    unique_fd peer;
    std::unique_ptr<stream> s;

    explicit one_end(fd_pair pair) : peer(std::move(pair.theirs)) {
        s = stream::adopt(loop, pair.ours.release(), &handler);
        REQUIRE(s);
        run_ready(loop);
        handler.readable = handler.writable = 0;
    }
};

fd_pair with_small_send_buffer(fd_pair pair) {
    const int size = 4096;
    ::setsockopt(pair.ours.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return pair;
}

}  // namespace

TEST_CASE("io_uring: what is written in a turn leaves when it ends, as one message") {
    if (!has_ring()) return;
    one_end end(tcp_pair());
    CHECK(end.s->write("one ").ok());
    CHECK(end.s->write("two ").ok());
    CHECK(end.s->write("three").ok());
    CHECK(take_available(end.peer.get()).empty());
    run_ready(end.loop, 1);
    CHECK(take_available(end.peer.get()) == "one two three");
}

TEST_CASE("io_uring: a stream's second write behind another's keeps its order") {
    if (!has_ring()) return;
    event_loop loop{io_engine::io_uring};
    fd_pair left = tcp_pair();
    fd_pair right = tcp_pair();
    auto a = stream::adopt(loop, left.ours.release(), nullptr);
    auto b = stream::adopt(loop, right.ours.release(), nullptr);
    run_ready(loop);
    std::string to_a;
    std::string to_b;
    for (int i = 0; i < 200; ++i) {
        const std::string text = std::to_string(i) + std::string(static_cast<std::size_t>(i) * 7 % 300, '.');
        CHECK(a->write(text).ok());
        to_a += text;
        if (i % 3 == 0) {
            CHECK(b->write(text).ok());
            to_b += text;
        }
        if (i % 17 == 0) run_ready(loop, 1);
    }
    run_ready(loop);
    CHECK(take_available(left.theirs.get()) == to_a);
    CHECK(take_available(right.theirs.get()) == to_b);
}

TEST_CASE("io_uring: a large write goes behind what is queued") {
    if (!has_ring()) return;
    one_end end(tcp_pair());
    const std::string much = pattern(64 << 10);
    CHECK(end.s->write("first").ok());
    CHECK(end.s->write(much).ok());
    CHECK(end.s->write("last").ok());
    run_ready(end.loop);
    CHECK(take_available(end.peer.get()) == "first" + much + "last");
}

TEST_CASE("io_uring: of sends that are cut short nothing is lost or swapped") {
    if (!has_ring()) return;
    for (const bool local : {true, false}) {
        one_end end(with_small_send_buffer(local ? unix_pair() : tcp_pair()));
        const std::string bytes = pattern(2 << 20);
        std::size_t accepted = 0;
        const auto go_on = [&] {
            // Small and large in turns; stops when it is told to.
            for (std::size_t size = 3000; accepted < bytes.size() && !end.s->write_blocked();
                 size = size * 5 % 20'011) {
                const io_result sent = end.s->write(std::string_view(bytes).substr(accepted, size + 1));
                REQUIRE(sent.result != kind::error);
                accepted += sent.bytes;
                if (sent.result == kind::would_block) return;
            }
        };
        end.handler.when_writable = [&] {
            CHECK_FALSE(end.s->write_blocked());
            go_on();
        };
        go_on();
        std::string received;
        CHECK(run_until(
            end.loop,
            [&] {
                if (!end.s->write_blocked()) go_on();
                received += take_available(end.peer.get());
                return received.size() == bytes.size();
            },
            100'000));
        CHECK((received == bytes));
        CHECK(end.handler.writable > 0);
    }
}

TEST_CASE("io_uring: bytes that were queued when the socket was full arrive, though the writer heard ok") {
    if (!has_ring()) return;
    one_end end(with_small_send_buffer(unix_pair()));
    std::string sent;
    for (int i = 0; i < 1000 && !end.s->write_blocked(); ++i) {
        const std::string text = pattern(1000) + std::to_string(i);
        const io_result how = end.s->write(text);
        sent += text.substr(0, how.bytes);
        end.loop.run_once(milliseconds(0));
    }
    REQUIRE(end.s->write_blocked());
    std::string received;
    CHECK(run_until(end.loop, [&] {
        received += take_available(end.peer.get());
        return end.handler.writable > 0 && received.size() == sent.size();
    }));
    CHECK((received == sent));
    CHECK_FALSE(end.s->write_blocked());
}

TEST_CASE("io_uring: a reader that pauses leaves the rest in the socket and nothing is lost") {
    if (!has_ring()) return;
    for (const bool local : {true, false}) {
        one_end end(local ? unix_pair() : tcp_pair());
        const std::string bytes = pattern(4 << 20);
        std::thread writer([&] { send_all(end.peer.get(), bytes); });
        // It cannot all be here: what the kernel may hold is far less, and so may we.
        for (int i = 0; i < 50; ++i) end.loop.run_once(milliseconds(1));
        int waiting = 0;
        ::ioctl(end.s->native_handle(), FIONREAD, &waiting);
        CHECK(waiting > 0);
        std::string received;
        end.handler.when_readable = [&] { drain(*end.s, received, 65'536); };
        if (end.s->readable()) drain(*end.s, received, 65'536);
        CHECK(run_until(
            end.loop, [&] { return received.size() == bytes.size(); }, 100'000));
        writer.join();
        CHECK((received == bytes));
    }
}

TEST_CASE("io_uring: more streams than there are buffers, none of which is read, starve nobody") {
    if (!has_ring()) return;
    event_loop loop{io_engine::io_uring};
    struct one {
        unique_fd peer;
        recorder handler;
        std::unique_ptr<stream> s;
    };
    std::vector<std::unique_ptr<one>> silent;
    const std::string some = pattern(3 * kernel_ring::buffer_size);
    for (std::size_t i = 0; i < kernel_ring::buffer_count / 2; ++i) {
        fd_pair pair = unix_pair();
        auto made = std::make_unique<one>();
        made->peer = std::move(pair.theirs);
        made->s = stream::adopt(loop, pair.ours.release(), &made->handler);
        send_all(made->peer.get(), some);
        silent.push_back(std::move(made));
    }
    run_ready(loop);
    fd_pair pair = tcp_pair();
    recorder handler;
    auto lively = stream::adopt(loop, pair.ours.release(), &handler);
    std::string received;
    handler.when_readable = [&] { drain(*lively, received); };
    for (int i = 0; i < 10; ++i) {
        send_all(pair.theirs.get(), "message");
        CHECK(run_until(loop, [&] { return received.size() == static_cast<std::size_t>(i + 1) * 7; }));
    }
    for (const auto& each : silent) {
        CHECK(each->handler.readable > 0);
        std::string late;
        each->handler.when_readable = [&] { drain(*each->s, late); };
        drain(*each->s, late);
        CHECK(run_until(loop, [&] { return late.size() == some.size(); }));
        CHECK((late == some));
        each->handler.when_readable = nullptr;
    }
}

TEST_CASE("io_uring: readers that pause with every buffer full do not keep the loop busy") {
    if (!has_ring()) return;
    event_loop loop{io_engine::io_uring};
    std::vector<unique_fd> peers;
    std::vector<std::unique_ptr<stream>> silent;
    for (std::size_t i = 0; i < kernel_ring::buffer_count + 50; ++i) {
        fd_pair pair = unix_pair();
        send_all(pair.theirs.get(), "x");
        peers.push_back(std::move(pair.theirs));
        silent.push_back(stream::adopt(loop, pair.ours.release(), nullptr));
    }
    fd_pair pair = unix_pair();
    recorder handler;
    auto idle = stream::adopt(loop, pair.ours.release(), &handler);
    std::string received;
    handler.when_readable = [&] { drain(*idle, received); };
    run_ready(loop, 50);
    CHECK(handler.readable <= 5);
    for (const auto& each : silent) {
        char bytes[2];
        CHECK(each->readable());
        CHECK(each->read(bytes).bytes == 1);
    }
}

TEST_CASE("io_uring: a reader that pauses does not collect what trickles in") {
    if (!has_ring()) return;
    one_end end(tcp_pair());
    std::string sent;
    for (int i = 0; i < 100; ++i) {
        const std::string text = pattern(500) + std::to_string(i);
        send_all(end.peer.get(), text);
        sent += text;
        run_ready(end.loop, 1);
    }
    int waiting = 0;
    ::ioctl(end.s->native_handle(), FIONREAD, &waiting);
    CHECK(waiting > 30'000);
    std::string received;
    drain(*end.s, received);
    end.handler.when_readable = [&] { drain(*end.s, received); };
    CHECK(run_until(end.loop, [&] { return received.size() == sent.size(); }));
    CHECK((received == sent));
    // The kernel receives again: nothing of ours was left behind.
    send_all(end.peer.get(), "more");
    CHECK(run_until(end.loop, [&] { return received.ends_with("more"); }));
}

TEST_CASE("io_uring: a paused reader is told of the end, behind the data") {
    if (!has_ring()) return;
    one_end end(unix_pair());
    const std::string bytes = pattern(100'000);
    std::thread writer([&] { send_all(end.peer.get(), bytes); });
    run_until(end.loop, [&] { return end.handler.readable > 0; });
    writer.join();
    end.peer.reset();
    CHECK(run_until(end.loop, [&] { return end.s->hangup_seen(); }));
    std::string received;
    io_result last;
    const auto read_all = [&] { last = drain(*end.s, received, 65'536); };
    end.handler.when_readable = read_all;
    read_all();
    CHECK(run_until(end.loop, [&] { return last.result == kind::eof; }));
    CHECK((received == bytes));
}

TEST_CASE("D41: io_uring: a stream that leaves with data in flight both ways loses nothing, whatever waits there") {
    if (!has_ring()) return;
    for (const io_engine next : {io_engine::io_uring, io_engine::epoll}) {
        event_loop first{io_engine::io_uring};
        event_loop second{next};
        fd_pair pair = tcp_pair();
        recorder handler;
        auto s = stream::adopt(first, pair.ours.release(), &handler);
        run_ready(first);
        std::string received;
        std::string sent;
        std::string expected;
        std::string seen;
        event_loop* here = &first;
        for (int i = 0; i < 20; ++i) {
            const std::string text = pattern(static_cast<std::size_t>(i) * 997 + 1);
            send_all(pair.theirs.get(), text);
            expected += text;
            here->run_once(milliseconds(0));  // received, but not read
            const std::string answer = "answer " + std::to_string(i);
            CHECK(s->write(answer).ok());
            sent += answer;
            s->leave_loop();
            here = here == &first ? &second : &first;
            if (i % 3 == 0) {
                char some[100];
                const io_result got = s->read(some);
                received.append(some, got.bytes);
            }
            REQUIRE(s->move_to(*here));
        }
        handler.when_readable = [&] { drain(*s, received); };
        if (s->readable()) drain(*s, received);
        CHECK(run_until(*here, [&] { return received.size() == expected.size(); }));
        CHECK((received == expected));
        CHECK(run_until(*here, [&] {
            seen += take_available(pair.theirs.get());
            return seen.size() == sent.size();
        }));
        CHECK(seen == sent);
        s.reset();
    }
}

TEST_CASE(
    "io_uring: what is received for a stream that another's event closes reaches nobody, nor its place's next owner") {
    if (!has_ring()) return;
    event_loop loop{io_engine::io_uring};
    for (int i = 0; i < 50; ++i) {
        fd_pair doomed = tcp_pair();
        fd_pair closer = tcp_pair();
        fd_pair fresh = tcp_pair();
        recorder of_doomed;
        recorder of_closer;
        recorder of_fresh;
        auto a = stream::adopt(loop, doomed.ours.release(), &of_doomed);
        auto b = stream::adopt(loop, closer.ours.release(), &of_closer);
        std::unique_ptr<stream> c;
        run_ready(loop);
        of_closer.when_readable = [&] {
            a.reset();
            c = stream::adopt(loop, fresh.ours.release(), &of_fresh);
            of_closer.when_readable = nullptr;
        };
        send_all(closer.theirs.get(), "x");
        send_all(doomed.theirs.get(), "not for others");
        run_ready(loop);
        REQUIRE(c);
        CHECK(of_fresh.readable == 0);
        char bytes[16];
        CHECK(c->read(bytes).result == kind::would_block);
    }
}

TEST_CASE("io_uring: a queued send that fails is told, behind what the peer had said") {
    if (!has_ring()) return;
    for (const bool pauses : {false, true}) {
        one_end end(unix_pair());
        send_all(end.peer.get(), "last words");
        ::shutdown(end.peer.get(), SHUT_RD);  // we can still be told something, and say nothing any more
        std::string received;
        io_result last;
        const auto read_all = [&] { last = drain(*end.s, received, 4); };
        if (!pauses) end.handler.when_readable = read_all;
        CHECK(end.s->write("anyone?").ok());
        run_ready(end.loop, 5);
        CHECK(end.s->write("anyone?").result == kind::error);
        end.handler.when_readable = read_all;
        if (pauses) read_all();
        CHECK(run_until(
            end.loop, [&] { return last.result == kind::error; }, 50));
        CHECK(received == "last words");
        CHECK(last.error_number == EPIPE);
        CHECK(end.s->readable());
    }
}

TEST_CASE("io_uring: last words reach the peer before the end") {
    if (!has_ring()) return;
    for (const bool received_before : {false, true}) {
        one_end end(tcp_pair());
        if (received_before) send_all(end.peer.get(), "x"), run_ready(end.loop);
        char byte = 0;
        if (received_before) CHECK(end.s->read({&byte, 1}).ok());
        CHECK(end.s->write("goodbye").ok());
        end.s->close(false);
        bool ended = false;
        CHECK(take_available(end.peer.get(), &ended) == "goodbye");
        CHECK(ended);
    }
}

TEST_CASE("io_uring: ten megabytes both ways at once, with half-closes at the end") {
    if (!has_ring()) return;
    one_end end(tcp_pair());
    const std::string bytes = pattern(10 << 20);
    std::string there;
    std::thread peer([&] {
        std::thread reader([&] {
            std::string buffer(65'536, '\0');
            for (;;) {
                const ssize_t got = ::recv(end.peer.get(), buffer.data(), buffer.size(), 0);
                if (got <= 0) return;
                there.append(buffer, 0, static_cast<std::size_t>(got));
            }
        });
        send_all(end.peer.get(), bytes);
        ::shutdown(end.peer.get(), SHUT_WR);
        reader.join();
    });
    std::string here;
    io_result last;
    std::size_t accepted = 0;
    end.handler.when_readable = [&] {
        if (last.result != kind::eof) last = drain(*end.s, here, 65'536);
    };
    const auto go_on = [&] {
        while (accepted < bytes.size() && !end.s->write_blocked()) {
            accepted += end.s->write(std::string_view(bytes).substr(accepted, 50'000)).bytes;
        }
        if (accepted == bytes.size()) end.s->shutdown_write();
    };
    end.handler.when_writable = go_on;
    go_on();
    CHECK(run_until(
        end.loop, [&] { return last.result == kind::eof && accepted == bytes.size(); }, 100'000));
    // What is inside still leaves.
    CHECK(run_until(
        end.loop, [&] { return !end.s->write_blocked(); }, 100'000));
    peer.join();
    CHECK((here == bytes));
    CHECK((there == bytes));
}

TEST_CASE("io_uring: a loop that never took a turn, and one whose thread has ended, let their streams go") {
    if (!has_ring()) return;
    fd_pair never = tcp_pair();
    fd_pair ended = tcp_pair();
    {
        event_loop loop{io_engine::io_uring};
        auto s = stream::adopt(loop, never.ours.release(), nullptr);
        CHECK(s->write("x").ok());
    }
    {
        event_loop loop{io_engine::io_uring};
        auto s = stream::adopt(loop, ended.ours.release(), nullptr);
        std::thread([&] { loop.run_once(milliseconds(0)); }).join();
        CHECK(s->write("x").ok());
    }
    for (const int fd : {never.theirs.get(), ended.theirs.get()}) {
        char bytes[2];
        CHECK(::recv(fd, bytes, 1, MSG_WAITALL) == 1);
        CHECK(::recv(fd, bytes, 1, 0) == 0);
    }
}
