// Answers outside of transactions of which a part was delivered when their server died are continued on the next one, or
// end with the truth (recovery.md 2.3; phases D, K, L). Within transactions: replay_test.cpp, resumed_shorter_test.cpp.
#include "proxy/policy/client_errors.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using requests = std::vector<std::string>;

std::string run(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::describe_portal("") + client::execute("");
}

struct reader {
    /// `hold`: how much of an unfinished answer is kept back (retry.result_hold).
    explicit reader(std::size_t hold = 0) : world(3), client(world) {
        world.facts.replays = true;
        world.facts.retry.result_hold = hold;
        world.database.log = {"one", "another", "third"};
    }

    /// Each waits for what has been answered to the one before.
    std::string operator()(const requests& all) {
        std::string heard;
        for (const std::string& each : all) heard += client.ask(each);
        return heard;
    }
    void lose_after(std::size_t bytes) { world.plan.after_output = world.output_bytes + bytes; }

    session_world world;
    session_driver client;
};

struct story {
    const char* name;
    requests said;
};

std::vector<story> stories() {
    const std::string rows = "select rows(7)";
    return {
        {"simple", {client::query(rows)}},
        {"several statements", {client::query("select 'a'; select rows(3); table log")}},
        {"extended", {run(rows) + client::sync()}},
        {"several in one segment", {run("select 'a'") + run(rows) + run("table log") + client::sync()}},
        {"a row limit",
         {client::parse("", rows) + client::bind("p", "") + client::execute("p", 2) + client::execute("p", 3) +
          client::execute("p", 9) + client::sync()}},
        {"a pipeline", {run("select 'a'") + client::sync() + run(rows) + client::sync() + client::query("table log")}},
        {"described and flushed first, as asyncpg does",
         {client::parse("s", rows) + client::describe_statement("s") + client::flush(),
          client::bind("", "s") + client::execute("") + client::sync(),
          client::bind("", "s") + client::execute("") + client::sync()}},
        {"a portal that is read in steps, without a Sync",
         {client::parse("", rows) + client::bind("p", "") + client::execute("p", 2) + client::flush(),
          client::execute("p", 2) + client::flush(), client::execute("p") + client::sync()}},
        {"COPY TO STDOUT (phase K)", {client::query("copy log to stdout")}},
        {"COPY TO STDOUT, extended", {run("copy log to stdout") + client::sync()}},
        {"SET, and a read behind it",
         {run("set work_mem = '5MB'") + client::sync() + run("show work_mem") + client::sync()}},
    };
}

std::string without_reports(const std::string& stream) {
    std::string rest;
    for (const frame& each : split_frames(stream))
        if (each.type != 'S') rest += frame_of(each.type, each.body);
    return rest;
}

/// The types of all frames, the SQLSTATE of each error and the status of the last ReadyForQuery.
std::string told(const std::string& stream) {
    std::string all = types_of(stream);
    for (const frame& each : split_frames(stream))
        if (each.type == 'E') all += ' ' + field_of(each, 'C');
    return all;
}

/// `TABLE log`, answered but for its ReadyForQuery and tag when its server dies.
void cut(reader& app) {
    scripted_server direct(app.world.database);
    app.lose_after(direct.feed(client::query("table log")).size() - 20);
}

/// The same, answered by a server that finds these rows.
std::string again_with(const std::vector<std::string>& rows) {
    reader app;
    cut(app);
    app.world.before_grant = [&](world_server&) {
        if (app.world.losses > 0) app.world.database.log = rows;
    };
    const std::string heard = app.client.ask(client::query("table log"));
    CHECK(app.world.losses == 1);
    CHECK(types_of(app.client.ask(client::query("select 'next'"))) == "TDCZ");
    const request_report seen = app.client.conversation.take_report();
    CHECK(seen.resumes + seen.resumes_different == 1);
    return told(heard);
}

}  // namespace

TEST_CASE("phases D, K, L: after every byte, nothing is delivered twice and nothing is missing") {
    for (const std::size_t hold : {0UL, 40UL, 65536UL}) {
        std::size_t resumes = 0;
        for (const story& each : stories()) {
            CAPTURE(each.name);
            CAPTURE(hold);
            reader calm(hold);
            const std::size_t before = calm.world.output_bytes;
            const std::string wanted = calm(each.said);
            const std::size_t last = calm.world.output_bytes - before;
            for (std::size_t after = 1; after <= last; ++after) {
                CAPTURE(after);
                reader lost(hold);
                lost.lose_after(after);
                const std::string got = lost(each.said);
                if (without_reports(got) != without_reports(wanted))
                    FAIL_CHECK("wanted\n" << describe(wanted) << "but\n" << describe(got));
                if (lost.world.losses != 1) FAIL_CHECK("not lost");
                resumes += lost.client.conversation.take_report().resumes;
            }
        }
        CHECK(resumes > 0);
    }
}

TEST_CASE("phase D: the server that follows is lost, too, wherever it is in what the client has") {
    for (const story& each : stories()) {
        CAPTURE(each.name);
        reader calm;
        const std::size_t before = calm.world.output_bytes;
        const std::string wanted = calm(each.said);
        const std::size_t last = calm.world.output_bytes - before;
        for (std::size_t after = 1; after <= last; after += 13) {
            for (std::size_t more = 1; more < 700; more += 17) {
                CAPTURE(after);
                CAPTURE(more);
                reader lost;
                lost.lose_after(after);
                lost.world.plan.again_after = more;
                const std::string got = lost(each.said);
                if (without_reports(got) != without_reports(wanted))
                    FAIL_CHECK("wanted\n" << describe(wanted) << "but\n" << describe(got));
            }
        }
    }
}

TEST_CASE("2.3: whatever comes in pieces, it is the same") {
    for (const std::size_t piece : {1UL, 5UL, 64UL}) {
        for (std::size_t after = 1; after < 200; after += 3) {
            CAPTURE(piece);
            CAPTURE(after);
            reader app;
            app.client.server_piece = piece;
            app.lose_after(after);
            const std::string heard = app.client.ask(client::query("select rows(9)"));
            if (types_of(heard) != "TDDDDDDDDDCZ") FAIL_CHECK(describe(heard));
        }
    }
}

TEST_CASE("2.3, D42: a small answer is hashed only if it stalls, and continued if its server turns out to be dead") {
    for (const std::size_t arrives : {50UL, 100UL, 150UL}) {
        reader app(65536);
        app.client.lets_through = arrives;
        CHECK(app.client.ask(client::query("select rows(20)")).empty());
        REQUIRE(app.client.conversation.keeps_result_back());
        response_digest& hashed = app.client.server->link.journal.answer();
        CHECK(hashed.bytes() == 0);
        app.client.conversation.release_result();  // retry.result_hold_time has passed
        app.client.run();
        std::string heard = app.client.received();
        CHECK(hashed.bytes() == heard.size());
        CHECK(types_of(heard).size() > 1);
        app.client.lets_through = loss_plan::never;
        app.client.lose_server();
        app.client.run();
        heard += app.client.received();
        CHECK(types_of(heard) == "T" + std::string(20, 'D') + "CZ");
        CHECK(app.client.conversation.take_report().resumes == 1);
    }
}

TEST_CASE("2.3: another answer, a longer or a shorter one is 08006, and the client stays") {
    CHECK(again_with({"one", "another", "third"}) == "TDDDCZ");
    CHECK(again_with({"one", "another", "third", "fourth"}) == "TDDDDCZ");  // a complete answer of now
    CHECK(again_with({"one", "another"}) == "TDDDEZ 08006");
    CHECK(again_with({"one", "anothex", "third"}) == "TDDDEZ 08006");
    CHECK(again_with({"another", "one", "third"}) == "TDDDEZ 08006");
    CHECK(again_with({}) == "TDDDEZ 08006");
}

TEST_CASE("2.3: an error where rows were is 08006, and not the error of the second run") {
    reader app;
    cut(app);
    app.world.before_grant = [&](world_server&) {
        if (app.world.losses > 0) app.client.lets_through = 0;
    };
    std::string heard = app.client.ask(client::query("table log"));
    app.world.before_grant = nullptr;
    const std::size_t once_more = app.world.database.executions["table log"] + 1;
    while (app.world.database.executions["table log"] < once_more) {  // the guard and the proof come first
        app.client.lets_through = app.client.server->said.size();
        app.client.run();
    }
    app.client.server->said = server::error("57014", "canceling statement") + server::ready();
    app.client.lets_through = loss_plan::never;
    app.client.run();
    heard += app.client.received();
    CHECK(told(heard) == "TDDDEZ 08006");
    CHECK(types_of(app.client.ask(client::query("select 'next'"))) == "TDCZ");
}

TEST_CASE("2.3: the error says how many rows the client has, whatever came of the second run") {
    reader app;
    cut(app);
    app.world.before_grant = [&](world_server&) {
        if (app.world.losses > 0) app.world.database.log = {"one", "another", "x", "y", "z"};
    };
    const std::vector<frame> heard = split_frames(app.client.ask(client::query("table log")));
    REQUIRE(heard.size() == 6);
    CHECK(field_of(heard[4], 'M').find("after 3 rows") != std::string::npos);
    CHECK(app.client.conversation.take_report().lost[1] == 1);
}

TEST_CASE("phase L: what was written without a Sync, and answered, is written again if it answers the same") {
    const std::string writes = run("insert into log values ('new')") + client::flush();
    scripted_database aside;
    const std::size_t last = scripted_server(aside).feed(writes).size();
    for (std::size_t after = 1; after <= last; ++after) {
        CAPTURE(after);
        reader app;
        app.world.database.log.clear();
        app.lose_after(after);
        std::string heard = app.client.ask(writes);
        heard += app.client.ask(client::sync());
        CHECK(told(heard) == "12nCZ");
        CHECK(app.world.database.log == std::vector<std::string>{"new"});
    }
}

TEST_CASE("phase L: if it answers otherwise, nothing of it has stayed: 40001") {
    reader app;
    const std::string asks = run("insert into log values ('new')") + run("table log") + client::flush();
    CHECK(told(app.client.ask(asks)) == "12nC12TDDDDC");
    app.world.before_grant = [&](world_server&) { app.world.database.log = {"other"}; };
    app.client.lose_server();
    app.client.run();
    CHECK(told(app.client.ask(client::sync())) == "EZ 40001");
    CHECK(app.world.database.log == std::vector<std::string>{"other"});
}

TEST_CASE("D1, D40: not without replay.enabled, recovery.enabled, or with SET pgsteady.replay = off") {
    for (const int how : {0, 1, 2}) {
        CAPTURE(how);
        reader app;
        app.client.only = app.world.servers.front().get();  // it has the setting already
        if (how == 0) app.world.facts.replays = false;
        if (how == 1) app.world.facts.recovers = false;
        if (how == 2) (void)app.client.ask(client::query("set pgsteady.replay = off"));
        cut(app);
        const std::string heard = told(app.client.ask(client::query("table log")));
        CHECK(heard == (how == 1 ? "TDDDEZ 40003" : "TDDDEZ 08006"));
    }
}

TEST_CASE("2.11: not more often than anything else is sent again") {
    reader app;
    app.world.facts.retry.max_retries = 0;
    cut(app);
    CHECK(told(app.client.ask(client::query("table log"))) == "TDDDEZ 08006");
    app.world.facts.retry.max_retries = 3;
    app.world.tables.may_retry = [] { return false; };
    cut(app);
    CHECK(told(app.client.ask(client::query("table log"))) == "TDDDEZ 08006");
}

TEST_CASE("T14: what a primary began is not continued on a standby") {
    for (const bool standby : {false, true}) {
        reader app;
        app.world.facts.service = service_mode::holding;
        for (const auto& each : app.world.servers) each->link.standby = standby;
        cut(app);
        std::vector<server_need> needs;
        app.world.before_grant = [&](world_server&) { needs.push_back(app.client.conversation.need()); };
        const std::string heard = app.client.ask(client::query("table log"));
        CHECK(types_of(heard).ends_with("TDDDCZ"));
        CHECK(needs == std::vector{server_need::read_only, standby ? server_need::read_only : server_need::primary});
    }
}

TEST_CASE("2.3: if no server is to be had, the client is told what it has got; if it cancels, that") {
    for (const bool cancels : {false, true}) {
        reader app;
        cut(app);
        std::string heard;
        app.world.before_grant = [&](world_server&) {
            app.client.starved = true;  // whoever asks after this one waits
        };
        heard = app.client.ask(client::query("table log"));
        CHECK(types_of(heard) == "TDDD");
        REQUIRE(app.client.conversation.waiting());
        app.client.conversation.refuse_waiting(cancels ? client_errors::cancelled("i-1")
                                                       : client_errors::queue_full("test-2"));
        app.world.before_grant = nullptr;
        app.client.run();
        heard += app.client.received();
        CHECK(told(heard) == (cancels ? "TDDDEZ 57014" : "TDDDEZ 08006"));
        app.client.starved = false;
        CHECK(types_of(app.client.ask(client::query("select 'next'"))) == "TDCZ");
    }
}

TEST_CASE("2.3: notices of the part that was delivered are not shown again") {
    reader app;
    scripted_server direct(app.world.database);
    const std::string asks = client::query("select notice('a'); select rows(4)");
    const std::string wanted = types_of(direct.feed(asks));
    for (std::size_t after = 1; after < direct.feed(asks).size(); ++after) {
        CAPTURE(after);
        reader lost;
        lost.lose_after(after);
        const std::string heard = lost.client.ask(asks);
        if (std::count(heard.begin(), heard.end(), 'D') != std::count(wanted.begin(), wanted.end(), 'D'))
            FAIL_CHECK(told(heard));
    }
}
