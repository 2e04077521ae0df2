#include "admin/timeline.hpp"

#include "admin/history.hpp"

#include <algorithm>

namespace pgsteady::admin {
namespace {

/// Totals never shrink while a process lives; one that does is taken for new.
[[nodiscard]] std::uint64_t since(std::uint64_t before, std::uint64_t after) {
    return after >= before ? after - before : after;
}

[[nodiscard]] histogram since(const histogram& before, const histogram& after) {
    histogram result = after;
    if (before.buckets.size() != after.buckets.size()) return result;
    for (std::size_t at = 0; at < after.buckets.size(); ++at)
        result.buckets[at] = since(before.buckets[at], after.buckets[at]);
    return result;
}

}  // namespace

void add_histogram(histogram& to, const histogram& more) {
    if (to.buckets.empty()) {
        to = more;
        return;
    }
    if (to.buckets.size() != more.buckets.size()) return;
    for (std::size_t at = 0; at < to.buckets.size(); ++at) to.buckets[at] += more.buckets[at];
    to.sum += more.sum;
}

std::uint64_t count_of(const std::vector<outcome_total>& among, std::string_view outcome) {
    const auto found = std::find_if(among.begin(), among.end(),
                                    [outcome](const outcome_total& each) { return each.outcome == outcome; });
    return found == among.end() ? 0 : found->count;
}

timeline::totals timeline::totals_of(const snapshot& from) {
    totals result;
    for (const operation_totals& each : from.operations) {
        result.requests += each.count;
        if (each.status == "error") result.errors += each.count;
        if (!each.seconds.buckets.empty()) add_histogram(result.seconds, each.seconds);
    }
    result.repeated = count_of(from.retries, "answered");
    result.interrupted = count_of(from.retries, "result_lost") + count_of(from.replays, "transaction_lost") +
                         count_of(from.in_doubt, "commit_unknown") + count_of(from.in_doubt, "statement_unknown");
    return result;
}

void timeline::describe_current(time_point now, const observation& seen, const totals& after) {
    const histogram took = since(base_->seconds, after.seconds);
    current_.at = seen.taken_at;
    current_.lasted = now - began_;
    current_.requests = since(base_->requests, after.requests);
    current_.errors = since(base_->errors, after.errors);
    current_.repeated = since(base_->repeated, after.repeated);
    current_.interrupted = since(base_->interrupted, after.interrupted);
    current_.p50 = percentile(took, 0.50);
    current_.p95 = percentile(took, 0.95);
    current_.p99 = percentile(took, 0.99);
    current_.clients = seen.now.clients;
    current_.active = 0;
    current_.waiting = 0;
    for (const pool_status& each : seen.now.pools) {
        current_.active += each.active;
        current_.waiting += each.waiting;
    }
    current_.mode = std::max(current_.mode, seen.now.mode);
}

bool timeline::see(time_point now, const observation& seen) {
    totals after = totals_of(seen.now);
    if (!base_) {
        base_ = std::move(after);
        began_ = now;
        describe_current(now, seen, *base_);
        return false;
    }
    describe_current(now, seen, after);
    if (now - began_ < spacing) return false;
    moments_.push_back(current_);
    if (moments_.size() > most) moments_.pop_front();
    base_ = std::move(after);
    began_ = now;
    current_ = moment{.at = seen.taken_at,
                      .clients = current_.clients,
                      .active = current_.active,
                      .waiting = current_.waiting,
                      .mode = seen.now.mode};
    return true;
}

}  // namespace pgsteady::admin
