// LISTEN without a server of the client's own (D18, P22): when it is handed over, what waits for the shared listener, and
// where notifications may stand. Scripted servers; the test is the shared listener.
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using channels = std::set<std::string>;
constexpr std::int32_t own_pid = 4711;  // session_driver's

std::string query(const std::string& sql) { return client::query(sql); }
std::string run(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("") + client::sync();
}

std::string notification(std::int32_t sender, const std::string& channel, const std::string& payload) {
    std::string out;
    {
        const frame_builder frame(out, backend_message::notification_response);
        put_i32(out, sender);
        put_cstring(out, channel);
        put_cstring(out, payload);
    }
    return out;
}

struct sharing {
    explicit sharing(std::size_t servers = 1) : world(servers) {
        world.facts.shares_listen = true;
        world.before_grant = [this](world_server& server) {
            server.link.reported = world.tables.reported.with(server.link.reported, "server_encoding", "UTF8");
            server.link.backend_pid = 99;
        };
        client.emplace(world);
    }
    [[nodiscard]] std::string ask(const std::string& bytes) { return client->ask(bytes); }
    [[nodiscard]] session& talk() { return client->conversation; }
    /// The shared listener says it.
    [[nodiscard]] std::string hear(const std::string& frame, bool may_write = true) {
        talk().on_shared_notification(frame, may_write);
        client->run();
        return client->received();
    }

    session_world world;
    std::optional<session_driver> client;
};

std::int32_t sender_of(const std::string& frames) {
    const std::string_view body = std::string_view(frames).substr(frames.find('A') + frame_header_size);
    return static_cast<std::int32_t>(load_u32(body.data()));
}

}  // namespace

TEST_CASE("D18: LISTEN by itself keeps no server; the server that answered it listens no more") {
    for (const std::string& said : {query("listen a"), run("listen a")}) {
        sharing it;
        const std::string answer = it.ask(said);
        CHECK(types_of(answer).ends_with("CZ"));
        CHECK(answer.find("LISTEN") != std::string::npos);
        CHECK(it.client->server == nullptr);  // session_world complains of one that is given back and listens
        CHECK(it.talk().pins() == 0);
        CHECK(it.talk().shared_channels() == channels{"a"});
    }
}

TEST_CASE(
    "D18: ReadyForQuery waits until the shared listener has the channel, and so does what the client sends next") {
    sharing it;
    it.client->listener_answers = false;
    CHECK(types_of(it.ask(query("listen a") + query("select 'x'"))) == "C");
    CHECK(it.talk().awaits_channel());
    it.talk().on_listener(nullptr);
    it.client->run();
    CHECK(types_of(it.client->received()) == "Z");
    CHECK(it.client->listener_asked == 2);  // the next request waits for notifications of whoever had the server before
    it.talk().on_listener(nullptr);
    it.client->run();
    CHECK(types_of(it.client->received()) == "TDC");
    it.talk().on_listener(nullptr);
    it.client->run();
    CHECK(types_of(it.client->received()) == "Z");
    CHECK(it.client->server == nullptr);
}

TEST_CASE("D18: a LISTEN that the shared listener cannot carry out is an error, and the client does not listen") {
    sharing it;
    it.client->listener_answers = false;
    (void)it.ask(query("listen a"));
    const error_fields why = client_errors::listener_refused("no room", "1");
    it.talk().on_listener(&why);
    it.client->run();
    const std::string answer = it.client->received();
    CHECK(types_of(answer) == "EZ");
    CHECK(sqlstate_of(answer) == "57P03");
    CHECK(it.talk().shared_channels().empty());
    CHECK(it.client->server == nullptr);
}

TEST_CASE("D18: while the listener is waited for, the loss of the server that answered LISTEN is nobody's") {
    sharing it(2);
    it.client->listener_answers = false;
    (void)it.ask(query("listen a"));
    if (it.client->server != nullptr) it.client->lose_server("gone");
    CHECK(it.client->received().empty());
    it.talk().on_listener(nullptr);
    it.client->run();
    CHECK(types_of(it.client->received()) == "Z");
    it.client->listener_answers = true;
    CHECK(types_of(it.ask(query("select 'x'"))) == "TDCZ");
}

TEST_CASE("D18: within a transaction or a string of statements LISTEN keeps its server, as without sharing") {
    for (const std::vector<std::string>& said : {std::vector<std::string>{"begin", "listen a", "commit"},
                                                 {"listen a; listen b"},
                                                 {"begin; listen a; commit"}}) {
        sharing it;
        for (const std::string& each : said) (void)it.ask(query(each));
        CHECK(it.client->server != nullptr);
        CHECK(it.talk().shared_channels().empty());
    }
}

TEST_CASE("D18: UNLISTEN, UNLISTEN * and DISCARD ALL end it, a ROLLBACK of them does not") {
    for (const std::vector<std::string>& said : {std::vector<std::string>{"unlisten a", "unlisten b"},
                                                 {"unlisten *"},
                                                 {"discard all"},
                                                 {"begin", "unlisten *", "commit"}}) {
        sharing it;
        (void)it.ask(query("listen a") + query("listen b"));
        for (const std::string& each : said) (void)it.ask(query(each));
        CHECK(it.talk().shared_channels().empty());
        CHECK(it.hear(notification(1, "a", "late")).empty());
        CHECK(it.client->server == nullptr);
    }
    sharing it;
    (void)it.ask(query("listen a"));
    (void)it.ask(query("begin") + query("unlisten *") + query("rollback"));
    CHECK(it.talk().shared_channels() == channels{"a"});
}

TEST_CASE("D18: UNLISTEN that a savepoint takes back does not end it, one that stays does") {
    sharing it;
    (void)it.ask(query("listen a") + query("listen b"));
    for (const char* each : {"begin", "savepoint s", "unlisten *", "rollback to s", "commit"})
        (void)it.ask(query(each));
    CHECK(it.talk().shared_channels() == channels{"a", "b"});
    for (const char* each : {"begin", "unlisten a", "savepoint s", "unlisten b", "rollback to s", "commit"})
        (void)it.ask(query(each));
    CHECK(it.talk().shared_channels() == channels{"b"});
    CHECK(it.client->server == nullptr);
}

TEST_CASE("D18: an UNLISTEN that dies with its server is not carried out by the next transaction") {
    sharing it(2);
    (void)it.ask(query("listen a"));
    (void)it.ask(query("begin") + query("unlisten a"));
    it.client->lose_server("gone");
    it.client->run();
    (void)it.ask(query("rollback"));
    (void)it.ask(query("begin") + query("select 'x'") + query("commit"));
    CHECK(it.talk().shared_channels() == channels{"a"});
}

TEST_CASE("D18: LISTEN through the shared listener counts as no pin, one that keeps its server as one") {
    sharing it;
    (void)it.ask(query("listen a") + query("listen b"));
    CHECK(it.talk().take_report().pins == 0);
    (void)it.ask(query("begin") + query("listen c"));
    (void)it.ask(query("commit"));
    CHECK(it.talk().take_report().pins == 1);
    (void)it.ask(query("listen d"));
    CHECK(it.talk().take_report().pins == 0);
}

TEST_CASE("D18: an idle client hears at once, one in a transaction before the ReadyForQuery that ends it") {
    sharing it;
    (void)it.ask(query("listen a"));
    const std::string heard = it.hear(notification(7, "a", "now"));
    CHECK(types_of(heard) == "A");
    CHECK(sender_of(heard) == 7);
    CHECK(it.hear(notification(7, "b", "not asked for")).empty());
    (void)it.ask(query("begin"));
    CHECK(it.hear(notification(7, "a", "later")).empty());
    CHECK(types_of(it.ask(query("select 'x'"))) == "TDCZ");
    const std::string end = it.ask(query("commit"));
    CHECK(types_of(end) == "CAZ");
    CHECK(end.find("later") != std::string::npos);
}

TEST_CASE(
    "D18: what the client notifies itself carries the process number that it knows, what others do there theirs") {
    sharing it;
    (void)it.ask(query("listen a"));
    it.client->listener_answers = false;
    (void)it.ask(query("select 'x'"));
    // Whoever had the server before: said before the listener's answer.
    CHECK(it.hear(notification(99, "a", "theirs")).empty());
    it.talk().on_listener(nullptr);
    it.client->run();
    CHECK(types_of(it.client->received()) == "TDC");
    CHECK(it.hear(notification(99, "a", "mine")).empty());
    it.talk().on_listener(nullptr);
    it.client->run();
    const std::string end = it.client->received();
    CHECK(types_of(end) == "AAZ");
    CHECK(sender_of(end) == 99);
    CHECK(sender_of(end.substr(end.find("theirs"))) == own_pid);
    CHECK(sender_of(it.hear(notification(99, "a", "somebody else's by now"))) == 99);
}

TEST_CASE("D18: who has its ReadyForQuery hears at once, also while its server has yet to answer our UNLISTEN") {
    sharing it;
    it.client->lets_through = 12 + 6;  // the tag of LISTEN, and ReadyForQuery
    CHECK(types_of(it.ask(query("listen a"))) == "CZ");
    CHECK(it.client->server != nullptr);
    CHECK(types_of(it.hear(notification(7, "a", "now"))) == "A");
}

TEST_CASE("D18: what it notifies is its own, also while its server has yet to answer our UNLISTEN") {
    sharing it;
    it.client->lets_through = (server::complete("LISTEN") + server::ready()).size();
    CHECK(types_of(it.ask(query("listen a"))) == "CZ");
    REQUIRE(it.client->server != nullptr);
    const std::size_t asked = it.client->listener_asked;
    (void)it.ask(query("notify a, 'x'"));
    CHECK(it.client->listener_asked > asked);  // whose server it was before
    REQUIRE(it.client->server != nullptr);
    const std::string heard = it.hear(notification(99, "a", "x"));
    it.client->lets_through = loss_plan::never;
    it.client->run();
    const std::string all = heard + it.client->received();
    REQUIRE(all.find('A') != std::string::npos);
    CHECK(sender_of(all) == own_pid);
}

TEST_CASE("D18: a client that is sent too much while it is busy, or does not read, is ended with 53200") {
    for (const bool reads : {true, false}) {
        sharing it;
        it.world.facts.notification_bytes = 100;
        (void)it.ask(query("listen a"));
        if (reads) (void)it.ask(query("begin"));
        CHECK(it.hear(notification(7, "a", std::string(60, 'x')), reads).empty());
        const std::string end = it.hear(notification(7, "a", std::string(60, 'y')), reads);
        CHECK(sqlstate_of(end) == "53200");
        CHECK(it.client->closed);
        CHECK(it.talk().take_report().notifications_overflowed == 1);
    }
}

TEST_CASE("D18: who reads again is given what has waited, and hears of a gap in its place") {
    sharing it;
    (void)it.ask(query("listen a"));
    CHECK(it.hear(notification(7, "a", "first"), false).empty());
    it.talk().on_notifications_missed("12", true);
    CHECK(it.hear(notification(7, "a", "second")).empty());  // in order
    it.talk().deliver_if_idle();
    it.client->run();
    CHECK(types_of(it.client->received()) == "ANA");
}

TEST_CASE(
    "D18: other encodings than UTF-8 are not shared, and a change to one ends who would get what it cannot read") {
    sharing it;
    (void)it.ask(query("set client_encoding = 'LATIN1'") + query("listen a"));
    CHECK(it.talk().shared_channels().empty());
    CHECK(it.client->server != nullptr);
    sharing later;
    (void)later.ask(query("listen a") + query("set client_encoding = 'LATIN1'"));
    CHECK(types_of(later.hear(notification(7, "a", "plain"))) == "A");
    CHECK(sqlstate_of(later.hear(notification(7, "a", "\xc3\xa9"))) == "22P05");
}
