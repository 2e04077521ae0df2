// A pool's part on one worker: carries out what proxy/pool decides, with real connections.
// Two groups of servers: the primary's, and standbys' that serve reads while there is no primary (D3).
// Owns its server connections. Servers travel between workers when one has waiters and another idle ones (D41).
#pragma once

#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/fence_list.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/shared_listener.hpp"
#include "proxy/worker/snapshot.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgsteady {

class client_connection;

class local_pool {
public:
    local_pool(worker& at, std::shared_ptr<shared_pool> shared);
    ~local_pool();

    /// A server at once, or null: the client now waits and will be granted one, or refused. `client.wrote_at` says what
    /// its session must be shown. `since`: when its wait began, if that was earlier than now (its statement was on a
    /// server that is lost, D3).
    [[nodiscard]] server_connection* request(client_connection& client, server_need need = server_need::primary,
                                             pool_time since = {});
    /// A client that waits has sent so many bytes ahead by now (hold.max_bytes).
    void sent_ahead(client_connection& client, std::size_t bytes);
    void leave_queue(client_connection& client);
    /// What a session has done with.
    void give_back(server_connection& server, session_actions::release how);
    /// A client has left while this server works for it: the query is cancelled before the connection is closed, and
    /// keeps its permit until then, so that abandoned queries never add up to more than the pool's size. What may be
    /// committing is fenced instead, which spares who waits for a standby (T7).
    void abandon(server_connection& server, bool may_commit);
    /// A connection to the primary was given up while its server worked: what it was doing is brought to its end, without
    /// delaying anybody (recovery.md 2.8, D24). Of what is terminated, `told` hears once whether its end is confirmed; only
    /// then may it be sent again (is_fenced()). It is called on this worker, later; never if `need` is none or cancel, or
    /// fence.enabled is off.
    void fence(lost_backend whom, fence_need need, std::string incident, fence_told told = {});
    /// Another host is the primary now: nothing that goes on there can count any more (D27).
    [[nodiscard]] bool has_succeeded(std::size_t host) const;
    /// Once there is another primary than now, it is told to look again (look_for_successor()), by letter.
    void await_successor(client_connection& client);
    void forget_successor(const client_connection& client);

    /// Another configuration counts from now on (follow_settings.cpp).
    void follow_settings();
    /// What an operator has changed since counts from now on: looked at when a client begins to wait and at a failure.
    void follow_live_policies();

    // From server_connection.
    void opened(server_connection& server);
    void open_failed(server_connection& server, const open_failure& why);
    void errand_finished(server_connection& server);
    void lost_idle(server_connection& server);
    /// What the server answered to a question about lost backends; `problem`: the SQLSTATE of its refusal.
    void fence_answered(std::uint64_t number, const std::vector<fence_list::row>& rows, std::string_view problem);
    /// The server that was asked is about to be closed without an answer.
    void fence_unanswered(std::uint64_t number);
    /// Frees a connection that has closed. `counted`: it had been adopted.
    void forget(server_connection& server, bool counted);
    /// What a server that has just been opened lacks for what it was opened for, as the end of a sentence; empty: nothing.
    [[nodiscard]] std::string why_unfit(const server_connection& server) const;
    /// Tells the cluster what a connection has seen.
    void report(host_report seen);
    /// What was taken for the primary says that it is none (25006), or a server that its role has changed (a
    /// ParameterStatus): its role is looked at again (D21).
    void not_primary(const server_connection& server);
    /// A statement has met a full or failing disk there.
    void storage_failing(const server_connection& server);
    /// What the monitor has found of this server's host since `asked_at`. If it is the primary, nobody of this pool waits for
    /// the same news for a while: the role is read-only by its own settings.
    [[nodiscard]] role_news news_of_role(const server_connection& server, pool_time asked_at);

    /// passthrough: signs in to a server with this password to see whether it is right; `client` is told. With a permit
    /// of the pool the connection stays and serves; a full pool delays nobody's sign-in: then it is closed at once.
    /// While no server can be had, the client waits as a statement does (recovery.md 2.14 R16).
    void verify_password(client_connection& client, std::string password);
    void abandon_verification(client_connection& client);
    /// From server_connection: a connection outside of the pool was accepted.
    void trial_passed(server_connection& server);

    // One server for one client, outside of the pool (client_replication.cpp).
    /// The client hears replication_opened() or replication_refused(); it waits as for the trial of a password.
    void open_replication(client_connection& client, parameter_list wanted);
    /// The client, or the server, has left.
    void end_replication(server_connection& server);

    // One connection that listens for all its clients here, outside of the pool (local_pool_listener.cpp, D18).
    [[nodiscard]] shared_listener& listener() { return listener_; }
    /// False: there is nothing to be dialled now, or no room. Else it hears opened() or open_failed().
    [[nodiscard]] bool dial_listener();
    void close_listener(server_connection& server);

    // After an outage (local_pool_replays.cpp, D30).
    /// This client's transaction was interrupted, or its COMMIT is in doubt: it is waited for, and served first. `pauses`: it
    /// does not ask for a server at once, and new work is not to have that, and its rows, meanwhile.
    void enter_barrier(client_connection& client, bool pauses = false);
    /// As far as it had been answered it is given again. What was under way waits for the others: they are told when it may go on.
    void restored(client_connection& client);
    /// It is done, or given up, or the client has left.
    void leave_barrier(client_connection& client);
    /// A transaction here is losing its server, and with it its locks: see replay_barrier::loses_locks().
    void hold_answers();
    /// This client's replay waits on its server: whose held answer keeps it from rows that it had before gives way.
    void claim_rows(const client_connection& client);
    /// From server_connection: the processes that keep a replay on this host waiting.
    void keepers_found(std::size_t host, const std::vector<std::int32_t>& pids);
    void give_way(std::size_t host, const std::vector<std::int32_t>& pids);
    /// One atomic load.
    [[nodiscard]] pool_time answers_held_until() const { return replays_.answers_held_until(); }
    /// The barrier has changed.
    void follow_barrier();

    /// What is known of the cluster has changed.
    void on_view(cluster::view_ptr now);
    /// After a change of mode, when everybody who waits has been asked again what for: whom no standby will do is refused.
    void refuse_writes();
    /// pause or resume was ordered, or the generation changed: acts on what `shared` says.
    void on_orders();

    /// True: its mode has changed, by time or by order, and whoever waits is to be asked again what for.
    [[nodiscard]] bool tick(pool_time now);
    void close_idle();
    /// Its place under limits.max_server_connections is wanted: the worker hears room_made() when it is free.
    void close_longest_idle();
    /// From server_connection: a server that was sent away is gone.
    void left(server_connection& server);
    void close_idle_if_unused();
    /// An operator says that it is worth trying now: idle servers must prove to be alive, dials do not wait.
    void recover();
    /// Dials what waiters and min_size ask for.
    void start_dials();
    /// A place under limits.max_server_connections has become free.
    void room_made();
    void take_migrant(const std::shared_ptr<server_connection>& server);
    void give_to(worker& other, server_need which);
    void client_added();
    void client_removed();
    /// An automatic pool that nobody uses any more: no client, no server.
    [[nodiscard]] bool unused() const;
    /// When the last client left.
    [[nodiscard]] pool_time unused_since() const { return unused_since_; }
    [[nodiscard]] bool needs_attention() const {
        return waiting() > 0 || !untried_.empty() || shared->fences.any() || !at_barrier_.empty();
    }
    /// So many wait because no server of the cluster can be had, rather than because all are busy.
    [[nodiscard]] std::size_t waiting_for_cluster() const;

    [[nodiscard]] std::size_t clients_here() const { return clients_here_; }
    /// What its sessions are doing, seen from its servers: the list of clients is not walked.
    void describe_sessions(pool_snapshot& to,
                           std::vector<std::pair<const shared_pool*, session_snapshot>>& pinned) const;
    /// Its servers by what they do.
    struct server_counts {
        std::size_t active = 0;      ///< a client is attached
        std::size_t testing = 0;     ///< reset or probed
        std::size_t cancelling = 0;  ///< a cancel request is on its way, or might be
        pool_duration attached{};    ///< how long the attached clients have had theirs, in all
    };
    [[nodiscard]] server_counts count_servers() const;
    [[nodiscard]] std::vector<std::shared_ptr<server_connection>> all_servers() const;
    /// Why somebody who waits here does.
    [[nodiscard]] std::string waits_for() const;
    [[nodiscard]] std::size_t waiting() const { return primaries_.core.waiting() + standbys_.core.waiting(); }
    [[nodiscard]] std::size_t open() const { return primaries_.core.open() + standbys_.core.open(); }
    [[nodiscard]] std::size_t idle() const { return primaries_.core.idle() + standbys_.core.idle(); }
    [[nodiscard]] std::size_t dialling() const { return primaries_.core.dialling() + standbys_.core.dialling(); }
    [[nodiscard]] std::uint32_t consecutive_failures() const { return primaries_.core.consecutive_failures(); }
    [[nodiscard]] std::uint64_t generation() const { return primaries_.core.generation(); }
    [[nodiscard]] const pool_waiter* first_waiter() const;
    [[nodiscard]] pooled_server* longest_idle() const;

    const std::shared_ptr<shared_pool> shared;
    pool_facts facts;
    pool_counters& counts;  ///< of this pool on this worker
    config::timeout_settings timeouts;
    std::string reset_query;    ///< of session mode
    std::string connect_query;  ///< of new servers, and of those that have been reset
    pool_duration replay_timeout{};
    pool_duration replay_barrier_time{};  ///< of each step; 0: there is none
    pool_duration slow_after{};           ///< log.slow_statement; 0: off
    pool_duration idle_listener{};        ///< how long nobody has listened when its connection is closed; 0: never
    std::uint64_t checkouts = 0;          ///< totals, like the next three
    std::uint64_t checkins = 0;
    std::uint64_t waits = 0;
    pool_duration waited{};
    /// What its clients have done, totals since start.
    struct traffic {
        std::uint64_t requests = 0;
        std::uint64_t transactions = 0;
        std::uint64_t bytes_in = 0;  ///< from clients
        std::uint64_t bytes_out = 0;
        pool_duration executing{};  ///< from a request's arrival, or from its server if it had to wait, to its end
        pool_duration attached{};   ///< a client had a server
    };
    traffic served;
    std::string last_problem;  ///< why servers cannot be had, for the error that waiters get

private:
    void take_settings();

    // COMMITs whose answer is lost.
    void begin_observing();
    void observe(in_doubt_facts& facts, const commit_capture& captured) const;
    void count_resolved(const in_doubt_report& what);
    void note_capture_problem(std::string_view why);
    /// This worker's part of a server_group.
    struct group {
        group(server_need kind, server_group& all, const pool_rules& rules, permit_counter& process)
            : serves(kind), shared(all), core(rules, all.permits, process) {}

        const server_need serves;
        server_group& shared;
        pool core;
    };
    struct password_try {
        client_connection* client = nullptr;  ///< null: it has left
        std::string password;
        pool_time since{};
        /// Start-up parameters of a replication connection that it wants instead; null: a password is tried.
        std::shared_ptr<const parameter_list> replication{};
    };

    [[nodiscard]] group& group_of(server_need need) { return need == server_need::primary ? primaries_ : standbys_; }
    [[nodiscard]] group& group_of(const server_connection& server) { return group_of(server.serves()); }

    // Who gets which server.
    [[nodiscard]] bool withheld(const group& of) const;
    [[nodiscard]] bool blocked(const group& of) const;
    [[nodiscard]] pool::checkout take_idle(group& from, const pool_waiter& waiter);
    [[nodiscard]] pool_waiter* next_waiter(group& of, const server_connection& server);
    [[nodiscard]] bool shows_all(const server_connection& server, const pool_waiter& waiter) const;
    void put_idle(server_connection& server);
    void serve_waiting(group& of);
    [[nodiscard]] bool admit_waiter(client_connection& client);
    void refuse_for_want_of_room(client_connection& client, std::string_view limit);
    void fence_abandoned(server_connection& server);
    void stopped_waiting(pool_waiter& waiter, hold_outcome how);
    void refuse_all(const std::vector<pool_waiter*>& whom, const error_fields& why);
    void refuse_late(group& of, pool_time now);
    void notify_patient(group& of, pool_time now);
    [[nodiscard]] std::string what_is_missing() const;

    // After an outage.
    template <typename Change>
    void change_barrier(Change&& what);
    template <typename Which>
    [[nodiscard]] std::vector<std::shared_ptr<client_connection>> clients_of_servers(Which which) const;
    void serve_replays(const replay_gate::state& now);
    void note_outage();
    void work_is_possible();
    [[nodiscard]] bool replays_wait() const;
    void look_at_barrier(pool_time now);

    // Following the cluster.
    [[nodiscard]] cluster::view_ptr own_view() const;
    void settle_service();
    void take_view();
    bool follow_time();
    void forget_role(pool_time now);
    void reroute_waiters();
    [[nodiscard]] bool misplaced(const server_connection& server) const;
    void drop_misplaced();
    void end_what_is_silent();
    void end_what_is_unacknowledged(pool_time now);

    // The end of lost connections' backends.
    void pursue_lost();
    void ask_about_lost_on(std::size_t host);
    [[nodiscard]] bool ask_about_lost(server_connection& server);
    [[nodiscard]] bool may_open_extra(std::size_t host) const;
    void open_extra(std::size_t host);
    void tell_ended(pool_time now);

    // Dials.
    void start_dials(group& of);
    [[nodiscard]] std::optional<dial_target> target(const group& of) const;
    void dial_failed(group& of, const open_failure& why, bool counted);
    void crowded_out(group& of);
    bool speaks_for_pool(const group& of) const;
    void turn_away(group& of);
    void make_room_again(group& of, pool_time now);
    [[nodiscard]] bool keeps_warm() const;
    void ask_for_room();

    // Passwords being tried.
    void try_waiting_passwords();
    [[nodiscard]] bool start_try(password_try& next);
    void give_up_tries(pool_time now);
    password_try end_trial(server_connection& server);
    void trial_failed(server_connection& server, const open_failure& why);
    void replication_ready(server_connection& server, client_connection* client);
    void listener_failed();
    [[nodiscard]] static bool refuses_credentials(const open_failure& why);
    void credentials_refused();

    // Servers that travel.
    void send_to(worker& other, server_connection& server);
    void tell_of_successor();
    [[nodiscard]] static std::int64_t waits_since(const pool_waiter& waiter);
    [[nodiscard]] worker* longer_waiting_neighbour(const group& of, const pool_waiter* ours) const;
    void ask_neighbours(const group& of);
    void publish();
    void publish(const group& of);

    server_connection& add_server(server_need serves);
    std::shared_ptr<server_connection> release(server_connection& server);

    worker& worker_;
    replay_gate& replays_;        // the cluster's
    cluster::view_ptr seen_;      // of the cluster; never null
    cluster::view_ptr view_;      // the same with this pool's own rules; never null
    live_policies::value rules_;  // as they were looked at last; never null
    group primaries_;
    group standbys_;
    std::unordered_map<server_connection*, std::shared_ptr<server_connection>> servers_;
    std::unordered_map<server_connection*, password_try> verifying_;
    std::deque<password_try> untried_;                          // for want of limits.max_handshakes, or of a server
    std::vector<std::weak_ptr<client_connection>> at_barrier_;  // restored, and waiting for the others
    std::map<std::uint64_t, std::weak_ptr<client_connection>> awaiting_successor_;  // by serial
    std::size_t clients_here_ = 0;
    pool_time unused_since_{};
    shared_listener listener_;
    bool writes_end_ = false;       // read-only mode has begun, and who waits for a primary has yet to be told
    pool_time next_look_{};         // at what is unacknowledged
    pool_time forget_role_at_{};    // facts.read_only_by_itself; the epoch: it is not set
    bool asking_for_room_ = false;  // at most once per tick
    bool capture_problem_told_ = false;
    bool warming_refused_ = false;  // the servers said no: min_size waits until a client has got in
};

}  // namespace pgsteady
