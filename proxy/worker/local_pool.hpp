// A pool's part on one worker: carries out what proxy/pool decides, with real connections.
// Owns its server connections. Servers travel between workers when one has waiters and another idle ones (D41).
#pragma once

#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/server_connection.hpp"

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

    // From server_connection.
    void opened(server_connection& server);
    void open_failed(server_connection& server, const open_failure& why);
    void errand_finished(server_connection& server);
    void lost_idle(server_connection& server);
    /// Frees a connection that has closed. `counted`: it had been adopted.
    void forget(server_connection& server, bool counted);

    /// passthrough: opens a server with this password to see whether it is right; `client` is told.
    void verify_password(client_connection& client, std::string password);
    void abandon_verification(client_connection& client);

    void tick(pool_time now);
    void close_idle();
    void start_dials();
    void take_migrant(const std::shared_ptr<server_connection>& server);
    void give_to(worker& other);
    void client_added() { ++shared->clients; }
    void client_removed() { --shared->clients; }

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
    void put_idle(server_connection& server);
    void publish();
    void ask_neighbours();
    server_connection& add_server();
    std::shared_ptr<server_connection> release(server_connection& server);

    worker& worker_;
    pool core_;
    std::unordered_map<server_connection*, std::shared_ptr<server_connection>> servers_;
    std::unordered_map<server_connection*, client_connection*> verifying_;
};

}  // namespace pgsteady
