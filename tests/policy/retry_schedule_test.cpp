// Pauses between attempts, and limits that a session may lower.
#include "proxy/policy/retry_schedule.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <random>
#include <string>

using namespace pgsteady;
using namespace std::chrono_literals;
using enum config::retry_strategy;

namespace {

constexpr double all = 1.0;

config::retry_settings unjittered() {
    config::retry_settings rules;
    rules.jitter = false;
    return rules;
}

}  // namespace

TEST_CASE("D4: pauses grow from 50 ms to 5 s by the strategy's name") {
    struct row {
        config::retry_strategy strategy;
        std::uint32_t attempt;
        std::chrono::microseconds pause;
    };
    const row rows[] = {
        {exponential_backoff, 1, 50ms},   {exponential_backoff, 2, 100ms}, {exponential_backoff, 3, 200ms},
        {exponential_backoff, 7, 3200ms}, {exponential_backoff, 8, 5s},    {exponential_backoff, 0, 50ms},
        {linear_backoff, 1, 50ms},        {linear_backoff, 2, 100ms},      {linear_backoff, 3, 150ms},
        {linear_backoff, 100, 5s},        {linear_backoff, 101, 5s},       {linear_backoff, 0, 50ms},
        {fixed_delay, 1, 50ms},           {fixed_delay, 2, 50ms},          {fixed_delay, 1000, 50ms},
    };
    for (const row& each : rows) {
        CAPTURE(each.attempt);
        CHECK(retry_pause(unjittered(), each.strategy, each.attempt, 0.25) == each.pause);
        const config::retry_settings jittered;
        CHECK(retry_pause(jittered, each.strategy, each.attempt, 0.0) == 0us);
        CHECK(retry_pause(jittered, each.strategy, each.attempt, 0.25) == each.pause / 4);
        CHECK(retry_pause(jittered, each.strategy, each.attempt, all) == each.pause);
    }
}

TEST_CASE("other factors: 1 stays, 1.5 grows slower") {
    config::retry_settings rules = unjittered();
    rules.multiplier = 1;
    CHECK(retry_pause(rules, exponential_backoff, 50, all) == 50ms);
    rules.multiplier = 1.5;
    CHECK(retry_pause(rules, exponential_backoff, 3, all) == 112'500us);
}

TEST_CASE("property: no pause is negative or above max_delay, nor falls with the attempt, however large it is") {
    constexpr std::uint32_t largest = std::numeric_limits<std::uint32_t>::max();
    std::mt19937 draw(7);
    for (int round = 0; round < 2000; ++round) {
        config::retry_settings rules;
        rules.initial_delay = std::chrono::milliseconds{draw() % 3'600'001};
        rules.max_delay = std::chrono::milliseconds{draw() % 2 == 0 ? draw() % 3'600'001 : draw() % 100};
        rules.multiplier = 1 + static_cast<double>(draw() % 9901) / 100;
        rules.jitter = false;
        const auto cap = rules.max_delay.count() > 0 ? rules.max_delay : 24h;
        for (const auto strategy : {exponential_backoff, linear_backoff, fixed_delay}) {
            std::chrono::microseconds before{0};
            for (const std::uint32_t attempt : {0U, 1U, 2U, 3U, 10U, 64U, 1000U, 1U << 31U, largest}) {
                const auto pause = retry_pause(rules, strategy, attempt, all);
                CHECK(pause >= before);
                CHECK(pause <= cap);
                before = pause;
            }
        }
        rules.jitter = true;
        const double chance = static_cast<double>(draw() % 1000) / 1000;
        CHECK(retry_pause(rules, exponential_backoff, largest, chance) <= cap);
        CHECK(retry_pause(rules, exponential_backoff, largest, -1) == 0us);
        CHECK(retry_pause(rules, exponential_backoff, largest, 9) <= cap);
    }
    config::retry_settings none = unjittered();
    none.initial_delay = 0ms;
    CHECK(retry_pause(none, exponential_backoff, largest, all) == 0us);  // 0 times infinity
}

TEST_CASE("the configuration's limits apply when the session wishes nothing") {
    config::retry_settings rules;
    rules.strategy = linear_backoff;
    CHECK(limits_of(rules, 30s) == retry_limits{3, linear_backoff, 30s});
}

TEST_CASE("D40: a session lowers its limits and never raises them") {
    struct row {
        const char* retries;
        const char* timeout;
        std::uint32_t max_retries;
        std::chrono::milliseconds limit;
    };
    const row rows[] = {
        {"0", "5s", 0, 5s},
        {"2", "1", 2, 1ms},
        {"3", "30s", 3, 30s},
        {"4", "31s", 3, 30s},
        {" 1 ", " 2 s ", 1, 2s},
        {"-1", "-5s", 3, 30s},
        {"", "", 3, 30s},
        {"many", "soon", 3, 30s},
        {"1.5", "1.5s", 3, 1500ms},
        {"1x", "5 parsecs", 3, 30s},
        {"99999999999", "9999999999999s", 3, 30s},
        {"2", "0", 2, 30s},
        {"2", "2min", 2, 30s},
        {"+1", "+1s", 3, 30s},
    };
    const config::retry_settings rules;
    for (const row& each : rows) {
        CAPTURE(std::string(each.retries));
        CAPTURE(std::string(each.timeout));
        const retry_limits limits = limits_of(rules, 30s, {each.retries, std::nullopt, each.timeout});
        CHECK(limits.max_retries == each.max_retries);
        CHECK(limits.timeout == each.limit);
        CHECK(limits.strategy == exponential_backoff);
    }
}

TEST_CASE("P51: without a limit on waiting a session may set one") {
    CHECK(limits_of({}, 0ms, {std::nullopt, std::nullopt, "2min"}).timeout == 2min);
    CHECK(limits_of({}, 0ms, {std::nullopt, std::nullopt, "0"}).timeout == 0ms);
    CHECK(limits_of({}, 0ms, {std::nullopt, std::nullopt, "?"}).timeout == 0ms);
}

TEST_CASE("a session chooses a strategy by its name, in any case; other words are ignored") {
    const auto chosen = [](std::string_view name) {
        return limits_of({}, 30s, {std::nullopt, name, std::nullopt}).strategy;
    };
    CHECK(chosen("linear_backoff") == linear_backoff);
    CHECK(chosen("Fixed_Delay") == fixed_delay);
    CHECK(chosen(" exponential_backoff ") == exponential_backoff);
    CHECK(chosen("quadratic") == exponential_backoff);
    CHECK(chosen("") == exponential_backoff);
    CHECK(chosen(std::string(1 << 20, 'f')) == exponential_backoff);
}

TEST_CASE("without retry.client_control wishes are not heard") {
    config::retry_settings rules;
    rules.client_control = false;
    CHECK(limits_of(rules, 30s, {"0", "fixed_delay", "1s"}) == limits_of(rules, 30s));
}

TEST_CASE("durations of settings are read as PostgreSQL reads them") {
    struct row {
        const char* text;
        std::optional<std::chrono::milliseconds> value;
    };
    const row rows[] = {
        {"0", 0ms},
        {"250", 250ms},
        {"250ms", 250ms},
        {"5s", 5s},
        {"2min", 2min},
        {"1h", 1h},
        {"1d", 24h},
        {"1500us", 2ms},
        {"1us", 1ms},
        {"1.5s", 1500ms},
        {".5s", 500ms},
        {"\t7 s\n", 7s},
        {"2147483647", 2147483647ms},
        {"2147483648", std::nullopt},
        {"25d", std::nullopt},
        {"", std::nullopt},
        {" ", std::nullopt},
        {"s", std::nullopt},
        {"5S", std::nullopt},
        {"5 m", std::nullopt},
        {"-1", std::nullopt},
        {"inf", std::nullopt},
        {"nan", std::nullopt},
        {"1e3", std::nullopt},
        {"0x10", std::nullopt},
        {"5s 5s", std::nullopt},
        {".", std::nullopt},
    };
    for (const row& each : rows) {
        CAPTURE(std::string(each.text));
        CHECK(parse_setting_duration(each.text) == each.value);
    }
    CHECK_FALSE(parse_setting_duration(std::string(100'000, '9')).has_value());
    CHECK_FALSE(parse_setting_duration(std::string_view("5s\0", 3)).has_value());
}
