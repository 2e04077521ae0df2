// The server is lost after every other byte that it says and that reaches it (--full: every one), in every scenario:
// the client's conversation stays well-formed, every request has its one ReadyForQuery, the error is one of
// the catalogue (recovery.md 2.14), nothing happens twice, and the session can be used afterwards.
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

struct direct_run {
    explicit direct_run(const scenario& script) {
        scripted_server server(database, script.startup);
        for (const std::string& step : script.steps) answer += server.feed(step);
        for (const frame& each : split_frames(answer))
            if (each.type == 'E') {
                sqlstates.insert(field_of(each, 'C'));
                aborted += field_of(each, 'C') == "25P02";
            }
    }
    scripted_database database;
    std::string answer;
    std::set<std::string> sqlstates;
    long aborted = 0;
};

/// ParameterStatus comes when it comes.
std::string without_reports(const std::string& stream) {
    std::string rest;
    for (const frame& each : split_frames(stream))
        if (each.type != 'S') rest += frame_of(each.type, each.body);
    return rest;
}

std::map<std::string, std::size_t> counted(const std::vector<std::string>& lines) {
    std::map<std::string, std::size_t> counts;
    for (const std::string& line : lines) ++counts[line];
    return counts;
}

/// Errors that a lost server may cause, at once or in what follows from it.
const std::set<std::string> catalogue = {"40001", "40003", "08006", "08007", "25P02"};
// What a client that goes on as if nothing had happened runs into: names and portals that the lost request would have
// made, a transaction that is no longer open.
const std::set<std::string> aftermath = {"26000", "34000", "25P01", "3B001", "42P05", "42P01", "55000", "42704"};

struct loss_run {
    loss_run(const scenario& script, loss_plan plan, bool pipelined)
        : world(script.servers), client(world, script.startup) {
        world.facts.guards = false;
        world.input_bytes = world.output_bytes = 0;
        world.plan = plan;
        const std::vector<std::string> whole = {script.whole()};
        for (const std::string& step : pipelined ? whole : script.steps) {
            if (client.closed) break;
            checker.client_sends(step);
            say(step);
        }
    }

    void say(const std::string& step) {
        const bool was_pinned = client.conversation.pins() != 0;
        const std::string got = client.ask(step);
        std::size_t rest = 0;
        (void)split_frames(got, &rest);
        cut_in_frame |= rest != 0 && client.closed;
        pinned |= was_pinned || client.conversation.pins() != 0;
        answer += got;
        checker.server_says(got);
        if (!client.closed) checker.at_rest();
    }

    void check_usable() {
        const std::string end = client::query("rollback");
        checker.client_sends(end);
        say(end);
        const std::string last = client::query("select 'alive'");
        checker.client_sends(last);
        const std::size_t before = answer.size();
        say(last);
        if (answer.substr(before).find("alive") == std::string::npos)
            FAIL_CHECK("not usable:\n" << describe(answer.substr(before)));
        if (checker.status != 'I') FAIL_CHECK("left in a transaction");
    }

    session_world world;
    session_driver client;
    wire_checker checker;
    std::string answer;
    bool pinned = false;
    bool cut_in_frame = false;
};

void check(const scenario& script, const direct_run& direct, loss_plan plan, bool pipelined) {
    loss_run run(script, plan, pipelined);
    const auto explain = [&] { return "\n" + describe(run.answer); };
    if (!run.checker.problem.empty() && !run.cut_in_frame) FAIL_CHECK(run.checker.problem << explain());
    bool lost_something = false;
    for (const std::string& code : run.checker.sqlstates) {
        lost_something |= catalogue.contains(code) && !direct.sqlstates.contains(code);
        if (code == "08006" && run.client.closed) continue;
        if (!catalogue.contains(code) && !aftermath.contains(code) && !direct.sqlstates.contains(code))
            FAIL_CHECK("SQLSTATE " << code << explain());
    }
    if (run.client.closed) {
        if (script.name.starts_with("large") && run.cut_in_frame)
            return;  // nothing can be said in the middle of a frame
        const bool unknown =
            run.answer.find("(computed_setting)") != std::string::npos;  // nobody knows the value any more
        if (!run.pinned && !script.may_end && !unknown) FAIL_CHECK("the session ended" << explain());
        if (run.checker.sqlstates.empty() || run.checker.sqlstates.back() != "08006")
            FAIL_CHECK("no farewell" << explain());
    } else {
        const auto aborted = [](const std::vector<std::string>& codes) {
            return std::count(codes.begin(), codes.end(), "25P02");
        };
        const auto loss_words = [](const std::string& code) {
            return code == "40001" || code == "40003" || code == "08006" || code == "08007";
        };
        const bool told = std::any_of(run.checker.sqlstates.begin(), run.checker.sqlstates.end(), loss_words);
        const bool refused = aborted(run.checker.sqlstates) > direct.aborted;  // a failed transaction stays failed
        if (!told && !refused && without_reports(run.answer) != without_reports(direct.answer))
            FAIL_CHECK("a loss that nobody was told of shows:\n" << describe(direct.answer) << "but:" << explain());
        run.check_usable();
        if (!run.checker.problem.empty()) FAIL_CHECK("afterwards: " << run.checker.problem << explain());
    }
    const auto wanted = counted(direct.database.log);
    for (const auto& [line, count] : counted(run.world.database.log))
        if (const auto at = wanted.find(line); at != wanted.end() && count > at->second)
            FAIL_CHECK("twice: " << line << explain());
}

const std::vector<scenario>& scenarios() {
    static const std::vector<scenario> all = all_scenarios(PGSTEADY_SOURCE_DIR "/tests/scenarios");
    return all;
}

/// How many bytes a scenario moves when nothing happens.
std::pair<std::size_t, std::size_t> volume(const scenario& script, bool pipelined) {
    loss_run run(script, {}, pipelined);
    CHECK(run.checker.problem == "");
    return {run.world.input_bytes, run.world.output_bytes};
}

/// PGSTEADY_CUTS=every-how-many-bytes (scripts/test --full: every one); more than one where a pipeline repeats what is cut alone, too.
std::size_t step_of_cuts(bool pipelined) {
    const char* const text = std::getenv("PGSTEADY_CUTS");
    if (text != nullptr) return std::strtoul(text, nullptr, 10);
    return pipelined ? 5 : 2;
}

void check_all(bool output, bool pipelined) {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        const direct_run direct(script);
        const auto [input, said] = volume(script, pipelined);
        const std::size_t last = output ? said : input;
        const std::size_t every = step_of_cuts(pipelined);
        const std::size_t step = last < 10'000 ? every : last / 200 + 1;  // large frames: not at every byte
        for (std::size_t after = 1; after <= last; after += step) {
            CAPTURE(after);
            loss_plan plan;
            (output ? plan.after_output : plan.after_input) = after;
            check(script, direct, plan, pipelined);
        }
    }
}

}  // namespace

TEST_CASE("losses: wherever in what the server says") { check_all(true, false); }
TEST_CASE("losses: wherever in what the server says to a pipeline") { check_all(true, true); }
TEST_CASE("losses: wherever in what reaches the server") { check_all(false, false); }
TEST_CASE("losses: wherever in what reaches the server from a pipeline") { check_all(false, true); }

TEST_CASE("2.12: what a server says to whom it does not let in ends no client's session") {
    session_world world(1);
    session_driver client(world);
    client.starved = true;
    client.send(client::query("select 'x'"));
    error_fields why = plain_error("28000", "no pg_hba.conf entry");
    why.severity = "FATAL";
    client.conversation.refuse_waiting(why);
    client.run();
    const std::string got = client.received();
    REQUIRE(types_of(got) == "EZ");
    CHECK(field_of(split_frames(got).front(), 'S') == "ERROR");
    CHECK(field_of(split_frames(got).front(), 'C') == "28000");
}
