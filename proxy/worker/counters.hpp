// Counters of one worker: written by that worker alone with relaxed stores, read by the admin thread.
// No lock, no shared cache line between workers, nothing to allocate (D41).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pgsteady {

/// One writer, many readers.
class counter {
public:
    void add(std::uint64_t amount = 1) {
        value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// Durations in buckets from 10 µs to 60 s; the last bucket takes everything longer.
class duration_histogram {
public:
    static constexpr std::array<double, 21> bounds_seconds{1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
                                                           2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1,
                                                           5e-1, 1, 2.5, 5, 10, 30, 60};

    void observe(std::chrono::nanoseconds duration, std::uint64_t times = 1) {
        if (times == 0) return;
        const double seconds = std::chrono::duration<double>(duration).count();
        std::size_t at = 0;
        while (at < bounds_seconds.size() && seconds > bounds_seconds[at]) ++at;
        buckets_[at].add(times);
        sum_nanoseconds_.add(times * static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() : 0));
    }
    [[nodiscard]] std::uint64_t bucket(std::size_t index) const { return buckets_[index].get(); }
    [[nodiscard]] double sum_seconds() const { return static_cast<double>(sum_nanoseconds_.get()) * 1e-9; }

private:
    std::array<counter, bounds_seconds.size() + 1> buckets_;
    counter sum_nanoseconds_;
};

/// Kinds of statements, by the server's command tags. Same order as request_report::operation.
inline constexpr std::array<const char*, 10> operation_names{"select", "insert", "update", "delete", "begin",
                                                             "commit", "rollback", "copy", "set", "other"};

struct worker_counters {
    counter clients_accepted;
    counter clients_closed;
    counter logins_succeeded;
    counter logins_failed;
    counter clients_refused;        ///< a cap was reached
    counter client_bytes_in;
    counter client_bytes_out;
    counter server_bytes_in;
    counter server_bytes_out;
    counter servers_opened;
    counter servers_closed;
    counter dials_failed;
    counter checkouts;
    counter checkins;
    counter waits;                  ///< requests that had to wait for a server
    counter wait_timeouts;
    counter servers_lost;           ///< while a client was attached
    counter cancels_received;
    counter cancels_forwarded;
    counter restores;               ///< settings brought to a server
    counter pins;
    counter statements;             ///< ReadyForQuery given to clients: what the retry budget is a share of
    counter retries;                ///< requests sent again
    counter recovered;              ///< requests that were answered in full after that
    std::array<counter, 4> lost;    ///< requests answered with R04, R06, R07, R08; same order as request_report::lost
    std::array<std::array<duration_histogram, 2>, operation_names.size()> requests;  ///< [1]: ended in an error
    duration_histogram wait_seconds;
    duration_histogram connect_seconds;
};

}  // namespace pgsteady
