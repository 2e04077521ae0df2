// /api/v1/events as a client meets it, and what stands between a teller and a slow reader.
#include "admin/live_body.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
using std::chrono::milliseconds;

namespace {

live_body::chunk text(std::string of) { return std::make_shared<const std::string>(std::move(of)); }

config::admin_settings with_tokens() {
    config::admin_settings result;
    result.operate_token = "operate";
    result.read_token = "read";
    return result;
}

http_limits hasty() {
    http_limits result;
    result.picture_interval = milliseconds(20);
    result.write_timeout = milliseconds(500);
    return result;
}

/// A listener that reads frames.
struct listener {
    explicit listener(const running_server& at, const std::string& target = "/api/v1/events",
                      const std::string& headers = {}, int window = 0)
        : client(at.server->port(), window) {
        client.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
    }
    http_client client;
};

}  // namespace

TEST_CASE("A live body gives everything in order, and of pictures only the newest") {
    live_body body(100);
    int woken = 0;
    body.on_change([&woken] { ++woken; });
    CHECK(body.take() == nullptr);
    body.show(text("old"));
    body.put(text("first"));
    body.show(text("new"));
    body.put(text("second"));
    CHECK(woken == 4);
    CHECK(*body.take() == "first");
    CHECK(*body.take() == "second");
    CHECK(*body.take() == "new");
    CHECK(body.take() == nullptr);
}

TEST_CASE("A live body ends when more waits than may; pictures never end it") {
    live_body body(10);
    body.put(text(std::string(50, 'x')));  // the beginning may be large
    CHECK_FALSE(body.ended());
    CHECK(body.take()->size() == 50);
    for (int i = 0; i < 100; ++i) body.show(text(std::string(50, 'y')));
    body.put(text("12345"));
    body.put(text("12345"));
    CHECK_FALSE(body.ended());
    body.put(text("1"));
    CHECK(body.ended());
    CHECK(body.take() == nullptr);
    body.put(text("late"));
    CHECK(body.take() == nullptr);
}

TEST_CASE("The stream begins with everything and goes on with pictures") {
    running_server at({}, hasty());
    listener one(at);
    const http_reply head = one.client.receive(false);
    CHECK(head.status == 200);
    CHECK(head.header("content-type") == "text/event-stream");
    CHECK(head.header("cache-control") == "no-store");
    const boost::json::value whole = boost::json::parse(one.client.frame("dashboard"));
    CHECK(whole.at_pointer("/status/version") == "1.2.3");
    CHECK(whole.as_object().contains("events"));
    CHECK(whole.at_pointer("/timeline/moments/at").is_array());
    at.mode = service_mode::read_only;
    for (;;) {
        const boost::json::value picture = boost::json::parse(one.client.frame("snapshot"));
        if (picture.at_pointer("/status/mode") == "read_only") break;
    }
    CHECK(true);
}

TEST_CASE("A command is told to everybody who listens, with a number, and shows in the next picture") {
    running_server at(with_tokens(), hasty());
    listener one(at, "/api/v1/events", "Authorization: Bearer read\r\n");
    listener quiet(at, "/api/v1/events?pictures=no", "Authorization: Bearer read\r\n");
    CHECK(one.client.receive(false).status == 200);
    CHECK(quiet.client.receive(false).status == 200);
    CHECK(at.order("POST", "/api/v1/hold", "{}").status == 200);
    const boost::json::value told = boost::json::parse(one.client.frame("event"));
    CHECK(told.at("kind") == "command");
    CHECK(told.at("id") == 1);
    CHECK(told.at("what").as_string().find("POST /api/v1/hold") == 0);
    CHECK(boost::json::parse(quiet.client.frame("event")) == told);
    CHECK(quiet.client.seen_frames() == std::vector<std::string>{"event"});
}

TEST_CASE("Who was away gets the entries after the last one that it knows") {
    running_server at(with_tokens(), hasty());
    for (int i = 0; i < 3; ++i) CHECK(at.order("POST", "/api/v1/hold", "{}").status == 200);
    listener one(at, "/api/v1/events?pictures=no", "Authorization: Bearer read\r\nLast-Event-ID: 1\r\n");
    CHECK(one.client.receive(false).status == 200);
    CHECK(boost::json::parse(one.client.frame("event")).at("id") == 2);
    CHECK(boost::json::parse(one.client.frame("event")).at("id") == 3);
}

TEST_CASE("D39: the stream needs the token in its header; in the address it counts for nothing") {
    running_server at(with_tokens());
    CHECK(at.get("/api/v1/events").status == 401);
    CHECK(at.get("/api/v1/events?token=read&access_token=read").status == 401);
    CHECK(at.get("/api/v1/events", "Authorization: Bearer wrong\r\n").status == 401);
}

TEST_CASE("HEAD of the stream is its head alone") {
    running_server at({}, hasty());
    http_client client(at.server->port());
    client.send("HEAD /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(client.receive(false).status == 200);
    CHECK(client.closed_by_server());
}

TEST_CASE("Listeners are few: one more is told to come back, and gets the place of one that has left") {
    http_limits limits = hasty();
    limits.listeners = 2;
    running_server at({}, limits);
    listener one(at);
    CHECK(one.client.receive(false).status == 200);
    {
        listener two(at);
        CHECK(two.client.receive(false).status == 200);
        const http_reply refused = at.get("/api/v1/events");
        CHECK(refused.status == 503);
        CHECK(refused.header("retry-after") == "5");
    }
    unsigned status = 0;
    for (int i = 0; i < 500 && status != 200; ++i) {
        listener three(at);
        status = three.client.receive(false).status;
    }
    CHECK(status == 200);
}

TEST_CASE("A listener that does not read loses the stream, and the others notice nothing") {
    http_limits limits = hasty();
    limits.picture_interval = milliseconds(1);
    limits.write_timeout = milliseconds(200);
    limits.listeners = 2;
    running_server at(with_tokens(), limits);
    listener slow(at, "/api/v1/events", "Authorization: Bearer read\r\n", 4096);
    listener fast(at, "/api/v1/events", "Authorization: Bearer read\r\n");
    CHECK(fast.client.receive(false).status == 200);
    for (int i = 0; i < 3; ++i) CHECK(!fast.client.frame("snapshot").empty());
    CHECK(at.get("/api/v1/events", "Authorization: Bearer read\r\n").status == 503);
    // Nobody reads `slow`: its socket fills, a write takes longer than write_timeout, and its place is free.
    unsigned status = 503;
    for (int i = 0; i < 5000 && status == 503; ++i) {
        CHECK(!fast.client.frame("snapshot").empty());
        listener third(at, "/api/v1/events", "Authorization: Bearer read\r\n");
        status = third.client.receive(false).status;
    }
    CHECK(status == 200);
    CHECK(!fast.client.frame("snapshot").empty());
}

TEST_CASE("A picture that cannot be taken is left out, and the stream goes on") {
    running_server at({}, hasty());
    listener one(at);
    CHECK(one.client.receive(false).status == 200);
    CHECK(!one.client.frame("snapshot").empty());
    at.failing = true;
    for (int i = 0; i < 500 && at.warned().find("no snapshot") == std::string::npos; ++i)
        std::this_thread::sleep_for(milliseconds(10));
    CHECK(at.warned().find("no snapshot") != std::string::npos);
    at.failing = false;
    at.mode = service_mode::offline;
    std::string picture;
    for (int i = 0; i < 100 && picture.find("\"mode\":\"offline\"") == std::string::npos; ++i)
        picture = one.client.frame("snapshot");
    CHECK(picture.find("\"mode\":\"offline\"") != std::string::npos);
}

TEST_CASE("Stopping does not wait for listeners") {
    auto at = std::make_unique<running_server>(config::admin_settings{}, hasty());
    listener one(*at);
    CHECK(one.client.receive(false).status == 200);
    const auto before = std::chrono::steady_clock::now();
    at->server->stop();
    CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds(2));
}
