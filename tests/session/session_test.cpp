// Behaviour of a session that no conversation with a well-behaved server shows.
#include "proxy/session/session.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

/// A session whose server is the test itself: what the session sends it is kept, what it says is typed.
struct by_hand {
    explicit by_hand(session_mode mode = session_mode::transaction) : tables(0) {
        facts.mode = mode;
        link.applied = tables.settings.none();
        link.reported = tables.reported.of({{"TimeZone", "UTC"}});
        facts.known.insert_or_assign(link.applied.get(), pool_facts::accepted{link.applied, link.reported});
        talk.begin({});
        (void)client_got();
    }

    std::string client_got() {
        collect();
        return std::exchange(to_client, {});
    }
    std::string server_got() {
        collect();
        return std::exchange(to_server, {});
    }
    /// Gathers hold views: they are read before the bytes go.
    void collect() {
        to_client += tables.to_client.str();
        to_server += tables.to_server.str();
        tables.to_client.clear();
        tables.to_server.clear();
    }
    std::size_t offer(const std::string& bytes) {
        const std::size_t used = talk.on_client_bytes(bytes);
        collect();
        return used;
    }
    /// Takes what it can of what the client sends; gives a server if one is wanted.
    void client_says(const std::string& bytes) {
        unread += bytes;
        unread.erase(0, offer(unread));
        if (!talk.waiting()) return;
        (void)talk.take_actions();
        talk.on_server(link);
        unread.erase(0, offer(unread));
    }
    /// What was taken back is offered again at once.
    void lose() {
        talk.on_server_lost("", "i-1");
        collect();
        link = server_link();
        link.applied = tables.settings.none();
        link.reported = tables.reported.of({{"TimeZone", "UTC"}});
        const session_actions asked = talk.take_actions();
        if (asked.take_back) unread.insert(0, talk.take_requests_back());
        if (!unread.empty()) client_says("");
    }
    std::size_t server_says(const std::string& bytes) {
        const std::size_t used = talk.on_server_bytes(bytes);
        collect();
        return used;
    }

    session_tables tables;
    pool_facts facts;
    server_link link;
    std::string unread;
    std::string to_client;
    std::string to_server;
    session talk{tables, facts, 4711, "key!"};
};

}  // namespace

TEST_CASE("a large reply to a question of ours never reaches the client, neither its beginning nor its end") {
    by_hand test;
    test.client_says(client::query("select set_config('app.x', upper('y'), false)"));
    CHECK(types_of(test.server_got()) == "Q");
    test.server_says(server::row_description({"set_config"}) + server::row({"Y"}) + server::complete("SELECT 1") +
                     server::ready());
    CHECK(types_of(test.client_got()) == "TDCZ");
    CHECK(test.server_got().find("current_setting") != std::string::npos);
    const std::string large = server::row({std::string(100'000, 'Y')});
    const std::string answer = server::row_description({"x"}) + large + server::complete("SELECT 1") + server::ready();
    const std::size_t cut = answer.size() - 60'000;
    test.server_says(answer.substr(0, cut));
    test.server_says(answer.substr(cut));
    CHECK(test.client_got() == "");
}

TEST_CASE("P33: an idle server's farewell is no answer to anybody") {
    by_hand test;
    test.client_says(client::query("select 1"));
    (void)test.server_got();
    test.server_says(server::complete("SELECT 1") + server::ready());
    (void)test.client_got();
    CHECK(test.talk.take_actions().give_back == session_actions::release::reuse);
    CHECK(test.talk.link() == nullptr);
}

TEST_CASE("P21: the server goes back when everything owed has come, and not before") {
    by_hand test;
    test.client_says(client::query("select 1") + client::query("select 2"));
    test.server_says(server::complete("SELECT 1") + server::ready());
    CHECK(test.talk.take_actions().give_back == session_actions::release::no);
    test.server_says(server::complete("SELECT 1"));
    CHECK(test.talk.take_actions().give_back == session_actions::release::no);
    test.server_says(server::ready());
    CHECK(test.talk.take_actions().give_back == session_actions::release::reuse);
}

TEST_CASE("a client that waits keeps its server while its settings are brought over") {
    by_hand test;
    test.talk.on_client_gone();
    session talk(test.tables, test.facts, 1, "key");
    talk.begin({{"role", "boss"}});
    REQUIRE(talk.take_actions().want_server);
    talk.on_server(test.link);
    const std::string restored = server::complete("SELECT 1") + server::ready();
    REQUIRE(talk.on_server_bytes(restored) > 0);
    REQUIRE(talk.ready());
    CHECK(talk.take_actions().give_back == session_actions::release::reuse);

    server_link other;
    other.applied = test.tables.settings.none();
    other.reported = test.link.reported;
    const std::string request = client::query("select 1");
    CHECK(talk.on_client_bytes(request) == 0);
    REQUIRE(talk.take_actions().want_server);
    talk.on_server(other);
    CHECK(talk.on_client_bytes(request) == 0);
    REQUIRE(talk.on_server_bytes(restored) > 0);
    CHECK(talk.take_actions().give_back == session_actions::release::no);
    CHECK(talk.on_client_bytes(request) == request.size());
}

TEST_CASE("R11: a wait that ends without a server is answered, and the client stays") {
    by_hand test;
    const std::string request =
        client::parse("", "select 1") + client::bind("", "") + client::execute("") + client::sync();
    CHECK(test.offer(request) == 0);
    REQUIRE(test.talk.take_actions().want_server);
    test.talk.refuse_waiting(plain_error("53300", "no"));
    CHECK(test.offer(request) == request.size());
    CHECK(types_of(test.client_got()) == "EZ");
    const std::string next = client::query("select 1");
    CHECK(test.offer(next) == 0);
    CHECK(test.talk.take_actions().want_server);
    test.talk.refuse_waiting(plain_error("53300", "no"));
    CHECK(test.offer(next) == next.size());
    CHECK(types_of(test.client_got()) == "EZ");
    CHECK_FALSE(test.talk.ended());
}

TEST_CASE("R13: a server that breaks the protocol ends the session and is closed") {
    for (const std::string& bad :
         {server::ready() + server::ready(), std::string("1\0\0\0\4", 5), std::string("x\0\0\0\4", 5),
          std::string("C\xff\xff\xff\xff", 5), std::string("Z\0\0\0\4", 5), std::string("C\0\x10\0\0", 5)}) {
        by_hand test;
        test.client_says(client::query("select 1") + client::query("select 2"));
        (void)test.server_says(server::complete("SELECT 1") + bad + server::complete("never"));
        const std::string got = test.client_got();
        const session_actions asked = test.talk.take_actions();
        CHECK(test.talk.ended());
        CHECK(asked.close_client);
        CHECK(asked.give_back == session_actions::release::discard);
        CHECK(got.find("08P01") != std::string::npos);
        CHECK(got.find("never") == std::string::npos);
    }
}

TEST_CASE("illegal messages of a client end it with 08P01 and never reach the server") {
    const std::string bad[] = {frame_of('!'),
                               frame_of('Q', "no end"),
                               frame_of('Q'),
                               std::string("Q\0\0\0\3", 5),
                               std::string("Q\xff\xff\xff\xff", 5),
                               frame_of('P', "name"),
                               frame_of('B', "portal"),
                               frame_of('D'),
                               frame_of('D', "Xname\0"),
                               frame_of('E', "portal"),
                               frame_of('C', "S"),
                               frame_of('S', "x"),
                               frame_of('p', "late")};
    for (const std::string& each : bad) {
        CAPTURE(describe(each));
        by_hand test;
        test.client_says(client::parse("", "select 1"));
        (void)test.server_got();
        test.client_says(each);
        CHECK(test.server_got() == "");
        CHECK(test.talk.ended());
        CHECK(test.client_got().find("08P01") != std::string::npos);
        CHECK(test.talk.take_actions().reason == end_reason::protocol_violation);
    }
}

TEST_CASE("a client that leaves in the middle takes its server with it; at rest it does not") {
    by_hand busy;
    busy.client_says(client::query("select 1"));
    busy.talk.on_client_gone();
    CHECK(busy.talk.take_actions().give_back == session_actions::release::discard);

    by_hand in_block;
    in_block.client_says(client::query("begin"));
    in_block.server_says(server::complete("BEGIN") + server::ready('T'));
    in_block.talk.on_client_gone();
    CHECK(in_block.talk.take_actions().give_back == session_actions::release::discard);

    by_hand open;
    open.client_says(client::parse("", "select 1") + client::flush());
    open.server_says(frame_of('1'));
    open.talk.on_client_gone();
    CHECK(open.talk.take_actions().give_back == session_actions::release::discard);

    by_hand pinned;
    pinned.client_says(client::query("create temp table x (a int)"));
    pinned.server_says(server::complete("CREATE TABLE") + server::ready());
    CHECK(pinned.talk.take_actions().give_back == session_actions::release::no);
    CHECK(pinned.talk.pins() != 0);
    pinned.talk.on_client_gone();
    CHECK(pinned.talk.take_actions().give_back == session_actions::release::reset);
}

TEST_CASE("statement mode has no transaction blocks") {
    by_hand test(session_mode::statement);
    test.client_says(client::query("begin"));
    (void)test.server_got();
    test.server_says(server::complete("BEGIN") + server::ready('T'));
    CHECK(test.talk.ended());
    CHECK(test.client_got().find("0A000") != std::string::npos);
    CHECK(test.talk.take_actions().close_client);
    test.talk.on_client_gone();
    CHECK(test.talk.take_actions().give_back == session_actions::release::discard);
}

TEST_CASE("D23: a lost COMMIT of what has written is 08007, a lost transaction 40001, a lost statement 40003") {
    const auto lost = [](const std::vector<std::pair<std::string, std::string>>& before, const std::string& last) {
        by_hand test;
        for (const auto& [asked, answer] : before) {
            test.client_says(asked);
            test.server_says(answer);
        }
        if (!last.empty()) test.client_says(last);
        (void)test.client_got();
        test.lose();
        return test.client_got();
    };
    const std::pair<std::string, std::string> begin = {client::query("begin"),
                                                       server::complete("BEGIN") + server::ready('T')};
    CHECK(lost({}, client::query("insert")).find("40003") != std::string::npos);
    CHECK(lost({begin}, client::query("insert")).find("40001") != std::string::npos);
    const std::pair<std::string, std::string> insert = {client::query("insert into a values (1)"),
                                                        server::complete("INSERT 0 1") + server::ready('T')};
    const std::string by_messages =
        client::parse("", "commit") + client::bind("", "") + client::execute("") + client::sync();
    for (const std::string& commit : {client::query("commit"), by_messages}) {
        CHECK(lost({begin, insert}, commit).find("08007") != std::string::npos);
        CHECK(lost({begin}, commit).find("COMMIT") != std::string::npos);  // nothing was executed
    }
    CHECK(lost({begin}, "") == "");

    for (const bool wrote : {true, false}) {  // what is lost while the client is silent is told at its COMMIT
        by_hand test;
        test.client_says(begin.first);
        test.server_says(begin.second);
        if (wrote) {
            test.client_says(insert.first);
            test.server_says(insert.second);
        }
        (void)test.client_got();
        test.lose();
        test.client_says(client::query("commit"));
        const std::string got = test.client_got();
        CHECK(types_of(got) == (wrote ? "EZ" : "CZ"));
        CHECK((got.find("40001") != std::string::npos) == wrote);
        CHECK(got.back() == 'I');
    }
}

TEST_CASE(
    "a transaction that began in the lost segment is rolled back, 40001, and with its COMMIT inside in doubt, 08007") {
    const auto executed = [](std::string_view text) {
        return client::parse("", text) + client::bind("", "") + client::execute("");
    };
    by_hand test;
    test.client_says(executed("begin") + executed("insert into t values (1)") + client::sync());
    (void)test.client_got();
    test.lose();
    const std::string got = test.client_got();
    CHECK(types_of(got) == "EZ");
    CHECK(got.find("40001") != std::string::npos);
    CHECK(got.back() == 'E');
    test.client_says(client::query("rollback"));
    CHECK(test.client_got().find("ROLLBACK") != std::string::npos);

    by_hand ended;
    ended.client_says(executed("begin") + executed("insert into t values (1)") + executed("commit") + client::sync());
    (void)ended.client_got();
    ended.lose();
    CHECK(ended.client_got().find("08007") != std::string::npos);

    by_hand beyond;  // what a transaction does not bound
    beyond.client_says(executed("begin") + executed("call p()") + client::sync());
    (void)beyond.client_got();
    beyond.lose();
    CHECK(beyond.client_got().find("40003") != std::string::npos);
}

TEST_CASE(
    "a lost transaction is not ended by a string that says more than ROLLBACK, and nothing of it is dropped in "
    "silence") {
    by_hand test;
    test.client_says(client::query("begin"));
    test.server_says(server::complete("BEGIN") + server::ready('T'));
    test.lose();
    test.client_says(client::query("select 1"));
    CHECK(test.client_got().find("40001") != std::string::npos);
    for (const char* text : {"rollback; insert into t values (1)", "commit; select 1"}) {
        test.client_says(client::query(text));
        const std::string got = test.client_got();
        CHECK(types_of(got) == "EZ");
        CHECK(got.find("25P02") != std::string::npos);
        CHECK(got.back() == 'E');
    }
    test.client_says(client::query("rollback;"));
    CHECK(test.client_got().find("ROLLBACK") != std::string::npos);
}

TEST_CASE("ROLLBACK by a statement that was prepared long ago ends a lost transaction") {
    by_hand test;
    test.client_says(client::parse("r", "rollback") + client::sync());
    test.server_says(frame_of('1') + server::ready());
    (void)test.talk.take_actions();
    test.client_says(client::query("begin"));
    test.server_says(server::complete("BEGIN") + server::ready('T'));
    test.client_says(client::query("select 1"));
    (void)test.client_got();
    test.lose();
    CHECK(types_of(test.client_got()) == "EZ");
    test.client_says(client::bind("", "r") + client::describe_statement("r") + client::execute("") + client::sync());
    const std::string got = test.client_got();
    CHECK(types_of(got) == "2tnCZ");
    CHECK(got.back() == 'I');
}

TEST_CASE(
    "T30: a server's farewell WARNING is the reason of the loss, not the client's affair, and cannot be made up") {
    by_hand test;
    test.client_says(client::query("select 1"));
    const auto notice = [](const std::string& routine) {
        return frame_of('N', std::string("SWARNING\0VWARNING\0C57P02\0Mof another server process\0R", 53) + routine +
                                 std::string(2, '\0'));
    };
    test.server_says(notice("exec_stmt_raise"));
    CHECK(types_of(test.client_got()) == "N");
    test.server_says(notice("quickdie"));
    CHECK(test.client_got() == "");
    CHECK(test.link.verdict.name == verdict_name::server_crashed);
}

TEST_CASE("P35: a value that the server completes is brought to a server once, not with every transaction") {
    session_world world(1);
    session_driver ours(world);
    session_driver other(world);
    const auto restores = [&](session_driver& who) {
        (void)who.ask(client::query("select 'x'"));
        return who.conversation.take_report().restores;
    };
    (void)ours.ask(client::query("set datestyle = 'ISO'"));  // which is reported as ISO, MDY
    (void)ours.ask(client::query("set search_path = a,   \"B\""));
    (void)ours.conversation.take_report();
    CHECK(restores(ours) == 0);
    CHECK(restores(other) == 1);
    CHECK(restores(ours) == 1);
    for (int again = 0; again < 3; ++again) CHECK(restores(ours) == 0);
}

TEST_CASE("a request counts once, when it is finished, with the error and the tag that came in earlier reads") {
    by_hand test;
    test.client_says(client::query("select 1/0"));
    test.server_says(server::error("22012", "division by zero"));
    CHECK_FALSE(test.talk.reports());
    CHECK(test.talk.take_report().errors == 0);
    test.server_says(server::ready());
    REQUIRE(test.talk.reports());
    const request_report failed = test.talk.take_report();
    CHECK(failed.requests == 1);
    CHECK(failed.errors == 1);
    test.client_says(client::query("insert into t values (1)"));
    test.server_says(server::complete("INSERT 0 1"));
    (void)test.talk.take_report();
    test.server_says(server::ready());
    const request_report wrote = test.talk.take_report();
    CHECK(wrote.errors == 0);
    CHECK(wrote.wrote);
    CHECK(wrote.what == request_report::operation::insert);
    CHECK_FALSE(test.talk.reports());
}

TEST_CASE(
    "a server that loses its way in a COPY ends its connection, and not the session of a client that did nothing "
    "wrong") {
    const auto error = [](const char* severity, const char* code, const char* message) {
        error_fields said = plain_error(code, message);
        said.severity = severity;
        std::string out;
        append_error_response(out, said);
        return out;
    };
    const std::string cut = error("ERROR", "08006", "unexpected EOF on client connection with an open transaction");
    const std::string lost =
        error("FATAL", "08P01", "terminating connection because protocol synchronization was lost");
    for (const bool by_network : {true, false}) {
        by_hand test;
        test.client_says(client::query("copy a from stdin"));
        test.server_says(std::string("G\0\0\0\7\0\0\0", 8));
        (void)test.client_got();
        test.server_says((by_network ? cut : std::string()) + lost);
        if (by_network) test.lose();
        const std::string got = test.client_got();
        CHECK(types_of(got) == (by_network ? "EZ" : "E"));
        CHECK((got.find("FATAL") == std::string::npos) == by_network);
        CHECK(test.talk.ended() != by_network);
    }
}

TEST_CASE("P23: what a Bind and its portal's messages become does not depend on how they arrive") {
    const auto pipeline = [](const std::string& name) {
        return client::bind("", name, {"one", std::nullopt}) + client::describe_portal("") + client::execute("") +
               client::bind("", name) + client::execute("", 7) + client::execute("") + client::bind("p", name) +
               client::describe_portal("p") + client::execute("p") + client::bind("", name) +
               client::describe_statement(name) + client::execute("") + client::sync();
    };
    const std::string said = pipeline("s");
    for (std::size_t piece = 1; piece <= said.size(); ++piece) {
        by_hand here;
        here.client_says(client::parse("s", "select $1") + client::sync());
        const std::string shared(split_frames(here.server_got()).front().body.c_str());
        (void)here.server_says(frame_of('1') + server::ready());
        for (std::size_t at = 0; at < said.size(); at += piece) here.client_says(said.substr(at, piece));
        REQUIRE(here.server_got() == pipeline(shared));
        CHECK(here.link.kept_requests == said);
        CHECK(here.link.tracker.size() == 13);
        const std::string rows = server::row({"x"}) + server::row({"y"}) + server::complete("SELECT 2");
        const std::string described = frame_of('2') + server::row_description({"c"}) + rows;
        const std::string answer = described + frame_of('2') + rows + server::complete("SELECT 0") + described +
                                   frame_of('2') + frame_of('t', std::string(2, '\0')) +
                                   server::row_description({"c"}) + rows + server::ready();
        (void)here.client_got();
        CHECK(here.server_says(answer) == answer.size());
        CHECK(here.client_got() == answer);
        CHECK(here.talk.take_actions().give_back == session_actions::release::reuse);
    }
}

TEST_CASE("D13: a Bind that does not fit with its portal's messages leaves the request unkept, and passes") {
    by_hand here;
    here.facts.keep_bytes = 40;
    here.client_says(client::parse("s", "select 1") + client::sync());
    const std::string shared(split_frames(here.server_got()).front().body.c_str());
    (void)here.server_says(frame_of('1') + server::ready());
    const std::string behind = client::describe_portal("") + client::execute("") + client::sync();
    here.client_says(client::bind("", "s", {"twenty bytes of value"}) + behind);
    CHECK(here.server_got() == client::bind("", shared, {"twenty bytes of value"}) + behind);
    CHECK_FALSE(here.link.kept_complete);
    CHECK_FALSE(here.link.unkept_commit);
}
