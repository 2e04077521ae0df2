// See retry_schedule.hpp.
#include "proxy/policy/retry_schedule.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace pgsteady {

namespace {

using std::chrono::milliseconds;

constexpr double longest_pause_ms = 86'400'000;  // without max_delay
constexpr double largest_setting = 2'147'483'647;

constexpr std::array<std::pair<std::string_view, config::retry_strategy>, 3> strategies{{
    {"exponential_backoff", config::retry_strategy::exponential_backoff},
    {"linear_backoff", config::retry_strategy::linear_backoff},
    {"fixed_delay", config::retry_strategy::fixed_delay},
}};

constexpr std::array<std::pair<std::string_view, double>, 7> milliseconds_in{{
    {"", 1},
    {"us", 1e-3},
    {"ms", 1},
    {"s", 1e3},
    {"min", 60e3},
    {"h", 3'600e3},
    {"d", 86'400e3},
}};

std::string_view without_spaces(std::string_view text) {
    constexpr std::string_view spaces = " \t\n\v\f\r";
    const std::size_t first = text.find_first_not_of(spaces);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(spaces) - first + 1);
}

std::optional<std::uint32_t> parse_count(std::string_view text) {
    text = without_spaces(text);
    std::uint32_t count = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return count;
}

std::optional<config::retry_strategy> parse_strategy(std::string_view text) {
    // PostgreSQL's own enums are found without regard to case, too.
    std::string lower(without_spaces(text).substr(0, 32));
    for (char& letter : lower)
        if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    const auto* const found = std::ranges::find(strategies, std::string_view(lower),
                                                &std::pair<std::string_view, config::retry_strategy>::first);
    if (found == strategies.end()) return std::nullopt;
    return found->second;
}

// Before jitter and cap, in milliseconds; may be infinite.
double full_length(const config::retry_settings& rules, config::retry_strategy strategy, double retries_before) {
    const auto initial = static_cast<double>(rules.initial_delay.count());
    switch (strategy) {
        case config::retry_strategy::exponential_backoff: return initial * std::pow(rules.multiplier, retries_before);
        case config::retry_strategy::linear_backoff: return initial * (retries_before + 1);
        case config::retry_strategy::fixed_delay: return initial;
    }
    return initial;
}

}  // namespace

std::chrono::microseconds retry_pause(const config::retry_settings& rules, config::retry_strategy strategy,
                                      std::uint32_t attempt, double chance) {
    if (rules.initial_delay.count() <= 0) return {};  // 0 times infinity is no number
    const double cap = rules.max_delay.count() > 0 ? static_cast<double>(rules.max_delay.count()) : longest_pause_ms;
    const double length = std::min(cap, full_length(rules, strategy, attempt > 0 ? attempt - 1 : 0));
    const double drawn = rules.jitter ? length * std::clamp(chance, 0.0, 1.0) : length;
    return std::chrono::microseconds{static_cast<std::int64_t>(drawn * 1e3)};
}

retry_limits limits_of(const config::retry_settings& rules, milliseconds hold_timeout, const retry_wishes& wishes) {
    retry_limits limits{rules.max_retries, rules.strategy, hold_timeout};
    if (!rules.client_control) return limits;
    if (wishes.max_retries)
        limits.max_retries = std::min(limits.max_retries, parse_count(*wishes.max_retries).value_or(UINT32_MAX));
    if (wishes.strategy) limits.strategy = parse_strategy(*wishes.strategy).value_or(limits.strategy);
    if (wishes.timeout) {
        const milliseconds wished = parse_setting_duration(*wishes.timeout).value_or(milliseconds{0});
        const bool lower = limits.timeout.count() <= 0 || wished < limits.timeout;
        if (wished.count() > 0 && lower) limits.timeout = wished;  // 0 would be no limit at all
    }
    return limits;
}

std::optional<milliseconds> parse_setting_duration(std::string_view text) {
    text = without_spaces(text);
    // from_chars would also take "inf" and "nan".
    if (text.empty() || !((text[0] >= '0' && text[0] <= '9') || text[0] == '.')) return std::nullopt;
    double number = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (problem != std::errc{}) return std::nullopt;
    const std::string_view name = without_spaces(text.substr(static_cast<std::size_t>(end - text.data())));
    const auto* const unit = std::ranges::find(milliseconds_in, name, &std::pair<std::string_view, double>::first);
    if (unit == milliseconds_in.end()) return std::nullopt;
    const double length = std::ceil(number * unit->second);
    if (length > largest_setting) return std::nullopt;
    return milliseconds{static_cast<std::int64_t>(length)};
}

}  // namespace pgsteady
