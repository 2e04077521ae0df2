// The capture of a transaction's number, and what becomes of its COMMIT when the answer is lost (recovery.md 2.6, D32).
// With scripted servers; every byte of the conversations is cut in recovery_cuts_test.cpp.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string extended(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("");
}

const std::string begin = client::query("begin");
const std::string writing = client::query("insert into log values ('a')");
const std::string reading = client::query("select 'x'");
const std::string commit = client::query("commit");
const std::string rollback = client::query("rollback");

struct doubt {
    explicit doubt(std::size_t servers = 2) : world(servers), client(world) {
        world.facts.resolves = true;
        world.facts.resolved = [this](const in_doubt_report& what) { reports.push_back(what); };
        world.facts.capture_failed = [this](std::string_view sqlstate) { failures.emplace_back(sqlstate); };
    }
    std::string operator()(const std::string& bytes) { return client.ask(bytes); }
    /// Interrupted transactions are given again.
    doubt& replaying() {
        world.facts.replays = true;
        return *this;
    }
    /// Is in a transaction that would be given again, has written in it, and the number of that is known.
    void replayable(const std::string& first = begin) {
        replaying();
        (void)client.ask(first);
        (void)client.ask(writing);
        (void)client.ask(reading);
    }
    void lose_after(bool output, std::size_t bytes) { output ? lose_after_output(bytes) : lose_after_input(bytes); }
    void lose_after_output(std::size_t bytes) { world.plan.after_output = world.output_bytes + bytes; }
    void lose_after_input(std::size_t bytes) { world.plan.after_input = world.input_bytes + bytes; }
    [[nodiscard]] const transaction_trace& trace() const { return client.server->link.trace; }

    session_world world;
    session_driver client;
    std::vector<in_doubt_report> reports;
    std::vector<std::string> failures;
};

}  // namespace

TEST_CASE("D32: the first message behind a write takes the capture with it; nothing of it reaches the client") {
    doubt at;
    CHECK(types_of(at(begin)) == "CZ");
    CHECK(types_of(at(writing)) == "CZ");
    CHECK(at.world.database.captures == 0);
    CHECK(types_of(at(reading)) == "TDCZ");
    CHECK(at.world.database.captures == 1);
    CHECK(at.trace().xid == 725);
    CHECK(at.trace().marker == at.world.database.wal);
    CHECK(types_of(at(reading + writing)) == "TDCZCZ");
    CHECK(types_of(at(commit)) == "CZ");
    CHECK(at.world.database.captures == 1);
}

TEST_CASE("D42: reads, autocommit and ROLLBACK are not captured") {
    doubt at;
    (void)at(begin + reading + reading + commit);
    (void)at(writing + writing + extended("insert into log values ('b')") + client::sync() + reading);
    (void)at(begin);
    (void)at(writing);
    (void)at(rollback);
    CHECK(at.world.database.captures == 0);
    at.world.facts.resolves = false;
    (void)at(begin);
    (void)at(writing);
    (void)at(commit);
    CHECK(at.world.database.captures == 0);
}

TEST_CASE("2.6: where COMMIT is the next message it is captured in the same write") {
    for (const std::string& last : {commit, extended("commit") + client::sync()}) {
        doubt at;
        (void)at(begin);
        (void)at(writing);
        const std::string got = at(last);
        CHECK(types_of(got) == (last == commit ? "CZ" : "12CZ"));
        CHECK(at.world.database.captures == 1);
        CHECK(at.world.database.log.size() == 1);
    }
}

TEST_CASE("2.6: a pipeline is captured before its COMMIT although nothing is known of it yet") {
    for (const std::string& all :
         {begin + writing + commit,
          extended("begin") + client::sync() + extended("insert into log values ('a')") + client::sync() +
              extended("commit") + client::sync(),
          extended("begin") + extended("insert into log values ('a')") + extended("commit") + client::sync()}) {
        doubt at;
        (void)at(all);
        CHECK(at.world.database.captures == 1);
        CHECK(at.world.database.log.size() == 1);
    }
}

TEST_CASE("T9: a COMMIT of what has failed is still carried out as a ROLLBACK, captured or not") {
    const std::string fails = extended("select error('22012')") + client::sync();
    for (const std::string& middle : {client::query("select error('22012')"), fails})
        for (const std::string& last : {commit, extended("commit") + client::sync()})
            for (const bool pipelined : {true, false}) {
                doubt at;
                std::string got;
                if (pipelined) got = at(begin + writing + middle + last);
                else
                    for (const std::string& each : {begin, writing, middle, last}) got = at(each);
                CHECK(got.find("ROLLBACK") != std::string::npos);
                CHECK(got.back() == 'I');
                CHECK(at.world.database.log.empty());
                CHECK(at.failures.empty());
            }
}

TEST_CASE("2.6: cut anywhere in COMMIT or its answer, the client hears what has happened and never 08007") {
    for (const std::string& last : {commit, extended("commit") + client::sync()}) {
        for (const bool captured_before : {true, false}) {
            for (const bool output : {true, false}) {
                for (std::size_t bytes = 1; bytes < 200; ++bytes) {
                    doubt at;
                    (void)at(begin);
                    (void)at(writing);
                    if (captured_before) (void)at(reading);
                    at.lose_after(output, bytes);
                    const std::string got = at(last);
                    if (at.world.losses == 0) break;
                    CAPTURE(bytes);
                    CAPTURE(output);
                    const bool committed = at.world.database.log.size() == 1;
                    // Until the capture has arrived nothing is known of what follows it.
                    const bool unknown = !captured_before && sqlstate_of(got) == "08007";
                    if (!unknown) {
                        CHECK(sqlstate_of(got) == (committed ? "" : "40001"));
                        CHECK((got.find(std::string("COMMIT\0", 7)) != std::string::npos) == committed);
                    }
                    CHECK(got.back() == 'I');
                }
            }
        }
    }
}

TEST_CASE("E2b: the report says which transaction, by which path") {
    doubt at;
    (void)at(begin + writing);
    (void)at(reading);
    at.lose_after_output(0);
    CHECK(types_of(at(commit)) == "CZ");
    REQUIRE(at.reports.size() == 1);
    CHECK(at.reports[0].captured.xid == 725);
    CHECK(at.reports[0].captured.marker != 0);
    CHECK(at.reports[0].found.what == in_doubt_outcome::committed);
    CHECK(at.reports[0].found.path == in_doubt_path::same_incarnation);
    CHECK(at.reports[0].incident == "test-1");
}

TEST_CASE("2.6: the server that was asked is nobody's afterwards") {
    for (const std::string& last : {commit, extended("commit") + client::sync()}) {
        doubt at;
        (void)at(begin + writing);
        (void)at(reading);
        at.lose_after_output(0);
        CHECK(at(last).back() == 'I');
        CHECK(at.reports.size() == 1);
        CHECK(at.client.server == nullptr);
    }
}

TEST_CASE("2.6: what a question was refused with says nothing about the captures behind it") {
    doubt at;
    (void)at(begin + writing);
    (void)at(reading);
    at.world.plan.late = true;
    at.lose_after_input(1);
    at.world.database.transactions.clear();
    CHECK(sqlstate_of(at(commit)) == "08007");
    at.world.calm();
    (void)at(begin + writing);
    at.world.database.capture_refusal = "57P01";
    at.world.database.capture_severity = "FATAL";
    (void)at(reading);
    CHECK(at.failures.empty());
}

TEST_CASE("2.6: a server that ends while it is asked for a number says nothing against captures") {
    doubt at;
    (void)at(begin + writing);
    at.world.database.capture_refusal = "57P01";
    at.world.database.capture_severity = "FATAL";
    (void)at(reading);
    CHECK(at.failures.empty());
}

TEST_CASE("T1: a server that lives its next life is only believed as far as its WAL is known") {
    for (const auto& [recovered, inherited, code] :
         {std::tuple{0x10ULL, 0x10ULL, "40001"}, std::tuple{0x9000ULL, 0x9000ULL, ""},
          std::tuple{0x9000ULL, 0x10ULL, "08007"}}) {
        doubt at(1);
        (void)at(begin + writing);
        (void)at(reading);
        at.world.life.recovered_to = recovered;  // of the server that replaces this one
        at.world.facts.observe = [inherited = inherited](in_doubt_facts& facts, const commit_capture&) {
            facts.inherited = {true, inherited};
        };
        at.lose_after_output(0);
        CHECK(sqlstate_of(at(commit)) == code);
    }
}

TEST_CASE("T7: what waits is asked again, and once it is known the client hears it") {
    doubt at;
    at.client.patient = false;
    (void)at(begin + writing);
    (void)at(reading);
    at.world.plan.late = true;
    at.lose_after_input(commit.size());
    CHECK(at(commit).empty());
    CHECK(at.client.asked_later == 1);
    at.client.ask_again();
    CHECK(at.client.asked_later == 2);
    at.world.finish_lost_servers();
    at.world.database.transactions[725] = "committed";
    at.client.ask_again();
    CHECK(types_of(at.client.received()) == "CZ");
    CHECK(at.reports.back().found.what == in_doubt_outcome::committed);
    CHECK(at.client.server == nullptr);
}

TEST_CASE("R07: the deadline ends in 08007 with the transaction's number, once") {
    doubt at;
    (void)at(begin + writing);
    (void)at(reading);
    at.world.plan.late = true;
    at.lose_after_input(commit.size());
    const std::string got = at(commit);
    CHECK(sqlstate_of(got) == "08007");
    CHECK(got.find("transaction 725") != std::string::npos);
    CHECK(got.find("outcome=unknown") != std::string::npos);
    CHECK(got.back() == 'I');
    CHECK(at.reports.back().found.path == in_doubt_path::timeout);
    CHECK(at.client.asked_later > 60);
    CHECK(types_of(at(reading)) == "TDCZ");
}

TEST_CASE("R07: without a primary nothing is known") {
    doubt at;
    (void)at(begin + writing);
    (void)at(reading);
    at.client.starved = true;
    at.lose_after_output(0);
    CHECK(at(commit).empty());
    CHECK(at.client.conversation.need() == server_need::primary);
    at.client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    at.client.run();
    CHECK(sqlstate_of(at.client.received()) == "08007");
}

TEST_CASE("D29: COMMIT AND CHAIN is looked up like any other") {
    for (const bool done : {true, false}) {
        doubt at;
        (void)at(begin + writing);
        (void)at(reading);
        const std::string chain = client::query("commit and chain");
        if (done) at.lose_after_output(0);
        else at.lose_after_input(3);
        const std::string got = at(chain);
        CHECK(sqlstate_of(got) == (done ? "" : "40001"));
        CHECK(got.back() == (done ? 'T' : 'I'));
    }
}

TEST_CASE("D29, T20: another number for what follows AND CHAIN or ROLLBACK TO") {
    doubt at;
    (void)at(begin);
    (void)at(writing);
    (void)at(reading);
    CHECK(at.trace().xid == 725);
    (void)at(client::query("commit and chain"));
    CHECK(at.trace().xid == 0);
    CHECK_FALSE(at.trace().wrote);
    (void)at(client::query("savepoint s"));
    (void)at(writing);
    (void)at(reading);
    CHECK(at.trace().xid == 726);
    (void)at(client::query("rollback to s"));
    CHECK(at.trace().xid == 0);
    (void)at(reading);
    CHECK(at.trace().xid == 726);
    (void)at(client::query("rollback and chain"));
    (void)at(reading);
    CHECK(at.trace().xid == 0);
    (void)at(writing);
    (void)at(reading);
    CHECK(at.trace().xid == 727);
}

TEST_CASE(
    "a capture that is refused ends captures on that connection, and the client learns why its transaction is over") {
    doubt at;
    at.world.database.capture_refusal = "42501";
    (void)at(begin);
    (void)at(writing);
    const std::string got = at(reading);
    CHECK(types_of(got) == "EZ");
    CHECK(sqlstate_of(got) == "42501");
    CHECK(got.back() == 'E');
    CHECK(at.failures == std::vector<std::string>{"42501"});
    CHECK_FALSE(at.client.server->link.may_capture);
    CHECK(types_of(at(rollback)) == "CZ");
    (void)at(begin);
    (void)at(writing);
    CHECK(types_of(at(commit)) == "CZ");
}

TEST_CASE("D14: the client's prepared statements and portals are its own, captured or not") {
    doubt at;
    (void)at(client::parse("s", "insert into log values ($1)") + client::sync());
    (void)at(begin);
    (void)at(client::bind("", "s", {"a"}) + client::execute("") + client::sync());
    const std::string got =
        at(client::parse("", "select rows(3)") + client::bind("p", "") + client::execute("p", 1) + client::sync());
    CHECK(types_of(got) == "12DsZ");
    CHECK(at.world.database.captures == 1);
    CHECK(types_of(at(client::execute("p", 1) + client::sync())) == "DsZ");
    CHECK(types_of(at(client::execute("p", 0) + client::sync())) == "DCZ");
    CHECK(types_of(at(commit)) == "CZ");
}

TEST_CASE("2.6: a COMMIT that was not carried out is, behind its transaction: cut anywhere, COMMIT and one effect") {
    const std::string named = client::parse("c", "commit") + client::sync();
    const std::string by_name = client::bind("", "c") + client::execute("") + client::sync();
    for (const std::string& last : {commit, extended("commit") + client::sync(), by_name}) {
        std::size_t replays = 0;
        for (const bool output : {true, false}) {
            for (std::size_t bytes = 1; bytes < 200; ++bytes) {
                doubt at(3);
                at.replayable(named + begin);
                at.lose_after(output, bytes);
                const std::string got = at(last);
                if (at.world.losses == 0) break;
                CAPTURE(bytes);
                CAPTURE(output);
                CHECK(types_of(got) == (last == commit ? "CZ" : last == by_name ? "2CZ" : "12CZ"));
                CHECK(got.find(std::string("COMMIT\0", 7)) != std::string::npos);
                CHECK(got.back() == 'I');
                CHECK(at.world.database.log == std::vector<std::string>{"a"});
                replays += at.client.conversation.take_report().replays;
                CHECK(types_of(at(reading)) == "TDCZ");
            }
        }
        CHECK(replays > 0);
    }
}

TEST_CASE("2.6: the second COMMIT is lost, too: judged by its own capture, and still one effect") {
    for (std::size_t first = 1; first < 30; ++first) {
        for (std::size_t second = 1; second < 700; second += 3) {
            doubt at(4);
            at.replayable();
            at.lose_after_input(first);
            at.world.plan.again_after = second;
            const std::string got = at(commit);
            if (at.world.losses < 2) break;
            CAPTURE(first);
            CAPTURE(second);
            const bool unknown = sqlstate_of(got) == "08007";  // cut before the capture of the second had come back
            if (!unknown) CHECK(types_of(got) == "CZ");
            CHECK(got.back() == 'I');
            CHECK(at.world.database.log.size() <= 1);
            if (!unknown) CHECK(at.world.database.log.size() == 1);
            if (at.reports.size() > 1) CHECK(at.reports[1].captured.xid > at.reports[0].captured.xid);
        }
    }
}

TEST_CASE("2.6: the server that is asked dies as well, and the transaction is not forgotten") {
    doubt at(4);
    at.replayable();
    at.lose_after_input(3);
    at.world.plan.again_after = 20;  // within the question
    CHECK(types_of(at(commit)) == "CZ");
    CHECK(at.world.losses == 2);
    CHECK(at.world.database.log == std::vector<std::string>{"a"});
}

TEST_CASE("2.5: at COMMIT an answer that differs, or an obstacle, is 40001, and the transaction is over") {
    for (const bool differs : {true, false}) {
        doubt at(3);
        at.replaying();
        (void)at(begin);
        (void)at(writing);
        (void)at(differs ? client::query("table log") : client::query("set pgsteady.replay = off"));
        (void)at(reading);
        if (differs) at.world.database.log.push_back("by somebody else");
        std::vector<std::string> told;
        at.world.facts.not_replayed = [&](const error_fields& why) { told.push_back(why.message); };
        at.lose_after_input(3);
        const std::string got = at(commit + reading);
        CHECK(types_of(got) == "EZTDCZ");
        CHECK(sqlstate_of(got) == "40001");
        CHECK(got.back() == 'I');
        CHECK(at.world.database.log.size() == (differs ? 1 : 0));
        REQUIRE(told.size() == 1);  // for the log: with the reason
        CHECK(told[0].find(differs ? "different results" : "replay is off") != std::string::npos);
        const request_report done = at.client.conversation.take_report();
        CHECK(done.replays_different == (differs ? 1 : 0));
        CHECK(done.replays_refused == (differs ? 0 : 1));
    }
}

TEST_CASE("2.6: what stands before COMMIT in its segment is given again with it") {
    doubt at(3);
    at.replayable();
    at.lose_after_input(3);
    const std::string got = at(extended("insert into log values ('b')") + extended("commit") + client::sync());
    CHECK(types_of(got) == "12C12CZ");
    CHECK(at.world.database.log == std::vector<std::string>{"a", "b"});
}

TEST_CASE(
    "2.6: a COMMIT behind requests without an answer: cut anywhere, what is told is known and true, and one effect") {
    const std::string more = client::query("insert into log values ('b')");
    const std::string segment = extended("insert into log values ('b')") + client::sync();
    std::size_t replayed = 0;
    std::size_t committed = 0;
    for (const std::string& pipeline : {more + commit, segment + extended("commit") + client::sync()}) {
        for (const bool output : {true, false}) {
            for (std::size_t bytes = output ? 0 : 1; bytes < 700; ++bytes) {
                doubt at(3);
                at.replayable();
                at.lose_after(output, bytes);
                const std::string got = at(pipeline);
                if (at.world.losses == 0) break;
                CAPTURE(bytes);
                CAPTURE(output);
                CAPTURE(describe(got));
                CHECK(got.back() == 'I');
                CHECK(at.world.database.log == std::vector<std::string>{"a", "b"});
                if (sqlstate_of(got).empty()) {
                    CHECK(types_of(got) == (pipeline.starts_with('Q') ? "CZCZ" : "12CZ12CZ"));
                    replayed += at.client.conversation.take_report().replays;
                } else {
                    CHECK(types_of(got) == "EZEZ");
                    CHECK(sqlstate_of(got) == "08007");
                    CHECK(got.find("outcome=committed") != std::string::npos);
                    ++committed;
                }
                CHECK(types_of(at(reading)) == "TDCZ");
            }
        }
    }
    CHECK(replayed > 0);
    CHECK(committed > 0);
}

TEST_CASE("T9: what ends the captured transaction in front of the COMMIT is not judged by its number") {
    for (const std::string& first :
         {client::query("rollback; begin; insert into log values ('b')"), rollback + begin + writing}) {
        doubt at(3);
        at.replayable();
        at.lose_after_output(0);
        const std::string got = at(first + commit);
        CHECK(got.back() == 'I');
        CHECK(got.find("outcome=committed") == std::string::npos);
        CHECK(at.reports.empty());
        CHECK(at.world.database.log.size() <= 1);
    }
}

TEST_CASE("2.5: a COMMIT behind requests without an answer, where there is an obstacle, or nobody knows") {
    const std::string pipeline = client::query("insert into log values ('b')") + commit + reading;
    for (const bool asked : {true, false}) {
        doubt at(3);
        at.replaying();
        (void)at(begin);
        (void)at(writing);
        (void)at(client::query("set pgsteady.replay = off"));
        (void)at(reading);
        at.lose_after_input(3);
        at.client.starved = !asked;
        at.client.send(pipeline);
        if (!asked) {
            at.client.conversation.refuse_waiting(error_fields{});
            at.client.starved = false;
            at.client.run();
        }
        const std::string got = at.client.received();
        CAPTURE(describe(got));
        CHECK(types_of(got) == (asked ? "EZCZTDCZ" : "EZEZTDCZ"));
        CHECK(sqlstate_of(got) == (asked ? "40001" : "08007"));
        CHECK(at.world.database.log.empty());
    }
}

TEST_CASE("T9: a segment that ends the captured transaction before it commits another is not judged by its number") {
    doubt at(3);
    at.replayable();
    at.lose_after_output(0);
    const std::string got = at(extended("rollback") + extended("begin") + extended("insert into log values ('b')") +
                               extended("commit") + client::sync());
    CHECK(sqlstate_of(got) == "08007");
    CHECK(at.world.database.log == std::vector<std::string>{"b"});
    CHECK(at.reports.empty());
}

TEST_CASE("2.6: what follows the COMMIT in a pipeline waits for it, and is another transaction") {
    doubt at(3);
    at.replayable();
    at.lose_after_input(3);
    const std::string got = at(commit + begin + client::query("insert into log values ('b')") + commit);
    CHECK(at.world.database.log.front() == "a");
    CHECK(types_of(got).starts_with("CZ"));
}

TEST_CASE("T15: at a COMMIT that is given again the settings are those that the transaction chose") {
    doubt at(3);
    at.replaying();
    (void)at(client::query("set work_mem = '5MB'"));
    (void)at(begin);
    (void)at(writing);
    (void)at(client::query("set work_mem = '6MB'"));
    at.lose_after_input(3);
    CHECK(types_of(at(commit)) == "CZ");
    CHECK(at(client::query("show work_mem")).find("6MB") != std::string::npos);
}
