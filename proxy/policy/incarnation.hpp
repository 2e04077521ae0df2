// One life of a database server's shared memory: from a start, or from the recovery after a crash, to the next. What its
// connections see of it never changes, so that two answers can be told to come from the same one (recovery.md 2.6: the
// incarnation key). A plain value; read from rows that are hostile input.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace pgsteady {

struct incarnation {
    /// pg_postmaster_start_time(), microseconds since 1970. 0: not known, and nothing follows from the rest. A backend's
    /// crash does not change it [E2c].
    std::int64_t started_at = 0;
    /// pg_last_wal_replay_lsn() of a primary: where its recovery ended, as bytes from the beginning of the WAL. None after a
    /// clean start.
    std::optional<std::uint64_t> recovered_to{};
    /// When its statistics began (pg_stat_bgwriter.stats_reset), microseconds: anew after each crash, kept by clean
    /// restarts [E6]. 0: not known.
    std::int64_t statistics_since = 0;
    std::uint32_t timeline = 0;  ///< which a primary writes; 0: not known
    std::string system{};        ///< system identifier; empty: not known

    /// Both are the same life of the same server, as primaries: a crash changes where its recovery ended, a restart when
    /// it was started.
    [[nodiscard]] bool is(const incarnation& other) const {
        return started_at != 0 && started_at == other.started_at && recovered_to == other.recovered_to &&
               timeline == other.timeline;
    }
};

}  // namespace pgsteady
