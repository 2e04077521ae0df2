// Was a lost COMMIT carried out? Every state of the answer against every relation of the two servers, and the values that
// were measured on PostgreSQL 15 (recovery.md section 5: E1 to E7) as stories.
#include "proxy/policy/in_doubt.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace pgsteady;

namespace {

using outcome = in_doubt_outcome;
using path = in_doubt_path;

std::uint64_t at(std::string_view text) { return *read_wal_position(text); }

const incarnation started_cleanly{1'000'000, std::nullopt, 500, 1, "7001"};

incarnation crashed(std::string_view recovered_to, std::int64_t started = 1'000'000) {
    return {started, at(recovered_to), 900, 1, "7001"};
}

incarnation promoted(std::string_view recovered_to) { return {2'000'000, at(recovered_to), 700, 2, "7001"}; }

in_doubt_judgement judge(std::string_view marker, const in_doubt_facts& facts) {
    return judge_in_doubt({725, at(marker), 0, started_cleanly}, facts);
}

in_doubt_facts answers(incarnation server, xact_state state, inherited_wal inherited = {true, std::nullopt},
                       std::size_t host = 0) {
    return {host, std::move(server), state, inherited, false};
}

void check(const in_doubt_judgement& found, outcome what, path why) {
    CAPTURE(to_string(found.what));
    CAPTURE(to_string(found.path));
    CHECK(found.what == what);
    CHECK(found.path == why);
}

}  // namespace

TEST_CASE("T1, E1, E2a: a number that was given again after a crash says committed, and is not believed") {
    check(judge("0/15290B8", answers(crashed("0/1528FA0"), xact_state::committed)), outcome::not_committed,
          path::crash_before_marker);
    check(judge("0/15290B8", answers(crashed("0/1528FA0"), xact_state::in_future)), outcome::not_committed,
          path::crash_before_marker);
}

TEST_CASE("E2b: the marker was recovered, so the number is the transaction's own") {
    const incarnation now = crashed("0/1529228");
    check(judge("0/1529200", answers(now, xact_state::committed, {true, at("0/1529228")})), outcome::committed,
          path::crash_after_marker);
    check(judge("0/1529200", answers(now, xact_state::aborted, {true, at("0/1529228")})), outcome::not_committed,
          path::crash_after_marker);
}

TEST_CASE("E2c: another backend's crash is another life although the postmaster is the same") {
    const incarnation before = crashed("0/1529228");
    const incarnation after = crashed("0/1529418");
    CHECK_FALSE(before.is(after));
    check(judge_in_doubt({732, at("0/1529300"), 0, before},
                         answers(after, xact_state::committed, {true, at("0/1529418")})),
          outcome::committed, path::crash_after_marker);
}

TEST_CASE("T2, E4: a number that was given again after an asynchronous promotion is not believed") {
    check(judge("0/5000388", answers(promoted("0/5000310"), xact_state::committed, {true, std::nullopt}, 1)),
          outcome::not_committed, path::promoted_before_marker);
    check(judge("0/5000300", answers(promoted("0/5000310"), xact_state::aborted, {true, at("0/5000310")}, 1)),
          outcome::not_committed, path::promoted_after_marker);
    check(judge("0/5000300", answers(promoted("0/5000310"), xact_state::committed, {true, at("0/5000310")}, 1)),
          outcome::committed, path::promoted_after_marker);
}

TEST_CASE("T3: of two servers with one marker the timeline that is written tells which is which") {
    incarnation same = started_cleanly;
    same.timeline = 2;
    CHECK_FALSE(same.is(started_cleanly));
}

TEST_CASE("T4, E7: two crashes between two looks: committed is not believed, the rest is") {
    const incarnation now = crashed("0/154E5D0", 3'000'000);
    check(judge("0/154B258", answers(now, xact_state::committed)), outcome::unknown, path::more_than_one_step);
    check(judge("0/154B258", answers(now, xact_state::committed, {true, at("0/154B200")})), outcome::unknown,
          path::more_than_one_step);
    check(judge("0/154B258", answers(now, xact_state::aborted)), outcome::not_committed, path::never_committed);
    check(judge("0/154B258", answers(now, xact_state::in_future)), outcome::not_committed, path::never_committed);
}

TEST_CASE("T7: what waits for a standby is in progress: it is asked again, for ever if need be, and nothing else") {
    check(judge("0/1529200", answers(started_cleanly, xact_state::in_progress)), outcome::ask_again, path::waits);
}

TEST_CASE("the same life, or a clean restart, knows the number") {
    incarnation restarted = started_cleanly;
    restarted.started_at = 5'000'000;
    for (const auto& [server, why] :
         {std::pair{started_cleanly, path::same_incarnation}, std::pair{restarted, path::clean_restart}}) {
        check(judge("0/10", answers(server, xact_state::committed)), outcome::committed, why);
        check(judge("0/10", answers(server, xact_state::aborted)), outcome::not_committed, why);
        check(judge("0/10", answers(server, xact_state::in_progress)), outcome::ask_again, path::waits);
        check(judge("0/10", answers(server, xact_state::in_future)), outcome::unknown, path::contradiction);
        check(judge("0/10", answers(server, xact_state::forgotten)), outcome::unknown, path::no_answer);
        check(judge("0/10", answers(server, xact_state::failed)), outcome::unknown, path::no_answer);
    }
}

TEST_CASE("no restart is clean by half: other statistics, another host, nothing known") {
    incarnation restarted{5'000'000, std::nullopt, 500, 1, "7001"};
    check(judge("0/10", answers(restarted, xact_state::committed, {}, 1)), outcome::ask_again, path::not_observed);
    restarted.statistics_since = 501;
    check(judge("0/10", answers(restarted, xact_state::committed)), outcome::unknown, path::more_than_one_step);
    commit_capture captured{725, at("0/10"), 0, started_cleanly};
    captured.server.statistics_since = restarted.statistics_since = 0;
    check(judge_in_doubt(captured, answers(restarted, xact_state::committed)), outcome::unknown,
          path::more_than_one_step);
}

TEST_CASE("D27: with two primaries, or another system, nothing is known") {
    for (const xact_state state :
         {xact_state::committed, xact_state::aborted, xact_state::in_progress, xact_state::in_future}) {
        in_doubt_facts facts = answers(started_cleanly, state);
        facts.two_primaries = true;
        check(judge("0/10", facts), outcome::unknown, path::two_primaries);
        facts = answers(crashed("0/5"), state);
        facts.server.system = "7002";
        check(judge("0/10", facts), outcome::unknown, path::other_system);
        facts.server.system.clear();
        check(judge("0/10", facts), outcome::unknown, path::other_system);
    }
}

TEST_CASE("whatever a server with the marker says of the future cannot be true") {
    check(judge("0/10", answers(crashed("0/20"), xact_state::in_future, {true, 0x20})), outcome::unknown,
          path::contradiction);
}

TEST_CASE("committed is never said of another life without the marker, and never without the word committed") {
    constexpr std::array positions{0x8U, 0x10U, 0x11U, 0x20U};
    const commit_capture captured{725, 0x10, 0, started_cleanly};
    for (const unsigned recovered : positions)
        for (const unsigned inherited : positions)
            for (const bool knows : {true, false})
                for (const std::size_t host : {std::size_t{0}, std::size_t{1}})
                    for (int state = 0; state <= static_cast<int>(xact_state::failed); ++state) {
                        const auto said = static_cast<xact_state>(state);
                        const inherited_wal known{true, knows ? std::optional<std::uint64_t>(inherited) : std::nullopt};
                        incarnation server = host == 0 ? crashed("0/0") : promoted("0/0");
                        server.recovered_to = recovered;
                        const auto found = judge_in_doubt(captured, {host, server, said, known, false});
                        const bool has_marker = recovered > 0x10 && knows && inherited > 0x10;
                        if (found.what == outcome::committed) CHECK((said == xact_state::committed && has_marker));
                        if (found.what == outcome::not_committed)
                            CHECK((recovered <= 0x10 || said == xact_state::aborted || said == xact_state::in_future));
                        if (recovered <= 0x10 && said <= xact_state::in_future)
                            CHECK(found.what == outcome::not_committed);
                    }
}

TEST_CASE("WAL positions as PostgreSQL writes them, and nothing else") {
    CHECK(at("0/15290B8") == 0x15290B8);
    CHECK(at("2/FFFFFFFF") == 0x2FFFFFFFFULL);
    CHECK(wal_position_text(0x2000000AULL + (3ULL << 32U)) == "3/2000000A");
    for (const char* text : {"", "/", "0/", "/0", "0", "0/123456789", "0/12 ", "g/0", "-1/0", "0x1/2", "0/1/2"})
        CHECK_FALSE(read_wal_position(text).has_value());
}

TEST_CASE("pauses grow to 200 ms") {
    CHECK(in_doubt_pause(0).count() == 20);
    CHECK(in_doubt_pause(3).count() == 160);
    CHECK(in_doubt_pause(1000).count() == 200);
}
