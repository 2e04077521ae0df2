// Recoveries: outages of a primary as one story each: what happened, how long it took, what clients noticed of it.
// Made from the cluster's events and from what was counted meanwhile; never asks anybody. Time comes with the
// observation. The number that is kept is bounded. Lives on the admin thread.
#pragma once

#include "admin/observer.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady::admin {

struct recovery {
    std::string incident;  ///< what its events are known under
    std::chrono::system_clock::time_point began{};
    std::optional<std::chrono::system_clock::time_point> ended{};  ///< absent: it is under way
    std::string what{};                                            ///< was lost, and why
    std::string how{};                                             ///< it ended
    std::uint64_t clients = 0;                                     ///< connected when it was noticed
    std::uint64_t waited = 0;                                      ///< requests that were held, and then served
    std::uint64_t gave_up = 0;                                     ///< that were held in vain
    std::uint64_t repeated = 0;            ///< requests that had been sent and were answered by another server
    std::uint64_t told_to_retry = 0;       ///< transactions that ended in 40001
    std::uint64_t result_lost = 0;         ///< reads that ended in 08006
    std::uint64_t commit_unknown = 0;      ///< 08007
    std::uint64_t statement_unknown = 0;   ///< 40003
    std::uint64_t incidents_total = 0;     ///< failures that clients met
    std::vector<std::string> incidents{};  ///< the numbers of the latest of them, as clients and the log have them

    /// So far, while it is under way. Never negative.
    [[nodiscard]] std::chrono::duration<double> lasted(std::chrono::system_clock::time_point now) const;
};

class recoveries {
public:
    static constexpr std::size_t most = 50;
    static constexpr std::size_t most_incidents = 20;  ///< that one recovery names
    /// What waited is answered in a ramp; so long after the end is counted on.
    static constexpr std::chrono::seconds settling{3};

    /// To be told of every observation, with the events of it that are new. Those that are over since the last call.
    std::vector<recovery> see(const observation& seen, const std::vector<event_status>& fresh);

    /// The latest first.
    [[nodiscard]] const std::deque<recovery>& all() const { return all_; }
    /// The incident that something belongs to which happened at this moment; empty: to none.
    [[nodiscard]] std::string incident_at(std::chrono::system_clock::time_point when) const;

private:
    struct counts {
        std::uint64_t waited = 0;
        std::uint64_t gave_up = 0;
        std::uint64_t repeated = 0;
        std::uint64_t told_to_retry = 0;
        std::uint64_t result_lost = 0;
        std::uint64_t commit_unknown = 0;
        std::uint64_t statement_unknown = 0;
        std::uint64_t incidents = 0;
    };
    [[nodiscard]] static counts counts_of(const snapshot& from);
    void begin(const event_status& loss, const observation& seen);
    void count(const counts& now);
    void name_incidents(const snapshot& now);

    std::deque<recovery> all_;
    std::uint64_t number_ = 0;
    counts before_;  ///< at the observation before the newest recovery began
    std::optional<counts> last_;
    bool counting_ = false;
};

/// One sentence for people: how long, and what clients noticed.
[[nodiscard]] std::string told(const recovery& of);

}  // namespace pgsteady::admin
