// The circuit breaker of one scope (a host, a cluster's way for writes, a pool): whether ordinary work may go there, and when
// one synthetic probe may find out more (recovery.md 2.12, D5). Ordinary work never probes, and it goes by the verdict
// alone: errors of statements and exhausted slots do not move it (T23, T24).
// It knows nothing of other hosts: that the last usable one is never ejected (T25) is for the cluster to see to.
// Pure: time and chance are arguments. Not thread-safe: its owner's thread alone.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/recovery_verdict.hpp"
#include "proxy/policy/sliding_count.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pgsteady {

/// What an operator wants of a breaker.
enum class breaker_force : std::uint8_t { automatic, open, closed };
[[nodiscard]] std::string_view to_string(breaker_force how);

/// Why a breaker opened.
enum class breaker_cause : std::uint8_t {
    none,              ///< it never did
    consecutive,       ///< failure_threshold failures without a success between them
    failure_rate,      ///< too large a share of the window
    loss_burst,        ///< several sessions were lost within a second
    not_ready,         ///< the host said 57P03
    server_stopping,   ///< the host said that it shuts down immediately
    server_crashed,    ///< the host said 57P02
    probes_missed,     ///< the monitor got no answer
    no_writable_host,  ///< of the way for writes
    storage_failing,   ///< of the way for writes: 53100 or 58030 again and again
    two_primaries,     ///< of the way for writes (D27)
    login_refused,     ///< of a pool: nobody of it gets in
    forced,            ///< by an operator
};
[[nodiscard]] std::string_view to_string(breaker_cause cause);

class breaker {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    /// First open interval; it doubles with each opening until the window of calm or the configured cap.
    static constexpr std::chrono::milliseconds first_interval{1'000};
    /// Pause between probes of a host that says itself that it is not ready.
    static constexpr std::chrono::milliseconds held_interval{250};
    /// Closed for so long, the next opening begins with first_interval again.
    static constexpr std::chrono::milliseconds calm{60'000};

    explicit breaker(const config::breaker_settings& rules);

    // Ordinary work. `chance` is drawn from [0, 1) by the caller.

    /// Whether ordinary work may go there.
    [[nodiscard]] bool allow() const { return state() == breaker_state::closed; }
    /// `events`: so many things went well since the last call.
    void on_success(time_point now, std::uint64_t events = 1);
    void on_failure(const recovery_verdict& why, time_point now, double chance);
    /// Opens it for a reason that somebody else has found. An open one stays as it is, unless it was being probed.
    void trip(breaker_cause cause, time_point now, double chance);

    // Synthetic probes. A closed breaker does not restrict them; one that is not closed admits one at a time.

    /// `urgent`: statements wait for this host, so the interval is not sat out (D4).
    [[nodiscard]] bool may_probe(time_point now, bool urgent = false) const;
    /// Takes the one place. False: may_probe() says no.
    [[nodiscard]] bool begin_probe(time_point now, bool urgent = false);
    /// How the probe ended; no verdict means that it went well. Without one in progress it counts as ordinary.
    /// That an urgent probe failed does not lengthen the interval.
    void end_probe(const recovery_verdict& outcome, time_point now, double chance);
    /// The probe was given up without an answer that says anything about the host.
    void abandon_probe();
    /// When the next probe is due without urgency. Empty: no probe is waited for (closed, forced, or one in progress).
    [[nodiscard]] std::optional<time_point> next_probe() const;

    // Operators.

    /// Back to automatic from open: it is probed at once. From closed: it counts from zero.
    void force(breaker_force how, time_point now);
    [[nodiscard]] breaker_force forced() const { return force_; }
    /// Forgets the wait and how often it has opened: a probe may go now.
    void recover(time_point now);
    /// Closes it, unless it is forced open.
    void reset(time_point now);
    /// New limits by reload. Switched off, it closes.
    void set_rules(const config::breaker_settings& rules, time_point now);

    // For status and metrics.

    /// A forced breaker is what it is forced to be; one that is switched off (D1) is closed unless forced.
    [[nodiscard]] breaker_state state() const;
    /// When it opened or closed last; the clock's epoch if never.
    [[nodiscard]] time_point since() const { return since_; }
    /// Why it opened last.
    [[nodiscard]] breaker_cause cause() const { return cause_; }
    /// What failed last and counted.
    [[nodiscard]] verdict_name last_failure() const { return last_failure_; }
    [[nodiscard]] std::uint32_t consecutive_failures() const { return consecutive_; }
    /// How often it went from closed to open. A failed probe is not another trip.
    [[nodiscard]] std::uint64_t trips_total() const { return trips_; }
    /// Failures that counted, probes included.
    [[nodiscard]] std::uint64_t failures_total() const { return failures_; }

private:
    enum class wait : std::uint8_t { growing, held };
    enum class probe : std::uint8_t { none, due, urgent };

    void open(breaker_cause cause, wait how, time_point now, double chance);
    void wait_again(wait how, time_point now, double chance);
    void close(time_point now);
    void count_failure(verdict_name name);
    void probe_went_well(time_point now);
    [[nodiscard]] bool window_is_bad(time_point now);
    [[nodiscard]] duration interval(double chance) const;

    config::breaker_settings rules_;
    sliding_count good_;
    sliding_count bad_;
    breaker_state state_ = breaker_state::closed;  // as if nothing were forced
    breaker_force force_ = breaker_force::automatic;
    probe probe_ = probe::none;  // the one in progress
    breaker_cause cause_ = breaker_cause::none;
    verdict_name last_failure_ = verdict_name::none;
    std::uint32_t consecutive_ = 0;
    std::uint32_t probe_successes_ = 0;
    std::uint32_t openings_ = 0;  // k: how often the interval has doubled
    time_point since_{};
    time_point next_probe_{};
    std::uint64_t trips_ = 0;
    std::uint64_t failures_ = 0;
};

}  // namespace pgsteady
