#include "admin/chronicle.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pgsteady::admin {
namespace {

[[nodiscard]] bool same(const event_status& a, const event_status& b) {
    return a.when == b.when && a.name == b.name && a.sentence == b.sentence;
}

[[nodiscard]] std::string named(const alert& which) {
    return which.about.empty() ? which.name : which.name + ' ' + which.about;
}

}  // namespace

/// Those that the last observation did not have. Both lists are in the order of time; those of several clusters may
/// arrive a little late, so each is looked for among those of its moment.
std::vector<event_status> chronicle::fresh_of(const std::vector<event_status>& events) {
    std::vector<event_status> result;
    for (const event_status& each : events) {
        const auto earlier = [](const event_status& a, const event_status& b) { return a.when < b.when; };
        const auto [first, last] = std::equal_range(known_.begin(), known_.end(), each, earlier);
        if (std::none_of(first, last, [&each](const event_status& known) { return same(known, each); }))
            result.push_back(each);
    }
    known_ = events;
    return result;
}

void chronicle::add(journal_entry made) {
    const journal_entry& added = journal_.add(std::move(made));
    if (to_.entry) to_.entry(added);
}

void chronicle::see(timeline::time_point now, const observation& seen) {
    const std::vector<event_status> fresh = fresh_of(seen.now.events);
    const std::vector<recovery> over = recoveries_.see(seen, fresh);
    for (const event_status& each : fresh)
        add({.when = each.when,
             .kind = each.name,
             .level = each.warning ? alert_level::warning : alert_level::info,
             .what = each.sentence,
             .incident = recoveries_.incident_at(each.when)});
    for (const recovery& each : over)
        add({.when = seen.taken_at, .kind = "recovery", .what = told(each), .incident = each.incident});
    if (timeline_.see(now, seen) && to_.moment_completed) to_.moment_completed(timeline_.moments().back());
}

void chronicle::alert_began(const alert& which) {
    add({.when = which.since,
         .kind = "alert",
         .level = which.level,
         .what = named(which) + ": " + which.advice,
         .incident = recoveries_.incident_at(which.since)});
}

void chronicle::alert_over(const alert& which, std::chrono::system_clock::time_point until) {
    add({.when = until,
         .kind = "alert_over",
         .what = named(which) + " is over",
         .incident = recoveries_.incident_at(until)});
}

void chronicle::command(std::chrono::system_clock::time_point when, std::string_view line) {
    add({.when = when, .kind = "command", .what = std::string(line), .incident = recoveries_.incident_at(when)});
}

}  // namespace pgsteady::admin
