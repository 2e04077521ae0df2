// What happened in the last minutes, up to an hour: differences of totals that were sampled every few seconds.
// Time is an argument; memory is bounded by the number of samples. Lives on the admin thread.
#pragma once

#include "admin/snapshot.hpp"

#include <chrono>
#include <deque>
#include <optional>
#include <vector>

namespace pgsteady::admin {

/// The totals of a window: as in a snapshot, but counted from its beginning.
struct window_totals {
    std::chrono::duration<double> covers{0};  ///< shorter than asked for while the process is young
    counter_totals totals;
    std::vector<operation_totals> operations;
    histogram wait_seconds;
    histogram connect_seconds;
    std::vector<outcome_total> retries;
    std::uint64_t breaker_trips = 0;
};

class history {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::minutes longest{60};
    static constexpr std::chrono::seconds spacing{5};

    /// Samples closer together than the spacing are left out.
    void record(time_point now, const snapshot& taken);
    /// From `length` ago (at most an hour), or from the start, until `taken` at `now`.
    [[nodiscard]] window_totals window(time_point now, const snapshot& taken, std::chrono::minutes length) const;

private:
    struct sample {
        time_point at{};
        counter_totals totals;
        std::vector<operation_totals> operations;
        histogram wait_seconds;
        histogram connect_seconds;
        std::vector<outcome_total> retries;
        std::uint64_t breaker_trips = 0;
    };

    std::deque<sample> samples_;
};

/// The duration that so large a share of the observed ones does not exceed, interpolated within its bucket, in seconds;
/// nothing when there are none. Beyond the last bound it is that bound.
[[nodiscard]] std::optional<double> percentile(const histogram& of, double share);

}  // namespace pgsteady::admin
