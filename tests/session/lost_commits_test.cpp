// A COMMIT whose answer is lost (recovery.md 2.1, phase G; D23): COMMIT where nothing can have been written, the truth
// where the server has told it, 08007 everywhere else. With scripted servers; the losses at every byte are in
// recovery_cuts_test.cpp.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string tag_of(const std::string& stream) {
    for (const frame& each : split_frames(stream))
        if (each.type == 'C') return each.body.substr(0, each.body.find('\0'));
    return {};
}

/// The WARNING by which a server takes leave that was waiting for a synchronous standby [E3a].
std::string sync_wait_cut() {
    error_fields said =
        plain_error("57P01", "canceling the wait for synchronous replication and terminating connection");
    said.severity = "WARNING";
    said.others = {{'R', "SyncRepWaitForLSN"}};
    std::string out;
    append_notice_response(out, said);
    return out;
}

std::string extended(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::describe_portal("") + client::execute("");
}

struct lost_commit {
    explicit lost_commit(std::size_t servers = 2) : world(servers), client(world) {}

    /// Requests that are answered, then `last`: of its answer `through` bytes arrive, and the server's last `words`.
    std::string operator()(const std::vector<std::string>& before, const std::string& last, std::size_t through = 0,
                           const std::string& words = {}) {
        for (const std::string& each : before) (void)client.ask(each);
        world.plan.after_output = world.output_bytes + through;
        world.last_words = words;
        return client.ask(last);
    }

    session_world world;
    session_driver client;
};

const std::string begin = client::query("begin");
const std::string reading = client::query("select 'a', upper('b')");
const std::string writing = client::query("insert into log values ('a')");
const std::string commit = client::query("commit");

}  // namespace

TEST_CASE("D23: a lost COMMIT of a transaction that has only read is answered COMMIT, on either protocol") {
    for (const std::string& last : {commit, extended("commit") + client::sync()}) {
        lost_commit lost;
        const std::string got = lost({begin, reading}, last);
        CHECK(tag_of(got) == "COMMIT");
        CHECK(got.back() == 'I');
        CHECK(types_of(got) == (last == commit ? "CZ" : "12nCZ"));
        CHECK(lost.client.server == nullptr);
        CHECK(tag_of(lost.client.ask(reading)) == "SELECT 1");
    }
}

TEST_CASE("D23: a lost COMMIT of anything else is 08007, never a success") {
    for (const char* text :
         {"insert into log values ('a')", "select set_config('work_mem', '5MB', true)", "create table made"}) {
        lost_commit lost;
        const std::string got = lost({begin, reading, client::query(text)}, commit);
        CHECK(sqlstate_of(got) == "08007");
        CHECK(got.back() == 'I');
    }
    lost_commit lost;
    lost.world.facts.journal_bytes = 10;
    CHECK(sqlstate_of(lost({begin, reading}, commit)) == "08007");
}

TEST_CASE("D23: READ ONLY and an empty transaction need no other server") {
    for (const std::vector<std::string>& before :
         {std::vector<std::string>{client::query("begin read only"), reading}, {begin}}) {
        lost_commit lost;
        for (const std::string& each : before) (void)lost.client.ask(each);
        lost.client.starved = true;
        const std::string got = lost({}, commit);
        CHECK(tag_of(got) == "COMMIT");
        CHECK_FALSE(lost.client.conversation.waiting());
    }
}

TEST_CASE("D23: who waits in vain for the proof hears 08007, not that nothing was sent") {
    lost_commit lost;
    (void)lost.client.ask(begin + reading);
    lost.client.starved = true;
    CHECK(lost({}, commit) == "");
    CHECK(lost.client.conversation.waiting());
    lost.client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    lost.client.run();
    const std::string got = lost.client.received();
    CHECK(sqlstate_of(got) == "08007");
    CHECK(got.back() == 'I');
}

TEST_CASE("D23: the server that is asked is lost, too: the next one is") {
    lost_commit lost(3);
    for (const std::string& each : {begin, reading}) (void)lost.client.ask(each);
    lost.world.plan.after_output = lost.world.output_bytes + 1;
    lost.world.plan.again_after = 60;  // in the question
    CHECK(tag_of(lost.client.ask(commit)) == "COMMIT");
    CHECK(lost.world.losses == 2);
}

TEST_CASE("P36: what such a transaction has set lasts, and what a lost one has set does not") {
    lost_commit lost;
    const std::string set = client::query("set work_mem = '5MB'");
    const std::string show = client::query("show work_mem");
    CHECK(tag_of(lost({begin, set, reading}, commit)) == "COMMIT");
    CHECK(lost.client.ask(show).find("5MB") != std::string::npos);
    lost_commit other;
    CHECK(sqlstate_of(other({begin, set, writing}, commit)) == "08007");
    CHECK(other.client.ask(show).find("4MB") != std::string::npos);
}

TEST_CASE("P36: what a plain ROLLBACK has undone needs no question, whose loss would end the session") {
    const std::string set = client::query("set work_mem = '5MB'");
    const std::size_t answer = frame_of('C', std::string("ROLLBACK\0", 9)).size() + 6;
    for (const std::size_t bytes : {answer - 6, answer, answer + 1}) {
        for (const std::string& last : {client::query("rollback"), extended("rollback") + client::sync()}) {
            lost_commit lost;
            const std::size_t before = last.front() == 'P' ? 5 + 5 + 5 : 0;
            const std::string got = lost({begin, set}, last, before + bytes);
            CHECK(tag_of(got) == "ROLLBACK");
            CHECK(got.back() == 'I');
            CHECK(lost.client.ask(client::query("show work_mem")).find("4MB") != std::string::npos);
        }
    }
    lost_commit other;  // back to a savepoint: only the server knows what is left
    for (const char* text :
         {"begin", "set work_mem = '5MB'", "savepoint a", "set work_mem = '6MB'", "rollback to a", "commit"})
        (void)other.client.ask(client::query(text));
    CHECK(other.client.ask(client::query("show work_mem")).find("5MB") != std::string::npos);
}

TEST_CASE("T8, E5a: the tag of a COMMIT or of a Query's only statement says that it is done; another tag does not") {
    const std::size_t tag = frame_of('C', std::string("INSERT 0 1\0", 11)).size();
    {
        lost_commit lost;
        const std::string got = lost({begin, writing}, commit, frame_of('C', std::string("COMMIT\0", 7)).size());
        CHECK(types_of(got) == "CZ");
        CHECK(got.back() == 'I');
    }
    {
        lost_commit lost;
        CHECK(types_of(lost({}, writing, tag)) == "CZ");
        CHECK(lost.world.database.log.size() == 1);
    }
    {
        lost_commit lost;
        CHECK(sqlstate_of(lost({}, client::query("insert into log values ('a'); insert into log values ('b')"), tag)) ==
              "40003");
    }
    {
        lost_commit lost;  // in the extended protocol it commits at Sync
        CHECK(sqlstate_of(lost({}, extended("insert into log values ('a')") + client::sync(), 5 + 5 + 5 + tag)) ==
              "40003");
    }
    {
        lost_commit lost;  // in a block it has died
        CHECK(sqlstate_of(lost({begin}, writing, tag)) == "40001");
    }
}

TEST_CASE("E3a: a wait for a synchronous standby that is cut short means committed") {
    const std::string said = sync_wait_cut();
    {
        lost_commit lost;
        const std::string got = lost({begin, writing}, commit, 0, said);
        CHECK(types_of(got) == "NCZ");
        CHECK(tag_of(got) == "COMMIT");
        CHECK(field_of(split_frames(got).front(), 'C') == "01000");
    }
    {
        lost_commit lost;  // the tag would have come behind the wait
        const std::string got = lost({}, writing, 0, said);
        CHECK(sqlstate_of(got) == "08007");
        CHECK(got.find("outcome=committed") != std::string::npos);
    }
    {
        lost_commit lost;  // here it came before
        const std::string got =
            lost({}, extended("insert into log values ('a')") + client::sync(), 5 + 5 + 5 + 16, said);
        CHECK(types_of(got) == "12nCNZ");
        CHECK(got.back() == 'I');
    }
    {
        lost_commit lost;  // which of its transactions was meant?
        const std::string got =
            lost({}, client::query("begin; insert into log values ('a'); commit; select 'b'"), 0, said);
        CHECK(sqlstate_of(got) == "08007");
        CHECK(got.find("outcome=unknown") != std::string::npos);
    }
    {
        lost_commit lost;  // a segment that ends with its COMMIT
        const std::string got =
            lost({begin}, extended("insert into log values ('a')") + extended("commit") + client::sync(), 0, said);
        CHECK(got.find("outcome=committed") != std::string::npos);
    }
}

TEST_CASE("E3a: under strict_sync a wait that is cut short is never a success, and the session goes on") {
    const std::string said = sync_wait_cut();
    const std::string write = extended("insert into log values ('a')") + client::sync();
    struct form {
        std::vector<std::string> before;
        std::string last;
        std::size_t through;
    };
    for (const form& each :
         {form{{begin, writing}, commit, 0}, form{{begin, writing}, extended("commit") + client::sync(), 0},
          form{{}, writing, 0}, form{{}, write, 0}, form{{}, write, 5 + 5 + 5 + 16},
          form{{begin}, extended("insert into log values ('a')") + extended("commit") + client::sync(), 0},
          form{{begin, writing}, client::query("commit and chain"), 0}}) {
        lost_commit lost;
        lost.world.facts.strict_sync = true;
        const std::string got = lost(each.before, each.last, each.through, said);
        CAPTURE(got);
        CHECK(sqlstate_of(got) == "08007");
        CHECK(got.find("outcome=unknown") != std::string::npos);
        CHECK(got.find("canceling the wait for synchronous replication") !=
              std::string::npos);  // the server's own words
        CHECK(types_of(got).find('N') == std::string::npos);
        CHECK(got.back() == 'I');
        CHECK(lost.world.database.log.size() <= 1);
        CHECK(tag_of(lost.client.ask(reading)) == "SELECT 1");
    }
    lost_commit lost;  // where the tag was here, there was no wait any more
    lost.world.facts.strict_sync = true;
    CHECK(types_of(lost({begin, writing}, commit, frame_of('C', std::string("COMMIT\0", 7)).size(), said)) == "CZ");
}

TEST_CASE("H, T9, T21: ROLLBACK is made up, and COMMIT of what had failed is ROLLBACK") {
    for (const std::string& last : {client::query("rollback"), extended("rollback") + client::sync()}) {
        lost_commit lost;
        CHECK(tag_of(lost({begin, writing}, last)) == "ROLLBACK");
        CHECK(lost.world.database.log.empty());
    }
    lost_commit lost;
    CHECK(tag_of(lost({begin, client::query("select error('22012')")}, commit)) == "ROLLBACK");
}

TEST_CASE("D23: a COMMIT that was answered long ago is not in doubt") {
    lost_commit lost;
    lost.world.facts.keep_bytes = 64;
    const std::string large = "insert into log values ('" + std::string(200, 'x') + "')";
    const std::string got = lost({begin, writing}, commit + begin + client::query(large), 0);
    CHECK(sqlstate_of(got) == "08007");
    lost_commit later;
    later.world.facts.keep_bytes = 64;
    CHECK(sqlstate_of(later({begin, writing, commit, begin}, client::query(large))) == "40001");
}

TEST_CASE(
    "D23: a transaction that has only read and dies while its client is silent is committed by the client's COMMIT") {
    for (const std::string& last : {commit, extended("commit") + client::sync(), client::query("end")}) {
        for (const std::size_t piece : {loss_plan::never, std::size_t(3)}) {
            lost_commit lost;
            for (const std::string& each : {begin, reading}) (void)lost.client.ask(each);
            lost.client.lose_server("gone");
            CHECK(lost.client.received().empty());
            lost.client.client_piece = piece;
            const std::string got = lost.client.ask(last);
            CHECK(tag_of(got) == "COMMIT");
            CHECK(types_of(got) == (last.front() == 'Q' ? "CZ" : "12nCZ"));
            CHECK(got.back() == 'I');
            CHECK(lost.client.conversation.take_report().lost[0] == 0);
            CHECK(tag_of(lost.client.ask(reading)) == "SELECT 1");
        }
    }
}

TEST_CASE("D23: what it has set for the session lasts, since it is committed") {
    lost_commit lost;
    for (const char* each : {"begin", "set work_mem = '7MB'"}) (void)lost.client.ask(client::query(each));
    lost.client.lose_server("gone");
    CHECK(tag_of(lost.client.ask(commit)) == "COMMIT");
    CHECK(lost.client.ask(client::query("show work_mem")).find("7MB") != std::string::npos);
}

TEST_CASE("D23, R04: any other transaction that died meanwhile is 40001, also to who goes on reading or only flushes") {
    struct {
        std::vector<std::string> before;
        std::string last;
        char status;
    } const cases[] = {
        {{begin, reading, writing}, commit, 'I'},
        {{begin, reading}, reading, 'E'},
        {{begin, reading}, extended("select 'b'") + client::sync(), 'E'},
        {{begin, reading}, extended("commit") + extended("select 'b'") + client::sync(), 'E'},
        {{client::query("begin isolation level serializable"), reading}, commit, 'I'},
        {{begin, client::query("select set_config('work_mem', '5MB', true)")}, commit, 'I'},
    };
    for (const auto& each : cases) {
        lost_commit lost;
        for (const std::string& before : each.before) (void)lost.client.ask(before);
        lost.client.lose_server("gone");
        (void)lost.client.conversation.take_report();
        const std::string got = lost.client.ask(each.last);
        CHECK(sqlstate_of(got) == "40001");
        CHECK(got.back() == each.status);
        if (each.status == 'E') CHECK(lost.client.ask(client::query("rollback")).back() == 'I');
        CHECK(lost.world.database.log.empty());
    }
}

TEST_CASE("D23: whose proof is waited for in vain hears 40001: its COMMIT was never sent") {
    lost_commit lost;
    for (const std::string& each : {begin, reading}) (void)lost.client.ask(each);
    lost.client.lose_server("gone");
    lost.client.starved = true;
    CHECK(lost.client.ask(commit).empty());
    CHECK(lost.client.conversation.waiting());
    lost.client.conversation.refuse_waiting(plain_error("57P03", "no server"));
    lost.client.run();
    const std::string got = lost.client.received();
    CHECK(sqlstate_of(got) == "40001");
    CHECK(got.back() == 'I');
}

TEST_CASE("a silent reader that says ROLLBACK, or goodbye, needs no server for it") {
    for (const std::string& last : {client::query("rollback"), client::terminate()}) {
        lost_commit lost;
        for (const std::string& each : {begin, reading}) (void)lost.client.ask(each);
        lost.client.lose_server("gone");
        lost.client.starved = true;
        const std::string got = lost.client.ask(last);
        CHECK((tag_of(got) == "ROLLBACK" || lost.client.closed));
    }
}

TEST_CASE("P36: what a COMMIT did whose ReadyForQuery alone is lost leaves no doubt about the next request") {
    session_world world(2);
    session_driver app(world);
    (void)app.ask(client::query("begin") + client::query("insert into log values ('a')"));
    world.plan.after_output = world.output_bytes + server::complete("COMMIT").size() + 1;
    CHECK(types_of(app.ask(client::query("commit"))) == "CZ");
    CHECK(world.losses == 1);
    world.database.executions.clear();
    CHECK(types_of(app.ask(client::query("set work_mem = '8MB'"))) == "CZ");
    for (const auto& [text, times] : world.database.executions)
        CHECK(text.find("current_setting") == std::string::npos);
}
