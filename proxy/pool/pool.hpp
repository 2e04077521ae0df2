// One pool on one worker: which server goes to whom, who waits, when another is dialled, when one is
// closed. Decides only: servers and waiters are opaque, time and chance are arguments, and whoever owns
// the sockets carries the decisions out. FIFO for waiters (D41), last in first out for idle servers.
#pragma once

#include "proxy/policy/server_need.hpp"
#include "proxy/pool/permits.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <vector>

namespace pgsteady {

using pool_time = std::chrono::steady_clock::time_point;
using pool_duration = std::chrono::steady_clock::duration;

/// Pauses between dials that fail (D4): `initial` doubling to `max`, and to `late_max` once they have failed for `late_after`.
struct redial_rules {
    pool_duration initial = std::chrono::milliseconds(25);
    pool_duration max = std::chrono::seconds(1);
    pool_duration late_after = std::chrono::seconds(10);
    pool_duration late_max = std::chrono::seconds(5);
};

/// What a pool may do. 0 durations mean "off" (P51).
struct pool_rules {
    std::uint32_t size = 20;
    std::uint32_t max_overflow = 10;
    std::uint32_t min_size = 0;
    pool_duration hold_timeout = std::chrono::seconds(30);
    pool_duration lifetime = std::chrono::hours(1);
    double lifetime_jitter = 0.1;
    pool_duration idle_timeout = std::chrono::minutes(10);
    pool_duration overflow_idle_timeout = std::chrono::seconds(10);
    pool_duration probe_after_idle = std::chrono::seconds(30);
    std::uint32_t dial_limit = 8;  ///< dials in progress at a time
    redial_rules redial;
};

/// What the pool knows of a server connection. The owner of the socket derives from it.
struct pooled_server {
    pool_time opened{};
    pool_time idle_since{};
    pool_time retire_at{};  ///< lifetime with jitter; the epoch: never
    std::uint64_t generation = 0;
    bool permit_returned = false;  ///< to the pool, before it was closed
    bool condemned = false;        ///< closed as soon as it is given back (reconnect, drain)
};

/// Someone who waits for a server. The owner derives from it.
struct pool_waiter {
    pool_time waits_since{};
    pool_time deadline{};
    pool_duration waits_at_most{};  ///< by its own wish (D40); 0: for hold_timeout
    bool queued = false;
    bool noticed = false;  ///< has been told that it waits
    bool held = false;     ///< nobody could be served when it began to wait: an outage or an order
    bool replays = false;  ///< to make an outage good: it comes before new work (D30)
    server_need need = server_need::primary;
    std::uint64_t wrote_at = 0;                ///< cluster::newest_sample() when its session wrote last; 0: never (D28)
    std::size_t ahead_bytes = 0;               ///< what it has sent ahead, as counted against hold.max_bytes
    std::list<pool_waiter*>* queue = nullptr;  ///< of the pool that it waits in
    std::list<pool_waiter*>::iterator place;
};

/// Whether this server will do for this waiter; none: every server does for everyone.
using pool_match = std::function<bool(const pooled_server&, const pool_waiter&)>;

class pool {
public:
    /// `permits` are shared by this pool's parts on all workers, `process` by all pools; both outlive it.
    pool(const pool_rules& rules, permit_counter& permits, permit_counter& process);

    /// The answer to a request for a server.
    struct checkout {
        pooled_server* server = nullptr;
        bool probe_first = false;  ///< it has been idle so long that it must prove to be alive
    };
    /// An idle server, most recently used first; none: nobody waits without need.
    [[nodiscard]] checkout take_idle(pool_time now);
    /// The same among those that will do for `waiter`.
    [[nodiscard]] checkout take_idle_for(const pool_waiter& waiter, const pool_match& match, pool_time now);

    /// Its wait counts from `since`: a statement that comes back has waited already, and goes before those that came later.
    void enqueue(pool_waiter& waiter, pool_time since);
    /// Out of whichever pool's queue it is in.
    static void leave(pool_waiter& waiter);
    /// The waiter whose turn it is, removed from the queue; null if nobody waits.
    [[nodiscard]] pool_waiter* next_waiter();
    /// The first one for whom `server` will do.
    [[nodiscard]] pool_waiter* next_waiter_for(const pooled_server& server, const pool_match& match);
    /// Those that `which` names go to another pool's queue; since when they wait, and how long they may, stays.
    void move_waiters(pool& to, const std::function<bool(const pool_waiter&)>& which);
    /// Those that `which` names, removed from the queue.
    [[nodiscard]] std::vector<pool_waiter*> dismiss(const std::function<bool(const pool_waiter&)>& which);
    /// Who has waited for `after` and has not been told that it waits; marked as told.
    [[nodiscard]] std::vector<pool_waiter*> to_notice(pool_time now, pool_duration after);
    /// Nobody can be served now: those who wait are held.
    void mark_held();
    [[nodiscard]] const pool_waiter* first_waiter() const { return waiters_.empty() ? nullptr : waiters_.front(); }
    /// The first one that may be served now.
    [[nodiscard]] const pool_waiter* first_to_serve() const { return next_in_turn(); }
    /// Replays come before new work, whoever waits longer, or new work is not served at all for now (D30).
    void serve_replays(bool first, bool only) { replays_first_ = first || only, only_replays_ = only; }
    [[nodiscard]] bool serves_only_replays() const { return only_replays_; }
    /// Waiters whose deadline has passed, removed from the queue.
    [[nodiscard]] std::vector<pool_waiter*> expired(pool_time now);
    /// All waiters, removed (the pool cannot serve anyone: sign-in refused).
    [[nodiscard]] std::vector<pool_waiter*> dismiss_all() {
        return dismiss([](const pool_waiter&) { return true; });
    }

    enum class dial_answer : std::uint8_t {
        no,
        yes,           ///< permits were taken and a dial must start
        process_full,  ///< wanted and allowed, but the process has no permit left
    };
    /// Called until it does not say yes. `keep_warm`: this part sees to it that min_size servers are open over all
    /// workers together.
    [[nodiscard]] dial_answer may_dial(pool_time now, bool keep_warm);
    /// As may_dial(), for a connection that no waiter asked for (a password is tried with it).
    [[nodiscard]] bool may_dial_extra();
    void dial_ended(bool succeeded, pool_time now, double chance);
    /// The dial has failed for a reason that says nothing about the backend (a wrong password was tried).
    void dial_abandoned();
    /// A connection that was opened outside of the pool could not be: counts like a dial of its own.
    void failed_elsewhere(pool_time now, double chance);
    /// The dial has failed because the server is full (53300): it is up, and asked again after `pause`.
    void dial_crowded_out(pool_time now, pool_duration pause);
    /// Another dial has to wait for a moment, since earlier ones have failed.
    [[nodiscard]] bool backing_off(pool_time now) const { return now < next_dial_; }
    /// When dialling may be tried again after failures.
    [[nodiscard]] pool_time next_dial() const { return next_dial_; }
    [[nodiscard]] std::uint32_t consecutive_failures() const { return failures_; }
    /// Forgets the pause (an event says that the backend is back, or an operator asks).
    void dial_now();

    /// A new or returned server that is clean and at rest. False: it is not wanted, close it.
    [[nodiscard]] bool put_idle(pooled_server& server, pool_time now);
    /// Whether a server that comes back should be closed rather than used again.
    [[nodiscard]] bool is_spent(const pooled_server& server, pool_time now) const;
    /// A server of this pool was opened (counted from its dial on) or has been closed; its permits are returned.
    void adopt(pooled_server& server, pool_time now, double chance);
    void closed(const pooled_server& server);
    /// An open server went to, or came from, this pool's part on another worker; its permits go with it.
    void moved_away() { --open_; }
    void moved_here() { ++open_; }
    /// Removes an idle server (it died).
    bool remove_idle(pooled_server& server);
    /// Idle servers that are too old, idle too long, or beyond `size`; removed from the idle ones.
    [[nodiscard]] std::vector<pooled_server*> to_close(pool_time now);
    /// The server that has been idle longest; null: none is idle. It stays where it is.
    [[nodiscard]] pooled_server* longest_idle() const { return idle_.empty() ? nullptr : idle_.front(); }
    /// Every idle server, removed.
    [[nodiscard]] std::vector<pooled_server*> take_all_idle();
    /// From now on; what is open or waits keeps what it was given.
    void set_rules(const pool_rules& rules) { rules_ = rules; }
    /// For those who begin to wait from now on.
    void set_hold_timeout(pool_duration limit) { rules_.hold_timeout = limit; }
    /// Servers of any other generation are closed as soon as they are free. The number is the same in all parts of a
    /// pool, since servers travel between them.
    void set_generation(std::uint64_t number) { generation_ = number; }
    [[nodiscard]] std::uint64_t generation() const { return generation_; }

    [[nodiscard]] std::size_t idle() const { return idle_.size(); }
    [[nodiscard]] std::size_t waiting() const { return waiters_.size(); }
    [[nodiscard]] std::size_t open() const { return open_; }
    [[nodiscard]] std::size_t dialling() const { return dialling_; }
    [[nodiscard]] const pool_rules& rules() const { return rules_; }
    [[nodiscard]] permit_counter& permits() const { return permits_; }

private:
    [[nodiscard]] pool_waiter* next_in_turn() const;
    void insert(pool_waiter& waiter);
    [[nodiscard]] bool is_stale(const pooled_server& server, pool_time now) const;

    pool_rules rules_;
    permit_counter& permits_;
    permit_counter& process_;
    std::vector<pooled_server*> idle_;  // back: most recently used
    std::list<pool_waiter*> waiters_;
    std::size_t open_ = 0;  // of this worker, idle and busy
    std::size_t dialling_ = 0;
    std::uint32_t failures_ = 0;
    std::uint64_t generation_ = 0;
    pool_time next_dial_{};
    pool_time failing_since_{};
    bool replays_first_ = false;
    bool only_replays_ = false;
    bool any_impatient_ = false;  // among those who wait, perhaps: their deadlines are not in the order of the queue
};

/// The pause after so many failures in a row, with full jitter: a share of `chance` in [0, 1) of what the rules allow.
[[nodiscard]] pool_duration redial_pause(const redial_rules& rules, std::uint32_t failures, pool_duration failing_for,
                                         double chance);

}  // namespace pgsteady
