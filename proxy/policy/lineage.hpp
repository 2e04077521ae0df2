// Which part of a server's WAL lives on in which other: what the monitor's looks at the hosts prove about that, kept for as
// long as a COMMIT may be in doubt. It is what makes a transaction number mean the same on two servers (recovery.md 2.6).
// It must never credit a server with WAL that it may not have: whatever happened between two looks that are too far
// apart, and is not shown by the looks themselves, is taken for the worst (T4). Bounded. Pure: time is an argument. Owned by
// cluster_policy.
#pragma once

#include "proxy/policy/cluster_report.hpp"
#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/incarnation.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pgsteady {

class lineage {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// So long may pass between two looks without room for a server that recovers, serves somebody and crashes again.
    static constexpr std::chrono::milliseconds blind_at_most{500};
    static constexpr std::size_t kept = 4;  ///< inheritances per host, the latest

    /// `interval`: between the monitor's looks while all is well.
    lineage(std::size_t hosts, std::chrono::milliseconds interval) : hosts_(hosts), interval_(interval) {}

    /// The watcher runs, and has dealt with everything that had happened. To be told several times within `blind_at_most`:
    /// what comes after a longer silence may have happened at any time in it.
    void awake(time_point now) { awake_at_ = now; }
    void answered(std::size_t host, const probe_result& found, time_point now);
    /// The monitor's connection there has ended by itself: what it was connected to lived until now.
    void disconnected(std::size_t host, time_point now);
    /// Nobody is served there: the host refuses, or says that it is not ready.
    void nobody(std::size_t host, time_point now);

    [[nodiscard]] const std::vector<inheritance>& of(std::size_t host) const { return hosts_[host].inherited; }
    /// What answered there last; of a standby, only since when it runs says something.
    [[nodiscard]] const incarnation& seen(std::size_t host) const { return hosts_[host].is; }

private:
    struct sample {
        time_point when;
        std::uint64_t position;
        std::uint32_t receiver;
    };
    struct watched {
        incarnation is{};
        bool standby = false;
        time_point answered_at{};
        time_point certain_until{};  // no other incarnation can have served there since it was seen
        std::vector<inheritance> inherited;
        std::vector<replica_row> replicas;  // of a primary
        // of a standby
        replica_row streams_as;
        std::uint32_t receiver = 0;    // the process that streams from the primary; one process, one connection
        bool receiver_proven = false;  // and that it streams from the primary is shown
        std::vector<sample> unproven;  // where it was; that it came from that primary is not shown yet
    };
    static constexpr std::size_t max_unproven = 32;

    void on_primary(std::size_t host, const incarnation& now_is, time_point now);
    void on_standby(std::size_t host, const incarnation& now_is, const probe_result& found, time_point now);
    void prove(std::size_t standby);
    void end_of(std::size_t primary);
    [[nodiscard]] std::optional<std::size_t> origin_of(const watched& standby) const;
    [[nodiscard]] static bool streams_from(const watched& primary, const watched& standby);
    static void inherit(watched& to, std::size_t host, const incarnation& from, std::uint64_t upto);

    /// What is dealt with now has just happened.
    [[nodiscard]] bool is_fresh(time_point now) const { return now - awake_at_ <= blind_at_most; }

    std::vector<watched> hosts_;
    std::chrono::milliseconds interval_;
    time_point awake_at_{};
};

}  // namespace pgsteady
