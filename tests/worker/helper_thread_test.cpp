// The helper's thread: jobs run there, handshakes end there and are handed back, their number is bounded, and a stop
// leaves nothing behind. Every wait has a deadline and ends with what it waits for.
#include "proxy/worker/helper_thread.hpp"

#include "proxy/net/tls_context.hpp"

#include "tests/net/net_support.hpp"
#include "tests/support/tls_fixture.hpp"

#include <doctest/doctest.h>

#include <future>

using namespace pgsteady;
using namespace std::chrono_literals;
using net::stream;
using net::test::fd_pair;

namespace {

constexpr auto patience = 20s;

struct contexts {
    test::tls_fixture fixture;
    std::shared_ptr<const net::tls_context> server;
    std::shared_ptr<const net::tls_context> client;

    contexts() {
        const auto leaf = fixture.issue();
        net::tls_server_settings ours;
        ours.certificate_file = leaf.certificate_file;
        ours.key_file = leaf.key_file;
        server = net::tls_context::server(ours).context;
        net::tls_client_settings theirs;
        theirs.verify = net::tls_client_settings::verification::full;
        theirs.ca_file = fixture.ca_file();
        client = net::tls_context::client(theirs).context;
        REQUIRE(server);
        REQUIRE(client);
    }
};

contexts& tls() {
    static contexts made;
    return made;
}

struct result {
    std::unique_ptr<stream> with;
    stream::handshake how = stream::handshake::in_progress;
    std::thread::id on;
};

/// Both ends of a connection, ready to be handed over. `loop` is where they were.
struct ends {
    std::unique_ptr<stream> server;
    std::unique_ptr<stream> client;

    explicit ends(net::event_loop& loop) {
        fd_pair pair = net::test::tcp_pair();
        server = stream::adopt(loop, pair.ours.release(), nullptr);
        client = stream::adopt(loop, pair.theirs.release(), nullptr);
        REQUIRE(server->start_tls_server(*tls().server));
        REQUIRE(client->start_tls_client(*tls().client, "localhost"));
        server->leave_loop();
        client->leave_loop();
    }
};

std::future<result> shake(helper_thread& helper, std::unique_ptr<stream> with) {
    auto told = std::make_shared<std::promise<result>>();
    std::future<result> answer = told->get_future();
    helper.shake_hands(std::move(with), [told](std::unique_ptr<stream> back, stream::handshake how) {
        told->set_value({std::move(back), how, std::this_thread::get_id()});
    });
    return answer;
}

result take(std::future<result>& from) {
    REQUIRE(from.wait_for(patience) == std::future_status::ready);
    return from.get();
}

/// What was posted before has been looked at by now.
void settle(helper_thread& helper) {
    for (int i = 0; i < 3; ++i) {
        std::promise<void> passed;
        helper.run([&] { passed.set_value(); });
        REQUIRE(passed.get_future().wait_for(patience) == std::future_status::ready);
    }
}

bool is_open(const std::future<result>& answer) { return answer.wait_for(0s) == std::future_status::timeout; }

}  // namespace

TEST_CASE("D40: jobs run on the helper's thread, one after the other, in order") {
    helper_thread helper(0);
    std::vector<int> order;
    std::promise<std::thread::id> last;
    for (int i = 0; i < 100; ++i) helper.run([&order, i] { order.push_back(i); });
    helper.run([&] { last.set_value(std::this_thread::get_id()); });
    auto where = last.get_future();
    REQUIRE(where.wait_for(patience) == std::future_status::ready);
    CHECK(where.get() != std::this_thread::get_id());
    REQUIRE(order.size() == 100);
    for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("D40: a handshake is done on the helper's thread, and the stream comes back in no loop and works") {
    net::event_loop loop;
    helper_thread helper(0);
    ends both(loop);
    auto server = shake(helper, std::move(both.server));
    auto client = shake(helper, std::move(both.client));
    result ours = take(server);
    result theirs = take(client);
    REQUIRE(ours.how == stream::handshake::done);
    REQUIRE(theirs.how == stream::handshake::done);
    CHECK(ours.on != std::this_thread::get_id());
    CHECK(ours.with->loop() == nullptr);
    REQUIRE(ours.with->move_to(loop));
    REQUIRE(theirs.with->move_to(loop));
    CHECK(theirs.with->write("hello").ok());
    std::string in;
    CHECK(net::test::run_until(loop, [&] { return net::test::drain(*ours.with, in), in == "hello"; }));
}

TEST_CASE("a peer that leaves in the middle fails its handshake and no other") {
    net::event_loop loop;
    helper_thread helper(0);
    ends broken(loop);
    ends whole(loop);
    auto failing = shake(helper, std::move(broken.server));
    broken.client.reset();
    CHECK(take(failing).how == stream::handshake::failed);
    auto server = shake(helper, std::move(whole.server));
    auto client = shake(helper, std::move(whole.client));
    CHECK(take(server).how == stream::handshake::done);
    CHECK(take(client).how == stream::handshake::done);
}

TEST_CASE("limits.max_handshakes: the next one begins when one has ended, and not before") {
    net::event_loop loop;
    helper_thread helper(1);
    helper_thread peers(0);
    ends silent(loop);
    ends patient(loop);
    auto first = shake(helper, std::move(silent.server));
    auto second = shake(helper, std::move(patient.server));
    auto peer = shake(peers, std::move(patient.client));
    settle(peers);
    settle(helper);
    CHECK(is_open(first));
    CHECK(is_open(second));
    CHECK(is_open(peer));  // it has said its part and nobody has answered
    silent.client.reset();
    CHECK(take(first).how == stream::handshake::failed);
    CHECK(take(second).how == stream::handshake::done);
    CHECK(take(peer).how == stream::handshake::done);
}

TEST_CASE("stop() ends it: what is in progress or comes later is dropped, never half done") {
    net::event_loop loop;
    ends silent(loop);
    ends late(loop);
    auto helper = std::make_unique<helper_thread>(1);
    auto first = shake(*helper, std::move(silent.server));
    auto second = shake(*helper, std::move(late.server));
    settle(*helper);
    helper->stop();
    helper->stop();
    bool ran = false;
    helper->run([&] { ran = true; });
    helper.reset();
    CHECK_FALSE(ran);
    CHECK_THROWS_AS(first.get(), std::future_error);  // the promise went with it: nobody was told
    CHECK_THROWS_AS(second.get(), std::future_error);
}
