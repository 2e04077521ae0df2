// What is told to and by a cluster: what a pool connection has seen of a host, what a probe has found there, and events
// worth telling. Plain values.
#pragma once

#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/recovery_verdict.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

/// What a pool connection has seen of a host.
struct host_report {
    enum class what : std::uint8_t {
        opened,           ///< a connection was opened; `role` and `timeline` say what it found
        open_failed,      ///< `verdict` and `words` say why
        lost,             ///< an open connection ended: `verdict`
        storage_failing,  ///< a statement has met a full or failing disk
        not_primary,      ///< 25006 from what was taken for the primary, or in_hot_standby of another role than known
    };
    std::size_t host = 0;  ///< index in the cluster's list
    what seen = what::opened;
    recovery_verdict verdict{};
    host_role role = host_role::unknown;
    std::uint32_t timeline = 0;
    std::string words;  ///< the server's last words or the system's
};

/// A standby as its primary sees it (pg_stat_replication). Only what the monitor's rights show.
struct replica_row {
    std::string application_name;
    std::string slot;
    std::string sync_state;  ///< async, potential, sync, quorum
};

/// What a probe has found. Positions are bytes from the beginning of the WAL (pg_wal_lsn_diff(…, '0/0')). What the server
/// does not show to the monitor's account stays empty.
struct probe_result {
    host_role role = host_role::unknown;
    std::uint32_t timeline = 0;
    std::string system_identifier;
    std::string started_at;
    std::optional<std::uint64_t> written{};   ///< primary: inserted
    std::optional<std::uint64_t> received{};  ///< standby: received and flushed by streaming
    std::optional<std::uint64_t> replayed{};
    /// Standby: since the last transaction that it replayed was committed.
    std::optional<std::chrono::milliseconds> since_replayed{};
    bool streaming = false;     ///< standby: a WAL receiver runs
    std::string receiver_name;  ///< its application_name
    std::string receiver_slot;
    std::vector<replica_row> replicas;  ///< primary
    std::string synchronous_names;      ///< primary: synchronous_standby_names
    bool read_only_by_default = false;  ///< default_transaction_read_only, which is not a role
    std::chrono::microseconds latency{0};
    // What tells one life of a server from another (proxy/policy/incarnation.hpp).
    std::int64_t started_micros = 0;
    std::optional<std::uint64_t> recovered_to{};  ///< pg_last_wal_replay_lsn(), of a primary, too
    std::int64_t statistics_since = 0;
    std::uint32_t receiver_pid = 0;  ///< standby: its WAL receiver; 0: none runs
};

/// Something worth telling, for log, page and alerts.
struct cluster_event {
    std::chrono::system_clock::time_point when;
    std::string name;  ///< one word: primary_lost, primary_found, mode_changed, breaker_opened, two_primaries, …
    std::string sentence;
    bool warning = false;
};

}  // namespace pgsteady
