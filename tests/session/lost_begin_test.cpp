// A server is lost while it answers BEGIN: what the client has sent behind it, or sends later, is not executed outside of the
// transaction that it believes to be in (T10).
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string extended(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("") + client::sync();
}

std::string sqlstates(const std::string& stream) {
    std::string all;
    for (const frame& each : split_frames(stream)) {
        if (each.type == 'E') all += field_of(each, 'C') + ' ';
        if (each.type == 'Z') all += std::string(1, each.body[0]) + ' ';
    }
    return all;
}

std::string without_sync(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("");
}

}  // namespace

TEST_CASE("T10: a BEGIN whose Sync has not been sent is given again, and what follows stands in its transaction") {
    for (const std::uint32_t retries : {0U, 5U}) {
        CAPTURE(retries);
        session_world world(2);
        world.facts.retry.max_retries = retries;
        session_driver app(world);
        app.client_piece = without_sync("begin").size();  // its Sync comes later
        app.lets_through = 0;
        app.send(without_sync("begin"));
        app.lets_through = loss_plan::never;
        app.lose_server();
        app.run();
        const std::string rest = client::sync() + extended("insert into log values ('a')") + extended("rollback");
        CHECK(sqlstates(app.received() + app.ask(rest)) == (retries > 0 ? "T T I " : "40001 E 25P02 E I "));
        CHECK(world.database.log.empty());
    }
}

TEST_CASE("T10: what has begun a transaction and may have done more than that leaves a failed one") {
    struct story {
        const char* name;
        std::string bytes;
        std::string told;
    };
    const std::string unknown = client::bind("", "nowhere") + client::execute("");
    const std::vector<story> stories = {
        {"more than a rollback takes back", without_sync("begin") + without_sync("vacuum") + client::sync(),
         "40003 E "},
        {"in one string", client::query("begin; vacuum"), "40003 E "},
        {"a statement that is not known", without_sync("begin") + unknown + client::sync(), "40003 E "},
        {"and has ended it", without_sync("begin") + unknown + without_sync("rollback") + client::sync(), "40003 I "},
        {"and has committed it",
         without_sync("begin") + without_sync("vacuum") + without_sync("commit") + client::sync(), "08007 I "},
    };
    for (const story& each : stories) {
        CAPTURE(each.name);
        session_world world(2);
        session_driver app(world);
        world.plan.after_input = world.input_bytes + 1;  // nothing of it is done
        app.send(each.bytes + client::query("insert into log values ('a')"));
        const bool open = each.told.ends_with("E ");
        CHECK(sqlstates(app.received()) == each.told + (open ? "25P02 E " : "40003 I "));
        CHECK(sqlstates(app.ask(client::query("rollback") + client::query("insert into log values ('b')"))) == "I I ");
        CHECK(world.database.log == std::vector<std::string>{"b"});
    }
}

TEST_CASE("T8: a segment without its Sync that has a COMMIT in it may have committed, and is not sent again") {
    session_world world(2);
    session_driver app(world);
    app.lets_through = 0;
    app.send(without_sync("begin") + without_sync("insert into log values ('a')") + without_sync("commit"));
    app.lets_through = loss_plan::never;
    app.lose_server();
    app.run();
    CHECK(sqlstates(app.received() + app.ask(client::sync())) == "08007 I ");
    world.finish_lost_servers();
    CHECK(world.database.log.size() <= 1);
    CHECK(world.database.executions["insert into log values ('a')"] <= 1);
}

TEST_CASE("T10: a BEGIN of whose answer a part was delivered leaves a failed transaction") {
    session_world world(2);
    world.facts.retry.result_hold = 0;
    session_driver app(world);
    world.plan.after_output = world.output_bytes + 5;  // ParseComplete
    CHECK(sqlstates(app.ask(extended("begin") + extended("insert into log values ('a')"))) == "40001 E 25P02 E ");
    CHECK(world.losses == 1);
    CHECK(sqlstates(app.ask(extended("insert into log values ('b')"))) == "25P02 E ");
    CHECK(sqlstates(app.ask(extended("commit"))) == "I ");
    CHECK(world.database.log.empty());
}

TEST_CASE("T10: so does a lone BEGIN that may not be sent again") {
    session_world world(2);
    world.facts.retry.max_retries = 0;
    session_driver app(world);
    world.plan.after_output = world.output_bytes + 1;
    CHECK(sqlstates(app.ask(extended("begin"))) == "40001 E ");
    CHECK(sqlstates(app.ask(extended("insert into log values ('b')") + extended("commit"))) == "25P02 E I ");
    CHECK(world.database.log.empty());
}

TEST_CASE("T10: a string that opens a transaction, as libpqxx says it, is given again: nothing of it can have stayed") {
    for (const std::string opening : {"begin; savepoint a", "begin; insert into log values ('a')"}) {
        for (const bool answered : {false, true}) {
            CAPTURE(opening);
            CAPTURE(answered);
            session_world world(2);
            world.facts.replays = true;
            session_driver app(world);
            world.plan.after_output = world.output_bytes + (answered ? 20 : 1);
            CHECK(sqlstates(app.ask(client::query(opening))) == "T ");
            CHECK(world.losses == 1);
            CHECK(sqlstates(app.ask(client::query("commit"))) == "I ");
            CHECK(world.database.log.size() == (opening.find("insert") != std::string::npos ? 1 : 0));
        }
    }
}

TEST_CASE("T10: and where it is not given again, its client is not told of a COMMIT") {
    session_world world(2);
    world.facts.retry.max_retries = 0;
    session_driver app(world);
    world.plan.after_output = world.output_bytes + 1;
    CHECK(sqlstates(app.ask(client::query("begin; savepoint a"))) == "40001 E ");
    CHECK(sqlstates(app.ask(client::query("rollback"))) == "I ");
}

TEST_CASE("T1: a string that commits what it opened is in doubt") {
    session_world world(2);
    session_driver app(world);
    world.plan.after_output = world.output_bytes + 1;
    CHECK(sqlstates(app.ask(client::query("begin; insert into log values ('a'); commit"))) == "08007 I ");
}
