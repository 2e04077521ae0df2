#include "admin/recoveries.hpp"

#include "admin/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsteady::admin {
namespace {

[[nodiscard]] std::uint64_t since(std::uint64_t before, std::uint64_t after) {
    return after >= before ? after - before : 0;
}

/// What an outage leads to may be told a moment after its end, and what announced it a moment before.
constexpr std::chrono::milliseconds belongs{1'000};

void add(std::string& to, std::uint64_t count, std::string_view one, std::string_view many) {
    if (count > 0) to += fmt::format("; {} {}", count, count == 1 ? one : many);
}

}  // namespace

std::chrono::duration<double> recovery::lasted(std::chrono::system_clock::time_point now) const {
    return std::max(std::chrono::duration<double>(0), std::chrono::duration<double>(ended.value_or(now) - began));
}

std::string told(const recovery& of) {
    std::string result = fmt::format("a primary after {:.1f} s", of.lasted(of.began).count());
    if (!of.how.empty()) result += ": " + of.how;
    add(result, of.repeated, "request was answered by another server", "requests were answered by another server");
    add(result, of.waited, "request waited and was served", "requests waited and were served");
    add(result, of.gave_up, "waited in vain", "waited in vain");
    add(result, of.told_to_retry, "transaction was told to retry", "transactions were told to retry");
    add(result, of.result_lost, "result was cut short", "results were cut short");
    add(result, of.statement_unknown, "statement is in doubt", "statements are in doubt");
    add(result, of.commit_unknown, "commit is in doubt", "commits are in doubt");
    return result;
}

recoveries::counts recoveries::counts_of(const snapshot& from) {
    return {.waited = count_of(from.holds, "served"),
            .gave_up = count_of(from.holds, "timed_out"),
            .repeated = count_of(from.retries, "answered"),
            .told_to_retry = count_of(from.replays, "transaction_lost"),
            .result_lost = count_of(from.retries, "result_lost"),
            .commit_unknown = count_of(from.in_doubt, "commit_unknown"),
            .statement_unknown = count_of(from.in_doubt, "statement_unknown"),
            .incidents = from.incidents_total};
}

std::string recoveries::incident_at(std::chrono::system_clock::time_point when) const {
    for (const recovery& each : all_)
        if (when >= each.began - belongs && (!each.ended || when <= *each.ended + belongs)) return each.incident;
    return {};
}

void recoveries::begin(const event_status& loss, const observation& seen) {
    recovery begun;
    begun.incident = fmt::format("outage-{}", ++number_);
    begun.began = loss.when;
    begun.what = loss.sentence;
    begun.clients = seen.now.clients;
    all_.push_front(std::move(begun));
    if (all_.size() > most) all_.pop_back();
    before_ = last_.value_or(counts{});
    counting_ = true;
}

void recoveries::count(const counts& now) {
    recovery& newest = all_.front();
    newest.waited = since(before_.waited, now.waited);
    newest.gave_up = since(before_.gave_up, now.gave_up);
    newest.repeated = since(before_.repeated, now.repeated);
    newest.told_to_retry = since(before_.told_to_retry, now.told_to_retry);
    newest.result_lost = since(before_.result_lost, now.result_lost);
    newest.commit_unknown = since(before_.commit_unknown, now.commit_unknown);
    newest.statement_unknown = since(before_.statement_unknown, now.statement_unknown);
    newest.incidents_total = since(before_.incidents, now.incidents);
}

/// Those of its time. Clients notice a loss before the monitor is sure of it, and what waited may fail after the end.
void recoveries::name_incidents(const snapshot& now) {
    recovery& newest = all_.front();
    for (const incident_status& each : now.incidents) {
        if (each.when < newest.began - settling || (newest.ended && each.when > *newest.ended + settling)) continue;
        auto& known = newest.incidents;
        if (std::find(known.begin(), known.end(), each.number) != known.end()) continue;
        known.push_back(each.number);
        if (known.size() > most_incidents) known.erase(known.begin());
    }
    newest.incidents_total = std::max<std::uint64_t>(newest.incidents_total, newest.incidents.size());
}

std::vector<recovery> recoveries::see(const observation& seen, const std::vector<event_status>& fresh) {
    const counts now = counts_of(seen.now);
    std::vector<recovery> over;
    for (const event_status& each : fresh) {
        const bool open = !all_.empty() && !all_.front().ended;
        if (each.name == "primary_lost" && !open) {
            if (counting_) {
                count(now);
                name_incidents(seen.now);
                over.push_back(all_.front());
            }
            begin(each, seen);
        }
        if ((each.name != "primary_found" && each.name != "primary_moved") || !open) continue;
        all_.front().ended = each.when;
        all_.front().how = each.sentence;
    }
    if (counting_) {
        count(now);
        name_incidents(seen.now);
        const auto& ended = all_.front().ended;
        if (ended && seen.taken_at - *ended >= settling) {
            counting_ = false;
            over.push_back(all_.front());
        }
    }
    last_ = now;
    return over;
}

}  // namespace pgsteady::admin
