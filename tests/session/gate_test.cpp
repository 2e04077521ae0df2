// Writes outside of any transaction whose answer is lost: the number that is asked for before they commit, and what the
// client hears with it (recovery.md 2.4, D33). With scripted servers, cut after every byte.
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

using guard = config::autocommit_guard;

const std::string insert_a = "insert into log values ('a')";
const std::string reading = client::query("select 'x'");

std::string extended(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("");
}

/// What a backend says that is told to end, by PostgreSQL's own function.
std::string farewell() {
    std::string body;
    for (const char* field : {"SFATAL", "VFATAL", "C57P01", "Mterminating connection due to administrator command",
                              "RProcessInterrupts", ""})
        (body += field) += '\0';
    return frame_of('E', body);
}

struct gate {
    explicit gate(guard how = guard::automatic, std::size_t servers = 3) : world(servers), client(world) {
        world.facts.resolves = world.facts.replays = true;
        world.facts.guards_autocommit = how;
        world.facts.resolved = [this](const in_doubt_report& what) { reports.push_back(what); };
        world.facts.capture_failed = [this](std::string_view sqlstate) { failures.emplace_back(sqlstate); };
    }
    std::string operator()(const std::string& bytes) { return client.ask(bytes); }
    void lose_after_output(std::size_t bytes) { world.plan.after_output = world.output_bytes + bytes; }
    void lose_after_input(std::size_t bytes) { world.plan.after_input = world.input_bytes + bytes; }
    [[nodiscard]] const std::vector<std::string>& log() const { return world.database.log; }

    session_world world;
    session_driver client;
    std::vector<in_doubt_report> reports;
    std::vector<std::string> failures;
};

/// The forms in which drivers write a single row, each with what a client sees of its answer. All have prepared "s".
struct form {
    std::string bytes;
    std::string types;
};
std::vector<form> forms() {
    return {
        {client::query(insert_a), "CZ"},
        {client::query("/* by hand */ insert into log values ('a'); "), "CZ"},
        {extended(insert_a) + client::sync(), "12CZ"},
        {client::bind("", "s", {"a"}) + client::describe_portal("") + client::execute("") + client::sync(), "2nCZ"},
        {client::parse("mine", insert_a) + client::bind("", "mine") + client::execute("") + client::sync(), "12CZ"},
        {client::bind("p", "s", {"a"}) + client::execute("p") + client::close_portal("p") + client::sync(), "2C3Z"}};
}
void prepare(gate& at) { (void)at(client::parse("s", "insert into log values ($1)") + client::sync()); }

const std::vector<std::string> once{"a"};

/// What a session sends to its server for these, and gets, if nothing is lost.
struct traffic {
    std::size_t to_server, to_client;
};
traffic traffic_of(const std::string& bytes, guard how, bool prepared = false) {
    gate at(how);
    if (prepared) prepare(at);
    const traffic before{at.world.input_bytes, at.world.output_bytes};
    (void)at(bytes);
    return {at.world.input_bytes - before.to_server, at.world.output_bytes - before.to_client};
}

}  // namespace

TEST_CASE("D33: a segment that writes takes the capture with it, and the client sees nothing of it") {
    for (const guard how : {guard::automatic, guard::always}) {
        for (const form& each : forms()) {
            gate at(how);
            prepare(at);
            CHECK(types_of(at(each.bytes)) == each.types);
            CHECK(at.world.database.captures == 1);
            CHECK(at.log() == once);
            CHECK(at.client.server == nullptr);
            CHECK(types_of(at(reading)) == "TDCZ");
            CHECK(at.failures.empty());
        }
    }
}

TEST_CASE("D42: reads, COMMIT, settings and what is off are not gated") {
    gate at;
    (void)at(reading + extended("select 'x'") + client::sync() + extended("set work_mem = '5MB'") + client::sync());
    (void)at(extended("begin") + client::sync() + extended("commit") + client::sync());
    CHECK(at.world.database.captures == 0);
    for (const bool resolves : {true, false}) {
        gate off(guard::off);
        off.world.facts.resolves = resolves;
        CHECK(types_of(off(extended(insert_a) + client::sync())) == "12CZ");
        CHECK(off.world.database.captures == 0);
    }
}

TEST_CASE("D33: with always, cut after any byte of either direction: one effect, and the whole answer") {
    for (const form& each : forms()) {
        for (const bool output : {true, false}) {
            std::size_t cuts = 0;
            for (std::size_t bytes = 1; bytes < 1000; ++bytes) {
                gate at(guard::always);
                prepare(at);
                if (output) at.lose_after_output(bytes);
                else at.lose_after_input(bytes);
                const std::string got = at(each.bytes);
                if (at.world.losses == 0) break;
                ++cuts;
                CAPTURE(bytes);
                CAPTURE(output);
                CAPTURE(describe(got));
                CHECK(types_of(got) == each.types);
                CHECK(at.log() == once);
                CHECK(types_of(at(reading)) == "TDCZ");
            }
            CHECK(cuts > 10);
        }
    }
}

TEST_CASE("D33: with auto the same, once the number is here; before that the honest 40003") {
    for (const form& each : forms()) {
        for (const bool output : {true, false}) {
            std::size_t answered = 0;
            for (std::size_t bytes = 1; bytes < 1000; ++bytes) {
                gate at;
                prepare(at);
                if (output) at.lose_after_output(bytes);
                else at.lose_after_input(bytes);
                const std::string got = at(each.bytes);
                if (at.world.losses == 0) break;
                CAPTURE(bytes);
                CAPTURE(output);
                CAPTURE(describe(got));
                if (sqlstate_of(got) == "40003") {
                    CHECK(at.log().size() <= 1);
                    CHECK(at.reports.empty());
                } else {
                    CHECK(types_of(got) == each.types);
                    CHECK(at.log() == once);
                    ++answered;
                }
                CHECK(types_of(at(reading)) == "TDCZ");
            }
            if (output) CHECK(answered > 20);
        }
    }
}

TEST_CASE("D33: a backend that ends in its own words before it says the number has not committed: sent again") {
    for (const form& each : forms()) {
        // With its last byte the Sync would have arrived, and this server would have said the number.
        const std::size_t total = traffic_of(each.bytes, guard::automatic, true).to_server;
        for (std::size_t bytes = 1; bytes < total; ++bytes) {
            gate at;
            prepare(at);
            at.lose_after_input(bytes);
            at.world.last_words = farewell();
            const std::string got = at(each.bytes);
            CAPTURE(bytes);
            REQUIRE(at.world.losses == 1);
            CHECK(types_of(got) == each.types);
            CHECK(at.log() == once);
            CHECK(at.reports.empty());
        }
    }
}

TEST_CASE("D33: a FATAL of somebody in between proves nothing") {
    gate at;
    at.lose_after_output(5);
    at.world.last_words = server::error("57P01", "terminating connection due to administrator command", "FATAL");
    CHECK(sqlstate_of(at(extended(insert_a) + client::sync())) == "40003");
    CHECK(at.log().size() == 1);
}

TEST_CASE("D33: behind a COMMIT of its own the end of a segment proves nothing either") {
    gate at;
    const std::string all = extended(insert_a) + extended("commit") + extended(insert_a);
    at.lose_after_input(traffic_of(all + client::sync(), guard::automatic).to_server - 1);
    at.world.last_words = farewell();
    CHECK(sqlstate_of(at(all + client::sync())) == "08007");
    CHECK(at.log() == once);
}

TEST_CASE("T5: what the lost server goes on doing is waited for, and never done twice") {
    const std::string all = extended(insert_a) + client::sync();
    const std::size_t total = traffic_of(all, guard::always).to_server;
    for (const bool commits : {true, false}) {
        gate at(guard::always);
        at.client.patient = false;
        // The Sync arrives late, or never.
        at.world.plan.late = true;
        at.lose_after_input(commits ? total : total - 1);
        CHECK(at(all).empty());
        CHECK(at.client.asked_later == 1);
        at.world.finish_lost_servers();
        at.client.ask_again();
        CHECK(types_of(at.client.received()) == "12CZ");
        CHECK(at.log() == once);
        REQUIRE(at.reports.size() == 1);
        CHECK(at.reports[0].found.what == (commits ? in_doubt_outcome::committed : in_doubt_outcome::not_committed));
    }
}

TEST_CASE("T1: a number that was given again proves nothing: 40003 with the number, or sent again, never twice") {
    for (const auto& [recovered, inherited, code] :
         {std::tuple{0x10ULL, 0x10ULL, ""}, std::tuple{0x9000ULL, 0x9000ULL, ""},
          std::tuple{0x9000ULL, 0x10ULL, "40003"}}) {
        gate at(guard::always, 1);
        const std::string all = extended(insert_a) + client::sync();
        at.world.life.recovered_to = recovered;
        at.world.facts.observe = [inherited = inherited](in_doubt_facts& facts, const commit_capture&) {
            facts.inherited = {true, inherited};
        };
        at.lose_after_output(traffic_of(all, guard::always).to_client - 1);
        if (recovered == 0x10ULL)
            at.world.before_grant = [&](world_server&) {
                if (at.world.losses == 1) at.world.database.log.clear();  // it went with the crash
            };
        const std::string got = at(all);
        CHECK(sqlstate_of(got) == code);
        CHECK(got.back() == 'I');
        if (std::string(code).empty()) CHECK(at.log() == once);
        else CHECK(got.find("transaction 725") != std::string::npos);
    }
}

TEST_CASE("D33: an answer that was delivered in part is not given twice") {
    gate at(guard::always);
    at.world.facts.retry.result_hold = 0;
    const std::string all = extended(insert_a) + client::sync();
    at.lose_after_input(traffic_of(all, guard::always).to_server - 1);
    const std::string got = at(all);
    CHECK(types_of(got) == "12CEZ");
    CHECK(sqlstate_of(got) == "40001");
    CHECK(at.log().empty());
}

TEST_CASE("D33: names that the segment made exist afterwards, those that it closed do not") {
    gate at(guard::always);
    prepare(at);
    const std::string all = client::close_statement("s") + client::parse("mine", insert_a) + client::bind("", "mine") +
                            client::execute("") + client::sync();
    at.lose_after_output(traffic_of(all, guard::always, true).to_client - 1);
    CHECK(types_of(at(all)) == "312CZ");
    CHECK(at.world.losses == 1);
    CHECK(at.log() == once);
    CHECK(types_of(at(client::bind("", "mine") + client::execute("") + client::sync())) == "2CZ");
    CHECK(sqlstate_of(at(client::bind("", "s", {"b"}) + client::execute("") + client::sync())) == "26000");
}

TEST_CASE("P18: what follows in the pipeline is not judged by that number") {
    gate at;
    const std::string one = extended(insert_a) + client::sync();
    const std::string two = extended("insert into log values ('b')") + client::sync();
    at.lose_after_output(traffic_of(one, guard::automatic).to_client - 1);
    const std::string got = at(one + two);
    CHECK(types_of(got).starts_with("12CZ"));
    CHECK(at.log().front() == "a");
    CHECK(at.world.database.captures == 1);
    if (types_of(got) == "12CZ12CZ") CHECK(at.log().size() == 2);
    else CHECK(sqlstate_of(got) == "40003");
}

TEST_CASE("D32: a capture that is refused fails its statement once, and none is asked on that connection again") {
    gate at(guard::automatic, 1);
    at.world.database.capture_refusal = "42501";
    (void)at(extended(insert_a) + client::sync());
    CHECK(at.failures == std::vector<std::string>{"42501"});
    CHECK(types_of(at(extended(insert_a) + client::sync())) == "12CZ");
    CHECK(at.log() == once);
}

TEST_CASE("D33: a statement that fails is the client's affair, and its number nobody's") {
    for (const guard how : {guard::automatic, guard::always}) {
        gate at(how);
        prepare(at);
        const std::string got = at(client::bind("", "s", {}) + client::execute("") + client::sync());
        CHECK(sqlstate_of(got) == "08P01");
        CHECK(types_of(got) == "EZ");
        CHECK(types_of(at(extended(insert_a) + client::sync())) == "12CZ");
        CHECK(at.log() == once);
        CHECK(at.failures.empty());
    }
}

TEST_CASE("D32, D33: what a Query alone can do, or does otherwise, stays one") {
    for (const char* sql :
         {"insert into log values ('a'); select 'x'", "insert into log values ('$1')", "select 'x'", "create table t",
          "set work_mem = '5MB'", "", "begin; insert into log values ('a'); commit"}) {
        gate at;
        (void)at(client::query(sql));
        CHECK_MESSAGE(at.world.database.captures == 0, sql);
    }
    gate ruled;
    for (const auto& each : ruled.world.servers) each->link.may_rewrite = false;
    CHECK(types_of(ruled(client::query(insert_a))) == "CZ");
    CHECK(ruled.world.database.captures == 0);
    ruled.world.facts.resolves = false;
    CHECK(types_of(ruled(client::query(insert_a))) == "CZ");
}

TEST_CASE("D33: as after any Query there is no unnamed statement") {
    for (const bool own : {true, false}) {
        gate at(guard::automatic, 1);
        if (own) (void)at(client::parse("", "select 'x'") + client::sync());
        CHECK(types_of(at(client::query(insert_a))) == "CZ");
        CHECK(sqlstate_of(at(client::bind("", "") + client::execute("") + client::sync())) == "26000");
        CHECK(at.log() == once);
        CHECK(types_of(at(extended("select 'x'") + client::sync())) == "12DCZ");
    }
}

TEST_CASE("D33: Queries in a pipeline, and in a transaction") {
    for (const guard how : {guard::automatic, guard::always}) {
        gate at(how);
        const std::string one = client::query(insert_a);
        CHECK(types_of(at(one + one + reading + one)) == "CZCZTDCZCZ");
        CHECK(at.log().size() == 3);
        CHECK(types_of(at(client::query("begin") + one + client::query("commit"))) == "CZCZCZ");
        CHECK(at.log().size() == 4);
        CHECK(types_of(at(extended("select 'x'") + one)) == "12DCCZ");
        CHECK(at.log().size() == 5);
        CHECK(at.client.server == nullptr);
    }
}

TEST_CASE("D33: a Query that fails is an error and nothing else") {
    for (const guard how : {guard::automatic, guard::always}) {
        gate at(how, 1);
        for (const char* sql : {"update log set x = 1", "delete from log", "with x as (delete from log) select 1"})
            CHECK_MESSAGE(types_of(at(client::query(sql) + reading)) == "EZTDCZ", sql);
        at.world.database.capture_refusal = "42501";
        CHECK(types_of(at(client::query(insert_a))) == "EZ");
        CHECK(at.log().empty());
        CHECK(types_of(at(client::query(insert_a) + reading)) == "CZTDCZ");
    }
}
