// SQL PREPARE without a server of the client's own (D14): statements follow their client, names are nobody else's, and what
// cannot be made again as it was pins. Scripted servers; the real ones are asked by tests/differential.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string query(const std::string& sql) { return client::query(sql); }
std::string steps(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("");
}
std::string run(const std::string& sql) { return steps(sql) + client::sync(); }

/// Said one after the other; what came back of the last.
std::string tell(session_driver& client, const std::vector<std::string>& said) {
    std::string last;
    for (const std::string& each : said) last = client.ask(query(each));
    return last;
}

bool says(const std::string& answer, const std::string& what) { return answer.find(what) != std::string::npos; }

}  // namespace

TEST_CASE("D14: PREPARE keeps no server, and EXECUTE finds the statement on the next one") {
    for (const bool extended : {false, true}) {
        const auto ask = extended ? run : query;
        session_world world(3);
        session_driver client(world);
        CHECK(says(client.ask(ask("prepare p as select 'one'")), "PREPARE"));
        CHECK(client.server == nullptr);
        CHECK(client.conversation.pins() == 0);
        for (int i = 0; i < 4; ++i) CHECK(says(client.ask(ask("execute p")), "one"));
        CHECK(client.conversation.take_report().pins == 0);
        CHECK(says(client.ask(query("begin") + ask("execute p") + ask("execute p") + query("commit")), "COMMIT"));
        CHECK(client.server == nullptr);
    }
}

TEST_CASE("D14: in the middle of a segment and of a transaction, too") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'"});
    const std::string answer = client.ask(steps("begin") + steps("execute p") + client::sync());
    CHECK(types_of(answer) == "12C12DCZ");
    CHECK(says(answer, "one"));
    CHECK(says(client.ask(query("commit")), "COMMIT"));
    CHECK(client.server == nullptr);
}

TEST_CASE("D14: names are the client's alone: another one with the same name has its own, and one without has none") {
    session_world world(1);
    session_driver one(world);
    session_driver other(world);
    session_driver third(world);
    (void)tell(one, {"prepare p as select 'one'"});
    CHECK(says(tell(other, {"prepare p as select 'other'"}), "PREPARE"));
    CHECK(sqlstate_of(tell(third, {"execute p"})) == "26000");
    for (int i = 0; i < 2; ++i) {
        CHECK(says(tell(one, {"execute p"}), "one"));
        CHECK(says(tell(other, {"execute p"}), "other"));
    }
    CHECK(sqlstate_of(third.ask(run("execute p"))) == "26000");
    CHECK(sqlstate_of(third.ask(client::bind("", "p") + client::sync())) == "26000");
}

TEST_CASE("D14: who has its server again is prepared nothing again") {
    session_world world(1);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'", "execute p"});
    const std::size_t before = world.input_bytes;
    (void)tell(client, {"execute p", "execute p"});
    CHECK(world.input_bytes - before == 2 * query("execute p").size());
}

TEST_CASE("D14: DEALLOCATE, DEALLOCATE ALL and DISCARD ALL end it, on whichever server they are said") {
    for (const std::string& said : {std::string("deallocate p"), std::string("deallocate prepare p"),
                                    std::string("deallocate all"), std::string("discard all")}) {
        session_world world(2);
        session_driver client(world);
        (void)tell(client, {"prepare p as select 'one'", "execute p", "execute p"});  // both have it
        CHECK_FALSE(says(tell(client, {said}), "26000"));
        for (int i = 0; i < 2; ++i) CHECK(sqlstate_of(tell(client, {"execute p"})) == "26000");
        CHECK(says(tell(client, {"prepare p as select 'two'"}), "PREPARE"));
        for (int i = 0; i < 2; ++i) CHECK(says(tell(client, {"execute p"}), "two"));
        CHECK(client.server == nullptr);
    }
}

TEST_CASE("D14: a name that is taken is 42P05 on every server, from SQL and from the protocol") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'"});
    for (int i = 0; i < 2; ++i) {
        CHECK(sqlstate_of(tell(client, {"prepare p as select 'two'"})) == "42P05");
        CHECK(sqlstate_of(client.ask(client::parse("p", "select 'two'") + client::sync())) == "42P05");
    }
    for (int i = 0; i < 3; ++i) CHECK(says(tell(client, {"execute p"}), "one"));
    CHECK(client.server == nullptr);
}

TEST_CASE("D14: the protocol binds, describes and closes what SQL has prepared") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'", "select 'x'"});
    CHECK(says(client.ask(client::bind("", "p") + client::execute("") + client::sync()), "one"));
    CHECK(types_of(client.ask(client::describe_statement("p") + client::sync())) == "tTZ");
    CHECK(types_of(client.ask(client::close_statement("p") + client::sync())) == "3Z");
    for (int i = 0; i < 2; ++i) CHECK(sqlstate_of(tell(client, {"execute p"})) == "26000");
}

TEST_CASE("D14: PREPARE outlives a transaction that is rolled back, as on PostgreSQL") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"begin", "prepare p as select 'one'", "rollback"});
    CHECK(client.server == nullptr);
    for (int i = 0; i < 2; ++i) CHECK(says(tell(client, {"execute p"}), "one"));
}

TEST_CASE("D14: what SQL has prepared outlives its server") {
    session_world world(3);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'"});
    for (const bool within : {false, true}) {
        if (within) (void)tell(client, {"begin", "execute p"});
        if (client.server != nullptr) client.lose_server("gone");
        client.run();
        if (within) (void)tell(client, {"rollback"});
        (void)client.received();
        CHECK_FALSE(client.closed);
        CHECK(says(tell(client, {"execute p"}), "one"));
    }
}

TEST_CASE("D14: what EXECUTE executes is not known by its text, so a lost one is not sent again as a read") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"prepare p as insert into log values ('x')"});
    world.plan.after_output = world.output_bytes;
    const std::string answer = client.ask(client::bind("", "p") + client::execute("") + client::sync());
    CHECK(world.losses == 1);
    CHECK(says(answer, "E"));
    CHECK(world.database.log.size() <= 1);
}

TEST_CASE("D14: it is made again under the settings of then, and the client's are there for what follows") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"set datestyle = 'German'", "prepare p as select 'one'", "set datestyle = 'ISO'"});
    for (int i = 0; i < 3; ++i) {
        CHECK(says(tell(client, {"execute p"}), "one"));
        CHECK(says(tell(client, {"show datestyle"}), "ISO"));
    }
    CHECK(client.server == nullptr);
}

TEST_CASE("D14: what cannot be made again as it was pins") {
    for (const std::vector<std::string>& said : {std::vector<std::string>{"set a.b = 'c'; prepare p as select 'x'"},
                                                 {"prepare p as select 'x'; deallocate all; prepare q as select 'y'"},
                                                 {"prepare p as select pg_advisory_lock(1)"},
                                                 {"prepare p as select 'x'; select error('22012')"}}) {
        session_world world(1);
        session_driver client(world);
        (void)tell(client, said);
        CHECK(client.server != nullptr);
    }
}

TEST_CASE("D14: a text that is too large to be read, or was not understood, finds all of them") {
    session_world world(2);
    session_driver client(world);
    (void)tell(client, {"prepare p as select 'one'", "select 'x'"});
    CHECK(says(tell(client, {"execute p -- " + std::string(300'000, 'x')}), "one"));
}

TEST_CASE("D14: prepared statements count against limits.session_memory") {
    session_world world(1);
    session_driver client(world);
    world.facts.session_bytes = 1000;
    (void)tell(client, {"prepare p as select '" + std::string(400, 'x') + "'"});
    CHECK_FALSE(client.closed);
    const std::string end = tell(client, {"prepare q as select '" + std::string(600, 'x') + "'"});
    CHECK(sqlstate_of(end) == "53200");
    CHECK(client.closed);
}
