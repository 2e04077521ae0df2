// A whole proxy in virtual time: sessions on one worker or several, one pool, a primary and those that may follow it, and everything that can go
// wrong in between. Drawn from one number, so that a number is a run. Whoever owns the world adds applications and runs it.
// For tests.
#pragma once

#include "proxy/policy/replay_barrier.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"

#include "tests/simulation/model_host.hpp"
#include "tests/simulation/simulated_client.hpp"
#include "tests/simulation/simulated_monitor.hpp"
#include "tests/simulation/virtual_time.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::simulation {

constexpr micros letter_time = 300;  ///< at most, from one worker to another

/// How a connection ends that nobody has closed.
enum class loss : std::uint8_t { reset, orderly, silence };

class world {
public:
    world(std::uint64_t seed, std::uint32_t pool_size);
    ~world();
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    /// Runs until `done` or for so long. False: not done in time.
    bool run(const std::function<bool()>& done, micros patience);

    // What goes wrong.
    void lose(simulated_server& which, loss how);
    void terminate_backend(simulated_server& which);
    void crash_backend(simulated_server& which, micros recovery);
    void restart_immediately(micros down, bool words);
    void restart_cleanly(micros down);
    /// The same, or its standby takes over with all of it. Its backends end one after another, as they are told, within so
    /// long: meanwhile the locks of those that have ended are others'.
    void stop_in_turn(micros within, micros down, bool switches);
    /// It comes up, serves others for a while, and stops again, while nobody of ours gets through to it (T4).
    void restart_twice_unseen(micros down);
    /// The primary is gone for good, and its standby takes over with the log up to what it has received.
    void fail_over(micros down);
    /// A random one that is open; null: none is.
    [[nodiscard]] simulated_server* any_server(bool serving);
    void standby_away(bool away);
    /// That happens when the next COMMIT is on its way to a server.
    void at_next_commit(std::function<void()> what) { ambushes_.push_back(std::move(what)); }
    /// It has been up for longer than the monitor's looks can leave out (lineage::blind_at_most).
    [[nodiscard]] bool settled_in(const model_host& host) const;

    /// Others accept clients, too; the pool's servers are shared among all. Before anything happens.
    void add_worker();
    [[nodiscard]] std::size_t workers() const { return workers_.size(); }

    // For clients.
    [[nodiscard]] pool_time clock() const {
        return pool_time(std::chrono::hours(1) + std::chrono::microseconds(time.now));
    }
    [[nodiscard]] simulated_server* request(simulated_client& who, pool_time since);
    void give_back(simulated_server& server, session_actions::release how);
    /// The backend of a lost connection is brought to its end; `told`: whether that is certain (D24).
    void end_of_backend(simulated_server& whom, std::function<void(bool)> told);
    void to_backend(simulated_server& server, std::string_view bytes);

    // Of the barrier of replays (D30), if facts.replays_together is on: world_replays.cpp.
    void enter_barrier(simulated_client& who, bool pauses = false);
    /// Its pass_barrier() is called once what was under way may be sent, if that has to wait.
    void restored(simulated_client& who);
    void leave_barrier(simulated_client& who);
    [[nodiscard]] const replay_barrier& barrier() const { return barrier_; }
    void hold_answers();
    [[nodiscard]] pool_time answers_held_until() const { return barrier_.answers_held_until(); }
    /// Those who keep its replay from rows that it had before give way.
    void claim_rows(const simulated_client& who);
    replay_barrier::duration barrier_time = std::chrono::milliseconds(500);

    [[nodiscard]] model_host& primary() const { return *hosts.back(); }
    /// The standby is connected to the primary.
    [[nodiscard]] bool streams() const { return !standby_is_away && hosts.back()->now_is == model_host::state::up; }

    /// Lets the host's backends run, and passes on what they say.
    void poke(model_host& host);
    void problem(std::string what);
    void trace(const std::string& line);
    [[nodiscard]] std::size_t open_servers() const;

    dice chance;
    virtual_time time;
    session_tables tables;
    pool_facts facts;
    std::vector<std::unique_ptr<model_host>> hosts;  ///< the last is the primary
    std::vector<std::unique_ptr<simulated_server>> servers;
    std::vector<std::string> problems;
    std::vector<std::string> lost_by_failover;      ///< rows that a standby had not received
    std::optional<std::vector<std::string>> story;  ///< set: kept
    std::size_t losses = 0;
    std::size_t replays = 0;
    std::size_t replays_different = 0;
    std::size_t resumes = 0;
    std::size_t answers_held = 0;
    std::size_t gave_way = 0;                     ///< transactions, to others' replays
    std::size_t handed_over = 0;                  ///< servers, from one worker to another
    std::map<std::string, std::size_t> resolved;  ///< lost COMMITs, by outcome and path
    std::uint32_t receiver = 1;  ///< the standby's process that streams from the primary: another per connection
    simulated_monitor monitor{*this};
    std::size_t failovers = 0;
    bool fences = true;
    bool standby_is_away = false;  ///< replication stands still: standby_away()
    bool sabotage_dials = false;
    bool outsiders = false;  ///< others, who do not come through the proxy, write at once where a server comes up (T1)
    bool calm = false;       ///< connections deliver at once and in one piece
    std::function<void(simulated_server&)> on_dialled;

private:
    void settle();
    void tick();
    struct simulated_worker {
        simulated_worker(const pool_rules& rules, permit_counter& permits, permit_counter& process)
            : core(rules, permits, process) {}
        pool core;
        bool asking = false;  ///< its letter to a neighbour is on the way
        struct restored_client {
            simulated_client* who;
            std::shared_ptr<bool> alive;
        };
        std::vector<restored_client> at_barrier;
    };
    [[nodiscard]] pool& core_of(std::size_t worker) { return workers_[worker].core; }
    void serve_neighbours_replay(std::size_t mine);
    void ask_neighbours(std::size_t mine);
    void hand_over(std::size_t from, std::size_t to);
    void pass_on(model_host& host);
    void end_in_turn(model_host& host, std::size_t next, std::vector<micros> pauses, std::function<void()> over);
    void start_dial(std::size_t worker);
    void dial_done(std::size_t worker);
    void arrived(simulated_server& at, std::string_view bytes);
    void server_gone(simulated_server& at, failure_kind kind, std::string_view what);
    void close(simulated_server& server, bool abruptly);
    void fence(simulated_server& whom);
    void pursue(simulated_server& whom, micros until, std::function<void(bool)> told);
    void replicate();
    [[nodiscard]] bool take_unattached(simulated_server& at);
    void observe();
    void check_resolved(const in_doubt_report& what);
    void life_over(const model_host& host);
    void promote(model_host& old, lsn received);
    void came_up(model_host& host);
    void write_as_outsider(model_storage& at);
    template <typename Change>
    void change_barrier(std::size_t worker, Change&& what);
    void note_outage();
    void look_at_barrier(std::size_t worker);
    [[nodiscard]] bool replays_wait(std::size_t worker) const;
    void follow_barrier(std::size_t worker);
    [[nodiscard]] std::vector<simulated_client*> clients_of_servers(std::size_t worker) const;

    std::vector<std::function<void()>> ambushes_;
    micros unreachable_until_ = 0;
    std::size_t outsiders_rows_ = 0;

    permit_counter permits_;
    permit_counter process_;
    std::uint32_t pool_size_;
    std::deque<simulated_worker> workers_;
    replay_barrier barrier_;  // of all workers
};

}  // namespace pgsteady::simulation
