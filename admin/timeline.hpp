// The last hour as a row of moments of five seconds each: what the page draws its curves from.
// Differences of totals; time is an argument; memory is bounded by the number of moments. Lives on the admin thread.
#pragma once

#include "admin/observer.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

namespace pgsteady::admin {

/// What happened in one interval, and how things stood at its end.
struct moment {
    std::chrono::system_clock::time_point at{};  ///< its end
    std::chrono::duration<double> lasted{0};
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::uint64_t repeated = 0;     ///< requests that were answered after they had been sent again
    std::uint64_t interrupted = 0;  ///< clients that were told what became of a request: lost or unknown
    std::optional<double> p50{};    ///< seconds; absent: no request ended
    std::optional<double> p95{};
    std::optional<double> p99{};
    std::uint64_t clients = 0;
    std::uint64_t active = 0;  ///< server connections that work for somebody
    std::uint64_t waiting = 0;
    service_mode mode = service_mode::normal;  ///< the worst that was seen in it
};

class timeline {
public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::seconds spacing{5};
    static constexpr std::size_t most = 720;

    /// To be told of every observation. True: a moment has been completed.
    bool see(time_point now, const observation& seen);

    /// The oldest first.
    [[nodiscard]] const std::deque<moment>& moments() const { return moments_; }
    /// The one that is not complete yet.
    [[nodiscard]] const moment& current() const { return current_; }

private:
    struct totals {
        std::uint64_t requests = 0;
        std::uint64_t errors = 0;
        std::uint64_t repeated = 0;
        std::uint64_t interrupted = 0;
        histogram seconds;
    };
    [[nodiscard]] static totals totals_of(const snapshot& from);
    void describe_current(time_point now, const observation& seen, const totals& after);

    std::deque<moment> moments_;
    moment current_;
    std::optional<totals> base_;  ///< as they were when the current moment began
    time_point began_{};
};

/// Adds bucket by bucket; what has other bounds is left out.
void add_histogram(histogram& to, const histogram& more);

/// The count of an outcome among several; 0 when it is not there.
[[nodiscard]] std::uint64_t count_of(const std::vector<outcome_total>& among, std::string_view outcome);

}  // namespace pgsteady::admin
