// event_loop: mailbox, timers, deferred work, and what happens to events whose target is gone.
#include "proxy/net/event_loop.hpp"

#include "tests/net/net_support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include <future>
#include <thread>

using namespace pgsteady::net;
using namespace pgsteady::net::test;
using std::chrono::hours;
using std::chrono::milliseconds;

TEST_CASE("a letter from another thread wakes a sleeping loop, and letters keep their order") {
    test_loop loop;
    std::vector<int> read;
    std::thread sender([&] {
        for (int i = 0; i < 1000; ++i) {
            loop.post([&read, i] { read.push_back(i); });
        }
        loop.post([&loop] { loop.stop(); });
    });
    loop.run();
    sender.join();
    REQUIRE(read.size() == 1000);
    for (int i = 0; i < 1000; ++i) CHECK(read[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("T34: timers go by a clock that nobody sets") {
    static_assert(clock::is_steady);
    static_assert(std::is_same_v<time_point, clock::time_point>);
}

TEST_CASE("two loops can play ping-pong without losing a wake-up") {
    test_loop here;
    test_loop there;
    int rallies = 0;
    std::function<void()> serve;
    serve = [&] {
        there.post([&] {
            here.post([&] {
                if (++rallies == 2000) {
                    there.stop();
                    here.stop();
                } else {
                    serve();
                }
            });
        });
    };
    std::thread other([&] { there.run(); });
    serve();
    here.run();
    other.join();
    CHECK(rallies == 2000);
}

TEST_CASE("D30: another thread can see that a loop has told all that has reached it, and that it is busy") {
    test_loop loop;
    CHECK_FALSE(loop.caught_up());  // nobody runs it
    std::thread runner([&] { loop.run(); });
    const auto in_time = clock::now() + std::chrono::seconds(20);
    while (!loop.caught_up() && clock::now() < in_time) std::this_thread::yield();
    CHECK(loop.caught_up());
    std::promise<void> begun;
    std::promise<void> done;
    loop.post([&] {
        begun.set_value();
        done.get_future().wait();
    });
    begun.get_future().wait();
    CHECK_FALSE(loop.caught_up());
    done.set_value();
    while (!loop.caught_up() && clock::now() < in_time) std::this_thread::yield();
    CHECK(loop.caught_up());
    loop.stop();
    runner.join();
    CHECK_FALSE(loop.caught_up());
}

TEST_CASE("a letter posted by a letter is read in the next turn") {
    test_loop loop;
    int second = 0;
    loop.post([&] { loop.post([&] { ++second; }); });
    loop.run_once(milliseconds(0));
    CHECK(second == 0);
    loop.run_once(hours(1));  // does not sleep: there is mail
    CHECK(second == 1);
}

TEST_CASE("a stop that came first makes run return at once, and run can be called again") {
    test_loop loop;
    loop.stop();
    loop.run();
    bool ran = false;
    loop.post([&] {
        ran = true;
        loop.stop();
    });
    loop.run();
    CHECK(ran);
}

TEST_CASE("timers fire in the order of their deadlines, once, and not before") {
    test_loop loop;
    std::vector<int> fired;
    const time_point now = loop.now();
    loop.add_timer(now + milliseconds(2), [&] { fired.push_back(2); });
    loop.add_timer(now - milliseconds(1), [&] { fired.push_back(1); });
    loop.add_timer(now + hours(1), [&] { fired.push_back(3); });
    loop.run_once(milliseconds(0));
    CHECK(fired.front() == 1);
    CHECK(run_until(loop, [&] { return fired.size() >= 2; }));
    CHECK(loop.now() >= now + milliseconds(2));
    run_ready(loop);
    CHECK(fired == std::vector<int>{1, 2});
}

TEST_CASE("a cancelled timer does not fire, also when another callback of the turn cancels it") {
    test_loop loop;
    bool fired = false;
    const time_point past = loop.now() - milliseconds(1);
    timer_id second;
    loop.add_timer(past, [&] { loop.cancel_timer(second); });
    second = loop.add_timer(past, [&] { fired = true; });
    loop.cancel_timer(timer_id{});
    run_ready(loop);
    CHECK_FALSE(fired);
}

TEST_CASE("a timer that re-arms itself in the past does not keep a turn from ending") {
    test_loop loop;
    int fired = 0;
    std::function<void()> again = [&] {
        ++fired;
        loop.add_timer(loop.now() - hours(1), again);
    };
    again();
    loop.run_once(milliseconds(0));
    loop.run_once(milliseconds(0));
    CHECK(fired == 3);
}

TEST_CASE("work deferred by deferred work waits for the next turn, which does not sleep") {
    test_loop loop;
    int runs = 0;
    loop.defer([&] {
        ++runs;
        loop.defer([&] { ++runs; });
    });
    loop.run_once(hours(1));
    CHECK(runs == 1);
    loop.run_once(hours(1));
    CHECK(runs == 2);
}

TEST_CASE("an Asio operation is attended to while it is counted, and only then") {
    test_loop loop;
    bool completed = false;
    boost::asio::post(loop.context(), [&] { completed = true; });
    run_ready(loop);
    CHECK_FALSE(completed);
    {
        const asio_work work(loop);
        loop.run_once(hours(1));  // bounded by the patience with Asio
        CHECK(completed);
    }
}

TEST_CASE("in_loop_thread knows the thread that runs the turns") {
    test_loop loop;
    bool inside = false;
    loop.post([&] {
        inside = loop.in_loop_thread();
        loop.stop();
    });
    std::thread runner([&] { loop.run(); });
    runner.join();
    CHECK(inside);
    CHECK_FALSE(loop.in_loop_thread());
}

TEST_CASE("an event fetched for a stream that an earlier event of the batch destroyed reaches nobody") {
    test_loop loop;
    fd_pair first = unix_pair();
    fd_pair second = unix_pair();
    recorder first_handler;
    recorder second_handler;
    auto a = stream::adopt(loop, first.ours.release(), &first_handler);
    auto b = stream::adopt(loop, second.ours.release(), &second_handler);
    // Whichever is told first destroys the other: at most one handler may hear of it.
    first_handler.when_readable = [&] { b.reset(); };
    second_handler.when_readable = [&] { a.reset(); };
    send_all(first.theirs.get(), "x");
    send_all(second.theirs.get(), "x");
    run_ready(loop);
    CHECK(first_handler.readable + second_handler.readable == 1);
}

TEST_CASE("of the events of one turn the ends of connections are told first, and each event once") {
    test_loop loop;
    std::string order;
    std::vector<fd_pair> pairs;
    std::vector<recorder> handlers(4);
    std::vector<std::unique_ptr<stream>> streams;
    for (std::size_t i = 0; i < 4; ++i) {
        pairs.push_back(tcp_pair());
        streams.push_back(stream::adopt(loop, pairs[i].ours.release(), &handlers[i]));
        handlers[i].when_readable = [&order, &streams, i] {
            char byte = 0;
            const io_result got = streams[i]->read({&byte, 1});
            order += static_cast<char>('a' + static_cast<int>(i));
            order += got.ok() ? '+' : '-';
        };
    }
    run_ready(loop);
    order.clear();
    // Ready in this order; the second and the last have lost their peers.
    for (std::size_t i = 0; i < 4; ++i) {
        if (i % 2 == 0) REQUIRE(::send(pairs[i].theirs.get(), "x", 1, 0) == 1);
        else pairs[i].theirs.reset();
    }
    loop.run_once(milliseconds(0));
    CHECK(order == "b-d-a+c+");
}

TEST_CASE("an end that is told first may unwatch whoever else has an event in the batch") {
    test_loop loop;
    fd_pair data = tcp_pair();
    fd_pair end = tcp_pair();
    recorder reads_data;
    recorder sees_end;
    auto first = stream::adopt(loop, data.ours.release(), &reads_data);
    auto second = stream::adopt(loop, end.ours.release(), &sees_end);
    run_ready(loop);
    reads_data.readable = 0;
    sees_end.when_readable = [&] { first.reset(); };
    REQUIRE(::send(data.theirs.get(), "x", 1, 0) == 1);
    end.theirs.reset();
    run_ready(loop);
    CHECK(sees_end.readable == 1);
    CHECK(reads_data.readable == 0);
}

TEST_CASE("a handler may destroy its own stream, and itself, in the middle of an event") {
    test_loop loop;
    for (const bool when_writable : {false, true}) {
        fd_pair pair = tcp_pair();
        auto handler = std::make_unique<recorder>();
        auto s = stream::adopt(loop, pair.ours.release(), handler.get());
        REQUIRE(s);
        if (when_writable) {
            handler->when_writable = [&] {
                s.reset();
                handler.reset();
            };
            const std::string much = pattern(1 << 20);
            while (s->write(much).result == kind::ok) {
            }
            REQUIRE(run_until(loop, [&] {
                take_available(pair.theirs.get());
                return s == nullptr;
            }));
        } else {
            handler->when_readable = [&] {
                s.reset();
                handler.reset();
            };
            send_all(pair.theirs.get(), "x");
            REQUIRE(run_until(loop, [&] { return s == nullptr; }));
        }
        CHECK(handler == nullptr);
    }
}

TEST_CASE("letters and timers that own streams die with the loop without harm") {
    fd_pair pair = unix_pair();
    fd_pair other = unix_pair();
    recorder handler;
    test_loop loop;
    std::shared_ptr<stream> in_letter = stream::adopt(loop, pair.ours.release(), &handler);
    std::shared_ptr<stream> in_timer = stream::adopt(loop, other.ours.release(), &handler);
    loop.post([kept = std::move(in_letter)] { (void)kept; });
    loop.add_timer(loop.now() + hours(1), [kept = std::move(in_timer)] { (void)kept; });
}
