// Means of the last minute.
#include "admin/recent.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady::admin;
using std::chrono::seconds;

namespace {

constexpr recent_window::time_point start{std::chrono::hours(5)};

snapshot after(std::uint64_t good, std::uint64_t bad, double total_seconds) {
    snapshot result;
    result.operations = {{"select", "success", good, {{1.0}, {good, 0}, total_seconds}},
                         {"select", "error", bad, {{1.0}, {bad, 0}, 0}}};
    return result;
}

snapshot with_waits(std::uint64_t waits, double wait_seconds) {
    snapshot result;
    pool_status pool;
    pool.database = "app";
    pool.user = "alice";
    pool.waits = waits;
    pool.wait_seconds = wait_seconds;
    result.pools = {pool};
    result.wait_seconds = {{1.0}, {waits, 0}, wait_seconds};
    return result;
}

}  // namespace

TEST_CASE("Nothing happened: all of nothing succeeded") {
    const recent_means means = recent_window().means(start, snapshot{});
    CHECK(means.success_percent == 100);
    CHECK(means.execution_ms == 0);
    CHECK(means.wait_ms == 0);
}

TEST_CASE("A young process shows what happened since its start") {
    recent_window window;
    window.record(start, after(10, 0, 0.1));
    const recent_means means = window.means(start + seconds(5), after(75, 25, 0.5));
    CHECK(means.success_percent == 75);
    CHECK(means.execution_ms == doctest::Approx(5));
}

TEST_CASE("What is older than a minute does not count") {
    recent_window window;
    window.record(start, after(0, 1000, 100));
    for (int at = 5; at <= 60; at += 5) window.record(start + seconds(at), after(0, 1000, 100));
    const recent_means means = window.means(start + seconds(60), after(10, 1000, 100.02));
    CHECK(means.success_percent == 100);
    CHECK(means.execution_ms == doctest::Approx(2));
}

TEST_CASE("Waits are known in all and by pool") {
    recent_window window;
    window.record(start, with_waits(100, 50));
    const recent_means means = window.means(start + seconds(60), with_waits(104, 50.01));
    CHECK(means.wait_ms == doctest::Approx(2.5));
    CHECK(means.pool_wait_ms.at("app/alice") == doctest::Approx(2.5));
}

TEST_CASE("A pool that was dropped and made anew begins again") {
    recent_window window;
    window.record(start, with_waits(100, 50));
    CHECK(window.means(start + seconds(60), with_waits(2, 0.004)).pool_wait_ms.at("app/alice") == doctest::Approx(2));
}

TEST_CASE("Frequent samples do not push the base out of the window") {
    recent_window window;
    window.record(start, after(100, 0, 0));
    for (int at = 0; at < 60'000; at += 100) window.record(start + std::chrono::milliseconds(at), after(100, 0, 0));
    CHECK(window.means(start + seconds(60), after(100, 100, 0)).success_percent == 0);
}
