// Means of the last minute, from samples of the totals. Time is an argument; memory is bounded by one minute of
// samples. A process younger than a minute shows the mean since its start.
#pragma once

#include "admin/snapshot.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

namespace pgsteady::admin {

/// What happened in the last minute.
struct recent_means {
    double success_percent = 100;  ///< 100 when there was no request
    std::uint64_t requests = 0;
    double execution_ms = 0;                     ///< mean
    double wait_ms = 0;                          ///< mean wait of those requests that had to wait, over all pools
    std::map<std::string, double> pool_wait_ms;  ///< the same by pool_name()
};

class recent_window {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds length{60};

    /// Samples closer together than a second are left out.
    void record(time_point now, const snapshot& totals);
    [[nodiscard]] recent_means means(time_point now, const snapshot& totals) const;

private:
    struct wait_totals {
        std::uint64_t waits = 0;
        double seconds = 0;
    };
    struct sample {
        time_point at{};
        std::uint64_t requests = 0;
        std::uint64_t errors = 0;
        std::uint64_t timed = 0;  ///< requests whose duration is known
        double seconds = 0;
        wait_totals waits;
        std::map<std::string, wait_totals> pools;
    };
    [[nodiscard]] static sample sample_of(time_point now, const snapshot& totals);
    [[nodiscard]] static double mean_ms(const wait_totals& before, const wait_totals& after);
    [[nodiscard]] const sample& base(time_point now) const;

    std::deque<sample> samples_;  ///< the first one is the base: the youngest that is a minute old, if any is
    sample zero_;
};

}  // namespace pgsteady::admin
