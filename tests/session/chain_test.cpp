// D29: COMMIT AND CHAIN and ROLLBACK AND CHAIN whose server is lost. The end is answered as without AND CHAIN, and the next
// server opens the transaction that follows, with the same characteristics. With scripted servers.
#include "proxy/session/chain_opening.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using lines = std::vector<std::string>;

std::string extended(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::describe_portal("") + client::execute("") +
           client::sync();
}

const std::string begin = client::query("begin");
const std::string begin_with_all = client::query("begin isolation level repeatable read read write not deferrable");
const std::string commit = client::query("commit");
const std::string commit_on = client::query("commit and chain");
const std::string rollback_on = client::query("rollback and chain");
const std::string writing = client::query("insert into log values ('a')");
const std::string more = client::query("insert into log values ('b')");
const std::string reading = client::query("select 'x'");
const std::string failing = client::query("select error('22012')");

struct chaining {
    explicit chaining(std::size_t servers = 2) : world(servers), client(world) {
        world.facts.resolves = world.facts.replays = true;
        world.tables.on_statement = [this](std::int32_t, std::string_view text) { texts.emplace_back(text); };
    }
    std::string operator()(const lines& requests) {
        std::string all;
        for (const std::string& each : requests) all += client.ask(each);
        return all;
    }
    /// With the next byte that the server says.
    void lose() { world.plan.after_output = world.output_bytes; }
    [[nodiscard]] std::size_t times(const std::string& text) const {
        return static_cast<std::size_t>(std::count(texts.begin(), texts.end(), text));
    }

    lines texts;
    session_world world;
    session_driver client;
};

bool has_tag(const std::string& stream, const std::string& tag) {
    return stream.find('\0' + tag + '\0') != std::string::npos || stream.find(tag + '\0') != std::string::npos;
}

}  // namespace

TEST_CASE("D29: what AND CHAIN takes over is read from the transaction's texts, or not known") {
    const auto opening = [](const lines& texts, bool failed = false) {
        return chain_opening(texts, failed).value_or("unknown");
    };
    CHECK(opening({"begin"}) == "BEGIN");
    CHECK(opening({"START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "select 1"}) ==
          "BEGIN ISOLATION LEVEL serializable READ ONLY DEFERRABLE");
    CHECK(opening({"begin read only", "set transaction isolation level repeatable read", "select 1"}) ==
          "BEGIN ISOLATION LEVEL repeatable read READ ONLY");
    CHECK(opening({"begin read only", "set transaction read write, not deferrable"}) ==
          "BEGIN READ WRITE NOT DEFERRABLE");
    CHECK(opening({"begin read write, read only"}) == "BEGIN READ ONLY");
    CHECK(opening({"begin isolation level read uncommitted"}) == "BEGIN ISOLATION LEVEL read uncommitted");
    CHECK(opening({"begin", "insert into transactions values (1)", "set local work_mem = '1MB'"}) == "BEGIN");
    CHECK(opening({"begin read only", "savepoint a", "select 1", "rollback to a", "release a"}) == "BEGIN READ ONLY");
    CHECK(opening({"begin read only", "select 1/0"}, true) == "BEGIN READ ONLY");
    // In a part of it, or perhaps not at all.
    CHECK(opening({"begin", "savepoint a", "set transaction read only", "release a"}) == "unknown");
    CHECK(opening({"begin", "set transaction read only", "select 1/0"}, true) == "unknown");
    // By other words, or behind the proxy's back.
    for (const char* text :
         {"set transaction_read_only = on", "set local transaction_isolation = 'serializable'",
          "select set_config('transaction_read_only', 'on', true)", "set default_transaction_read_only = on",
          "set session characteristics as transaction read only", "do $$begin set transaction read only; end$$",
          "begin read only", "commit", "commit and chain", "reset transaction_isolation",
          "savepoint a; set transaction read only", "set transaction snapshot '1'"}) {
        CAPTURE(text);
        CHECK(opening({"begin", text}) == "unknown");
    }
    CHECK(opening({}) == "unknown");
    CHECK(opening({"select 1", "begin"}) == "unknown");
    CHECK(opening({"begin; select 1"}) == "unknown");
}

TEST_CASE("D29: a lost COMMIT AND CHAIN that was carried out is answered so, and the transaction behind it goes on") {
    for (const std::string& last : {commit_on, extended("commit and chain")}) {
        chaining lost;
        (void)lost({begin_with_all, writing, reading});
        lost.lose();
        const std::string got = lost({last});
        CHECK(has_tag(got, "COMMIT"));
        CHECK(sqlstate_of(got).empty());
        CHECK(got.back() == 'T');
        CHECK(lost.client.conversation.in_transaction());
        CHECK_FALSE(lost.client.conversation.idle());
        CHECK(types_of(lost({more})) == "CZ");
        CHECK(lost.times("BEGIN ISOLATION LEVEL repeatable read READ WRITE NOT DEFERRABLE") == 1);
        CHECK(lost.world.database.log == lines{"a"});  // nothing of it runs outside of a transaction (T10)
        CHECK(types_of(lost({commit})) == "CZ");
        CHECK(lost.world.database.log == lines{"a", "b"});
        CHECK(lost.client.conversation.take_report().replays == 0);
    }
}

TEST_CASE("D29: cut anywhere in the end with AND CHAIN or its answer, the client hears the truth and can go on") {
    for (const bool rolls_back : {false, true})
        for (const bool simple : {true, false})
            for (const bool output : {true, false})
                for (std::size_t bytes = 1; bytes < 300; ++bytes) {
                    CAPTURE(rolls_back);
                    CAPTURE(simple);
                    CAPTURE(output);
                    CAPTURE(bytes);
                    const std::string text = rolls_back ? "rollback and chain" : "commit and chain";
                    chaining lost;
                    (void)lost({begin, writing, reading});
                    auto& after = output ? lost.world.plan.after_output : lost.world.plan.after_input;
                    after = (output ? lost.world.output_bytes : lost.world.input_bytes) + bytes;
                    const std::string got = lost({simple ? client::query(text) : extended(text)});
                    if (lost.world.losses == 0) break;
                    const bool committed = !lost.world.database.log.empty();
                    if (sqlstate_of(got).empty()) {
                        CHECK(has_tag(got, rolls_back ? "ROLLBACK" : "COMMIT"));
                        CHECK(committed != rolls_back);
                        CHECK(got.back() == 'T');
                        CHECK(types_of(lost({more})) == "CZ");
                        CHECK(lost.world.database.log.size() == (committed ? 1U : 0U));
                        CHECK(types_of(lost({commit})) == "CZ");
                        CHECK(lost.world.database.log.back() == "b");
                    } else {
                        CHECK(sqlstate_of(got) == "40001");
                        CHECK_FALSE(committed);
                        CHECK_FALSE(rolls_back);
                        CHECK(got.back() == 'I');
                    }
                }
}

TEST_CASE("D29: a transaction that was lost, or has failed, may be ended with AND CHAIN") {
    for (const std::string& last : {rollback_on, extended("rollback and chain"), extended("ROLLBACK AND CHAIN;")}) {
        chaining lost;
        lost.world.facts.replays = false;
        (void)lost({client::query("begin read write"), writing});
        lost.client.lose_server();
        CHECK(sqlstate_of(lost({reading})) == "40001");
        const std::string got = lost({last});
        CHECK(has_tag(got, "ROLLBACK"));
        CHECK(got.back() == 'T');
        CHECK(types_of(lost({more, commit})) == "CZCZ");
        CHECK(lost.times("BEGIN READ WRITE") == 1);
        CHECK(lost.world.database.log == lines{"b"});
    }
    // COMMIT of what has failed is a ROLLBACK, and chains all the same, as on PostgreSQL (T9).
    chaining failed;
    (void)failed({begin, writing, failing});
    failed.client.lose_server();
    const std::string got = failed({commit_on});
    CHECK(has_tag(got, "ROLLBACK"));
    CHECK(got.back() == 'T');
    CHECK(types_of(failed({more, commit})) == "CZCZ");
    CHECK(failed.world.database.log == lines{"b"});
}

TEST_CASE(
    "D29: in a pipeline with its transaction the end with AND CHAIN is answered, and what is sent behind it is told") {
    chaining lost;
    lost.world.facts.replays = false;
    (void)lost({begin});
    lost.lose();
    const std::string got = lost({writing + rollback_on});
    CHECK(types_of(got) == "EZCZ");
    CHECK(got.back() == 'T');
    CHECK(types_of(lost({more, commit})) == "CZCZ");
    CHECK(lost.world.database.log == lines{"b"});

    // A request that stands in the next transaction has nowhere to go: its outcome is known to nobody but the server.
    for (const std::string& last : {commit_on, rollback_on}) {
        chaining behind;
        (void)behind({begin, writing, reading});
        behind.lose();
        const std::string answer = behind({last + more});
        CHECK(!sqlstate_of(answer).empty());
        CHECK(behind.world.database.log.size() <= 1);
    }
}

TEST_CASE("D29: a segment that goes on behind AND CHAIN is sent once its transaction is open") {
    chaining lost;
    lost.world.facts.replays = false;
    (void)lost({begin});
    lost.client.lose_server();
    CHECK(sqlstate_of(lost({reading})) == "40001");
    const std::string got = lost({client::parse("", "rollback and chain") + client::bind("", "") + client::execute("") +
                                  client::close_portal("") + client::parse("", "insert into log values ('c')") +
                                  client::bind("", "") + client::execute("") + client::sync()});
    CHECK(sqlstate_of(got).empty());
    CHECK(got.back() == 'T');
    CHECK(lost.world.database.log.empty());
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.world.database.log == lines{"c"});
}

TEST_CASE("D29: a transaction that AND CHAIN has opened is replayed, and chained again, like any other") {
    chaining lost;
    (void)lost({client::query("begin read write"), writing, commit_on, more});
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.received().empty());
    CHECK(lost.client.conversation.take_report().replays == 1);
    CHECK(lost.times("BEGIN READ WRITE") == 1);
    (void)lost({reading});
    lost.lose();
    CHECK(lost({commit_on}).back() == 'T');
    (void)lost({client::query("insert into log values ('c')"), reading});
    CHECK(lost.times("BEGIN READ WRITE") == 2);
    CHECK(lost.world.database.log == lines{"a", "b"});
    lost.lose();
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.world.database.log == lines{"a", "b", "c"});

    // Named statements live on, and the journal of a long chain does not grow.
    chaining long_one;
    long_one.world.facts.journal_bytes = 400;
    (void)long_one({begin});
    for (int i = 0; i < 20; ++i) (void)long_one({writing, i % 2 == 0 ? commit_on : rollback_on});
    (void)long_one({client::parse("mine", "insert into log values ('m')") + client::sync(), commit_on, more});
    long_one.client.lose_server();
    long_one.client.run();
    CHECK(long_one.client.conversation.take_report().replays == 1);
    CHECK(types_of(long_one({client::bind("", "mine") + client::execute("") + client::sync(), commit})) == "2CZCZ");
    CHECK(long_one.world.database.log.back() == "m");
}

TEST_CASE("D29: pipelined behind a COMMIT AND CHAIN that a server carries out, requests belong to the next journal") {
    chaining lost;
    (void)lost({begin + writing + commit_on + more + reading});
    lost.client.lose_server();
    lost.client.run();
    CHECK(lost.client.conversation.take_report().replays == 1);
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.world.database.log == lines{"a", "b"});
}

TEST_CASE("D29: never with other characteristics: where they are not known the next statement hears 40001") {
    for (const std::string& last : {commit_on, extended("commit and chain")}) {
        chaining lost;
        (void)lost({client::query("begin; insert into log values ('a')"), reading});
        lost.lose();
        const std::string got = lost({last});
        CHECK(has_tag(got, "COMMIT"));
        CHECK(got.back() == 'T');
        const std::string next = lost({more});
        CHECK(sqlstate_of(next) == "40001");
        CHECK(next.back() == 'E');
        CHECK(types_of(lost({client::query("rollback")})) == "CZ");
        CHECK(lost.world.database.log == lines{"a"});
    }
}

TEST_CASE("D29: a server that is lost while it opens the transaction is followed by another") {
    for (std::size_t bytes = 0; bytes < 17; ++bytes) {
        CAPTURE(bytes);
        chaining lost(3);
        (void)lost({begin, writing, reading});
        lost.lose();
        CHECK(lost({commit_on}).back() == 'T');
        lost.world.plan.after_output = lost.world.output_bytes + bytes;
        CHECK(types_of(lost({more})) == "CZ");
        CHECK(lost.world.losses == 2);
        CHECK(types_of(lost({commit})) == "CZ");
        CHECK(lost.world.database.log == lines{"a", "b"});
    }
}

TEST_CASE("D29: a server that is lost while it is asked about the COMMIT does not take the characteristics with it") {
    chaining lost(4);
    (void)lost({begin_with_all, writing, reading});
    lost.lose();
    lost.world.plan.again_after = 20;  // within the question
    const std::string got = lost({commit_on});
    CHECK(lost.world.losses == 2);
    CHECK(has_tag(got, "COMMIT"));
    CHECK(types_of(lost({more})) == "CZ");
    CHECK(lost.times("BEGIN ISOLATION LEVEL repeatable read READ WRITE NOT DEFERRABLE") == 1);
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.world.database.log == lines{"a", "b"});
}

TEST_CASE("D29: without a server for it the transaction has failed, and is told so once") {
    chaining lost;
    (void)lost({begin, writing, reading});
    lost.lose();
    CHECK(lost({commit_on}).back() == 'T');
    lost.client.starved = true;
    CHECK(lost({more}).empty());
    CHECK(lost.client.conversation.need() == server_need::primary);
    lost.client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    lost.client.run();
    const std::string got = lost.client.received();
    CHECK(sqlstate_of(got) == "40001");
    CHECK(got.back() == 'E');
    lost.client.starved = false;
    CHECK(types_of(lost({rollback_on})) == "CZ");
    CHECK(types_of(lost({more, commit})) == "CZCZ");
    CHECK(lost.world.database.log == lines{"a", "b"});
}

TEST_CASE("D29: Sync and Flush need no server in a transaction that is not open yet; its COMMIT does") {
    chaining lost;
    (void)lost({begin, writing, reading});
    lost.lose();
    CHECK(lost({commit_on}).back() == 'T');
    const std::string got = lost({client::flush() + client::sync()});
    CHECK(types_of(got) == "Z");
    CHECK(got.back() == 'T');
    CHECK(lost.client.server == nullptr);
    CHECK(types_of(lost({commit})) == "CZ");
    CHECK(lost.times("BEGIN") == 1);
}

TEST_CASE("D29: with replay off AND CHAIN is still followed: nothing is given again") {
    chaining lost;
    lost.world.facts.replays = false;
    (void)lost({begin, writing, reading});
    lost.lose();
    CHECK(lost({commit_on}).back() == 'T');
    CHECK(types_of(lost({more, commit})) == "CZCZ");
    CHECK(lost.world.database.log == lines{"a", "b"});
}

TEST_CASE("D29: a transaction that has only read is chained without its server (D23)") {
    for (const bool silent : {true, false}) {
        chaining lost;
        lost.world.facts.replays = false;
        (void)lost({client::query("begin read only"), reading});
        if (silent) lost.client.lose_server();
        else lost.lose();
        const std::string got = lost({commit_on});
        CHECK(has_tag(got, "COMMIT"));
        CHECK(got.back() == 'T');
        CHECK(types_of(lost({reading, commit})) == "TDCZCZ");
        CHECK(lost.times("BEGIN READ ONLY") == 1);
    }
}
