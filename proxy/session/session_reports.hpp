// What a session tells its shell beside the bytes: what it is asked to do, and what has been done, for the counters. Plain
// values, made by session, taken by the shell after each event.
#pragma once

#include "proxy/policy/end_reason.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace pgsteady {

/// What the shell is asked to do after an event, once output has been written.
struct session_actions {
    enum class release : std::uint8_t {
        no,
        reuse,    ///< clean and at rest: anyone may have it
        reset,    ///< at rest, but with state that DISCARD ALL must clear first
        discard,  ///< close it
    };
    bool want_server = false;  ///< ask the pool; on_server() or refuse_waiting() answers
    release give_back = release::no;
    bool close_client = false;  ///< after the output has been written
    bool take_back =
        false;  ///< take_requests_back() has bytes that stand before what the client has not been offered yet
    /// With take_back: nothing of it may be offered before the lost server is known to do nothing any more (D24). If that
    /// cannot be had, give_up_replay().
    bool needs_fence = false;
    /// With take_back: an interrupted transaction is given again, or goes on where it was interrupted.
    bool replays = false;
    /// Its server has said that it ends. It has not yet, but the locks of the open transaction are somebody else's in a moment.
    bool loses_locks = false;
    bool restored = false;      ///< a transaction has been given again as far as it had been answered
    std::uint32_t attempt = 0;  ///< with take_back: how many times something was sent in vain
    bool asks_role = false;     ///< the same, and nothing more of it is taken before on_role(); ask the monitor (D21)
    /// The server says that it is no primary, or not any more (25006), or of another role than it was (in_hot_standby).
    bool not_primary = false;
    bool listen_later = false;      ///< no server was to be had to listen on: resume_listening() after a pause
    bool channels_changed = false;  ///< shared_channels() are others now
    bool sync_listener = false;     ///< on_listener() once they are listened to, and what was notified before is said
    bool storage_failing = false;   ///< the server has met a full or failing disk (53100, 58030)
    std::optional<std::chrono::milliseconds> ask_later{};  ///< resume_resolving() after so long
    bool conflict = false;  ///< with take_back: because of 40001 or 40P01, so others are at it, too
    end_reason reason = end_reason::none;
};

/// What finished requests were, for the counters. All but the first four is the exception: `seldom` says that there is any.
struct request_report {
    enum class operation : std::uint8_t { select, insert, update, remove, begin, commit, rollback, copy, set, other };
    std::uint32_t requests = 0;      ///< ReadyForQuery frames given to the client
    std::uint32_t transactions = 0;  ///< of them those that ended outside of a transaction block
    std::uint32_t errors = 0;
    bool wrote = false;                          ///< as far as tags tell (D28)
    bool seldom = false;                         ///< something of what follows, `what` apart, is set
    std::uint32_t restores = 0;                  ///< times that settings were brought to a server
    std::uint32_t pins = 0;                      ///< times that a reason to keep the server came up
    std::uint32_t retries = 0;                   ///< requests that are sent again
    std::uint32_t reads_again = 0;               ///< and of these the reads
    std::uint32_t commits_pending = 0;           ///< COMMITs that a server is asked about
    std::uint32_t channels_dropped = 0;          ///< times that a client listened on more channels than are followed
    std::uint32_t notifications_overflowed = 0;  ///< times that a busy client was sent more than it may have waiting
    std::uint32_t captures = 0;                  ///< transactions whose number was captured
    bool changed_schema = false;          ///< CREATE, ALTER, DROP or the like has been, or may have been, committed
    std::uint32_t proofs_asked = 0;       ///< questions that the catalogue was asked (D20)
    std::uint32_t proofs_known = 0;       ///< reads that were proven without one, by what was known
    std::uint32_t withheld = 0;           ///< requests that were not sent again, since servers crash under them (R10)
    std::uint32_t replays = 0;            ///< transactions that were given again, to the end
    std::uint32_t replays_different = 0;  ///< and whose answers were others (R05)
    std::uint32_t replays_failed = 0;     ///< and that could not be given to the end
    std::uint32_t replays_refused = 0;    ///< for which there was an obstacle
    std::uint32_t replayed_requests = 0;
    std::uint32_t resumes = 0;            ///< answers delivered in part, and continued
    std::uint32_t resumes_different = 0;  ///< or would have been, had they been the same
    std::uint32_t resumes_failed = 0;     ///< or had a server been had for them
    std::uint32_t lost[4] = {};           ///< requests answered with R04, R06, R07, R08
    operation what = operation::other;
};

}  // namespace pgsteady
