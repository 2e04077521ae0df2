// What the console's tables are made of: one snapshot of the proxy, taken off the workers, as plain values.
// Holds no secret beyond the settings, whose secrets are never shown.
#pragma once

#include "config/config.hpp"

#include "admin/commands.hpp"
#include "admin/snapshot.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgsteady {

/// What a database's clients have done since start.
struct console_totals {
    double transactions = 0;
    double requests = 0;
    double bytes_in = 0;
    double bytes_out = 0;
    double attached_seconds = 0;
    double executing_seconds = 0;
    double wait_seconds = 0;
    double waits = 0;

    console_totals& operator+=(const console_totals& other);
    /// Counters never run backwards, but a pool may have been dropped and made again.
    [[nodiscard]] console_totals since(const console_totals& earlier) const;
};

using totals_by_database = std::map<std::string, console_totals>;
[[nodiscard]] totals_by_database totals_of(const admin::snapshot& now);

/// Samples of the totals, for means over the last minute. Bounded: one sample per `spacing`, for `length`.
class console_averages {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds length{60};
    static constexpr std::chrono::seconds spacing{10};

    /// Those that come sooner than `spacing` after the last one are left out.
    void record(time_point at, totals_by_database totals);
    /// What has happened since the oldest sample.
    struct window {
        double seconds = 0;  ///< 0: nothing to compare with
        totals_by_database happened{};
    };
    [[nodiscard]] window since_oldest(time_point now, const totals_by_database& totals) const;

private:
    struct sample {
        time_point at{};
        totals_by_database totals;
    };
    std::deque<sample> samples_;
};

struct console_view {
    admin::snapshot now{};
    std::vector<admin::session_status> clients{};  ///< for tables that show them; perhaps not all
    std::vector<admin::server_status> servers{};
    console_averages::window recent{};
    std::shared_ptr<const config::settings> settings{};  ///< never null
    std::chrono::system_clock::time_point taken_at{};
    std::uint32_t signing_in = 0;  ///< clients
    std::string listen_address{};
    std::uint16_t listen_port = 0;
};

}  // namespace pgsteady
