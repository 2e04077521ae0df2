// How long to pause before an attempt, and how far retrying one statement may go: from the configuration, lowered by what
// the session has SET (`pgsteady.max_retries`, `.retry_strategy`, `.retry_timeout`; D4, D40). Says nothing about whether
// a statement may be retried at all. A pause is only slept when no event can wake us (recovery.md 2.11). Pure.
#pragma once

#include "config/config.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pgsteady {

/// The pause before retry number `attempt` (the first is 1; 0 counts as 1), by the strategy that applies to the
/// statement. With jitter it is drawn between 0 and its full length by `chance` from [0, 1). Never above max_delay,
/// however large the attempt (max_delay 0: never above a day, P51).
[[nodiscard]] std::chrono::microseconds retry_pause(const config::retry_settings& rules,
                                                    config::retry_strategy strategy, std::uint32_t attempt,
                                                    double chance);

/// What applies to one statement.
struct retry_limits {
    std::uint32_t max_retries = 0;  ///< after the first attempt
    config::retry_strategy strategy = config::retry_strategy::exponential_backoff;
    /// From the moment its server failed (D3). 0: no limit (P51).
    std::chrono::milliseconds timeout{0};

    bool operator==(const retry_limits&) const = default;
};

/// The session's own settings as the client wrote them; empty where it has set none.
struct retry_wishes {
    std::optional<std::string_view> max_retries;
    std::optional<std::string_view> strategy;
    std::optional<std::string_view> timeout;  ///< see parse_setting_duration()
};

/// Wishes lower the limits and never raise them (D40), only with retry.client_control, and not at all if they cannot be
/// understood. A strategy is no limit: any of the three is taken.
/// `hold_timeout`: the one clock for waiting (D3).
[[nodiscard]] retry_limits limits_of(const config::retry_settings& rules, std::chrono::milliseconds hold_timeout,
                                     const retry_wishes& wishes = {});

/// A duration as PostgreSQL reads one for a setting in milliseconds ("250", " 1.5 s", "2min"), rounded to the next
/// millisecond. nullopt: not a number, a negative one, an unknown unit, or more than PostgreSQL's 2147483647 ms.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_setting_duration(std::string_view text);

}  // namespace pgsteady
