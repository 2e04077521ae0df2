// What a worker tells the admin thread about itself: plain values, taken on the worker's own thread
// between two events.
#pragma once

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
    std::uint32_t in_transaction = 0;
    std::uint32_t idle_in_transaction = 0;
    double oldest_transaction_seconds = 0;
    std::map<std::uint32_t, std::uint32_t> pins;  ///< sessions by their pin_reason bits
};

struct session_snapshot {
    std::uint64_t id = 0;
    std::string user;
    std::string database;
    std::string peer;
    std::string state;  ///< idle, active, waiting, in_transaction
    std::string pins;   ///< why it keeps its server; empty: it does not
    std::string waits_for{};   ///< why it has no server yet; empty: it does not wait
    double wait_seconds = 0;
    std::string server{};      ///< whom it works with; empty: nobody
};

struct worker_snapshot {
    unsigned index = 0;
    std::uint64_t clients = 0;
    std::uint64_t cancels = 0;  ///< requests on their way to servers
    std::vector<pool_snapshot> pools;
    std::vector<std::pair<const shared_pool*, session_snapshot>> pinned;  ///< at most 1000
    std::uint64_t statement_cache_bytes = 0;  ///< what texts do to sessions: analysed ones
};

}  // namespace pgsteady
