#include "admin/recent.hpp"

#include "admin/printable.hpp"

namespace pgsteady::admin {
namespace {

/// Totals of a pool that was dropped and made anew begin again.
[[nodiscard]] std::uint64_t increase(std::uint64_t before, std::uint64_t after) {
    return after >= before ? after - before : after;
}

}  // namespace

recent_window::sample recent_window::sample_of(time_point now, const snapshot& totals) {
    sample result;
    result.at = now;
    for (const operation_totals& each : totals.operations) {
        result.requests += each.count;
        if (each.status == "error") result.errors += each.count;
        result.timed += each.seconds.count();
        result.seconds += each.seconds.sum;
    }
    result.waits = {totals.wait_seconds.count(), totals.wait_seconds.sum};
    for (const pool_status& pool : totals.pools)
        result.pools[pool_name(pool.database, pool.user)] = {pool.waits, pool.wait_seconds};
    return result;
}

void recent_window::record(time_point now, const snapshot& totals) {
    if (!samples_.empty() && now - samples_.back().at < std::chrono::seconds(1)) return;
    samples_.push_back(sample_of(now, totals));
    while (samples_.size() > 1 && now - samples_[1].at >= length) samples_.pop_front();
}

const recent_window::sample& recent_window::base(time_point now) const {
    const sample* found = &zero_;
    for (const sample& each : samples_) {
        if (now - each.at < length) break;
        found = &each;
    }
    return *found;
}

double recent_window::mean_ms(const wait_totals& before, const wait_totals& after) {
    const std::uint64_t waits = increase(before.waits, after.waits);
    const double seconds = after.waits >= before.waits ? after.seconds - before.seconds : after.seconds;
    return waits == 0 || seconds < 0 ? 0 : seconds * 1000 / static_cast<double>(waits);
}

recent_means recent_window::means(time_point now, const snapshot& totals) const {
    const sample& before = base(now);
    const sample after = sample_of(now, totals);
    recent_means result;
    const std::uint64_t requests = increase(before.requests, after.requests);
    const std::uint64_t errors = increase(before.errors, after.errors);
    result.requests = requests;
    if (requests > 0 && errors <= requests)
        result.success_percent = 100.0 * static_cast<double>(requests - errors) / static_cast<double>(requests);
    result.execution_ms = mean_ms({before.timed, before.seconds}, {after.timed, after.seconds});
    result.wait_ms = mean_ms(before.waits, after.waits);
    for (const auto& [name, waits] : after.pools) {
        const auto earlier = before.pools.find(name);
        result.pool_wait_ms[name] = mean_ms(earlier == before.pools.end() ? wait_totals{} : earlier->second, waits);
    }
    return result;
}

}  // namespace pgsteady::admin
