// Sessions in hard times: statements that crash servers, standbys that serve reads, a primary that nobody may write to.
#include "protocol/frame.hpp"

#include "proxy/policy/crash_record.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::vector<std::string> sqlstates(const std::string& stream) {
    std::vector<std::string> found;
    for (const frame& each : split_frames(stream))
        if (each.type == 'E') found.push_back(field_of(each, 'C'));
    return found;
}

/// ParameterStatus as "name=value".
std::vector<std::string> reports(const std::string& stream) {
    std::vector<std::string> found;
    for (const frame& each : split_frames(stream)) {
        if (each.type != 'S') continue;
        const std::string name = each.body.c_str();
        found.push_back(name + '=' + (each.body.c_str() + name.size() + 1));
    }
    return found;
}

/// One server, which is a standby or is not, as PostgreSQL 14 and later tell.
struct changing_roles {
    changing_roles() { be_standby(false); }
    void be_standby(bool now) {
        server_link& link = world.servers.front()->link;
        link.standby = now;
        link.reported = world.tables.reported.with(link.reported, "in_hot_standby", now ? "on" : "off");
    }
    session_world world;
};

}  // namespace

TEST_CASE("D25, R10: what crashes servers is not sent again; the client is told, and stays") {
    session_world world(2);
    session_driver client(world);
    std::uint32_t crashes = 0;
    std::set<std::uint64_t> asked_about;
    world.facts.crashes_of = [&](std::span<const std::uint64_t> statements) {
        asked_about.insert(statements.begin(), statements.end());
        return crashes;
    };
    const auto lose_during = [&](const std::string& bytes) {
        world.plan.after_output = world.output_bytes + 1;
        return client.ask(bytes);
    };
    const std::string read = client::query("select 'x'");
    crashes = 2;
    CHECK(sqlstates(lose_during(read)).empty());
    CHECK(asked_about == std::set{statement_fingerprint("select 'x'")});
    crashes = 3;
    const std::string got = lose_during(read);
    CHECK(sqlstates(got) == std::vector<std::string>{"57P02"});
    CHECK(got.find("crashed 3 times") != std::string::npos);
    CHECK(got.back() == 'I');
    CHECK_FALSE(client.closed);
    CHECK(client.conversation.take_report().withheld == 1);
    // What the client sends itself is never withheld.
    CHECK(sqlstates(client.ask(read)).empty());
    // Nor is what is sent again for another reason: what it prepares, the settings that it makes.
    crashes = 0;
    CHECK(sqlstates(lose_during(client::query("set work_mem = '8MB'"))).empty());
}

TEST_CASE("D25: a statement of a segment is known by its text, also when it was prepared long ago") {
    session_world world(2);
    session_driver client(world);
    std::set<std::uint64_t> asked_about;
    world.facts.crashes_of = [&](std::span<const std::uint64_t> statements) {
        asked_about.insert(statements.begin(), statements.end());
        return 3U;
    };
    (void)client.ask(client::parse("r", "select 'y'") + client::sync());
    CHECK(asked_about.empty());  // nothing was lost
    world.plan.after_output = world.output_bytes + 1;
    const std::string got = client.ask(client::bind("", "r") + client::execute("") + client::sync());
    CHECK(sqlstates(got) == std::vector<std::string>{"57P02"});
    CHECK(got.back() == 'I');
    CHECK(asked_about == std::set{statement_fingerprint("select 'y'")});
}

TEST_CASE("D25: of a session that ends, the statements without an answer are those in flight") {
    session_world world;
    session_driver client(world);
    CHECK(client.conversation.statements_in_flight().empty());
    (void)client.ask(client::query("begin"));
    (void)client.ask(client::query("select 'done'"));
    CHECK(client.conversation.statements_in_flight().empty());
}

TEST_CASE("2.13: a client that a standby serves is told so with its next statement, and told again when it is over") {
    changing_roles at;
    session_driver client(at.world);
    const std::string read = client::query("select 'x'");
    CHECK(reports(client.ask(read)).empty());
    at.world.facts.service = service_mode::read_only;
    at.be_standby(true);
    const std::string got = client.ask(read);
    const std::vector<std::string> told = reports(got);
    CHECK(std::ranges::count(told, "in_hot_standby=on") == 1);
    CHECK(std::ranges::count(told, "default_transaction_read_only=on") == 1);
    CHECK(told.size() == 2);
    CHECK(got.front() == 'S');                 // before the answer, not in it
    CHECK(reports(client.ask(read)).empty());  // once
    at.world.facts.service = service_mode::normal;
    at.be_standby(false);
    const std::vector<std::string> after = reports(client.ask(read));
    CHECK(std::ranges::count(after, "in_hot_standby=off") == 1);
    CHECK(std::ranges::count(after, "default_transaction_read_only=off") == 1);
    CHECK(after.size() == 2);
    CHECK(reports(client.ask(read)).empty());
}

TEST_CASE("2.13: who signs in while nobody may write is told so at once, and only then") {
    changing_roles at;
    { session_driver first(at.world); }
    at.world.facts.service = service_mode::read_only;
    session_driver during(at.world);
    const std::vector<std::string> told = reports(during.welcome);
    CHECK(std::ranges::count(told, "default_transaction_read_only=on") == 1);
    at.world.facts.service = service_mode::normal;
    session_driver after(at.world);
    CHECK(std::ranges::count(reports(after.welcome), "default_transaction_read_only=off") == 1);
}

TEST_CASE("2.13: a primary that nobody may write to enforces it, says so, and forgets it afterwards") {
    session_world world;
    session_driver client(world);
    const std::string read = client::query("select 'x'");
    (void)client.ask(read);
    world.facts.service = service_mode::read_only;
    const std::string show = client::query("show default_transaction_read_only");
    const std::string got = client.ask(show);
    CHECK(reports(got) == std::vector<std::string>{"default_transaction_read_only=on"});
    CHECK(got.find(std::string("\0\0\0\2on", 6)) != std::string::npos);
    CHECK(reports(client.ask(read)).empty());
    world.facts.service = service_mode::normal;
    const std::string after = client.ask(show);
    CHECK(reports(after) == std::vector<std::string>{"default_transaction_read_only=off"});
    CHECK(after.find("off") != std::string::npos);
}

TEST_CASE("a session reports what may have changed the schema once that is committed, or lost") {
    session_world world(2);
    session_driver client(world);
    const auto changed = [&] { return client.conversation.take_report().changed_schema; };
    (void)client.ask(client::query("select 'x'"));
    CHECK_FALSE(changed());
    (void)client.ask(client::query("create table t (a int)"));
    CHECK(changed());
    (void)client.ask(client::query("begin"));
    (void)client.ask(client::query("create table u (a int)"));
    CHECK_FALSE(changed());  // nobody else sees it yet
    (void)client.ask(client::query("commit"));
    CHECK(changed());
    (void)client.ask(client::query("begin"));
    (void)client.ask(client::query("create table v (a int)"));
    CHECK_FALSE(changed());
    client.lose_server();
    CHECK(changed());
}

TEST_CASE("D1: where there are only standbys and no read-only mode, they get whatever comes, and have the word") {
    changing_roles at;
    at.be_standby(true);
    at.world.facts.service = service_mode::read_only;
    for (const bool recovers : {true, false}) {
        at.world.facts.recovers = recovers;
        at.world.facts.only_standbys = true;
        session_driver client(at.world);
        CHECK(client.ask(client::query("select 'x'")).find("SELECT 1") != std::string::npos);
        CHECK(client.conversation.need() == server_need::read_only);
        // The scripted server takes writes; what matters is that it is asked.
        (void)client.ask(client::query("begin; insert into log values ('a')"));
        CHECK(client.conversation.need() == server_need::read_only);
        CHECK(client.ask(client::query("commit")).find("COMMIT") != std::string::npos);
    }
    CHECK(at.world.database.log == std::vector<std::string>{"a", "a"});
}

TEST_CASE("2.13: a sign-in wants nothing but what a server reports, and asks again when the mode changes") {
    changing_roles at;
    session signs_in(at.world.tables, at.world.facts, 1, "key!");
    signs_in.begin({{"user", "app"}, {"work_mem", "9MB"}});
    CHECK(signs_in.waiting());
    CHECK(signs_in.need() == server_need::primary);
    for (const service_mode mode : {service_mode::holding, service_mode::read_only}) {
        at.world.facts.service = mode;
        signs_in.reconsider({});
        CHECK(signs_in.need() == server_need::read_only);
    }
    at.world.facts.service = service_mode::normal;
    signs_in.reconsider({});
    CHECK(signs_in.need() == server_need::primary);
}
