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

}  // namespace

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
