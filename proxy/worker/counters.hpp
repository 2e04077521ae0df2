// Counters of one worker: written by that worker alone with relaxed stores, read by the admin thread.
// No lock, no shared cache line between workers, nothing to allocate (D41).
#pragma once

#include "proxy/policy/in_doubt.hpp"
#include "proxy/policy/recovery_verdict.hpp"

#include <array>
#include <atomic>
#include <bit>
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
    static constexpr std::array<double, 21> bounds_seconds{1e-5,   2.5e-5, 5e-5, 1e-4,   2.5e-4, 5e-4, 1e-3,
                                                           2.5e-3, 5e-3,   1e-2, 2.5e-2, 5e-2,   1e-1, 2.5e-1,
                                                           5e-1,   1,      2.5,  5,      10,     30,   60};

    /// So that one duration can be counted in several histograms at the price of one search.
    [[nodiscard]] static constexpr std::size_t bucket_of(std::chrono::nanoseconds duration) {
        const std::int64_t count = duration.count();
        if (count <= 0) return 0;
        std::size_t at = first_of_width[static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(count)))];
        while (at < bounds.size() && count > bounds[at]) ++at;
        return at;
    }

    void observe(std::chrono::nanoseconds duration, std::uint64_t times = 1) {
        if (times != 0) add(bucket_of(duration), duration, times);
    }
    /// `at`: bucket_of(duration).
    void add(std::size_t at, std::chrono::nanoseconds duration, std::uint64_t times) {
        buckets_[at].add(times);
        sum_nanoseconds_.add(times * static_cast<std::uint64_t>(duration.count() > 0 ? duration.count() : 0));
    }
    [[nodiscard]] std::uint64_t bucket(std::size_t index) const { return buckets_[index].get(); }
    [[nodiscard]] double sum_seconds() const { return static_cast<double>(sum_nanoseconds_.get()) * 1e-9; }

private:
    /// bounds_seconds in nanoseconds.
    static constexpr std::array<std::int64_t, bounds_seconds.size()> bounds = [] {
        std::array<std::int64_t, bounds_seconds.size()> result{};
        for (std::size_t i = 0; i < result.size(); ++i)
            result[i] = static_cast<std::int64_t>(bounds_seconds[i] * 1e9 + 0.5);
        return result;
    }();
    /// By the number of bits of a duration: the first bucket that any such duration may belong to.
    static constexpr std::array<std::uint8_t, 65> first_of_width = [] {
        std::array<std::uint8_t, 65> result{};
        for (std::size_t width = 1; width < result.size(); ++width)
            while (result[width] < bounds.size() &&
                   static_cast<std::uint64_t>(bounds[result[width]]) < std::uint64_t{1} << (width - 1))
                ++result[width];
        return result;
    }();

    std::array<counter, bounds_seconds.size() + 1> buckets_;
    counter sum_nanoseconds_;
};

/// Kinds of statements, by the server's command tags. Same order as request_report::operation.
inline constexpr std::array<const char*, 10> operation_names{"select", "insert",   "update", "delete", "begin",
                                                             "commit", "rollback", "copy",   "set",    "other"};

/// Why a request was sent again. Same order as retry_cause_names.
enum class retry_cause : std::uint8_t {
    connection,  ///< its server was lost
    conflict,    ///< 40001, 40P01
    role,        ///< 25006 from what is no primary any more
};
inline constexpr std::array<const char*, 3> retry_cause_names{"connection", "conflict", "role"};

/// What became of it: `failed` is every end but a full answer.
enum class retry_outcome : std::uint8_t { attempted, answered, failed };
inline constexpr std::array<const char*, 3> retry_outcome_names{"attempted", "answered", "failed"};

/// What became of an interrupted transaction that could have been given again.
enum class replay_outcome : std::uint8_t {
    replayed,   ///< its client has noticed nothing
    different,  ///< an answer was another: 40001
    failed,     ///< no server, no fence, no time: 40001
    refused,    ///< for an obstacle in it: 40001
};
inline constexpr std::array<const char*, 3> resume_outcome_names{"continued", "different", "failed"};
inline constexpr std::array<const char*, 4> replay_outcome_names{"replayed", "different", "failed", "refused"};

/// How the wait of a request ended that could not be served, since there was no primary or an operator held or paused.
enum class hold_outcome : std::uint8_t {
    served,
    timed_out,
    ended,  ///< refused or cancelled, or its client left
};
inline constexpr std::array<const char*, 3> hold_outcome_names{"served", "timed_out", "ended"};

/// Durations of one pool on one worker. Owned by shared_pool, so that the admin thread can read it at any time.
struct pool_counters {
    duration_histogram queue_wait;
    duration_histogram connect;  ///< from dialling a server to its first ReadyForQuery
    duration_histogram auth;     ///< of that: from the first byte of the sign-in on
    std::array<duration_histogram, operation_names.size()>
        first_byte;  ///< from a request's first byte to the reply's first
    std::array<duration_histogram, operation_names.size()> total;
};

struct worker_counters {
    counter clients_accepted;
    counter clients_closed;
    counter logins_succeeded;
    counter logins_failed;
    counter clients_refused;  ///< a cap was reached
    counter client_bytes_in;
    counter client_bytes_out;
    counter server_bytes_in;
    counter server_bytes_out;
    counter servers_opened;
    counter servers_closed;
    counter dials_failed;
    counter checkouts;
    counter checkins;
    counter waits;  ///< requests that had to wait for a server
    counter wait_timeouts;
    std::array<counter, verdict_count> failures;  ///< connections lost and dials that failed, by verdict
    counter incidents;                            ///< failures that clients met, or were spared
    counter servers_lost;                         ///< while a client was attached
    counter cancels_received;
    counter cancels_forwarded;
    counter restores;  ///< settings brought to a server
    counter pins;
    counter statements;    ///< ReadyForQuery given to clients: what the retry budget is a share of
    counter retries;       ///< requests sent again
    counter proofs_asked;  ///< questions to the catalogue, before reads were sent again (D20)
    counter proofs_known;  ///< reads that were proven without one
    std::array<counter, replay_outcome_names.size()> replays;
    counter replayed_requests;  ///< answered before, given again
    counter gave_way;           ///< transactions that were interrupted for the sake of a replay (D30)
    /// Answers that were delivered in part when their server died: continued where they had been cut; or asked for again, and
    /// others; or not even that.
    std::array<counter, resume_outcome_names.size()> resumes;
    counter withheld;          ///< requests not sent again, since servers crash under them (R10)
    counter channels_dropped;  ///< times that a client listened on more than limits.max_channels
    counter listeners_opened;  ///< connections that listen for all clients of a pool
    counter listeners_closed;
    counter listeners_lost;            ///< of these, while somebody listened
    counter notifications;             ///< that they said, once for each client that is told
    counter notifications_overflowed;  ///< clients ended by pool.notification_queue
    counter captures;                  ///< transactions whose number was captured (recovery.md 2.6)
    counter captures_impossible;       ///< connections and roles that cannot
    counter in_doubt_begun;            ///< COMMITs that a primary is, or was, asked about
    std::array<std::array<counter, static_cast<std::size_t>(in_doubt_path::count)>, 3>
        in_doubt;                   ///< committed, not, unknown
    counter recovered;              ///< requests that were answered in full after that
    std::array<counter, 6> fences;  ///< lost server processes, by fence_outcome
    counter fence_cancels;          ///< CancelRequests for lost connections that were sent
    std::array<counter, 4> lost;    ///< requests answered with R04, R06, R07, R08; same order as request_report::lost
    std::array<std::array<duration_histogram, 2>, operation_names.size()> requests;  ///< [1]: ended in an error
    std::array<std::array<counter, retry_outcome_names.size()>, retry_cause_names.size()> retry_causes;
    std::array<counter, hold_outcome_names.size()> holds;
    duration_histogram wait_seconds;
    duration_histogram connect_seconds;
    duration_histogram replay_seconds;    ///< from the loss of a server to the end of a replay that succeeded
    duration_histogram recovery_seconds;  ///< from the loss of a server to the full answer of the request that it had
    counter client_handshakes;            ///< TLS, those that succeeded, like the next
    counter server_handshakes;
    counter client_handshakes_failed;
    counter server_handshakes_failed;
};

}  // namespace pgsteady
