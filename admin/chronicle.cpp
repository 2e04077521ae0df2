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

/// Serials rise, so one number per worker tells what is new, and how many were driven out before anybody looked.
void chronicle::tell_incidents(const snapshot& now) {
    std::vector<const incident_status*> fresh;
    std::map<unsigned, std::uint64_t> last = known_incidents_;
    std::uint64_t all = 0;
    for (const incident_status& each : now.incidents) {
        std::uint64_t& newest = last[each.worker];
        if (each.serial <= newest) continue;
        all += each.serial - newest;
        newest = each.serial;
        fresh.push_back(&each);
    }
    known_incidents_ = std::move(last);
    const std::span<const incident_status* const> those = fresh;
    const auto apart = those.last(std::min(those.size(), incidents_told_apart));
    if (all > apart.size())
        tell_many(those.first(those.size() - apart.size()), all - apart.size(), apart.front()->when);
    for (const incident_status* each : apart)
        add({.when = each->when,
             .kind = "incident",
             .level = alert_level::warning,
             .what = each->sentence,
             .incident = recoveries_.incident_at(each->when),
             .incidents = {each->number}});
}

/// One entry for all but the latest, of which some may not be `known` any more.
void chronicle::tell_many(std::span<const incident_status* const> known, std::uint64_t count,
                          std::chrono::system_clock::time_point until) {
    journal_entry many{.when = until,
                       .kind = "incidents",
                       .level = alert_level::warning,
                       .what = fmt::format("{} incidents more; the log has each", count),
                       .incident = recoveries_.incident_at(until)};
    for (const incident_status* each : known.last(std::min(known.size(), incidents_named)))
        many.incidents.push_back(each->number);
    add(std::move(many));
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
    tell_incidents(seen.now);
    for (const recovery& each : over)
        add({.when = seen.taken_at,
             .kind = "recovery",
             .what = told(each),
             .incident = each.incident,
             .incidents = each.incidents});
    if (timeline_.see(now, seen) && to_.moment_completed) to_.moment_completed(timeline_.moments().back());
}

void chronicle::alert_began(const alert& which) {
    add({.when = which.since,
         .kind = "alert",
         .level = which.level,
         .what = named(which) + ": " + which.advice,
         .incident = recoveries_.incident_at(which.since),
         .incidents = which.incidents});
}

void chronicle::alert_over(const alert& which, std::chrono::system_clock::time_point until) {
    add({.when = until,
         .kind = "alert_over",
         .what = named(which) + " is over",
         .incident = recoveries_.incident_at(until),
         .incidents = which.incidents});
}

void chronicle::command(std::chrono::system_clock::time_point when, std::string_view line) {
    add({.when = when, .kind = "command", .what = std::string(line), .incident = recoveries_.incident_at(when)});
}

}  // namespace pgsteady::admin
