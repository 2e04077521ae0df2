// Transactions whose server is lost are given to another one (recovery.md 2.5): the client notices nothing, or hears 40001
// and stays. With scripted servers; after every byte, and in which cases the outcome is told truly: recovery_cuts_test.cpp.
#include "proxy/policy/client_errors.hpp"
#include "proxy/session/replay_obstacle.hpp"

#include "tests/support/scenario.hpp"
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string message_of(const std::string& stream) {
    for (const frame& each : split_frames(stream))
        if (each.type == 'E') return field_of(each, 'M');
    return {};
}

std::string run(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::describe_portal("") + client::execute("");
}

struct replaying {
    explicit replaying(std::size_t servers = 3) : world(servers), client(world) { world.facts.replays = true; }

    /// As an application speaks: each request waits for the answer of the one before.
    std::string operator()(const std::vector<std::string>& requests) {
        std::string all;
        for (const std::string& each : requests) all += client.ask(each);
        return all;
    }
    /// The server is lost when so many more bytes of its answers have arrived.
    void lose_after(std::size_t bytes) { world.plan.after_output = world.output_bytes + bytes; }

    session_world world;
    session_driver client;
};

/// What the same application is told, and what is left, when nothing is lost.
std::string undisturbed(const std::vector<std::string>& requests, std::vector<std::string>& log) {
    replaying calm;
    const std::string answer = calm(requests);
    log = calm.world.database.log;
    return answer;
}

const std::string begin = client::query("begin");
const std::string commit = client::query("commit");
const std::string writing = client::query("insert into log values ('a')");
const std::string reading = client::query("select 'a', upper('b')");

struct story {
    const char* name;
    std::vector<std::string> requests;
};

/// None ends its transaction: a lost COMMIT is another matter.
std::vector<story> stories() {
    return {
        {"simple protocol", {begin, writing, reading, client::query("insert into log values ('b')")}},
        {"characteristics", {client::query("begin isolation level repeatable read read write"), writing, reading}},
        {"extended protocol",
         {run("begin") + client::sync(), run("insert into log values ('a')") + client::sync(),
          run("table log") + run("insert into log values ('b')") + client::sync()}},
        {"BEGIN in the first statement's segment",
         {run("begin") + run("insert into log values ('a')") + client::sync(), run("select rows(3)") + client::sync()}},
        {"names made before and within (T32)",
         {client::parse("before", "select $1") + client::sync(), begin,
          client::bind("", "before", {"x"}) + client::execute("") + client::sync(),
          client::parse("within", "insert into log values ($1)") + client::sync(),
          client::bind("", "within", {"y"}) + client::execute("") + client::sync(),
          client::close_statement("before") + client::sync(),
          client::bind("", "within", {"z"}) + client::execute("") + client::sync()}},
        {"a savepoint with an error in it",
         {begin, writing, client::query("savepoint s"), client::query("select error('22012')"),
          client::query("rollback to s"), client::query("insert into log values ('b')"), reading}},
        {"a setting of the transaction's own (T15)",
         {client::query("set work_mem = '5MB'"), begin, client::query("show work_mem"),
          client::query("set work_mem = '6MB'"), client::query("show work_mem"),
          client::query("set local work_mem = '7MB'"), client::query("show work_mem")}},
        {"reported settings", {begin, client::query("set timezone = 'UTC'"), client::query("show timezone"), writing}},
        {"portals and suspended answers",
         {begin, client::parse("", "select rows(5)") + client::bind("p", "") + client::execute("p", 2) + client::sync(),
          client::execute("p", 2) + client::sync(), client::execute("p", 2) + client::sync()}},
        {"several statements in one string",
         {begin, client::query("insert into log values ('a'); select 'x'; insert into log values ('b')"), reading}},
        {"COPY TO", {begin, writing, client::query("copy log to stdout"), reading}},
        {"temporary tables of its own",
         {begin, client::query("create temp table mine (line text)"), client::query("table mine"), writing}},
    };
}

std::string without_reports(const std::string& stream) {
    std::string rest;
    for (const frame& each : split_frames(stream))
        if (each.type != 'S') rest += frame_of(each.type, each.body);
    return rest;
}

}  // namespace

TEST_CASE(
    "phases E and F, T32: after every byte of every answer, the client notices nothing, and COMMIT keeps it all") {
    for (const story& each : stories()) {
        CAPTURE(each.name);
        std::vector<std::string> wanted_log;
        std::vector<std::string> whole = each.requests;
        whole.push_back(commit);
        const std::string wanted = undisturbed(whole, wanted_log);
        replaying measured;
        const std::size_t before = measured.world.output_bytes;
        (void)measured(each.requests);
        const std::size_t last = measured.world.output_bytes - before;
        std::size_t replays = 0;
        for (std::size_t after = 1; after <= last; ++after) {
            CAPTURE(after);
            replaying lost;
            lost.lose_after(after);
            std::string got = lost(each.requests);
            if (lost.world.losses != 1) FAIL_CHECK("not lost");
            got += lost({commit});
            if (without_reports(got) != without_reports(wanted))
                FAIL_CHECK("wanted\n" << describe(wanted) << "but\n" << describe(got));
            if (lost.world.database.log != wanted_log) FAIL_CHECK("another log");
            replays += lost.client.conversation.take_report().replays;
        }
        CHECK(replays > 0);
    }
}

TEST_CASE("phase E: a client that says nothing has its transaction, and its locks, back before it goes on") {
    replaying lost;
    (void)lost({begin, writing});
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.received() == "");
    REQUIRE(lost.client.server != nullptr);
    CHECK(lost.client.server->process->status() == 'T');
    CHECK(lost.client.conversation.take_report().replays == 1);
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.world.database.log == std::vector<std::string>{"a"});
}

TEST_CASE(
    "D31: other answers mean other facts: 40001 for whoever waits, and the transaction has failed until it is ended") {
    for (const bool silent : {false, true}) {
        CAPTURE(silent);
        replaying lost;
        (void)lost({begin, client::query("table log")});
        lost.world.database.log.emplace_back("somebody else's");
        if (silent) lost.client.lose_server();
        else lost.lose_after(0);
        const std::string got = lost({writing});
        CHECK(sqlstate_of(got) == "40001");
        CHECK(message_of(got) ==
              "transaction rolled back: replay on new server produced different results at statement 2");
        CHECK(got.back() == 'E');
        CHECK(sqlstate_of(lost({reading})) == "25P02");
        CHECK(types_of(lost({client::query("rollback")})) == "CZ");
        CHECK(lost.world.database.log.size() == 1);
        CHECK(lost.client.conversation.take_report().replays_different == 1);
        CHECK(types_of(lost({reading})) == "TDCZ");
    }
}

TEST_CASE(
    "2.3: an answer that was delivered in part is continued behind that part, or fails without a second beginning") {
    for (const bool changed : {false, true}) {
        CAPTURE(changed);
        replaying lost;
        lost.world.facts.retry.result_hold = 0;
        for (int i = 0; i < 5; ++i) lost.world.database.log.push_back("row " + std::to_string(i));
        (void)lost({begin, reading});
        lost.client.server_piece = 10;
        lost.lose_after(100);
        bool once = false;
        lost.world.before_grant = [&](world_server&) {
            if (changed && !std::exchange(once, true)) lost.world.database.log[1] = "another";
        };
        const std::string got = lost({client::query("table log")});
        CHECK(lost.world.losses == 1);
        if (changed) {
            CHECK(sqlstate_of(got) == "40001");
            CHECK(types_of(got).starts_with("TD"));
            CHECK(types_of(got).ends_with("EZ"));
            CHECK(got.back() == 'E');
            CHECK(lost.client.conversation.take_report().resumes_different == 1);
        } else {
            CHECK(types_of(got) == "TDDDDDCZ");
            CHECK(lost.client.conversation.take_report().resumes == 1);
        }
    }
}

TEST_CASE("T21: ROLLBACK is answered here, and nothing is given again for it") {
    replaying lost;
    (void)lost({begin, writing});
    lost.lose_after(0);
    const std::string got = lost({client::query("rollback")});
    CHECK(types_of(got) == "CZ");
    CHECK(got.back() == 'I');
    CHECK(lost.client.conversation.take_report().replayed_requests == 0);
}

TEST_CASE("a lost COMMIT is never given again by itself (D23)") {
    replaying lost;
    (void)lost({begin, writing});
    lost.lose_after(0);
    CHECK(sqlstate_of(lost({commit})) == "08007");
}

TEST_CASE("obstacles are named, and the client stays") {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"select pg_export_snapshot()", "exported its snapshot"},
        {"select setval('s', 1)", "set a sequence"},
        {"vacuum", "effects beyond it"},
    };
    for (const auto& [text, why] : cases) {
        CAPTURE(text);
        replaying lost;
        (void)lost({begin, writing, client::query("savepoint s"), client::query(text), client::query("rollback to s")});
        lost.lose_after(0);
        const std::string got = lost({reading});
        CHECK(sqlstate_of(got) == "40001");
        CHECK(message_of(got).find(why) != std::string::npos);
        CHECK(got.back() == 'E');
    }
}

TEST_CASE("obstacles by text; what a rollback takes back is none") {
    const auto obstacle = [](const std::vector<std::string>& texts) {
        replay_judge judge(false);
        for (const std::string& each : texts) (void)judge.take(each);
        return judge.obstacle();
    };
    for (const char* text : {"insert into a values (nextval('s')) returning 1",
                             "select a for update",
                             "notify a, 'b'",
                             "select pg_notify('a', 'b')",
                             "create table a (b int)",
                             "truncate a",
                             "savepoint s",
                             "release s",
                             "rollback to s",
                             "set local work_mem = '1MB'",
                             "set transaction isolation level serializable",
                             "declare c cursor for select 1",
                             "fetch 5 c",
                             "close c",
                             "lock table a",
                             "select pg_advisory_xact_lock(1)",
                             "copy a to stdout",
                             "copy (select 1) to stdout",
                             "listen a",
                             "create temp table a (b int) on commit drop",
                             "select 1; update a set b = 1",
                             "",
                             "begin",
                             "show work_mem",
                             "set constraints all deferred",
                             "select * from a where b = $1"}) {
        CAPTURE(text);
        CHECK(obstacle({"begin", text}) == "");
    }
    for (const char* text : {"commit",
                             "rollback and chain",
                             "commit and chain",
                             "prepare transaction 'a'",
                             "vacuum",
                             "call p()",
                             "do $$begin end$$",
                             "copy a from stdin",
                             "copy a from program 'x'",
                             "create index concurrently i on a (b)",
                             "select setval('s', 1)",
                             "select pg_advisory_lock(1)",
                             "select pg_try_advisory_lock_shared(1)",
                             "select pg_export_snapshot()",
                             "select lo_create(0)",
                             "select dblink_exec('x', 'y')",
                             "select pg_terminate_backend(1)",
                             "declare c cursor with hold for select 1",
                             "prepare a as select 1",
                             "execute a",
                             "load 'x'",
                             "discard all",
                             "SET TRANSACTION SNAPSHOT 'x'",
                             "set transaction snapshot 'x'",
                             "set transaction deferrable",
                             "select setseed(1)",
                             "nonsense",
                             "insert into a values (1); commit; begin"}) {
        CAPTURE(std::string(text));
        CHECK(obstacle({"begin", text}) != "");
    }
    CHECK(obstacle({"begin isolation level serializable, read only, deferrable"}) == "is DEFERRABLE");
    CHECK(obstacle({"select 1"}) == "has a beginning that is not known");
    CHECK(obstacle({"begin; insert into a values (1)"}) == "");
    CHECK(obstacle({"insert into a values (1); begin"}) != "");
    CHECK(obstacle({"start transaction; savepoint a; select 1"}) == "");
}

TEST_CASE("limits: the transaction's own, everybody's, and the number of attempts") {
    const auto refused = [](replaying& lost) {
        (void)lost({begin, writing});
        lost.lose_after(0);
        return message_of(lost({reading}));
    };
    {
        replaying lost;
        lost.world.facts.journal_bytes = 20;
        CHECK(refused(lost).find("too large") != std::string::npos);
    }
    {
        replaying lost;
        lost.world.tables.journals.limit = 20;
        CHECK(refused(lost).find("too large") != std::string::npos);
        CHECK(lost.world.tables.journals.refused == 1);
        CHECK(lost.world.tables.journals.used == 0);
    }
    {
        replaying lost;
        lost.world.facts.replay_attempts = 0;
        CHECK(refused(lost).find("attempts") != std::string::npos);
    }
    {
        replaying lost;
        (void)lost({begin, writing});
        CHECK(lost.world.tables.journals.used > 0);
        (void)lost({commit});
        CHECK(lost.world.tables.journals.used == 0);
    }
}

TEST_CASE("SET pgsteady.replay = off, in the session or within the transaction") {
    for (const bool within : {false, true}) {
        replaying lost;
        const std::string off = client::query("set pgsteady.replay = off");
        (void)lost(within ? std::vector<std::string>{begin, off, writing}
                          : std::vector<std::string>{off, begin, writing});
        lost.lose_after(0);
        const std::string got = lost({reading});
        CHECK(sqlstate_of(got) == "40001");
        CHECK(message_of(got).find("(replay is off)") != std::string::npos);
    }
}

TEST_CASE(
    "D24: what may not be done is given up, also before it has begun; names are what the client believes them to be") {
    replaying lost;
    (void)lost({begin, client::parse("mine", "select $1") + client::sync()});
    lost.client.starved = true;
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.conversation.replaying());
    CHECK(lost.client.conversation.in_transaction());
    lost.client.conversation.give_up_replay("what it was doing may still go on");
    lost.client.starved = false;
    const std::string got = lost({reading});
    CHECK(sqlstate_of(got) == "40001");
    CHECK(message_of(got).find("(what it was doing may still go on)") != std::string::npos);
    CHECK(got.back() == 'E');
    CHECK(types_of(lost({client::query("rollback")})) == "CZ");
    const std::string found = lost({client::bind("", "mine", {"x"}) + client::execute("") + client::sync()});
    CHECK(sqlstate_of(found) == "");
}

TEST_CASE("T10: a BEGIN that finds no server takes its pipeline with it") {
    replaying lost;
    lost.lose_after(0);
    lost.world.before_grant = [&](world_server&) { lost.client.starved = lost.world.losses == 0; };
    lost.client.send(begin + writing);
    CHECK(lost.client.received() == "");
    CHECK(lost.client.conversation.waiting());
    lost.client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    lost.client.starved = false;
    lost.client.run();
    const std::string got = lost.client.received();
    CHECK(sqlstate_of(got) == "40001");
    CHECK(got.back() == 'E');
    CHECK(lost.world.database.log.empty());
    CHECK(types_of(lost({client::query("rollback")})) == "CZ");
    CHECK(lost.world.database.log.empty());
}

TEST_CASE("R14: a transaction that is cancelled while it is given again has failed by its client's wish") {
    for (const bool silent : {false, true}) {
        replaying lost;
        (void)lost({begin, writing});
        lost.client.starved = true;
        lost.lose_after(0);
        if (silent) lost.client.lose_server("gone");
        else lost.client.send(reading);
        lost.client.run();
        REQUIRE(lost.client.conversation.replaying());
        lost.client.conversation.refuse_waiting(client_errors::cancelled("i-1"));
        lost.client.starved = false;
        lost.client.run();
        std::string got = lost.client.received();
        if (silent) got += lost({reading});
        CHECK(sqlstate_of(got) == "57014");
        CHECK(got.find("outcome=rolled_back") != std::string::npos);
        CHECK(got.back() == 'E');
        CHECK(sqlstate_of(lost({reading})) == "25P02");
        CHECK(types_of(lost({client::query("rollback")})) == "CZ");
        CHECK(lost.world.database.log.empty());
    }
}

TEST_CASE("R14, D30: a cancel ends the wait for the others at once, and only what is asked can be cancelled") {
    for (const bool silent : {false, true}) {
        CAPTURE(silent);
        replaying lost;
        lost.world.facts.replays_together = true;
        (void)lost({begin, writing});
        if (!silent) lost.lose_after(0);
        else lost.client.lose_server();
        lost.client.send(silent ? "" : reading);
        lost.client.run();
        session& talk = lost.client.conversation;
        REQUIRE(talk.behind_barrier());
        CHECK(talk.is_awaited(silent ? 0 : reading.size()) == !silent);
        if (silent) lost.client.send(reading);  // what its client says next waits, too
        CHECK(talk.is_awaited(reading.size()));
        CHECK(lost.client.received() == "");
        talk.refuse_waiting(client_errors::cancelled("-"));
        lost.client.run();
        const std::string got = lost.client.received();
        CHECK(types_of(got) == "EZ");
        CHECK(sqlstate_of(got) == "57014");
        CHECK(got.find("outcome=rolled_back") != std::string::npos);
        CHECK_FALSE(talk.behind_barrier());
        CHECK(sqlstate_of(lost({reading})) == "25P02");
        CHECK(types_of(lost({commit})) == "CZ");
        CHECK(lost.world.database.log.empty());
        CHECK(types_of(lost({begin, writing, commit})) == "CZCZCZ");
    }
}

TEST_CASE("D30: what may be held is an answer within a transaction, as far as it has not come, and never a COMMIT's") {
    std::size_t result_hold = 65536;
    std::size_t journal_bytes = 65536;
    const auto may_hold = [&](const std::vector<std::string>& before, const std::string& last,
                              std::size_t through = 0) {
        replaying calm;
        calm.world.facts.retry.result_hold = static_cast<decltype(calm.world.facts.retry.result_hold)>(result_hold);
        calm.world.facts.journal_bytes = journal_bytes;
        (void)calm(before);
        calm.client.lets_through = through;
        calm.client.send(last);
        return calm.client.conversation.may_hold_answer();
    };
    CHECK(may_hold({begin, writing}, reading));
    CHECK(may_hold({begin, writing}, run("select 'a'") + client::sync()));
    CHECK_FALSE(may_hold({begin, writing}, ""));
    CHECK_FALSE(may_hold({}, reading));
    CHECK_FALSE(may_hold({begin, writing}, commit));
    CHECK_FALSE(may_hold({begin, writing}, run("select 'a'") + run("commit") + client::sync()));
    CHECK_FALSE(may_hold({begin, client::query("set pgsteady.replay = off")}, reading));
    const std::string rows = client::query("select rows(9)");
    const std::size_t part = 60;
    CHECK(may_hold({begin, writing}, rows, part));
    result_hold = 0;  // the client has that part
    CHECK(may_hold({begin, writing}, rows, part));
    journal_bytes = 20;
    CHECK_FALSE(may_hold({begin, writing}, rows, part));  // nobody could go on from there
}

TEST_CASE("D30: who has not been heard gives way if all of its transaction can be given again") {
    const auto may_give_way = [](const std::vector<std::string>& before, const std::string& last) {
        replaying calm;
        (void)calm(before);
        calm.client.lets_through = 0;
        calm.client.send(last);
        return calm.client.conversation.may_give_way();
    };
    CHECK(may_give_way({begin, writing}, reading));
    CHECK(may_give_way({begin}, run("select 'a'") + run("insert into log values ('b')") + client::sync()));
    CHECK_FALSE(may_give_way({begin, writing}, ""));
    CHECK_FALSE(may_give_way({}, reading));
    CHECK_FALSE(may_give_way({begin, writing}, commit));
    CHECK_FALSE(may_give_way({begin, client::query("set pgsteady.replay = off")}, reading));
    const std::string obstacle = client::query("select pg_advisory_lock(1)");
    CHECK_FALSE(may_give_way({begin, client::query("select now()")}, reading));  // the replay would show another time
    CHECK(may_give_way({begin, writing}, client::query("select now()")));
    CHECK_FALSE(may_give_way({begin, obstacle}, reading));
    CHECK_FALSE(may_give_way({begin, writing}, obstacle));
    CHECK_FALSE(may_give_way({begin, writing}, client::query("copy log from stdin")));
    CHECK_FALSE(may_give_way({client::query("create temp table mine (line text)"), begin, writing}, reading));
}

TEST_CASE("D30: nothing is held of a row that is cut, of an answer that comes again, or before the session is ready") {
    replaying cut;
    CHECK_FALSE(cut.client.conversation.may_hold_answer());
    (void)cut({begin});
    cut.client.lets_through = 66000;  // of a row so large that it is passed on in pieces
    cut.client.send(client::query("select big(200000)"));
    CHECK(cut.client.server->link.frame_left > 0);
    CHECK_FALSE(cut.client.conversation.may_hold_answer());

    replaying again;
    (void)again({begin, writing});
    again.lose_after(0);
    again.world.before_grant = [&](world_server&) { again.client.lets_through = 0; };
    again.client.send(reading);
    REQUIRE(again.world.losses == 1);
    REQUIRE(again.client.conversation.busy());
    CHECK_FALSE(again.client.conversation.may_hold_answer());
}

TEST_CASE("D30: an answer that was held in the middle, whose server has ended, goes on after the replay (2.3)") {
    const std::string rows = client::query("select rows(9)");
    for (std::size_t through = 0; through < 190; through += 7) {
        CAPTURE(through);
        replaying lost;
        lost.world.facts.retry.result_hold = 0;
        (void)lost({begin, writing});
        lost.client.lets_through = through;
        lost.client.send(rows);
        REQUIRE(lost.client.conversation.may_hold_answer());
        std::string heard = lost.client.received();
        lost.client.lets_through = loss_plan::never;
        lost.client.lose_server();  // the rest is not taken
        lost.client.run();
        heard += lost.client.received();
        CHECK(types_of(heard) == "TDDDDDDDDDCZ");
        CHECK(types_of(lost({commit})) == "CZ");
        CHECK(lost.world.database.log == std::vector<std::string>{"a"});
    }
}

TEST_CASE("R14: while a transaction is given again there is something to cancel once its client has said something") {
    replaying lost;
    (void)lost({begin, writing});
    lost.client.starved = true;
    lost.client.lose_server();
    lost.client.run();
    REQUIRE(lost.client.conversation.replaying());
    const std::size_t journal = begin.size() + writing.size();
    CHECK_FALSE(lost.client.conversation.is_awaited(journal));
    CHECK(lost.client.conversation.is_awaited(journal + reading.size()));
}

TEST_CASE("recovery.md 2.9: what the server has ended by its own rules is not begun again") {
    replaying lost;
    (void)lost({begin, writing});
    error_fields said = plain_error("25P03", "terminating connection due to idle-in-transaction timeout");
    said.severity = "FATAL";
    std::string words;
    append_error_response(words, said);
    lost.world.last_words = words;
    lost.lose_after(0);
    const std::string got = lost({reading});
    CHECK(sqlstate_of(got) == "40001");
    CHECK(message_of(got).find("25P03") != std::string::npos);
}

TEST_CASE("2.6: a COMMIT that is known not to have been carried out is given again behind its transaction") {
    replaying lost;
    (void)lost({begin, reading});
    lost.client.starved = true;
    lost.lose_after(0);
    CHECK(lost({commit}) == "");  // waits for the proof that it has only read
    CHECK(lost.client.conversation.replay_then_commit());
    CHECK_FALSE(lost.client.conversation.replay_then_commit());
    lost.client.starved = false;
    lost.client.run();
    CHECK(types_of(lost.client.received()) == "CZ");
    CHECK(lost.world.database.executions["begin"] == 2);
    CHECK(lost.client.conversation.take_report().replays == 1);
}

TEST_CASE("T32: names made in a transaction that was lost for good are not those of the next one") {
    replaying lost;
    (void)lost({begin, client::parse("mine", "insert into log values ($1)") + client::sync(), client::query("vacuum")});
    lost.client.lose_server();
    (void)lost({client::query("rollback"), begin, writing});
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.conversation.take_report().replays == 1);
    CHECK(types_of(lost({client::bind("", "mine", {"m"}) + client::execute("") + client::sync(), commit})) == "2CZCZ");
    CHECK(lost.world.database.log == std::vector<std::string>{"a", "m"});
}

TEST_CASE(
    "D30: what was under way waits for the others, and so does what a silent client says next; what had been answered "
    "does not") {
    replaying lost;
    lost.world.facts.replays_together = true;
    (void)lost({begin, writing});
    lost.lose_after(0);
    lost.client.send(client::query("insert into log values ('b')"));
    CHECK(lost.client.received() == "");
    CHECK_FALSE(lost.client.conversation.replaying());
    CHECK(lost.client.conversation.behind_barrier());
    CHECK(lost.world.database.executions["insert into log values ('b')"] <= 1);
    lost.client.conversation.pass_barrier();
    lost.client.run();
    CHECK(types_of(lost.client.received()) == "CZ");
    lost.client.lose_server();
    lost.client.run();
    CHECK_FALSE(lost.client.conversation.replaying());
    CHECK(lost.client.conversation.behind_barrier());
    CHECK(types_of(lost({client::query("insert into log values ('c')") + commit})).empty());
    CHECK(lost.world.database.executions["insert into log values ('c')"] == 0);
    lost.client.conversation.pass_barrier();
    lost.client.run();
    CHECK(types_of(lost.client.received()) == "CZCZ");
    CHECK(lost.world.database.log == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("D30: a server that dies behind the barrier, and a transaction whose BEGIN has no answer yet") {
    replaying lost;
    lost.world.facts.replays_together = true;
    (void)lost({begin, writing});
    lost.lose_after(0);
    lost.client.send(reading);
    REQUIRE(lost.client.conversation.behind_barrier());
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.conversation.behind_barrier());
    lost.client.conversation.pass_barrier();
    lost.client.run();
    CHECK(types_of(lost.client.received()) == "TDCZ");
    CHECK(types_of(lost({commit})) == "CZ");

    lost.lose_after(0);
    lost.client.send(begin + client::query("insert into log values ('b')") + commit);
    if (lost.client.conversation.behind_barrier()) {
        CHECK(lost.client.server == nullptr);
        lost.client.conversation.pass_barrier();
        lost.client.run();
    }
    CHECK(lost.world.database.log.front() == "a");
}

TEST_CASE("2.11: a replay is charged to the retry budget, and so is each further attempt; without any left it is R04") {
    std::size_t left = 0;
    std::size_t asked = 0;
    const auto budget = [&] { return ++asked, left > 0 && left-- > 0; };
    SUBCASE("the client is silent") {
        replaying lost;
        lost.world.tables.may_retry = budget;
        (void)lost({begin, writing});
        lost.client.lose_server();
        lost.client.run();
        CHECK(asked == 1);
        CHECK(lost.client.conversation.take_report().replays_refused == 1);
        const std::string heard = lost({reading});
        CHECK(sqlstate_of(heard) == "40001");
        CHECK(message_of(heard).find("retry budget") != std::string::npos);
        CHECK(types_of(lost({client::query("rollback")})) == "CZ");
        CHECK(lost.world.database.log.empty());
    }
    SUBCASE("a statement is under way") {
        replaying lost;
        lost.world.tables.may_retry = budget;
        left = 1;
        (void)lost({begin, writing});
        lost.lose_after(0);
        CHECK(types_of(lost({reading})) == "TDCZ");
        CHECK(asked == 1);
        CHECK(types_of(lost({commit})) == "CZ");
    }
    SUBCASE("the next server is lost, too") {
        replaying lost;
        lost.world.tables.may_retry = budget;
        left = 1;
        (void)lost({begin, writing});
        lost.world.before_grant = [&](world_server&) {
            lost.world.before_grant = nullptr;
            lost.lose_after(1);
        };
        lost.lose_after(0);
        const std::string heard = lost({reading});
        CHECK(asked == 2);
        CHECK(sqlstate_of(heard) == "40001");
        CHECK(message_of(heard).find("retry budget") != std::string::npos);
        CHECK(types_of(lost({client::query("rollback")})) == "CZ");
    }
}

TEST_CASE("T10: a pipelined BEGIN that is lost half-way: what follows does not run outside of its transaction") {
    const std::string first = run("begin") + client::sync();
    const std::string rest = run("insert into log values ('a')") + client::sync() + run("commit") + client::sync();
    const std::size_t parse = client::parse("", "begin").size();
    for (const bool delivered : {false, true}) {
        CAPTURE(delivered);
        replaying lost;
        lost.world.facts.replays = false;
        if (delivered) lost.world.facts.retry.result_hold = 0;
        lost.client.send(first.substr(0, parse));
        lost.client.lose_server();
        lost.client.send(first.substr(parse) + rest);
        lost.client.run();
        const std::string heard = lost.client.received();
        CHECK(types_of(heard) == (delivered ? "1EZEZ12nCZ" : "12nCZ12nCZ12nCZ"));
        CHECK(lost.world.database.log == (delivered ? std::vector<std::string>{} : std::vector<std::string>{"a"}));
        if (delivered) CHECK(sqlstate_of(heard) == "40001");
        CHECK(types_of(lost({reading})) == "TDCZ");
    }
}
