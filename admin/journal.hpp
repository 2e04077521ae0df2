// The journal: what happened, numbered, in the order in which it was told: changes of mode and role, breakers, alerts,
// recoveries, commands. The page shows it and the event stream sends it.
// Sentences may hold names that others chose; they are made printable when they enter. Bounded. Lives on the admin thread.
#pragma once

#include "admin/alerts.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

struct journal_entry {
    std::uint64_t id = 0;  ///< from 1, without gaps
    std::chrono::system_clock::time_point when{};
    std::string
        kind;  ///< the event's name (primary_lost, …), alert, alert_over, recovery, command, incident, incidents
    alert_level level = alert_level::info;
    std::string what;                      ///< a sentence
    std::string incident{};                ///< the outage that it belongs to; empty: to none
    std::vector<std::string> incidents{};  ///< failures that clients met, under the numbers that they have; bounded
};

class journal {
public:
    static constexpr std::size_t most = 300;

    /// `id` is set here. The entry is valid until the next call.
    const journal_entry& add(journal_entry made);

    /// The oldest first.
    [[nodiscard]] const std::deque<journal_entry>& entries() const { return entries_; }

private:
    std::deque<journal_entry> entries_;
    std::uint64_t last_ = 0;
};

}  // namespace pgsteady::admin
