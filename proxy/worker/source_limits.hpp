// How often, and how many at a time, one source address may have passwords tried on the servers (D38).
// Decides only; time is an argument. Thread-safe; touched when a password is tried, never per message. Memory is
// bounded: sources that have been quiet for a minute are forgotten, and beyond the cap strangers are refused.
#pragma once

#include "config/config.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace pgsteady {

class source_limits {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// 0 tries or 0 at a time: no limit.
    explicit source_limits(const config::passthrough_settings& rules) : rules_(rules) {}

    enum class answer : std::uint8_t { admitted, too_many_tries, too_many_at_once };
    /// Each `admitted` is followed by one ended() with the same source.
    [[nodiscard]] answer begin(const std::string& source, time_point now);
    void ended(const std::string& source);

    [[nodiscard]] std::size_t known() const;

    static constexpr std::size_t most_sources = 16'384;

private:
    struct entry {
        double tries = 0;  // falls by max_tries_per_minute in a minute
        time_point counted_at{};
        std::uint32_t at_once = 0;
    };
    void forget_quiet(time_point now);

    config::passthrough_settings rules_;
    mutable std::mutex mutex_;
    std::map<std::string, entry, std::less<>> sources_;
    time_point swept_at_{};
};

/// The part of a peer's address that names who it is: without the port, "unix" for any Unix socket.
[[nodiscard]] std::string source_of(std::string_view peer);

}  // namespace pgsteady
