// One worker: a thread with an event loop, the clients that live on it, its part of every pool.
// Everything here runs on that thread, except what says otherwise.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/policy/crowd_watch.hpp"
#include "proxy/policy/ramp.hpp"
#include "proxy/policy/retry_budget.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/counters.hpp"
#include "proxy/worker/incident_log.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/snapshot.hpp"

#include <fmt/format.h>

#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pgsteady {

class cancel_dial;

class worker {
public:
    worker(proxy_state& shared, unsigned index);
    ~worker();

    /// Opens the listeners of the process; the problem, or empty. Before start(), on one worker: it accepts for all.
    /// One socket that is not shared is refused when another process has the port, and lets the least busy worker
    /// have each client, where the kernel's hash over one socket per worker does neither.
    /// `inherited`: sockets that another process has opened; what fits is taken.
    [[nodiscard]] std::string listen(const config::listen_settings& settings,
                                     net::inherited_sockets* inherited = nullptr);
    /// Copies of the sockets that clients are accepted from, for a process that takes over. Before start().
    [[nodiscard]] std::vector<net::unique_fd> listening_sockets() const;
    /// Another process accepts from now on.
    void hand_over_listening();
    [[nodiscard]] std::uint16_t port() const;
    void start();
    // Thread-safe.
    void stop_listening();
    void drain(bool by_force);
    void stop();
    void join();
    void post(std::function<void()> letter) { loop_.post(std::move(letter)); }
    [[nodiscard]] std::future<worker_snapshot> ask_snapshot();
    /// By letter: other settings are in force (follow_settings.cpp).
    void follow_settings();
    /// Clients of this cluster's pools that are in a transaction or wait for a reply.
    [[nodiscard]] std::future<std::size_t> ask_open_work(const cluster* of);
    /// At most so many clients, as they are.
    [[nodiscard]] std::future<std::vector<session_snapshot>> ask_sessions(std::size_t most);
    /// At most so many of its connections to servers, as they are.
    [[nodiscard]] std::future<std::vector<server_snapshot>> ask_servers(std::size_t most);
    /// Ends every client of a database with FATAL 57P01; how many there were.
    [[nodiscard]] std::future<std::size_t> end_sessions_of(std::string database);
    /// Ends a client with FATAL 57P01; user and database of whom it was, or empty: there is none.
    [[nodiscard]] std::future<std::string> end_session(std::uint64_t serial);
    void route_cancel(std::int32_t pid, std::string key);

    [[nodiscard]] net::event_loop& loop() { return loop_; }
    [[nodiscard]] proxy_state& shared() { return shared_; }
    [[nodiscard]] session_tables& tables() { return tables_; }
    [[nodiscard]] worker_counters& counters() { return counters_; }
    [[nodiscard]] const worker_counters& counters() const { return counters_; }
    [[nodiscard]] std::string& scratch() { return scratch_; }
    [[nodiscard]] unsigned index() const { return index_; }
    /// Clients that are here or on their way here. Thread-safe.
    [[nodiscard]] std::uint32_t load() const { return load_.load(std::memory_order_relaxed); }

    /// This worker's part of the pool; null if there is none to be had (see proxy_state).
    [[nodiscard]] local_pool* pool_for(const std::string& database, const std::string& user, bool& crowded);
    [[nodiscard]] local_pool& part_of(const std::shared_ptr<shared_pool>& shared);

    /// A positive number that names this client's connection to cancel requests (P40).
    [[nodiscard]] std::int32_t new_client_pid();
    void register_cancel(std::int32_t pid, client_connection& client);
    void forget_cancel(std::int32_t pid);
    /// Sends a CancelRequest to the server that works for a client, if limits.max_cancels allows (has_cancel() tells).
    void cancel_on_server(server_connection& server);
    /// Sends one for a connection that is lost already, at once or when others have been sent (fence.max_cancels).
    void cancel_lost(lost_backend whom);
    /// While it drains: one for all whom it sends away (R15).
    [[nodiscard]] const std::string& farewell_incident();
    /// For what only the log tells.
    [[nodiscard]] std::string new_incident() { return incidents_.take_number(); }
    /// A failure that clients meet: into the log and onto the admin port. Its number, for DETAIL.
    template <typename... Parts>
    [[nodiscard]] std::string tell_incident(fmt::format_string<Parts...> what, Parts&&... parts) {
        counters_.incidents.add();
        const fmt::string_view form = what;
        return incidents_.tell({form.data(), form.size()}, fmt::format(what, std::forward<Parts>(parts)...),
                               incidents_to_keep());
    }

    /// A server for a waiter: handed over when the event in progress is done.
    void grant_later(client_connection& client, server_connection& server);
    void withdraw_grant(client_connection& client);
    /// A client that does not wait (any more) is told why it gets no server, likewise.
    void refuse_later(client_connection& client, error_fields why);
    /// To be called at the end of every event: hands over what was granted.
    void settle();

    [[nodiscard]] session_snapshot describe(client_connection& client) const;
    void remove_client(client_connection& client);

    /// Closes the server that has been idle longest in any pool but `except`: its place under
    /// limits.max_server_connections is wanted. False: none is idle.
    [[nodiscard]] bool close_longest_idle(const local_pool* except);
    /// A server sent away by any worker is gone.
    void room_made();
    /// Asks the workers other than `asking`, one after the other, to do that.
    void find_room(const std::shared_ptr<shared_pool>& pool, unsigned asking);
    /// Somebody has begun to wait: time is looked at more often, and the cluster is told at once.
    void waiting_changed();
    /// How fast this worker may dial a cluster that is back after an outage (D4).
    [[nodiscard]] ramp& ramp_of(cluster* behind);
    /// From the monitor, by letter: what is known of a cluster has changed.
    void on_view(const cluster& whose, const cluster::view_ptr& now);
    /// By letter: the barrier of a cluster's replays has changed (D30).
    void follow_barrier(const cluster& whose);
    /// By letter: these processes of one of its hosts keep a replay waiting (D30).
    void give_way(const cluster& whose, std::size_t host, const std::vector<std::int32_t>& pids);

private:
    void accept(int fd, std::string peer);
    void hand_out(int fd, std::string peer);
    void adopt(int fd, std::string peer);
    void tick();
    void arm_tick();
    void tick_soon();
    void report_waiting();
    void reconsider_waiting();
    void cancel_here(std::int32_t pid, const std::string& key);
    void ask_peers(std::int32_t pid, const std::string& key);
    void start_cancel(lost_backend whom, std::function<void(cancel_dial&)> over);
    void end_cancel(cancel_dial& done);
    void cancel_next_lost();
    void warm_up();
    void log_statements(bool on);
    void drop_unused_pools(bool at_once);
    [[nodiscard]] std::chrono::milliseconds tick_interval() const;
    [[nodiscard]] worker_snapshot take_snapshot();
    [[nodiscard]] std::size_t incidents_to_keep() const;
    [[nodiscard]] std::size_t open_work(const cluster* of) const;
    [[nodiscard]] server_snapshot describe(const server_connection& server) const;
    [[nodiscard]] std::string end_here(std::uint64_t serial);

    proxy_state& shared_;
    unsigned index_;
    net::event_loop loop_;  // on the engine that proxy_state names
    session_tables tables_;
    worker_counters counters_;
    retry_budget budget_;
    std::string scratch_;
    std::vector<std::unique_ptr<net::listener>> listeners_;
    std::unordered_map<std::uint64_t, std::shared_ptr<client_connection>> clients_;
    std::unordered_map<std::string, std::unique_ptr<local_pool>> pools_;
    std::unordered_map<std::int32_t, client_connection*> by_pid_;
    std::vector<std::unique_ptr<cancel_dial>> cancels_;
    std::deque<std::pair<pool_time, lost_backend>> lost_;  // to be cancelled, and since when
    std::vector<std::pair<client_connection*, server_connection*>> granted_;
    std::vector<std::pair<client_connection*, error_fields>> refused_;
    std::unordered_map<cluster*, ramp> ramps_;
    std::unordered_map<cluster*, std::size_t> reported_waiting_;  // by what was told last; those with somebody waiting
    std::atomic<std::uint32_t> load_{0};
    std::size_t next_worker_ = 0;  // where hand_out() begins to look
    std::uint64_t next_client_ = 1;
    std::uint32_t next_pid_ = 1;
    incident_log incidents_;
    crowd_watch crowd_;
    net::timer_id tick_timer_;
    bool settling_ = false;
    bool draining_ = false;
    std::string farewell_incident_;
    bool forcing_ = false;
    std::thread thread_;
};

}  // namespace pgsteady
