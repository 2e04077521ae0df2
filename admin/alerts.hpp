// Alerts (product.md section 5): what is wrong right now, since when, how bad, and what to do about it.
// Each has two thresholds, so that a value that trembles about one of them raises one alert and not a hundred.
// Time is an argument; the number of alerts and of resolved ones that are kept is bounded. Lives on the admin thread.
#pragma once

#include "admin/observer.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

enum class alert_level : std::uint8_t { critical, warning, info };
[[nodiscard]] std::string_view to_string(alert_level level);

struct alert {
    std::string name;   ///< connection_failures, circuit_breaker_open, …
    std::string about;  ///< a pool, a backend; empty: all
    alert_level level = alert_level::warning;
    double value = 0;  ///< as last seen
    double threshold = 0;
    std::string advice;
    std::chrono::system_clock::time_point since{};
    std::chrono::system_clock::time_point until{};  ///< of a resolved one
    std::vector<std::string> incidents{};           ///< the latest that clients met meanwhile
};

/// From these values on an alert is raised; `clear` is where it ends.
struct alert_thresholds {
    double failures = 3;  ///< consecutive; ends at 0
    double saturation = 0.80;
    double saturation_clear = 0.70;
    double success_percent = 95;
    double success_clear = 97;
    std::uint64_t success_least = 20;  ///< requests of the last minute below which a rate says nothing
    double lag_seconds = 30;
    double lag_clear = 15;
    double certificate_days = 14;  ///< before a certificate expires
};

class alerts {
public:
    static constexpr std::size_t most_active = 500;
    static constexpr std::size_t most_resolved = 100;
    static constexpr std::size_t most_incidents = 5;
    /// What clients meet precedes the alert that it leads to by a sample of the totals and a look of the monitor.
    static constexpr std::chrono::seconds precedes{10};

    explicit alerts(const alert_thresholds& from = {}) : limits_(from) {}

    void judge(const observation& seen);

    /// The worst first.
    [[nodiscard]] std::vector<alert> active() const;
    /// The latest first.
    [[nodiscard]] const std::deque<alert>& resolved() const { return resolved_; }

private:
    /// Of an alert about what clients notice; the others have none.
    static void add_incidents(alert& to, const observation& seen);
    /// `raise` and `keep`: the condition to begin and to go on.
    void see(const observation& seen, alert what, bool raise, bool keep);
    void judge_service(const observation& seen);
    void judge_requests(const observation& seen);
    void judge_configuration(const observation& seen);
    void judge_pools(const observation& seen);
    void judge_backends(const observation& seen);

    alert_thresholds limits_;
    std::map<std::string, alert> active_;  // by name and what it is about
    std::map<std::string, bool> seen_;     // of this judgement: what was not seen is over
    std::deque<alert> resolved_;
};

}  // namespace pgsteady::admin
