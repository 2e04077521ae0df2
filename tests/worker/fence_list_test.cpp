// What a lost connection needs, and the pursuit of backends whose end must be known (recovery.md 2.8, D24, T5 to T7).
#include "proxy/worker/fence_list.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

using clock_time = fence_list::time_point;
const clock_time begin = clock_time{} + 1h;

lost_backend backend(std::int32_t pid, std::size_t host = 0) {
    return {.host = host,
            .address = {"db", 5432},
            .tls = false,
            .pid = pid,
            .cancel_key = "key!",
            .started = pid * 1000,
            .server_started_at = "monday"};
}

fence_list::entry entry(std::int32_t pid, std::size_t host = 0) { return {backend(pid, host), "inc", {}}; }

/// Remembers which question was put last.
struct asking : fence_list {
    using fence_list::fence_list;
    std::string put(std::size_t host, std::string_view run, clock_time now) {
        const question asked = ask(host, run, now);
        last = asked.number;
        return asked.sql;
    }
    void answered(const std::vector<row>& rows, clock_time now) { fence_list::answered(last, rows, now); }
    void failed(std::string_view sqlstate, clock_time now) { fence_list::failed(last, sqlstate, now); }
    std::uint64_t last = 0;
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE(
    "D24: reads are cancelled, an open transaction is cancelled and ended, what may be committing is ended with care") {
    fence_facts what{.how = verdict_name::connection_lost, .working = true};
    CHECK(need_of(what) == fence_need::both);
    what.may_commit = true;
    CHECK(need_of(what) == fence_need::terminate);
    what = {.how = verdict_name::connection_lost, .working = true, .only_reads = true};
    CHECK(need_of(what) == fence_need::cancel);
    what.how = verdict_name::no_answer;
    CHECK(need_of(what) == fence_need::cancel);
    what.how = verdict_name::none;  // we gave it up ourselves
    CHECK(need_of(what) == fence_need::cancel);
}

TEST_CASE("what has nothing to do, or has ended by the server's own word, is left alone") {
    CHECK(need_of({.how = verdict_name::connection_lost, .working = false}) == fence_need::none);
    for (const verdict_name how :
         {verdict_name::backend_terminated, verdict_name::server_stopping, verdict_name::server_crashed,
          verdict_name::server_not_ready, verdict_name::session_ended, verdict_name::recovery_conflict,
          verdict_name::session_failed, verdict_name::committed_locally})
        CHECK(need_of({.how = how, .working = true, .may_commit = true}) == fence_need::none);
}

TEST_CASE("T5: told to end, looked for again, and confirmed when it is not there any more") {
    asking list(10, 5s);
    REQUIRE(list.add(entry(7), begin));
    CHECK_FALSE(list.empty());
    CHECK(list.due_on(0, begin));
    CHECK_FALSE(list.due_on(1, begin));
    const std::string question = list.put(0, "monday", begin);
    CHECK(has(question, "(7, 7000)"));
    CHECK_FALSE(list.due_on(0, begin));  // the question is under way
    list.answered({{7, "told"}}, begin + 1ms);
    CHECK(list.take_ended(begin + 1ms).empty());
    CHECK_FALSE(list.due_on(0, begin + 2ms));
    CHECK(list.due_on(0, begin + 11ms));
    (void)list.put(0, "monday", begin + 11ms);
    list.answered({}, begin + 12ms);
    const auto ended = list.take_ended(begin + 12ms);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::confirmed);
    CHECK(is_fenced(ended[0].outcome));
    CHECK(ended[0].took == 12ms);
    CHECK(ended[0].what.incident == "inc");
    CHECK(list.empty());
}

TEST_CASE("not there at the first look: gone") {
    asking list(10, 5s);
    (void)list.add(entry(7), begin);
    (void)list.put(0, "monday", begin);
    list.answered({{8, "told"}}, begin);
    const auto ended = list.take_ended(begin);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::gone);
    CHECK(is_fenced(ended[0].outcome));
}

TEST_CASE("a server that has been started anew has no backends of its former run: nothing is asked") {
    asking list(10, 5s);
    (void)list.add(entry(7), begin);
    CHECK(list.put(0, "tuesday", begin).empty());
    const auto ended = list.take_ended(begin);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::gone);
}

TEST_CASE("T7: who waits for a synchronous standby is never told to end, and counts as spared when time is up") {
    asking list(10, 1s);
    (void)list.add(entry(7), begin);
    clock_time now = begin;
    while (now < begin + 900ms) {
        if (list.due_on(0, now)) {
            CHECK(has(list.put(0, "monday", now),
                      "wait_event = 'SyncRep' THEN 'waits' WHEN pg_catalog.pg_terminate_backend"));
            list.answered({{7, "waits"}}, now);
        }
        CHECK(list.take_ended(now).empty());
        now += 10ms;
    }
    const auto ended = list.take_ended(begin + 1s);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::spared);
    CHECK_FALSE(is_fenced(ended[0].outcome));
}

TEST_CASE("T7: one whose standby comes back is seen to end by itself") {
    asking list(10, 1s);
    (void)list.add(entry(7), begin);
    (void)list.put(0, "monday", begin);
    list.answered({{7, "waits"}}, begin);
    (void)list.put(0, "monday", begin + 100ms);
    list.answered({}, begin + 100ms);
    const auto ended = list.take_ended(begin + 100ms);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::gone);
}

TEST_CASE("pauses between looks grow to 200 ms") {
    asking list(10, 1h);
    (void)list.add(entry(7), begin);
    clock_time now = begin;
    int looks = 0;
    for (; now < begin + 10s; now += 1ms)
        if (list.due_on(0, now)) {
            ++looks;
            (void)list.put(0, "monday", now);
            list.answered({{7, "told"}}, now);
        }
    CHECK(looks > 48);
    CHECK(looks < 58);
    const auto ended = list.take_ended(begin + 2h);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::unfinished);
}

TEST_CASE("an answer that never comes is asked for again; nobody reached in time: unreachable") {
    asking list(10, 2s);
    (void)list.add(entry(7), begin);
    (void)list.put(0, "monday", begin);
    CHECK_FALSE(list.due_on(0, begin + 400ms));
    CHECK(list.due_on(0, begin + 600ms));
    CHECK(list.take_ended(begin + 1900ms).empty());
    const auto ended = list.take_ended(begin + 2s);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::unreachable);
    list.answered({{7, "told"}}, begin + 2s);  // too late
    CHECK(list.take_ended(begin + 3s).empty());
    CHECK(list.empty());
}

TEST_CASE("a role that may not end its backends is told so at once; any other error is tried again") {
    asking list(10, 2s);
    (void)list.add(entry(7), begin);
    (void)list.put(0, "monday", begin);
    list.failed("57014", begin);
    CHECK(list.take_ended(begin).empty());
    CHECK(list.due_on(0, begin + 200ms));
    (void)list.put(0, "monday", begin + 200ms);
    list.failed("42501", begin + 200ms);
    const auto ended = list.take_ended(begin + 200ms);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::denied);
}

TEST_CASE("a backend whose start is not known is not ended: a pid alone may be somebody else's by now") {
    asking list(10, 2s);
    fence_list::entry unknown = entry(7);
    unknown.whom.started = 0;
    CHECK(list.add(std::move(unknown), begin));
    CHECK_FALSE(list.due_on(0, begin));
    const auto ended = list.take_ended(begin);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::denied);
}

TEST_CASE("each is pursued once, together with the others of its host, and their number has a limit") {
    asking list(3, 2s);
    CHECK(list.add(entry(7), begin));
    CHECK_FALSE(list.add(entry(7), begin));
    CHECK(list.add(entry(8), begin));
    CHECK(list.add(entry(9, 1), begin));
    CHECK(list.add(entry(10), begin));
    CHECK(list.size() == 3);
    const auto ended = list.take_ended(begin);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].outcome == fence_outcome::unreachable);
    CHECK(ended[0].what.whom.pid == 10);
    const std::string question = list.put(0, "monday", begin);
    CHECK(has(question, "(7, 7000), (8, 8000)"));
    CHECK_FALSE(has(question, "(9,"));
    list.answered({{8, "told"}}, begin);
    CHECK(list.size() == 2);
    CHECK(list.due_on(1, begin));
}

TEST_CASE("one question is about 64 backends at most") {
    asking list(1000, 2s);
    for (std::int32_t pid = 1; pid <= 100; ++pid) (void)list.add(entry(pid), begin);
    const std::string question = list.put(0, "monday", begin);
    CHECK(has(question, "(64, 64000)"));
    CHECK_FALSE(has(question, "(65,"));
    list.answered({}, begin);
    CHECK(list.size() == 36);
    CHECK(list.due_on(0, begin));
}

TEST_CASE("D24: who was asked is lost as well: another one is asked at once, about what that question was about") {
    fence_list list(10, 2s);
    (void)list.add(entry(7), begin);
    const fence_list::question lost = list.ask(0, "monday", begin);
    (void)list.add(entry(8), begin);
    const fence_list::question other = list.ask(0, "monday", begin);
    list.unanswered(lost.number, begin + 30ms);
    CHECK(list.due_on(0, begin + 30ms));
    const fence_list::question again = list.ask(0, "monday", begin + 30ms);
    CHECK(has(again.sql, "(7, 7000)"));
    CHECK_FALSE(has(again.sql, "(8,"));  // that one is still asked about
    list.unanswered(lost.number, begin + 40ms);
    CHECK_FALSE(list.due_on(0, begin + 40ms));
    list.answered(again.number, {}, begin + 50ms);
    list.answered(other.number, {}, begin + 50ms);
    CHECK(list.size() == 0);
}

TEST_CASE("a connection to ask with is opened once others had a chance to come free, and twice a second in the end") {
    asking list(10, 5s);
    (void)list.add(entry(7), begin);
    CHECK_FALSE(list.may_open(begin));
    std::vector<clock_time> openings;
    for (clock_time now = begin; now < begin + 3s; now += 5ms)
        if (list.may_open(now)) openings.push_back(now);
    REQUIRE(openings.size() == 9);
    CHECK(openings[0] == begin + 20ms);
    CHECK(openings[1] == begin + 60ms);  // the first may have been lost, too
    for (std::size_t i = 1; i < openings.size(); ++i) CHECK(openings[i] - openings[i - 1] <= 500ms);
    CHECK(openings[8] - openings[7] == 500ms);
    CHECK(list.put(0, "monday", begin + 3s) != "");
    list.answered({}, begin + 3s);
    (void)list.take_ended(begin + 3s);
    (void)list.add(entry(8), begin + 3s);
    CHECK_FALSE(list.may_open(begin + 3s));
    CHECK(list.may_open(begin + 3020ms));  // another loss, another beginning
}

TEST_CASE("two workers may ask at the same time: each answer is about its own question") {
    fence_list list(10, 5s);
    (void)list.add(entry(7), begin);
    const fence_list::question first = list.ask(0, "monday", begin);
    (void)list.add(entry(8), begin);
    const fence_list::question second = list.ask(0, "monday", begin);
    CHECK_FALSE(has(second.sql, "(7,"));
    list.answered(second.number, {}, begin);
    auto ended = list.take_ended(begin);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].what.whom.pid == 8);
    list.answered(second.number, {}, begin);
    CHECK(list.size() == 1);
    list.answered(first.number, {}, begin);
    CHECK(list.size() == 0);
}
