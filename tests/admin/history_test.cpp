// Windows of up to an hour over totals, and percentiles of histograms.
#include "admin/history.hpp"

#include <doctest/doctest.h>

using namespace pgsteady::admin;
using namespace std::chrono_literals;

namespace {

const history::time_point start = history::time_point{} + 1h;

snapshot with_selects(std::uint64_t fast, std::uint64_t slow) {
    snapshot result;
    result.uptime = 2h;
    result.totals.checkouts = fast + slow;
    result.operations = {{"select", "success", fast + slow, {{0.001, 0.1}, {fast, slow, 0}, 0.0}}};
    result.retries = {{"succeeded", slow}};
    result.breaker.trips_total = slow;
    return result;
}

}  // namespace

TEST_CASE("A window counts what happened in it, and nothing before") {
    history kept;
    kept.record(start, with_selects(100, 0));
    kept.record(start + 5min, with_selects(200, 10));
    const snapshot now = with_selects(260, 15);
    const window_totals last = kept.window(start + 10min, now, 5min);
    CHECK(last.covers == 5min);
    CHECK(last.totals.checkouts == 65);
    CHECK(last.operations.at(0).count == 65);
    CHECK(last.operations.at(0).seconds.buckets == std::vector<std::uint64_t>{60, 5, 0});
    CHECK(last.retries.at(0).count == 5);
    CHECK(last.breaker_trips == 5);
    CHECK(kept.window(start + 10min, now, 10min).totals.checkouts == 175);
}

TEST_CASE("A young process shows what there is, and says how much that is") {
    history kept;
    snapshot now = with_selects(3, 0);
    now.uptime = 90s;
    kept.record(start, with_selects(1, 0));
    const window_totals all = kept.window(start + 60s, now, 60min);
    CHECK(all.totals.checkouts == 3);
    CHECK(all.covers == 90s);
}

TEST_CASE("An hour of samples is kept, and no more") {
    history kept;
    for (int second = 0; second <= 3 * 3600; ++second)
        kept.record(start + std::chrono::seconds(second), with_selects(static_cast<std::uint64_t>(second), 0));
    const snapshot now = with_selects(3 * 3600, 0);
    const window_totals hour = kept.window(start + 3h, now, 60min);
    CHECK(hour.totals.checkouts == 3600);
    CHECK(kept.window(start + 3h, now, 600min).totals.checkouts == 3600);
    CHECK(kept.window(start + 3h, now, 1min).totals.checkouts == 60);
}

TEST_CASE("Percentiles are interpolated within their bucket") {
    const histogram of{{1, 2, 4}, {10, 10, 0, 0}, 0};
    CHECK(percentile(of, 0.25) == doctest::Approx(0.5));
    CHECK(percentile(of, 0.5) == doctest::Approx(1));
    CHECK(percentile(of, 0.75) == doctest::Approx(1.5));
    CHECK(percentile(of, 1) == doctest::Approx(2));
    CHECK(percentile({{1, 2}, {0, 0, 5}, 0}, 0.5) == doctest::Approx(2));
    CHECK_FALSE(percentile({{1, 2}, {0, 0, 0}, 0}, 0.5).has_value());
    CHECK_FALSE(percentile({}, 0.5).has_value());
}
