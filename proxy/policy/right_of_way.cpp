// See right_of_way.hpp.
#include "proxy/policy/right_of_way.hpp"

namespace pgsteady::right_of_way {

// A row that several want has a queue: its first waits for whoever has the row, the others for the first.
std::string question(std::int32_t pid) {
    return "WITH RECURSIVE keeper(pid) AS (SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(" +
           std::to_string(pid) +
           ")) UNION SELECT pg_catalog.unnest(pg_catalog.pg_blocking_pids(keeper.pid)) FROM keeper) SELECT pid FROM "
           "keeper";
}

}  // namespace pgsteady::right_of_way
