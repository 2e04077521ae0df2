#include "admin/history.hpp"

#include <algorithm>

namespace pgsteady::admin {
namespace {

/// Totals never shrink while a process lives; one that does is taken for new.
[[nodiscard]] std::uint64_t since(std::uint64_t before, std::uint64_t after) {
    return after >= before ? after - before : after;
}

[[nodiscard]] histogram since(const histogram& before, const histogram& after) {
    if (before.buckets.size() != after.buckets.size()) return after;
    histogram result = after;
    for (std::size_t at = 0; at < after.buckets.size(); ++at)
        result.buckets[at] = since(before.buckets[at], after.buckets[at]);
    result.sum = std::max(0.0, after.sum - before.sum);
    return result;
}

constexpr std::uint64_t counter_totals::*counters[] = {&counter_totals::clients_accepted,
                                                       &counter_totals::clients_closed,
                                                       &counter_totals::clients_refused,
                                                       &counter_totals::logins_succeeded,
                                                       &counter_totals::logins_failed,
                                                       &counter_totals::client_bytes_in,
                                                       &counter_totals::client_bytes_out,
                                                       &counter_totals::server_bytes_in,
                                                       &counter_totals::server_bytes_out,
                                                       &counter_totals::servers_opened,
                                                       &counter_totals::servers_closed,
                                                       &counter_totals::servers_lost,
                                                       &counter_totals::dials_failed,
                                                       &counter_totals::checkouts,
                                                       &counter_totals::checkins,
                                                       &counter_totals::waits,
                                                       &counter_totals::wait_timeouts,
                                                       &counter_totals::cancels_received,
                                                       &counter_totals::cancels_forwarded,
                                                       &counter_totals::restores,
                                                       &counter_totals::pins};
static_assert(std::size(counters) * sizeof(std::uint64_t) == sizeof(counter_totals), "a counter is missing here");

[[nodiscard]] counter_totals since(const counter_totals& before, const counter_totals& after) {
    counter_totals result;
    for (const auto each : counters) result.*each = since(before.*each, after.*each);
    return result;
}

[[nodiscard]] std::vector<operation_totals> since(const std::vector<operation_totals>& before,
                                                  const std::vector<operation_totals>& after) {
    std::vector<operation_totals> result = after;
    for (operation_totals& each : result) {
        const auto same = std::find_if(before.begin(), before.end(), [&each](const operation_totals& other) {
            return other.operation == each.operation && other.status == each.status;
        });
        if (same == before.end()) continue;
        each.count = since(same->count, each.count);
        each.seconds = since(same->seconds, each.seconds);
    }
    return result;
}

[[nodiscard]] std::vector<outcome_total> since(const std::vector<outcome_total>& before,
                                               const std::vector<outcome_total>& after) {
    std::vector<outcome_total> result = after;
    for (outcome_total& each : result)
        for (const outcome_total& other : before)
            if (other.outcome == each.outcome) each.count = since(other.count, each.count);
    return result;
}

}  // namespace

void history::record(time_point now, const snapshot& taken) {
    // A worker that did not answer is missing from the pools alone; the totals are read from its counters directly.
    if (!samples_.empty() && now - samples_.back().at < spacing) return;
    samples_.push_back({now, taken.totals, taken.operations, taken.wait_seconds, taken.connect_seconds, taken.retries,
                        taken.breaker.trips_total});
    while (samples_.size() > 1 && now - samples_[1].at >= longest) samples_.pop_front();
}

window_totals history::window(time_point now, const snapshot& taken, std::chrono::minutes length) const {
    static const sample zero;
    const sample* base = nullptr;  // the youngest that is old enough
    for (const sample& each : samples_) {
        if (now - each.at < std::min<std::chrono::minutes>(length, longest)) break;
        base = &each;
    }
    const sample& from = base != nullptr ? *base : zero;
    window_totals result;
    result.covers =
        base != nullptr ? std::chrono::duration<double>(now - base->at) : std::chrono::duration<double>(taken.uptime);
    result.totals = since(from.totals, taken.totals);
    result.operations = since(from.operations, taken.operations);
    result.wait_seconds = since(from.wait_seconds, taken.wait_seconds);
    result.connect_seconds = since(from.connect_seconds, taken.connect_seconds);
    result.retries = since(from.retries, taken.retries);
    result.breaker_trips = since(from.breaker_trips, taken.breaker.trips_total);
    return result;
}

std::optional<double> percentile(const histogram& of, double share) {
    const std::uint64_t count = of.buckets.size() == of.bounds.size() + 1 ? of.count() : 0;
    if (count == 0 || of.bounds.empty()) return std::nullopt;
    const double wanted = share * static_cast<double>(count);
    double passed = 0;
    for (std::size_t at = 0; at < of.bounds.size(); ++at) {
        const auto here = static_cast<double>(of.buckets[at]);
        if (here > 0 && passed + here >= wanted) {
            const double low = at == 0 ? 0 : of.bounds[at - 1];
            return low + (of.bounds[at] - low) * std::max(0.0, wanted - passed) / here;
        }
        passed += here;
    }
    return of.bounds.back();
}

}  // namespace pgsteady::admin
