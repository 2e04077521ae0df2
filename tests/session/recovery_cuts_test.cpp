// The server is lost after every byte, in both directions, and so is the one that follows; the client goes on as an
// application would. Each conversation says what it inserts, so that every outcome told to the client can be held against
// what really happened: recovery.md 2.1, I1 to I4. That requests stay well-formed in all scenarios: losses_test.cpp.
#include "tests/support/belief.hpp"
#include "tests/support/scenario.hpp"
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using request = app_request;
using reply = app_reply;
using conversation = std::vector<request>;

/// `script`: in the language of scenarios.
request ask(const std::string& script, std::vector<std::string> rows = {}) {
    return {read_scenario("request", script).whole(), std::move(rows), false};
}
request read(const std::string& script) { return {read_scenario("request", script).whole(), {}, true}; }

request insert(const std::string& row) { return ask("Q \"insert into log values ('" + row + "')\"", {row}); }

std::string extended(const std::string& sql) { return "P \"\" \"" + sql + "\"\nB \"\" \"\"\nD P \"\"\nE \"\"\n"; }

const std::map<std::string, conversation>& conversations() {
    static const std::map<std::string, conversation> all = {
        {"reads",
         {read("Q \"select 'one'\""), read("Q \"select rows(3)\""),
          read("Q \"select 'two'; select 'three', upper('x')\""), read("Q \"\""), read(extended("select 'four'") + "S"),
          read("P a \"select $1\"\nB \"\" a [five]\nE \"\"\nS"),
          read("B \"\" a [six]\nE \"\"\nB \"\" a [seven]\nE \"\"\nS"), read("D S a\nS"),
          read(extended("select 'eight'") + extended("table log") + "S"), read("B p a [nine]\nE p\nC P p\nS"),
          read("S"), read("Q \"show work_mem\""), read("Q \"table log\"")}},
        {"reads that fail by themselves",
         {ask("Q \"select 'one'; select error('22012'); select 'never'\""), read("Q \"select 'two'\""),
          ask(extended("select error('22012')") + "S"), read("Q \"select 'three'\""), ask("Q \"nonsense\""),
          ask("P \"\" \"nonsense\"\nS"), read("Q \"select 'four'\"")}},
        {"writes", {insert("a"), insert("b"), read("Q \"select 'between'\""), insert("c"), read("Q \"select 'end'\"")}},
        {"writes that fail",
         {ask("Q \"insert into log values ('a'); select error('22012')\"", {"a"}), insert("b"),
          ask("Q \"insert into log values ('c'); insert into log values ('d')\"", {"c", "d"}),
          ask("Q \"insert into log values ('e'); nonsense\"", {"e"})}},
        {"writes, extended",
         {ask(extended("insert into log values ('a')") + "S", {"a"}),
          ask(extended("insert into log values ('b')") + extended("insert into log values ('c')") + "S", {"b", "c"}),
          ask(extended("insert into log values ('d')") + extended("select error('22012')") + "S", {"d"}),
          read(extended("select 'read'") + "S"),
          ask("P i \"insert into log values ($1)\"\nB \"\" i [e]\nE \"\"\nS", {"e"}),
          ask("B \"\" i [f]\nE \"\"\nB \"\" i [g]\nE \"\"\nS", {"f", "g"}),
          ask(extended("select 'first'") + extended("insert into log values ('h')") + extended("select 'last'") + "S",
              {"h"})}},
        {"transactions",
         {ask("Q \"begin\""), insert("a"), insert("b"), ask("Q \"commit\""), read("Q \"select 'one'\""),
          ask("Q \"begin\""), insert("c"), ask("Q \"rollback\""), ask("Q \"start transaction\""), insert("d"),
          ask("Q \"select error('22012')\""), insert("e"), ask("Q \"commit\""), read("Q \"select 'two'\"")}},
        {"transactions, extended",
         {ask(extended("begin") + "S"), ask(extended("insert into log values ('a')") + "S", {"a"}),
          ask(extended("commit") + "S"), ask("P b \"begin\"\nB \"\" b\nE \"\"\nS"), ask("P c \"commit\"\nS"),
          ask(extended("insert into log values ('b')") + "S", {"b"}), ask("B \"\" c\nE \"\"\nS"),
          ask(extended("begin") + extended("insert into log values ('c')") + extended("commit") + "S", {"c"}),
          read("Q \"select 'one'\"")}},
        {"transactions in one string",
         {ask("Q \"begin; insert into log values ('a'); commit\"", {"a"}),
          ask("Q \"begin; insert into log values ('b'); rollback\"", {"b"}),
          ask("Q \"begin; insert into log values ('c')\"", {"c"}),
          ask("Q \"insert into log values ('d'); commit\"", {"d"}), read("Q \"select 'one'\"")}},
        {"reading transactions",
         {ask("Q \"begin read only\""), ask("Q \"select 'one'\""), ask("Q \"commit\""), ask("Q \"begin\""),
          ask("Q \"select 'two'\""), ask("Q \"commit\""), ask("Q \"begin\""), ask("Q \"rollback\""), insert("a"),
          read("Q \"select 'three'\""), ask("Q \"begin\""), ask("Q \"commit\"")}},
        {"reading transactions, extended",
         {ask(extended("begin") + extended("table log") + "S"), ask(extended("commit") + "S"), insert("a"),
          ask("P c \"commit\"\nP r \"select upper($1)\"\nS"), ask("Q \"begin\""), ask("B \"\" r [one]\nE \"\"\nS"),
          ask("Q \"set work_mem = '5MB'\""), ask("B \"\" c\nD S c\nE \"\"\nS"), read("Q \"show work_mem\"")}},
        {"transactions that read, then write",
         {ask("Q \"begin\""), ask("Q \"table log\""), insert("a"), ask("Q \"commit\""), ask("Q \"begin\""),
          ask("Q \"table log\""), ask("Q \"commit; insert into log values ('b')\"", {"b"}), ask("Q \"begin\""),
          ask("Q \"savepoint s\""), ask("Q \"rollback to s\""), insert("c"), ask("Q \"commit\""),
          read("Q \"select 'end'\"")}},
        {"settings",
         {ask("Q \"set work_mem = '5MB'\""), read("Q \"show work_mem\""), ask("Q \"begin\""),
          ask("Q \"set local work_mem = '6MB'\""), ask("Q \"commit\""), read("Q \"select 'x'\""), insert("a"),
          read("Q \"show default_transaction_read_only\""), insert("b")}},
        {"settings that look like a guard",
         {ask("Q \"set default_transaction_read_only = on\""), read("Q \"show default_transaction_read_only\""),
          read("Q \"select 'y'\""), ask("Q \"begin\""), ask("Q \"show transaction_read_only\""), ask("Q \"commit\""),
          read("Q \"show default_transaction_read_only\"")}},
        {"copy",
         {ask("Q \"copy log from stdin\"\nd \"a\\nb\\n\"\nc", {"a", "b"}), read("Q \"select 'one'\""),
          ask("Q \"copy log from stdin\"\nd \"c\\n\"\nf no", {"c"}),
          ask(extended("copy log from stdin") + "d \"d\\n\"\nc\nS", {"d"})}},
        {"flushes",
         {ask(extended("select 'one'") + "H\nS"), ask(extended("insert into log values ('a')") + "H\nS", {"a"}),
          insert("b")}},
    };
    return all;
}

/// Whether interrupted transactions are given again.
bool replays = false;

/// Whether transactions are captured, and their COMMITs resolved.
bool captures = false;

struct cut_run {
    cut_run(const conversation& talk, const loss_plan& plan, bool pipelined) : world(2), client(world) {
        world.facts.replays = replays;
        world.facts.resolves = captures;
        world.input_bytes = world.output_bytes = 0;
        world.plan = plan;
        std::string answer;
        const auto say = [&](const std::string& bytes) {
            checker.client_sends(bytes);
            const std::string got = client.ask(bytes);
            checker.server_says(got);
            answer += got;
            if (!client.closed) checker.at_rest();
        };
        if (pipelined) {
            std::string whole;
            for (const request& each : talk) whole += each.bytes;
            say(whole);
        } else {
            for (const request& each : talk) {
                if (client.closed) break;
                say(each.bytes);
                check_status();
            }
        }
        replies = split_replies(answer);
        world.calm();
        if (!client.closed) check_usable();
        world.finish_lost_servers();
    }

    /// The status that the client was told is the one of its server; without one it is idle, or failed.
    void check_status() {
        if (client.closed || checker.status == 'E') return;
        if (client.server != nullptr) {
            if (client.server->process->status() != checker.status)
                FAIL_CHECK("told " << checker.status << ", is another");
        } else if (checker.status == 'T' && world.losses == 0) {
            FAIL_CHECK("in a transaction without a server");
        }
    }

    void check_usable() {
        const std::string bytes = client::query("rollback") + client::query("select 'alive'");
        checker.client_sends(bytes);
        const std::string got = client.ask(bytes);
        checker.server_says(got);
        if (!client.closed) checker.at_rest();
        if (got.find("alive") == std::string::npos || checker.status != 'I')
            FAIL_CHECK("not usable:\n" << describe(got));
    }

    session_world world;
    session_driver client;
    wire_checker checker;
    std::vector<reply> replies;
};

/// Until the session repeats what only reads, that may be answered 40003 like a write.
constexpr bool reads_are_repeated = true;

const std::set<std::string> loss_states = {"40001", "40003", "08007"};

/// What a client runs into that goes on as if nothing had happened: names that a lost request would have made, no
/// transaction where it has begun one.
const std::set<std::string> aftermath = {"25P02", "26000", "34000", "25P01", "42P05"};

void check(const conversation& talk, const std::vector<reply>& direct, const loss_plan& plan, bool pipelined) {
    cut_run run(talk, plan, pipelined);
    const auto explain = [&] {
        std::string all;
        for (const reply& each : run.replies) all += each.text();
        return "\n" + describe(all);
    };
    if (!run.checker.problem.empty()) FAIL_CHECK(run.checker.problem << explain());
    if (run.client.closed) FAIL_CHECK("the client was sent away" << explain());
    if (run.replies.size() != talk.size()) {
        FAIL_CHECK("not one answer per request" << explain());
        return;
    }

    application app;
    bool disturbed = false;  // something that the client had set up is gone
    for (std::size_t i = 0; i < talk.size(); ++i) {
        const reply& got = run.replies[i];
        app.hear(talk[i], got);
        const std::string code = got.sqlstate();
        const bool same = got.text() == direct[i].text();
        if (!code.empty() && !loss_states.contains(code) && code != direct[i].sqlstate() &&
            !(disturbed && aftermath.contains(code)))
            FAIL_CHECK("request " << i << ": SQLSTATE " << code << explain());
        if (code.empty() && !same && !disturbed)
            FAIL_CHECK("request " << i << ": another answer, and nobody was told" << explain());
        if (reads_are_repeated && talk[i].reads && !same && !disturbed)
            FAIL_CHECK("request " << i << " reads, and failed" << explain());
        if (loss_states.contains(code) && got.outcome().empty())
            FAIL_CHECK("request " << i << ": no outcome" << explain());
        disturbed |= loss_states.contains(code) && direct[i].sqlstate() != code;
    }
    app.end();
    for (const std::string& each : untruths(app, run.world.database.log)) FAIL_CHECK(each);
}

std::vector<reply> direct_replies(const conversation& talk) {
    scripted_database database;
    scripted_server server(database);
    std::string answer;
    application app;
    for (const request& each : talk) answer += server.feed(each.bytes);
    std::vector<reply> replies = split_replies(answer);
    REQUIRE(replies.size() == talk.size());
    for (std::size_t i = 0; i < talk.size(); ++i) app.hear(talk[i], replies[i]);
    for (const std::string& each : untruths(app, database.log))
        FAIL_CHECK(each);  // the conversation says the truth about itself
    return replies;
}

struct captured {
    captured() { captures = true; }
    ~captured() { captures = false; }
};

enum class direction { of_server, of_client };

/// Conversations that are cut in other ways as well: after every other byte, or as PGSTEADY_CUTS says.
std::size_t step_of_repeated() {
    const char* const text = std::getenv("PGSTEADY_CUTS");
    return text == nullptr ? 2 : std::strtoul(text, nullptr, 10);
}

/// Every `every`-th byte, and `again_after` bytes later once more.
void cut_everywhere(direction which, bool pipelined, std::size_t every,
                    std::vector<std::size_t> again = {loss_plan::never}, bool late = false) {
    for (const auto& [name, talk] : conversations()) {
        if (captures && name.find("transactions") == std::string::npos) continue;
        CAPTURE(name);
        const std::vector<reply> direct = direct_replies(talk);
        cut_run whole(talk, {}, pipelined);
        const std::size_t last = which == direction::of_server ? whole.world.output_bytes : whole.world.input_bytes;
        REQUIRE(last > 50);
        for (std::size_t after = 1; after <= last; after += every) {
            for (const std::size_t second : again) {
                CAPTURE(after);
                CAPTURE(second);
                loss_plan plan;
                (which == direction::of_server ? plan.after_output : plan.after_input) = after;
                plan.again_after = second;
                plan.late = late;
                check(talk, direct, plan, pipelined);
            }
        }
    }
}

}  // namespace

TEST_CASE("recovery cuts: conversations undisturbed") {
    for (const auto& [name, talk] : conversations()) {
        CAPTURE(name);
        const std::vector<reply> direct = direct_replies(talk);
        for (const bool pipelined : {false, true}) check(talk, direct, {}, pipelined);
    }
}

TEST_CASE("P64, D13, D26, I1-I4, T10, T11, T31: after every byte that the server says") {
    cut_everywhere(direction::of_server, false, 1);
}
TEST_CASE("P64, D13, I1-I4, T10, T11, T31: after every byte that reaches the server") {
    cut_everywhere(direction::of_client, false, 1);
}
TEST_CASE("I1-I4: after every third byte that the server says to a pipeline") {
    cut_everywhere(direction::of_server, true, 3);
}
TEST_CASE("I1-I4: after every third byte that reaches the server from a pipeline") {
    cut_everywhere(direction::of_client, true, 3);
}
TEST_CASE("T5: the lost server executes what it has when the client has long been answered") {
    cut_everywhere(direction::of_client, false, 3, {loss_plan::never}, true);
}
TEST_CASE("I1-I4: the server that follows is lost, too") {
    cut_everywhere(direction::of_server, false, 13, {1, 30, 75, 150});
    cut_everywhere(direction::of_client, false, 13, {1, 30, 75, 150});
}

TEST_CASE("I1-I4, T10, T21: transactions are given again, after every other byte") {
    replays = true;
    cut_everywhere(direction::of_server, false, step_of_repeated());
    cut_everywhere(direction::of_client, false, step_of_repeated());
    cut_everywhere(direction::of_server, true, 3);
    cut_everywhere(direction::of_client, true, 3);
    cut_everywhere(direction::of_client, false, 3, {loss_plan::never}, true);
    cut_everywhere(direction::of_server, false, 13, {1, 30, 75, 150});
    cut_everywhere(direction::of_client, false, 13, {1, 30, 75, 150});
    replays = false;
}

TEST_CASE("2.6, D32: captures are invisible, wherever the server is lost") {
    const captured on;
    for (const auto& [name, talk] : conversations()) {
        CAPTURE(name);
        const std::vector<reply> direct = direct_replies(talk);
        for (const bool pipelined : {false, true}) check(talk, direct, {}, pipelined);
    }
    cut_everywhere(direction::of_server, false, step_of_repeated());
    cut_everywhere(direction::of_client, false, step_of_repeated());
    cut_everywhere(direction::of_server, true, 3);
    cut_everywhere(direction::of_client, true, 3);
}

TEST_CASE("2.6, T5: a COMMIT that is carried out late, or whose question is lost, too") {
    const captured on;
    cut_everywhere(direction::of_client, false, 3, {loss_plan::never}, true);
    cut_everywhere(direction::of_server, false, 13, {1, 30, 75, 150});
    cut_everywhere(direction::of_client, false, 13, {1, 30, 75, 150});
}
