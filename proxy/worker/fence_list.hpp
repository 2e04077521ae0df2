// What a connection that was given up may still be doing on its server, and whether its end is known (recovery.md 2.8, D24).
// A closed socket ends no backend: it commits seconds later, or holds the locks that the client's next attempt waits for
// (T5, T6). Decides what each loss needs, and keeps the backends whose end is pursued: words the question about them, reads the
// answer, gives up in time. It never ends a backend that waits for a synchronous standby: that would make its commit visible
// before it is replicated (T7). Knows no socket, clock or thread; owned by fence_board.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/recovery_verdict.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// Whom to reach, once the connection to it is gone.
struct lost_backend {
    std::size_t host = 0;  ///< index in the pool's list
    config::host_port address;
    bool tls = false;  ///< its connection was encrypted, so its cancel key does not travel in clear (P46)
    std::int32_t pid = 0;
    std::string cancel_key;  ///< secret
    std::int64_t started =
        0;  ///< pg_stat_activity.backend_start in microseconds; 0: not known, then it is only cancelled
    std::string server_started_at;  ///< pg_postmaster_start_time(): another one has no backends of this one
};

/// How the end of a backend is brought about.
enum class fence_need : std::uint8_t {
    none,       ///< it has ended by itself, or has nothing to do
    cancel,     ///< a read: CancelRequest, best effort (D24)
    terminate,  ///< it may be committing: only by SQL, which looks first what it waits for (T7)
    both,       ///< in a transaction whose COMMIT was not sent: cancelled at once, and terminated
};

/// What is known of a connection that was given up.
struct fence_facts {
    verdict_name how = verdict_name::none;  ///< it ended; none: we ended it
    bool working = false;                   ///< it owed an answer, or a transaction was open
    bool only_reads = false;                ///< all that was under way reads, by its form
    bool may_commit = false;  ///< a COMMIT, or a statement outside of a transaction that may write, was under way
};

[[nodiscard]] fence_need need_of(const fence_facts& what);

/// What became of a fence.
enum class fence_outcome : std::uint8_t {
    confirmed,    ///< it was told to end, and is not there any more
    gone,         ///< it was not there any more, or its server has been started anew
    spared,       ///< it still waits for a synchronous standby: committed, and not to be ended (T7)
    denied,       ///< the pool's role may not end it, or cannot tell which it was
    unfinished,   ///< it was told to end and had not when time was up
    unreachable,  ///< no connection of the pool got through to its host in time, or the list was full
};
inline constexpr std::size_t fence_outcomes = 6;
[[nodiscard]] std::string_view to_string(fence_outcome outcome);

/// Told once, on the worker's thread. Only after `confirmed` and `gone` may what the backend did be sent again.
using fence_told = std::function<void(fence_outcome)>;
[[nodiscard]] constexpr bool is_fenced(fence_outcome outcome) {
    return outcome == fence_outcome::confirmed || outcome == fence_outcome::gone;
}

class fence_list {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    struct entry {
        lost_backend whom;
        std::string incident;
        fence_told told;
    };
    struct ended {
        entry what;
        fence_outcome outcome = fence_outcome::unreachable;
        duration took{};
    };
    /// A row of the answer: a backend that is still there.
    struct row {
        std::int32_t pid = 0;
        std::string state;  ///< told, waits (for a synchronous standby) or gone
    };

    struct question {
        std::string sql;           ///< empty: there is nothing left to ask
        std::uint64_t number = 0;  ///< for answered() and failed()
    };

    /// `most`: further ones are unreachable at once. `patience`: how long the end of one is pursued.
    fence_list(std::size_t most, duration patience) : most_(most), patience_(patience) {}
    void set_rules(std::size_t most, duration patience) { most_ = most, patience_ = patience; }

    /// False: it is in the list already.
    bool add(entry what, time_point now);

    [[nodiscard]] bool empty() const { return entries_.empty() && ended_.empty(); }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    /// Whether something is to be asked about this host now.
    [[nodiscard]] bool due_on(std::size_t host, time_point now) const;
    /// No idle connection to ask with: one may be opened for it. Soon at first, then less and less, down to twice a second.
    [[nodiscard]] bool may_open(time_point now);

    /// The question about backends of this host, to its server that was started at `server_started_at`. Then answered(),
    /// failed() or unanswered() is due; if none comes, it is asked again after a while. Several may be under way.
    [[nodiscard]] question ask(std::size_t host, std::string_view server_started_at, time_point now);
    void answered(std::uint64_t number, const std::vector<row>& rows, time_point now);
    void failed(std::uint64_t number, std::string_view sqlstate, time_point now);
    /// The connection that was asked has ended: due again at once, on another one.
    void unanswered(std::uint64_t number, time_point now);

    /// Those that have ended since the last call, the ones whose time is up among them.
    [[nodiscard]] std::vector<ended> take_ended(time_point now);

private:
    struct pursued {
        entry what;
        time_point since;
        time_point next;          // when it is to be asked about
        duration pause{};         // before it is asked about again
        std::uint64_t asked = 0;  // the question under way; 0: none is
        bool told = false;        // to end
        bool waits = false;       // for a synchronous standby, when last seen
    };

    void end(pursued& one, fence_outcome outcome, time_point now);
    void remove_ended();

    std::size_t most_;
    duration patience_;
    std::uint64_t questions_ = 0;
    time_point next_opening_{};
    duration opening_pause_{};
    std::vector<pursued> entries_;
    std::vector<ended> ended_;
};

}  // namespace pgsteady
