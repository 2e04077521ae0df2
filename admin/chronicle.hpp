// The chronicle: what the proxy has lived through, as far as the page tells it: the curves, the recoveries, the journal.
// It is shown every observation and makes of their differences what happened; it asks nobody. Lives on the admin thread.
#pragma once

#include "admin/alerts.hpp"
#include "admin/journal.hpp"
#include "admin/observer.hpp"
#include "admin/recoveries.hpp"
#include "admin/timeline.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

class chronicle {
public:
    /// So many incidents of one look get an entry each; of the others, one entry tells the number. An outage with
    /// thousands of clients must not drive everything else out of the journal.
    static constexpr std::size_t incidents_told_apart = 5;
    static constexpr std::size_t incidents_named = 20;

    /// Who wants to hear at once; may be absent. Called on the admin thread, within see() and the like.
    struct listeners {
        std::function<void(const journal_entry&)> entry;
        std::function<void(const moment&)> moment_completed;
    };

    void tell(listeners to) { to_ = std::move(to); }

    /// To be told of every observation.
    void see(timeline::time_point now, const observation& seen);
    void alert_began(const alert& which);
    void alert_over(const alert& which, std::chrono::system_clock::time_point until);
    /// An order that was carried out, as its audit line tells it.
    void command(std::chrono::system_clock::time_point when, std::string_view line);

    [[nodiscard]] const timeline& curves() const { return timeline_; }
    [[nodiscard]] const recoveries& outages() const { return recoveries_; }
    [[nodiscard]] const journal& entries() const { return journal_; }

private:
    [[nodiscard]] std::vector<event_status> fresh_of(const std::vector<event_status>& events);
    void tell_incidents(const snapshot& now);
    void tell_many(std::span<const incident_status* const> known, std::uint64_t count,
                   std::chrono::system_clock::time_point until);
    void add(journal_entry made);

    listeners to_;
    timeline timeline_;
    recoveries recoveries_;
    journal journal_;
    std::vector<event_status> known_;                    ///< the events of the last observation
    std::map<unsigned, std::uint64_t> known_incidents_;  ///< the last serial of each worker
};

}  // namespace pgsteady::admin
