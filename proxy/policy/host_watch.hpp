// What the monitor knows of one host, and when it is to be asked again: the state of the monitor's own connection to it,
// probes missed and failed, its breaker, what the last probe found. Each host has a cadence of its own, so that a dead
// one slows no other. It decides nothing about the cluster: that is cluster_policy. Pure; owned by cluster_policy.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/breaker.hpp"
#include "proxy/policy/cluster_report.hpp"
#include "proxy/policy/loss_burst.hpp"
#include "proxy/policy/recovery_verdict.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace pgsteady {

/// When something happens, with a number drawn from [0, 1) for whoever needs chance.
struct moment {
    std::chrono::steady_clock::time_point now;
    double chance = 0.5;
};

struct watch_rules {
    config::monitor_settings monitor;
    config::connect_backoff_settings backoff;
    config::breaker_settings breaker;
};

/// What the shell is to do with a host.
struct host_errand {
    enum class what : std::uint8_t {
        none,          ///< wait for what is under way
        connect,       ///< open the monitor's connection, or ask whether there is an account to open it with
        ask,           ///< send the probe
        try_to_write,  ///< send the statement that writes
        reconnect,     ///< close the connection and open it anew: it no longer tells whether the host admits anybody
    };
    what kind = what::none;
    std::chrono::steady_clock::time_point due{};
};

class host_watch {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    /// As many probes without an answer make a host silent (recovery.md 2.9).
    static constexpr std::uint32_t misses_of_silence = 3;
    /// How long fast_interval lasts, and what follows it (D4).
    static constexpr std::chrono::seconds fast_for{10};
    static constexpr std::chrono::milliseconds less_fast{250};
    /// Nothing makes the monitor ask one host more often than this.
    static constexpr std::chrono::milliseconds least_gap{20};
    /// After a session was lost an open connection is not asked for so long: a server that crashes says so on it by itself
    /// (57P02), unless a question comes just then, and then who caused the crash would not be known (D25).
    static constexpr std::chrono::milliseconds listens{20};

    host_watch(const watch_rules& rules, time_point now);

    // ------------------------------------------------------------------------------- what happens to the connection

    void connecting(const moment& at);
    /// Signed in; the probe may be sent.
    void connected(const moment& at);
    /// Without an account the host was only asked whether it accepts connections, and it did.
    void touched(const moment& at);
    /// There is no account to sign in with (yet).
    void without_account(const moment& at);
    void connect_failed(const recovery_verdict& why, std::string words, const moment& at);
    void asked(const moment& at);
    void answered(probe_result found, const moment& at);
    /// The server refused the probe itself: it lives, and its role stays what it was.
    void probe_refused(std::string words, const moment& at);
    /// No answer in time; the connection is closed.
    void missed(const moment& at);
    /// The connection ended. Says nothing about the host by itself: one backend may have been terminated.
    void disconnected(const recovery_verdict& why, std::string words, const moment& at);

    // ------------------------------------------------------------------------------- what others say

    void report(const host_report& seen, const moment& at);
    /// It is asked as soon as possible, once.
    void ask_soon() { soon_ = true; }
    /// Forgets pauses and counts.
    void recover(const moment& at);
    /// New limits by reload; a pause that has been drawn is sat out.
    void set_rules(const config::breaker_settings& rules, const config::connect_backoff_settings& backoff,
                   const moment& at);

    /// `urgent_since`: since when something waits for this cluster; empty: nothing does.
    [[nodiscard]] host_errand next(time_point now, std::optional<time_point> urgent_since) const;

    // ------------------------------------------------------------------------------- what is known

    /// Certain enough to act on: it refuses, is not ready, failed twice in a row, or is silent.
    [[nodiscard]] bool down() const;
    [[nodiscard]] bool silent() const { return misses_ >= misses_of_silence; }
    /// The last attempt to talk to it succeeded.
    [[nodiscard]] bool reachable() const { return reachable_; }
    [[nodiscard]] bool tried() const { return tried_; }
    /// The monitor has no account that gets in; what is known comes from pools.
    [[nodiscard]] bool blind() const { return blind_; }
    /// Without an account it is only worth a connection when pools have met a failure.
    [[nodiscard]] bool suspected() const { return suspected_; }
    /// Role and numbers are from an answer since it was last reachable.
    [[nodiscard]] bool known() const { return known_; }
    [[nodiscard]] const probe_result& found() const { return found_; }
    /// When the probe that brought found() was sent.
    [[nodiscard]] time_point found_asked_at() const { return found_asked_at_; }
    [[nodiscard]] std::uint32_t failures() const { return failures_ + misses_; }
    [[nodiscard]] const std::string& last_problem() const { return last_problem_; }
    [[nodiscard]] std::size_t sign_ins_refused() const { return sign_ins_refused_; }
    /// Half open once a probe went well: that one is under way to a host that never answers is nothing to act on.
    [[nodiscard]] breaker_state shown_breaker() const;
    [[nodiscard]] breaker& fuse() { return breaker_; }
    [[nodiscard]] const breaker& fuse() const { return breaker_; }

private:
    enum class link : std::uint8_t { none, connecting, open, asking };

    void lives();
    void failed(const recovery_verdict& why, std::string words, const moment& at);
    void believe_pools(const moment& at);
    void end_probe(const recovery_verdict& outcome, const moment& at);
    void session_lost(const recovery_verdict& why, const moment& at);
    [[nodiscard]] duration pause_after_failure(const moment& at) const;
    [[nodiscard]] duration pause(time_point now, std::optional<time_point> urgent_since) const;

    watch_rules rules_;
    breaker breaker_;
    loss_burst losses_;  // of sessions of the pools
    link link_ = link::none;
    time_point last_{};   // when the connection last came to rest: answered, failed, ended
    time_point begun_{};  // when the last errand began
    time_point failing_since_{};
    duration redial_{};           // drawn at the last failure
    std::uint32_t failures_ = 0;  // attempts in a row that failed at once
    std::uint32_t misses_ = 0;    // attempts in a row without any answer
    std::size_t sign_ins_refused_ = 0;
    verdict_name last_failure_ = verdict_name::none;
    std::string last_problem_;
    probe_result found_;
    time_point found_asked_at_{};
    host_role pools_role_ = host_role::unknown;  // what a pool found last
    std::uint32_t pools_timeline_ = 0;
    bool known_ = false;
    bool reachable_ = false;
    bool tried_ = false;
    bool blind_ = false;
    bool suspected_ = false;
    bool proven_ = true;  // the connection has brought an answer
    time_point listening_until_{};
    bool soon_ = true;
    bool anew_ = false;     // the connection is to be replaced
    bool probing_ = false;  // this errand is the breaker's probe
};

}  // namespace pgsteady
