// A pool's part on one worker: carries out what proxy/pool decides, with real connections.
// Owns its server connections. Servers travel between workers when one has waiters and another idle ones (D41).
#pragma once

#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/server_connection.hpp"

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgsteady {

class client_connection;

class local_pool {
public:
    local_pool(worker& at, std::shared_ptr<shared_pool> shared);
    ~local_pool();

    /// A server at once, or null: the client now waits and will be granted one, or refused.
    [[nodiscard]] server_connection* request(client_connection& client);
    void leave_queue(client_connection& client);
    /// What a session has done with.
    void give_back(server_connection& server, session_actions::release how);
    /// A client has left while this server works for it: the query is cancelled before the connection is closed, and
    /// keeps its permit until then, so that abandoned queries never add up to more than the pool's size.
    void abandon(server_connection& server);

    // From server_connection.
    void opened(server_connection& server);
    void open_failed(server_connection& server, const open_failure& why);
    void errand_finished(server_connection& server);
    void lost_idle(server_connection& server);
    /// Frees a connection that has closed. `counted`: it had been adopted.
    void forget(server_connection& server, bool counted);

    /// passthrough: signs in to a server with this password to see whether it is right; `client` is told. With a permit
    /// of the pool the connection stays and serves; a full pool delays nobody's sign-in: then it is closed at once.
    void verify_password(client_connection& client, std::string password);
    void abandon_verification(client_connection& client);
    /// From server_connection: a connection outside of the pool was accepted.
    void trial_passed(server_connection& server);

    void tick(pool_time now);
    void close_idle();
    /// Its place under limits.max_server_connections is wanted: the worker hears room_made() when it is free.
    void close_longest_idle();
    /// From server_connection: a server that was sent away is gone.
    void left(server_connection& server);
    void close_idle_if_unused();
    /// Dials what waiters and min_size ask for.
    void start_dials();
    /// A place under limits.max_server_connections has become free.
    void room_made();
    void take_migrant(const std::shared_ptr<server_connection>& server);
    void give_to(worker& other);
    /// Every connection opened so far is closed as soon as it is free: its credentials are refused by now.
    void retire_servers();
    void client_added();
    void client_removed();
    /// An automatic pool that nobody uses any more: no client, no server.
    [[nodiscard]] bool unused() const;
    /// When the last client left.
    [[nodiscard]] pool_time unused_since() const { return unused_since_; }
    [[nodiscard]] bool needs_attention() const { return core_.waiting() > 0 || !untried_.empty(); }

    [[nodiscard]] std::size_t active() const;
    [[nodiscard]] pool& core() { return core_; }

    const std::shared_ptr<shared_pool> shared;
    pool_facts facts;
    std::uint64_t checkouts = 0;  ///< totals, like the next three
    std::uint64_t checkins = 0;
    std::uint64_t waits = 0;
    pool_duration waited{};
    std::string last_problem;  ///< why servers cannot be had, for the error that waiters get

private:
    struct untried_password {
        client_connection* client;
        std::string password;
    };

    void put_idle(server_connection& server);
    void send_to(worker& other, server_connection& server);
    [[nodiscard]] worker* longer_waiting_neighbour(const pool_waiter* ours) const;
    void publish();
    [[nodiscard]] bool keeps_warm() const;
    void ask_for_room();
    void try_outside(client_connection& client, std::string password);
    void try_waiting_passwords();
    client_connection* end_trial(server_connection& server);
    void trial_failed(server_connection& server, const open_failure& why);
    void credentials_refused();
    void ask_neighbours();
    server_connection& add_server();
    std::shared_ptr<server_connection> release(server_connection& server);

    worker& worker_;
    pool core_;
    std::unordered_map<server_connection*, std::shared_ptr<server_connection>> servers_;
    std::unordered_map<server_connection*, client_connection*> verifying_;
    std::deque<untried_password> untried_;  // for want of limits.max_handshakes
    std::size_t clients_here_ = 0;
    pool_time unused_since_{};
    bool asking_for_room_ = false;  // at most once per tick
    bool warming_refused_ = false;  // the servers said no: min_size waits until a client has got in
};

}  // namespace pgsteady
