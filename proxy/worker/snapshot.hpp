// What a worker tells the admin thread about itself: plain values, taken on the worker's own thread
// between two events.
#pragma once

#include "proxy/worker/incident_log.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgsteady {

class shared_pool;

struct pool_snapshot {
    std::shared_ptr<const shared_pool> pool;  ///< whose part this is: its plan has names, mode and sizes
    std::uint32_t clients = 0;
    std::uint32_t open = 0;
    std::uint32_t idle = 0;
    std::uint32_t active = 0;
    std::uint32_t dialling = 0;
    std::uint32_t waiting = 0;
    double oldest_wait_seconds = 0;
    std::uint64_t checkouts = 0;  ///< totals since start
    std::uint64_t checkins = 0;
    std::uint64_t waits = 0;
    double wait_seconds = 0;
    std::uint32_t consecutive_failures = 0;
    std::string last_problem;
    std::uint64_t proof_cache_bytes = 0;
    std::uint32_t in_transaction = 0;
    std::uint32_t idle_in_transaction = 0;
    double oldest_transaction_seconds = 0;
    std::map<std::uint32_t, std::uint32_t> pins;  ///< sessions by their pin_reason bits
    std::uint32_t testing = 0;                    ///< servers that are reset or probed
    std::uint32_t cancelling = 0;                 ///< and those for whom a cancel request is on its way, or might be
    std::string waits_for{};                      ///< why its clients wait; empty: nobody does
    std::uint64_t requests = 0;                   ///< totals since start, like the next
    std::uint64_t transactions = 0;
    std::uint64_t bytes_in = 0;  ///< from clients
    std::uint64_t bytes_out = 0;
    double executing_seconds = 0;
    double attached_seconds = 0;
};

struct session_snapshot {
    std::uint64_t id = 0;
    std::string user;
    std::string database;
    std::string peer;
    std::string state;        ///< idle, active, waiting, in_transaction
    std::string pins;         ///< why it keeps its server; empty: it does not
    std::string waits_for{};  ///< why it has no server yet; empty: it does not wait
    double wait_seconds = 0;
    std::string server{};         ///< whom it works with; empty: nobody
    std::int32_t server_pid = 0;  ///< that server's process
    double age_seconds = 0;       ///< since it connected
    double silent_seconds = 0;    ///< since a byte passed
    std::string application_name{};
    std::string tls{};  ///< empty: none
};

struct server_snapshot {
    std::string user;      ///< on the server
    std::string database;  ///< as clients call it, like pool_user
    std::string pool_user;
    std::string state;  ///< a server_connection::phase
    std::string host;
    std::uint16_t port = 0;
    std::int32_t pid = 0;  ///< of its process; 0: not signed in yet
    bool standby = false;
    bool tls = false;
    bool condemned = false;      ///< closed as soon as it is free
    double age_seconds = 0;      ///< since it was opened; 0: it is not yet
    double idle_seconds = 0;     ///< 0: it is not idle
    std::uint64_t client = 0;    ///< with whom it works; 0: nobody
    std::uint64_t prepared = 0;  ///< statements that it has
};

struct worker_snapshot {
    unsigned index = 0;
    std::uint64_t clients = 0;
    std::uint64_t cancels = 0;  ///< requests on their way to servers
    std::vector<pool_snapshot> pools;
    std::vector<std::pair<const shared_pool*, session_snapshot>> pinned;  ///< at most 1000
    incident_log::list incidents;                                         ///< the latest, the oldest first
    std::uint64_t statement_cache_bytes = 0;                              ///< what texts do to sessions: analysed ones
};

}  // namespace pgsteady
