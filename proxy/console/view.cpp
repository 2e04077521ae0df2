// See view.hpp.
#include "proxy/console/view.hpp"

#include <algorithm>

namespace pgsteady {

console_totals& console_totals::operator+=(const console_totals& other) {
    transactions += other.transactions;
    requests += other.requests;
    bytes_in += other.bytes_in;
    bytes_out += other.bytes_out;
    attached_seconds += other.attached_seconds;
    executing_seconds += other.executing_seconds;
    wait_seconds += other.wait_seconds;
    waits += other.waits;
    return *this;
}

console_totals console_totals::since(const console_totals& earlier) const {
    const auto grown = [](double now, double before) { return std::max(now - before, 0.0); };
    return {grown(transactions, earlier.transactions),
            grown(requests, earlier.requests),
            grown(bytes_in, earlier.bytes_in),
            grown(bytes_out, earlier.bytes_out),
            grown(attached_seconds, earlier.attached_seconds),
            grown(executing_seconds, earlier.executing_seconds),
            grown(wait_seconds, earlier.wait_seconds),
            grown(waits, earlier.waits)};
}

totals_by_database totals_of(const admin::snapshot& now) {
    totals_by_database result;
    for (const admin::pool_status& pool : now.pools)
        result[pool.database] += {static_cast<double>(pool.transactions),
                                  static_cast<double>(pool.requests),
                                  static_cast<double>(pool.bytes_in),
                                  static_cast<double>(pool.bytes_out),
                                  pool.attached_seconds,
                                  pool.executing_seconds,
                                  pool.wait_seconds,
                                  static_cast<double>(pool.waits)};
    return result;
}

void console_averages::record(time_point at, totals_by_database totals) {
    if (!samples_.empty() && at - samples_.back().at < spacing) return;
    samples_.push_back({at, std::move(totals)});
    while (samples_.size() > 1 && at - samples_[1].at >= length) samples_.pop_front();
}

console_averages::window console_averages::since_oldest(time_point now, const totals_by_database& totals) const {
    window made;
    if (samples_.empty() || now <= samples_.front().at) return made;
    made.seconds = std::chrono::duration<double>(now - samples_.front().at).count();
    const totals_by_database& before = samples_.front().totals;
    for (const auto& [name, now_has] : totals) {
        const auto had = before.find(name);
        made.happened[name] = had == before.end() ? now_has : now_has.since(had->second);
    }
    return made;
}

}  // namespace pgsteady
