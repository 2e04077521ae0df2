#include "admin/window_document.hpp"

#include "admin/documents.hpp"
#include "admin/json_text.hpp"
#include "admin/timeline.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

[[nodiscard]] json::value milliseconds_or_null(const std::optional<double>& seconds) {
    return seconds ? json::value(rounded(*seconds * 1000, 3)) : json::value(nullptr);
}

[[nodiscard]] std::optional<double> mean(const histogram& of) {
    const std::uint64_t count = of.count();
    return count == 0 ? std::nullopt : std::optional(of.sum / static_cast<double>(count));
}

void add_times(json::object& to, const histogram& of) {
    to["mean_ms"] = milliseconds_or_null(mean(of));
    to["p50_ms"] = milliseconds_or_null(percentile(of, 0.50));
    to["p90_ms"] = milliseconds_or_null(percentile(of, 0.90));
    to["p95_ms"] = milliseconds_or_null(percentile(of, 0.95));
    to["p99_ms"] = milliseconds_or_null(percentile(of, 0.99));
}

struct operation_sum {
    std::uint64_t count = 0;
    std::uint64_t errors = 0;
    histogram seconds;

    void take(const operation_totals& from) {
        count += from.count;
        if (from.status == "error") errors += from.count;
        add_histogram(seconds, from.seconds);
    }
    [[nodiscard]] json::object document() const {
        json::object result{{"count", count}, {"errors", errors}};
        add_times(result, seconds);
        return result;
    }
};

[[nodiscard]] json::object query_metrics(const window_totals& in) {
    operation_sum all;
    std::vector<std::pair<std::string, operation_sum>> by_operation;
    for (const operation_totals& each : in.operations) {
        all.take(each);
        auto found = std::find_if(by_operation.begin(), by_operation.end(),
                                  [&each](const auto& known) { return known.first == each.operation; });
        if (found == by_operation.end()) found = by_operation.insert(found, {each.operation, {}});
        found->second.take(each);
    }
    json::object operations;
    for (const auto& [name, sum] : by_operation)
        if (sum.count > 0) operations[name] = sum.document();
    json::object result = all.document();
    const double good = static_cast<double>(all.count - all.errors);
    result["success_rate"] = all.count == 0 ? 100.0 : rounded(100 * good / static_cast<double>(all.count), 2);
    result["per_second"] = in.covers.count() > 0 ? rounded(static_cast<double>(all.count) / in.covers.count(), 2) : 0.0;
    result["by_operation"] = std::move(operations);
    return result;
}

[[nodiscard]] json::object connection_metrics(const observation& seen, const window_totals& in) {
    std::uint64_t open = 0;
    std::uint64_t active = 0;
    std::uint64_t idle = 0;
    std::uint64_t waiting = 0;
    double busiest = 0;
    for (const pool_status& each : seen.now.pools) {
        open += each.open;
        active += each.active;
        idle += each.idle;
        waiting += each.waiting;
        busiest = std::max(busiest, utilisation(each));
    }
    json::object wait{{"count", in.wait_seconds.count()}};
    add_times(wait, in.wait_seconds);
    json::object connect{{"count", in.connect_seconds.count()}};
    add_times(connect, in.connect_seconds);
    return {{"total", open},
            {"active", active},
            {"idle", idle},
            {"waiting", waiting},
            {"clients", seen.now.clients},
            {"busiest_pool_utilisation_percent", rounded(busiest * 100, 1)},
            {"opened", in.totals.servers_opened},
            {"closed", in.totals.servers_closed},
            {"lost", in.totals.servers_lost},
            {"dials_failed", in.totals.dials_failed},
            {"checkouts", in.totals.checkouts},
            {"checkins", in.totals.checkins},
            {"wait_timeouts", in.totals.wait_timeouts},
            {"wait", std::move(wait)},
            {"connect", std::move(connect)}};
}

/// Outages of the window: from a primary's loss until one was found.
[[nodiscard]] json::object recovery_metrics(const observation& seen, const window_totals& in,
                                            std::chrono::minutes asked) {
    const auto begin = seen.taken_at - asked;
    std::optional<std::chrono::system_clock::time_point> lost;
    std::uint64_t recoveries = 0;
    double seconds = 0;
    for (const event_status& each : seen.now.events) {
        if (each.name == "primary_lost" && !lost) lost = each.when;
        if ((each.name != "primary_found" && each.name != "primary_moved") || !lost) continue;
        if (each.when >= begin) {
            ++recoveries;
            seconds += std::chrono::duration<double>(each.when - *lost).count();
        }
        lost.reset();
    }
    json::object retries;
    for (const outcome_total& each : in.retries) retries[each.outcome] = each.count;
    return {
        {"recoveries", recoveries},
        {"mean_time_to_recover_seconds",
         recoveries == 0 ? json::value(nullptr) : json::value(rounded(seconds / static_cast<double>(recoveries), 3))},
        {"circuit_breaker_trips", in.breaker_trips},
        {"retries", std::move(retries)}};
}

}  // namespace

json::object window_document(const observation& seen, const window_totals& in, std::chrono::minutes asked) {
    return {{"time_window_minutes", asked.count()},
            {"covers_seconds", rounded(in.covers.count(), 1)},
            {"connection_metrics", connection_metrics(seen, in)},
            {"query_metrics", query_metrics(in)},
            {"recovery_metrics", recovery_metrics(seen, in, asked)}};
}

}  // namespace pgsteady::admin
