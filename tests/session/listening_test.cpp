// LISTEN survives its server (recovery.md 2.7, T18): the channels come back before the next statement, the client is told
// that notifications may be missing, and what is not known for sure ends the session. Scripted servers.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using channels = std::set<std::string>;

std::string query(const std::string& sql) { return client::query(sql); }

/// A client that has said this, whose server is then lost while nothing is under way.
struct idle_listener {
    explicit idle_listener(const std::vector<std::string>& said, std::size_t servers = 2)
        : world(servers), client(world) {
        for (const std::string& each : said) (void)client.ask(query(each));
        if (client.server != nullptr) lose();
    }
    void lose() {
        client.lose_server("gone");
        client.run();
        heard = client.received();
    }
    [[nodiscard]] channels listens() const {
        return client.server != nullptr ? client.server->process->channels() : channels();
    }

    session_world world;
    session_driver client;
    std::string heard;
};

}  // namespace

TEST_CASE("T18: an idle client listens again, without doing anything, and hears that notifications may be lost") {
    idle_listener it({"listen a", "listen b", "listen a"});
    CHECK(it.listens() == channels{"a", "b"});
    CHECK(types_of(it.heard) == "N");
    const frame notice = split_frames(it.heard).front();
    CHECK(field_of(notice, 'S') == "NOTICE");
    CHECK(field_of(notice, 'C') == "01000");
    CHECK(field_of(notice, 'M').starts_with("notifications may have been lost"));
    CHECK(it.client.ask(query("select 'x'")).find("SELECT 1") != std::string::npos);
    it.lose();
    CHECK(it.listens() == channels{"a", "b"});
}

TEST_CASE("2.7: LISTEN and UNLISTEN follow their transaction") {
    CHECK(idle_listener({"listen a", "begin", "listen b", "unlisten a", "commit"}).listens() == channels{"b"});
    CHECK(idle_listener({"listen a", "begin", "listen b", "unlisten *", "rollback"}).listens() == channels{"a"});
    CHECK(idle_listener({"listen a", "begin", "listen b", "select error('22012')", "commit"}).listens() ==
          channels{"a"});
    CHECK(idle_listener({"listen a", "listen b; unlisten a"}).listens() == channels{"b"});
    CHECK(idle_listener({"listen a", "listen b; select error('22012')"}).listens() == channels{"a"});
    CHECK(idle_listener({"listen \"A b\""}).listens() == channels{"A b"});
}

TEST_CASE("2.7: LISTEN and UNLISTEN follow the savepoints of their transaction") {
    const auto within = [](std::vector<std::string> said) {
        said.insert(said.begin(), {"listen a", "begin"});
        said.emplace_back("commit");
        return idle_listener(said).listens();
    };
    CHECK(within({"savepoint s", "listen b", "rollback to s"}) == channels{"a"});  // unseen, so in front of everything
    CHECK(within({"listen b", "savepoint s", "listen c", "rollback to s", "listen d"}) == channels{"a", "b", "d"});
    CHECK(within({"listen b", "savepoint s", "unlisten *", "rollback to savepoint s"}) == channels{"a", "b"});
    CHECK(within({"listen b", "savepoint s", "listen c", "release s"}) == channels{"a", "b", "c"});
    CHECK(within({"savepoint s", "listen b", "savepoint t", "listen c", "release s", "select 'x'"}) ==
          channels{"a", "b", "c"});
    CHECK(within({"unlisten a", "savepoint s", "listen b", "savepoint s", "listen c", "rollback to s",
                  "rollback to s"}) == channels{"b"});
}

TEST_CASE("2.7: which savepoint an earlier text names is not guessed") {
    const auto parse = [](const char* name, const char* sql) { return client::parse(name, sql); };
    const auto run = [](const char* name) { return client::bind("", name) + client::execute("") + client::sync(); };
    idle_listener it({"listen a"}, 3);
    (void)it.client.ask(parse("s", "savepoint x") + parse("r", "rollback to x") + client::sync());
    (void)it.client.ask(query("begin") + query("listen b"));
    (void)it.client.ask(run("s") + query("listen c"));
    (void)it.client.ask(run("r") + query("commit"));
    it.lose();
    CHECK(it.client.closed);
}

TEST_CASE("2.7: UNLISTEN of everything, by itself, ends also what was not known") {
    session_world world(1);
    session_driver client(world);
    (void)client.ask(query("listen a") + query("listen b; unlisten *"));
    CHECK(client.server != nullptr);
    (void)client.ask(query("unlisten *"));
    CHECK(client.server == nullptr);
    (void)client.ask(query("begin") + query("savepoint s") + query("listen a") + query("rollback to s"));
    CHECK(client.conversation.pins() == 0);
    (void)client.ask(query("commit"));
    CHECK(client.server == nullptr);
}

TEST_CASE("2.7: who listens to nothing any more keeps no server") {
    for (const std::vector<std::string>& said : {std::vector<std::string>{"listen a", "unlisten a"},
                                                 {"listen a", "listen b", "unlisten *"},
                                                 {"listen a", "discard all"},
                                                 {"begin", "listen a", "rollback"}}) {
        const idle_listener it(said);
        CHECK(it.client.server == nullptr);
        CHECK(it.client.conversation.pins() == 0);
        CHECK(it.heard.empty());
    }
}

TEST_CASE("2.7: a transaction of a listening client that dies is told, its LISTEN is not kept, and it listens on") {
    idle_listener it({"listen a", "begin", "listen b", "insert into log values ('x')"});
    CHECK(it.heard.empty());  // the transaction is to be ended first
    CHECK(sqlstate_of(it.client.ask(query("select 'y'"))) == "40001");
    const std::string ended = it.client.ask(query("rollback"));
    CHECK(types_of(ended).find('C') == 0);
    CHECK(it.listens() == channels{"a"});
    CHECK(it.world.database.log.empty());
}

TEST_CASE("2.7: the channels are there before the next statement runs") {
    session_world world(2);
    session_driver client(world);
    (void)client.ask(query("listen a") + query("set work_mem = '5MB'"));
    world.plan.after_output = world.output_bytes;  // in the middle of a read
    const std::string got = client.ask(query("show work_mem"));
    CHECK(types_of(got).find("NTDCZ") != std::string::npos);
    CHECK(got.find("5MB") != std::string::npos);
    CHECK(client.server->process->channels() == channels{"a"});
}

TEST_CASE("T19: what else is pinned still ends the session, and is named") {
    for (const std::string& more : {std::string("create temp table t ()"), std::string("select pg_advisory_lock(1)")}) {
        idle_listener it({"listen a", more});
        CHECK(it.client.closed);
        CHECK(sqlstate_of(it.heard) == "08006");
        CHECK(it.heard.find("listen") == std::string::npos);
    }
}

TEST_CASE("2.7, P21: a segment in which a transaction ends and more follows neither loses a channel nor a pin") {
    const auto run = [](const std::string& sql) {
        return client::parse("", sql) + client::bind("", "") + client::execute("");
    };
    session_world world(2);
    session_driver client(world);
    (void)client.ask(query("begin") + run("rollback") + run("create temp table t ()") + client::sync());
    CHECK(client.conversation.pins() != 0);
    CHECK(client.server != nullptr);  // else the world complains of what it is given back
    for (const std::string& segment :
         {run("rollback") + run("listen b"), run("listen b") + run("commit") + run("select 'x'")}) {
        idle_listener it({"listen a", "begin", "select 'y'"}, 3);
        (void)it.client.ask(query("rollback") + query("begin") + segment + client::sync());
        it.lose();
        CHECK(it.client.closed);
    }
    idle_listener within({"listen a"});
    (void)within.client.ask(run("begin") + run("listen b") + run("rollback") + client::sync());
    within.lose();
    CHECK(within.client.closed);
}

TEST_CASE("2.7: what a savepoint or a string of transactions leaves of LISTEN is not guessed") {
    for (const std::vector<std::string>& said :
         {std::vector<std::string>{"listen a", "begin", "listen b", "savepoint s; rollback to s; select 'x'", "commit"},
          {"listen a", "begin; listen b; commit; begin; listen c; rollback"},
          {"listen a", "listen b; unlisten *"}}) {
        idle_listener it(said);
        CHECK(it.client.closed);
        CHECK(it.heard.find("(listen)") != std::string::npos);
    }
}

TEST_CASE("2.7: without a server to be had it asks again after a pause, and requests are not answered for it") {
    session_world world(2);
    session_driver client(world);
    (void)client.ask(query("listen a"));
    client.starved = true;
    client.lose_server("gone");
    client.run();
    CHECK(client.conversation.waiting());
    CHECK(client.conversation.need() == server_need::primary);
    CHECK(client.conversation.idle());
    client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    client.run();
    CHECK(client.listens_later);
    CHECK(client.received().empty());
    CHECK_FALSE(client.conversation.waiting());
    client.starved = false;
    client.conversation.resume_listening();
    client.run();
    CHECK(types_of(client.received()) == "N");
    CHECK(client.server->process->channels() == channels{"a"});
}

TEST_CASE("2.7: the server that is to listen is lost, too") {
    session_world world(3);
    session_driver client(world);
    (void)client.ask(query("listen a"));
    world.plan.after_output = world.output_bytes + 3;  // within the answer to LISTEN
    client.lose_server("gone");
    client.run();
    CHECK(types_of(client.received()) == "N");
    CHECK(world.losses == 1);
    CHECK(client.server->process->channels() == channels{"a"});
}

TEST_CASE("2.7: more channels than are followed end the session, and so does a switched-off recovery") {
    std::vector<std::string> many;
    for (int i = 0; i < 1030; ++i) many.push_back("listen c" + std::to_string(i));
    idle_listener it(many);
    CHECK(it.client.closed);
    session_world two_channels(2);
    two_channels.facts.max_channels = 2;
    session_driver keeps(two_channels);
    for (const char* each : {"listen a", "listen b"}) (void)keeps.ask(query(each));
    keeps.lose_server("gone");
    keeps.run();
    CHECK_FALSE(keeps.closed);
    CHECK(keeps.conversation.take_report().channels_dropped == 0);
    (void)keeps.ask(query("listen c"));
    CHECK(keeps.conversation.take_report().channels_dropped == 1);
    keeps.lose_server("gone");
    keeps.run();
    CHECK(keeps.closed);
    session_world world(2);
    session_driver client(world);
    (void)client.ask(query("listen a"));
    world.facts.recovers = false;
    client.lose_server("gone");
    client.run();
    CHECK(client.closed);
}

TEST_CASE("temporary objects of a transaction that dies with its server do not end the session") {
    idle_listener it({"begin", "create temp table t ()"});
    CHECK_FALSE(it.client.closed);
    CHECK(sqlstate_of(it.client.ask(query("select 'y'"))) == "40001");
    (void)it.client.ask(query("rollback"));
    CHECK(it.client.conversation.pins() == 0);
    idle_listener kept({"begin", "create temp table t ()", "commit"});
    CHECK(kept.client.closed);
    idle_listener before({"create temp table t ()", "begin", "create temp table u ()"});
    CHECK(before.client.closed);
    const idle_listener undone({"begin", "create temp table t ()", "rollback"});
    CHECK(undone.client.server == nullptr);
}
