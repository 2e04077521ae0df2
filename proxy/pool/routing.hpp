// Where a pool's servers are looked for: what a view of the cluster means for one who needs a server, for a dial, for a
// server that was opened earlier. Pure questions to a cluster_view; no state. The monitor decides what is true of the
// cluster, this only reads it.
#pragma once

#include "proxy/policy/cluster_view.hpp"
#include "proxy/policy/server_need.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace pgsteady {

/// Nobody is given a primary's server now, however idle: the operator holds, writes are off, or there is no primary.
/// While roles are not known (D10), dials are what finds the primary, so only the first two count.
[[nodiscard]] bool primary_withheld(const cluster_view& view);

/// Reads go to standbys now (D3); in normal mode everything goes to the primary.
[[nodiscard]] bool reads_on_standbys(const cluster_view& view);

/// The best standby that shows everything to a session that last wrote at `wrote_at` (D28); none: it has to wait for the
/// primary. A breaker is no matter here: the view lists hosts with open ones only if there are no others (2.12).
[[nodiscard]] std::optional<std::size_t> standby_for(const cluster_view& view, std::uint64_t wrote_at);

/// Which servers a client must be given: the primary's, or standbys'.
[[nodiscard]] server_need group_for(const cluster_view& view, server_need need, std::uint64_t wrote_at);

/// Where the next dial goes.
struct dial_target {
    std::size_t host = 0;
    bool fixed = false;  ///< this one alone will do: no other host is tried in its place

    bool operator==(const dial_target&) const = default;
};
/// For a primary's server. `preferred`: where the primary was found last, for when roles are not known. None: no dial makes
/// sense now, a view that changes will say when.
[[nodiscard]] std::optional<dial_target> primary_to_dial(const cluster_view& view, std::size_t preferred);

/// Whether a server of this host, which was a primary on `timeline` (0: not known) when it was opened, may still be written
/// to (D27). Also asked of a connection that has just been opened.
[[nodiscard]] bool is_current_primary(const cluster_view& view, std::size_t host, std::uint32_t timeline);

/// What the monitor says of a server that was taken for the primary's and has refused to write (D21).
enum class role_news : std::uint8_t {
    pending,     ///< nothing yet
    unchanged,   ///< its host is the primary: it was the role's own setting, or the statement's
    changed,     ///< it is the primary no more
    unknowable,  ///< nobody watches (D10)
};
/// `asked_at`: when the server refused; older answers say nothing about it.
[[nodiscard]] role_news news_of(const cluster_view& view, std::size_t host, std::uint32_t timeline,
                                cluster_view::time_point asked_at);

/// Whether standbys' servers on this host may go on being used.
[[nodiscard]] bool is_readable(const cluster_view& view, std::size_t host);

/// Whether something became dialable between two views: pauses between dials are over (D4).
[[nodiscard]] bool worth_dialling_at_once(const cluster_view& before, const cluster_view& now);

}  // namespace pgsteady
