// An answer of which the client has a part comes again, and is another: the client is told, whatever shows the difference.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

/// In a transaction `TABLE log` is answered, but for its ReadyForQuery, with two rows; then the log has these.
std::string resume(const std::vector<std::string>& rows_then) {
    session_world world(3);
    world.facts.replays = true;
    world.facts.retry.result_hold = 0;
    world.database.log = {"one", "another"};
    session_driver app(world);
    (void)app.ask(client::query("begin"));
    scripted_server direct(world.database);
    world.plan.after_output = world.output_bytes + direct.feed(client::query("table log")).size() - 3;
    world.before_grant = [&](world_server&) { world.database.log = rows_then; };
    const std::string answer = app.ask(client::query("table log"));
    CHECK(world.losses == 1);
    std::string told = types_of(answer);
    for (const frame& each : split_frames(answer)) {
        if (each.type == 'E') told += ' ' + field_of(each, 'C');
        if (each.type == 'Z') told += ' ' + each.body;
    }
    return told;
}

}  // namespace

TEST_CASE("2.3: an answer that comes again as it was goes on where it was cut") {
    CHECK(resume({"one", "another"}) == "TDDCZ T");
}

TEST_CASE("T12: notices are no part of what has to come again") {
    const std::string asked = client::query("select count(); select count(), rows(3)");
    for (std::size_t after = 1; after < 200; ++after) {
        session_world world(3);
        world.facts.replays = true;
        world.facts.retry.result_hold = 0;
        session_driver app(world);
        (void)app.ask(client::query("begin"));
        world.plan.after_output = world.output_bytes + after;
        std::string told;
        const std::string answer = app.ask(asked);
        for (const char type : types_of(answer))
            if (type != 'N') told += type;
        CAPTURE(after);
        CHECK(told == "TDCTDDDCZ");
        CHECK(answer.back() == 'T');
        if (world.losses == 0) break;
    }
}

TEST_CASE("2.3: one that is longer, shorter or another is 40001, and the client is told") {
    CHECK(resume({"one", "another", "third"}) == "TDDCEZ 40001 E");
    CHECK(resume({"one"}) == "TDDCEZ 40001 E");
    CHECK(resume({"one", "anothex"}) == "TDDCEZ 40001 E");
    CHECK(resume({}) == "TDDCEZ 40001 E");
}
