// Keeps retries from becoming the load (T27, recovery.md 2.11): a leaky bucket that statements fill and retries empty,
// and that forgets after ten seconds. Free of it: whatever was never sent (phase B), dials and probes.
// An empty budget means an error now; nobody waits for it. Pure; not thread-safe: its owner's thread alone.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/sliding_count.hpp"

#include <chrono>
#include <cstdint>

namespace pgsteady {

class retry_budget {
public:
    using time_point = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::seconds memory{10};

    /// `retry.budget` is the share of statements that may be retries, `retry.budget_reserve` what every second of
    /// `memory` adds to it. Both 0: no retries. `statements_so_far`: where the counter stands.
    retry_budget(const config::retry_settings& rules, time_point now, std::uint64_t statements_so_far = 0);

    /// Whether one more retry fits, which it then is. `statements_so_far` comes from a counter that only grows; it is read
    /// here and nowhere else, so the path of a statement pays nothing. What came since the last call is taken as
    /// having come evenly. A counter that has gone back is taken as a new one.
    [[nodiscard]] bool take(time_point now, std::uint64_t statements_so_far);

    void set_rules(const config::retry_settings& rules);

    [[nodiscard]] std::uint64_t refused_total() const { return refused_; }

private:
    double share_;
    std::uint32_t reserve_;
    sliding_count statements_{memory};
    sliding_count retries_{memory};
    std::uint64_t seen_;
    time_point seen_at_;
    std::uint64_t refused_ = 0;
};

}  // namespace pgsteady
