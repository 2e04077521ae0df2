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
