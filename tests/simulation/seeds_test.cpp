// Seeds by the thousand: whatever fails, no client is told a lie, nothing is done twice or half, every answer keeps the
// protocol, what is said about a lost COMMIT is in the server's log (2.6), and everybody gets on once the faults have
// stopped. A seed that fails prints its story, and is a reproduction:
//   PGSTEADY_SEEDS=17 tests_simulation -tc="seeds*"      one of them and its story, or FROM:TO for as many as you have time for
#include "tests/simulation/seed_run.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

using namespace pgsteady::simulation;

namespace {

struct seed_range {
    std::uint64_t from = 1;
    std::uint64_t to = 0;
    bool chosen = false;
};

seed_range wanted_seeds(std::uint64_t by_default) {
    seed_range range;
    range.to = by_default;
    const char* const text = std::getenv("PGSTEADY_SEEDS");
    if (text == nullptr) return range;
    char* rest = nullptr;
    range.from = range.to = std::strtoull(text, &rest, 10);
    if (*rest == ':') range.to = std::strtoull(rest + 1, nullptr, 10);
    range.chosen = true;
    return range;
}

void report_failure(std::uint64_t seed, const seed_result& found) {
    const seed_result told = run_seed(seed, true);
    std::string story;
    const std::size_t most = 400;
    const std::size_t begin = told.story.size() > most ? told.story.size() - most : 0;
    for (std::size_t i = begin; i < told.story.size(); ++i) story += told.story[i] + '\n';
    FAIL_CHECK("seed " << seed << ": " << found.problems.front() << "\n" << story);
}

}  // namespace

TEST_CASE("seeds: I1-I4, I7, T1, T2, T4, T5, T7, T10, T20: nobody is told a lie, and everybody gets on") {
    const seed_range range = wanted_seeds(2000);
    seed_result all;
    std::size_t failed = 0;
    for (std::uint64_t seed = range.from; seed <= range.to && failed < 5; ++seed) {
        const seed_result found = run_seed(seed);
        all.add(found);
        if (found.problems.empty()) continue;
        ++failed;
        report_failure(seed, found);
    }
    if (range.chosen && range.from == range.to && failed == 0)
        for (const std::string& line : run_seed(range.from, true).story) std::cout << line << '\n';
    if (range.chosen) {
        std::cout << "faults " << all.faults << ", servers lost " << all.losses << ", disconnects " << all.disconnects
                  << ", steps " << all.steps << ", replays " << all.replays << " (others " << all.replays_different
                  << "), resumes " << all.resumes << '\n';
        for (const auto& [how, times] : all.resolved) std::cout << how << ": " << times << '\n';
        for (const auto& [code, times] : all.told) std::cout << (code.empty() ? "done" : code) << ": " << times << '\n';
        return;
    }
    // Nothing of this is shown by runs in which nothing happens.
    CHECK(all.losses > 500);
    for (const char* const how :
         {"committed same_incarnation", "committed clean_restart", "committed crash_after_marker",
          "committed promoted_after_marker", "not_committed same_incarnation", "not_committed clean_restart",
          "not_committed crash_before_marker", "not_committed promoted_before_marker", "unknown more_than_one_step"}) {
        CAPTURE(how);
        CHECK(all.resolved[how] > 0);
    }
    for (const char* const code : {"", "40001", "40003", "08007", "40P01", "23505"}) {
        CAPTURE(code);
        CHECK(all.told[code] > 0);
    }
}

TEST_CASE("seeds: D30: after an outage nobody's transaction meets what others have done meanwhile") {
    seed_result together;
    seed_result one_by_one;
    const seed_range range = wanted_seeds(150);
    for (std::uint64_t seed = range.from; seed <= range.to; ++seed) {
        const seed_result found = run_outages(seed, true);
        if (!found.problems.empty() || found.replays_different != 0) {
            std::string story;
            for (const std::string& line : run_outages(seed, true, true).story) story += line + '\n';
            FAIL("seed " << seed << ": " << (found.problems.empty() ? "a replay differs" : found.problems.front())
                         << "\n"
                         << story);
        }
        together.add(found);
        one_by_one.add(run_outages(seed, false));
    }
    if (range.chosen) {
        std::cout << "answers held " << together.answers_held << ", gave way " << together.gave_way
                  << ", servers handed over " << together.handed_over << ", replays " << together.replays
                  << ", one by one " << one_by_one.replays << " and " << one_by_one.replays_different
                  << " that differ\n";
        return;
    }
    CHECK(together.replays > 100);
    CHECK(together.answers_held > 10);
    CHECK(together.gave_way > 3);
    CHECK(together.handed_over > 10);
    CHECK(one_by_one.replays_different > 0);  // or this would have shown nothing
    CHECK(together.told["40001"] < one_by_one.told["40001"]);
}

TEST_CASE("seeds: the same number is the same run") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const seed_result one = run_seed(seed);
        const seed_result again = run_seed(seed, true);
        CHECK(one.fingerprint == again.fingerprint);
        CHECK(one.told == again.told);
    }
}
