// What is known of one cluster at one moment: its hosts, their roles, where writes and reads may go, and what happens to
// statements meanwhile. A plain value, immutable once published: made on the monitor's thread, read by all workers.
#pragma once

#include "proxy/policy/incarnation.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

enum class host_role : std::uint8_t { unknown, primary, standby };
[[nodiscard]] std::string_view to_string(host_role role);

/// What happens to statements (D6).
enum class service_mode : std::uint8_t {
    normal,
    holding,    ///< writes and transactions wait for a primary; reads go to `readable` hosts, if there are any
    read_only,  ///< writes are refused with R01; reads go to `readable` hosts
    offline,    ///< no host can serve anything
};
[[nodiscard]] std::string_view to_string(service_mode mode);

enum class breaker_state : std::uint8_t { closed, open, half_open };
[[nodiscard]] std::string_view to_string(breaker_state state);

/// Where writes can go, whoever is to wait for it.
enum class write_way : std::uint8_t {
    flow,     ///< to the primary; or roles are not known and somebody answers
    held,     ///< nowhere until an operator says so: they wait, however long
    off,      ///< nowhere, and nobody is to wait: an operator said so, or there are two primaries
    failing,  ///< the primary's storage does: nobody is to write there, and it serves reads if no standby can
    missing,  ///< there is no primary: they wait for one, for a while
};

/// A server has the WAL of that incarnation of that host, up to there (lineage.hpp).
struct inheritance {
    std::size_t host = 0;
    incarnation from{};
    std::uint64_t upto = 0;

    static constexpr std::uint64_t everything = std::numeric_limits<std::uint64_t>::max();
};

struct host_view {
    std::string address;  ///< host:port as configured
    host_role role = host_role::unknown;
    bool tried = false;
    bool reachable = false;  ///< the last attempt to talk to it succeeded
    /// Black-holed: several probes in a row found nobody who answers, not even to refuse. What runs on it is given up; of
    /// a host that refuses connections, what runs there may well come to its end (smart shutdown, postmaster killed).
    bool silent = false;
    breaker_state breaker = breaker_state::closed;
    std::uint32_t failures = 0;        ///< consecutive
    std::uint64_t failures_total = 0;  ///< that its breaker has counted
    std::uint64_t trips_total = 0;     ///< how often its breaker has opened
    std::string_view opened_by{};      ///< why it opened last, a breaker_cause; empty: it never did
    std::string_view last_failure{};   ///< the verdict on what its breaker counted last; empty: nothing yet
    std::uint32_t timeline = 0;        ///< 0: not known
    std::chrono::steady_clock::time_point asked_at{};  ///< when the question was sent whose answer says all this
    std::string system_identifier;
    std::string started_at;          ///< pg_postmaster_start_time(): part of the incarnation
    std::uint64_t wal_position = 0;  ///< primary: inserted; standby: replayed
    std::optional<std::uint64_t> lag_bytes{};
    std::optional<std::chrono::milliseconds> lag_time{};
    std::optional<std::chrono::microseconds> latency{};  ///< of the last probe
    /// The newest sample of the primary whose WAL position this standby has replayed (D28).
    std::uint64_t replayed_sample = 0;
    /// It was a synchronous standby and has replayed all that it received: it has every acknowledged commit (D28).
    bool complete = false;
    std::string last_problem;
    incarnation life{};                  ///< as the monitor saw it last
    std::vector<inheritance> inherited;  ///< whose WAL it has, as far as the monitor's looks prove that
};

struct cluster_view {
    using time_point = std::chrono::steady_clock::time_point;

    std::uint64_t version = 0;
    service_mode mode = service_mode::normal;
    time_point since{};  ///< when the mode began
    std::string cause;   ///< of the mode, as a sentence for log, page and errors; empty when normal
    /// Roles are known from the monitor. False: it has no credentials (yet), and roles come from pool connections (D10).
    bool informed = false;
    std::optional<std::size_t> primary{};  ///< where writes go; none: nowhere at the moment
    std::vector<std::size_t> readable;     ///< standbys within the lag limit, best first
    std::uint64_t sample = 0;    ///< number of the newest sample of the primary's WAL position; they count from 1
    std::uint32_t timeline = 0;  ///< of the primary that was adopted last; a lower one is never written to
    write_way writes = write_way::flow;
    time_point lost_since{};                 ///< when the primary was lost, or watching began; while there is none
    std::optional<time_point> deaf_since{};  ///< since when no host answers
    bool lone_standby = false;   ///< one host that has never been anything but a standby: it is what it says
    bool standbys_only = false;  ///< all hosts are known, and none has been anything but a standby
    bool two_primaries = false;  ///< D27
    bool held_by_operator = false;
    breaker_state write =
        breaker_state::closed;  ///< the way for writes: closed while there is a primary to send them to
    std::uint64_t write_trips_total = 0;
    std::string_view write_opened_by{};  ///< why it opened last, a breaker_cause; empty: it never did
    std::vector<host_view> hosts;        ///< in the order of the configuration

    /// Whether a standby shows everything that a session may expect which last wrote when `wrote_at` was the newest
    /// sample; 0: it never wrote (D28).
    [[nodiscard]] bool shows_all(const host_view& standby, std::uint64_t wrote_at) const {
        return standby.complete || wrote_at == 0 || standby.replayed_sample > wrote_at;
    }
};

}  // namespace pgsteady
