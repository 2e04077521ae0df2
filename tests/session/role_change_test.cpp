// A server that was taken for the primary refuses to write (25006): the monitor's word decides (D21, recovery.md 2.9).
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

const std::string insert = client::query("insert into log values ('x')");

/// Two servers; those that are demoted refuse to write, and nobody has been told.
struct failover {
    explicit failover(std::vector<bool> demoted = {true, false}, session_mode mode = session_mode::transaction)
        : world(demoted.size(), mode), client(world) {
        for (std::size_t i = 0; i < demoted.size(); ++i)
            if (demoted[i])
                world.servers[i]->process = std::make_unique<scripted_server>(
                    world.database, scripted_server::startup_list{{"default_transaction_read_only", "on"}});
        // Welcome was given by one of them already: the next in turn is the first.
        while (world.take() != world.servers.back().get()) {
        }
        for (const auto& each : world.servers) each->taken = false;
    }

    session_world world;
    session_driver client;
};

std::string types(const std::string& stream) {
    std::string all;
    for (const frame& each : split_frames(stream))
        if (each.type != 'S') all += each.type;
    return all;
}

std::string sqlstate(const std::string& stream) {
    for (const frame& each : split_frames(stream))
        if (each.type == 'E') return field_of(each, 'C');
    return {};
}

char last_status(const std::string& stream) {
    const std::vector<frame> all = split_frames(stream);
    return all.empty() || all.back().type != 'Z' ? '-' : all.back().body[0];
}

}  // namespace

TEST_CASE("D21, P53: a write that the former primary refused goes to the new one, and the client sees only that") {
    for (const bool extended : {false, true}) {
        failover at;
        const std::string request = extended ? client::parse("", "insert into log values ('x')") +
                                                   client::bind("", "") + client::execute("") + client::sync()
                                             : insert;
        CHECK(at.client.ask(request).empty());
        CHECK(at.client.roles_asked == 1);
        CHECK(at.client.conversation.awaits_role());
        at.client.tell_role(true);
        const std::string got = at.client.received();
        CHECK(types(got) == (extended ? "12CZ" : "CZ"));
        CHECK(last_status(got) == 'I');
        CHECK(at.world.database.log == std::vector<std::string>{"x"});
        CHECK(at.client.not_primary_told == 0);  // asking was telling
    }
}

TEST_CASE("D21: if the monitor says that nothing has changed, the client gets the server's own words") {
    failover at;
    CHECK(at.client.ask(insert).empty());
    at.client.tell_role(false);
    const std::string got = at.client.received();
    CHECK(types(got) == "EZ");
    CHECK(sqlstate(got) == "25006");
    CHECK(got.find("in a read-only transaction") != std::string::npos);
    CHECK(got.find("incident") == std::string::npos);
    CHECK(last_status(got) == 'I');
    CHECK(at.world.database.log.empty());
}

TEST_CASE("D21: sent to another server at most once") {
    failover at({true, true});
    CHECK(at.client.ask(insert).empty());
    at.client.tell_role(true);
    const std::string got = at.client.received();  // not asked again
    CHECK(types(got) == "EZ");
    CHECK(sqlstate(got) == "25006");
    CHECK(at.client.roles_asked == 1);
    CHECK(at.client.ask(insert).empty());  // the next request is another matter
    CHECK(at.client.roles_asked == 2);
    at.client.tell_role(false);
}

TEST_CASE("D21: in a transaction 40001 after a confirmed change of roles, and the server's words without one") {
    for (const bool changed : {true, false}) {
        failover at;
        CHECK(last_status(at.client.ask(client::query("begin"))) == 'T');
        CHECK(at.client.ask(insert).empty());
        at.client.tell_role(changed);
        const std::string got = at.client.received();
        CHECK(types(got) == "EZ");
        CHECK(sqlstate(got) == (changed ? "40001" : "25006"));
        CHECK((got.find("transaction rolled back: server role changed") != std::string::npos) == changed);
        CHECK(last_status(got) == 'E');
        CHECK(sqlstate(at.client.ask(client::query("select 'y'"))) == "25P02");
        CHECK(last_status(at.client.ask(client::query("rollback"))) == 'I');
        CHECK(at.world.database.log.empty());
    }
}

TEST_CASE("D21: a transaction that the refused request has begun itself gets 40001, and is failed until it is ended") {
    const std::string extended = client::parse("", "begin") + client::bind("", "") + client::execute("") +
                                 client::parse("", "insert into log values ('x')") + client::bind("", "") +
                                 client::execute("") + client::sync();
    for (const std::string& request : {client::query("begin; insert into log values ('x')"),
                                       client::query("begin; insert into log values ('x'); commit"), extended}) {
        failover at;
        (void)at.client.ask(request);
        at.client.tell_role(true);
        const std::string got = at.client.received();
        CHECK(sqlstate(got) == "40001");
        CHECK(got.find("server role changed") != std::string::npos);
        CHECK(last_status(got) == 'E');
        CHECK(last_status(at.client.ask(client::query("rollback"))) == 'I');
        CHECK(at.world.database.log.empty());
    }
}

TEST_CASE(
    "recovery.md 2.9, E3c: a server that tells of another role than it had makes the monitor look, a word of its own "
    "does not") {
    session_world world;
    session_driver client(world);
    (void)client.ask(client::query("begin"));  // a server is attached
    const auto told = [&](bool standby, const char* name, const char* value) {
        client.server->link.standby = standby;
        (void)client.conversation.on_server_bytes(server::parameter(name, value));
        return client.conversation.take_actions().not_primary;
    };
    CHECK(told(true, "in_hot_standby", "off"));
    CHECK(told(false, "in_hot_standby", "on"));
    CHECK_FALSE(told(true, "in_hot_standby", "on"));
    CHECK_FALSE(told(false, "in_hot_standby", "off"));
    CHECK_FALSE(told(true, "default_transaction_read_only", "off"));  // the client's own, or the role's
}

TEST_CASE("D21: who is read-only by his own choice waits for no news, and accuses nobody") {
    SUBCASE("a SET of the client's") {
        failover at({false, false});
        (void)at.client.ask(client::query("set default_transaction_read_only = on"));
        CHECK(sqlstate(at.client.ask(insert)) == "25006");
        CHECK(at.client.roles_asked + at.client.not_primary_told == 0);
    }
    SUBCASE("a setting of the role's, known since sign-in") {
        failover at;
        at.world.servers[0]->link.read_only_default = true;
        CHECK(sqlstate(at.client.ask(insert)) == "25006");
        CHECK(at.client.roles_asked + at.client.not_primary_told == 0);
    }
    SUBCASE("one that was found out a while ago") {
        failover at;
        at.world.facts.read_only_by_itself = true;
        CHECK(sqlstate(at.client.ask(insert)) == "25006");
        CHECK(at.client.roles_asked + at.client.not_primary_told == 0);
    }
}

TEST_CASE("D1: without recovery the error passes at once; the monitor is told") {
    failover at;
    at.world.facts.recovers = false;
    CHECK(sqlstate(at.client.ask(insert)) == "25006");
    CHECK(at.client.roles_asked == 0);
    CHECK(at.client.not_primary_told == 1);
}

TEST_CASE("D21: only what is one request without transactions of its own is sent again") {
    SUBCASE("a string that commits something of its own before") {
        failover at;
        (void)at.client.ask(client::query("begin; commit; insert into log values ('x')"));
        at.client.tell_role(true);
        CHECK(sqlstate(at.client.received()) == "25006");
    }
    SUBCASE("behind rows that the client has") {
        failover at;
        at.world.facts.retry.result_hold = 0;
        (void)at.client.ask(client::query("select rows(3); insert into log values ('x')"));
        at.client.tell_role(true);
        CHECK(sqlstate(at.client.received()) == "25006");
    }
    SUBCASE("two requests in a pipeline: each has its own answer") {
        failover at;
        (void)at.client.ask(insert + client::query("select 'y'"));
        at.client.tell_role(true);
        const std::string got = at.client.received();
        CHECK(sqlstate(got) == "25006");
        CHECK(types(got) == "EZTDCZ");
    }
    CHECK(true);
}

TEST_CASE("what waits for news takes nothing more from its client, and forgets the question with the server") {
    failover at;
    CHECK(at.client.ask(insert).empty());
    CHECK(at.client.ask(client::query("select 'later'")).empty());
    at.client.lose_server();
    CHECK_FALSE(at.client.conversation.awaits_role());
    at.client.run();
    const std::string got = at.client.received();
    CHECK(sqlstate(got) == "40003");
    CHECK(got.find("later") != std::string::npos);
}

TEST_CASE("a client that leaves while news are awaited takes the question with it") {
    failover at;
    CHECK(at.client.ask(insert).empty());
    at.client.vanish();
    CHECK_FALSE(at.client.conversation.awaits_role());
}
