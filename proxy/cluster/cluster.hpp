// One cluster: the backends behind one or more pools, watched by connections of its own (never a pool slot), which learn
// role, timeline, incarnation, lag and latency every second, and every 50 ms while something waits (D4). What pools see
// is reported to it at once. It publishes a cluster_view. Lives in proxy_state; the watching happens on the monitor's thread.
#pragma once

#include "protocol/scram_common.hpp"

#include "config/config.hpp"

#include "proxy/cluster/crash_watch.hpp"
#include "proxy/cluster/replay_gate.hpp"
#include "proxy/policy/breaker.hpp"
#include "proxy/policy/cluster_report.hpp"
#include "proxy/policy/cluster_view.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

/// How the monitor signs in: asked for at each dial, since passthrough learns secrets late.
struct monitor_login {
    std::string user;
    std::string password;
    std::string database;
    std::optional<scram_secret> secret{};  ///< keys learned from a client's own sign-in, where no password is known
    std::string md5_hash{};                ///< the same for md5
};

class cluster {
public:
    using view_ptr = std::shared_ptr<const cluster_view>;
    virtual ~cluster() = default;

    // All are thread-safe and return at once.
    [[nodiscard]] virtual view_ptr view() const = 0;
    /// Number of the newest sample of the primary's WAL position that was asked for (D28). A session reads it when the
    /// ReadyForQuery of its write has arrived, and from here: in a view that came by letter it may be too old.
    /// One atomic load.
    [[nodiscard]] virtual std::uint64_t newest_sample() const = 0;
    virtual void report(host_report seen) = 0;
    /// Which statements its servers crash under (D25).
    [[nodiscard]] virtual crash_watch& crashes() = 0;
    /// In which order its interrupted transactions and new work go on after an outage (D30).
    [[nodiscard]] replay_gate& replays() { return replays_; }
    /// So many statements wait on some worker because of this cluster: 0 slows the probes down again.
    virtual void waiting(unsigned worker, std::size_t statements) = 0;
    /// Holds writes and transactions until released (a planned switchover, maintenance).
    virtual void hold(bool on) = 0;
    /// Probe every host now, close what a success closes, forget back-off.
    virtual void recover() = 0;
    /// `scope`: a host's address, or "write".
    virtual bool force(const std::string& scope, breaker_force how) = 0;
    /// What its pools have in common now (D1): changed while running.
    virtual void set_values(const config::cluster_values& values) = 0;
    [[nodiscard]] virtual std::vector<cluster_event> recent_events() const = 0;

private:
    replay_gate replays_;
};

}  // namespace pgsteady
