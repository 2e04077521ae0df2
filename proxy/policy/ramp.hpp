// How fast new work is let go after an outage (D4, T26): so many dials in the first 100 ms, twice as many in the next, and
// so on, until the limit no longer means anything. Without an outage there is no limit. Pure; not thread-safe:
// its owner's thread alone (a ramp that several workers share is split: each gets its part of `first`).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace pgsteady {

class ramp {
public:
    using time_point = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::milliseconds step{100};
    /// After so many steps it is over: the last one lets 2^9 times `first` go, 16384 in 100 ms by default.
    static constexpr std::uint32_t steps = 10;
    static constexpr std::uint32_t unlimited = UINT32_MAX;

    /// `first`: how many in the first step (hold.ramp). 0: no ramp (P51).
    explicit ramp(std::uint32_t first) : first_(first) {}

    /// A host is back. While a ramp runs already, nothing changes.
    void begin(time_point now);
    /// A failure that counts against the host: a running ramp falls back to `first` and does not grow in this step, so that
    /// a host which keeps failing is dialled `first` times per step. Conflicts and the like do not slow it.
    void failed(time_point now);
    /// How many more may start now; `unlimited` when no ramp runs. What one step leaves over is not saved up.
    [[nodiscard]] std::uint32_t may_start(time_point now);
    void started(time_point now, std::uint32_t count = 1);
    /// When more may start. Empty: no ramp runs.
    [[nodiscard]] std::optional<time_point> next_step(time_point now);

private:
    void advance(time_point now);

    std::uint32_t first_;
    bool running_ = false;
    bool failed_in_step_ = false;
    time_point step_began_{};
    std::uint32_t step_number_ = 0;
    std::uint32_t started_ = 0;  // in this step
};

}  // namespace pgsteady
