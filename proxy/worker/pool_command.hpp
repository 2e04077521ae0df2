// What an operator may do to one pool: for the admin port and the console. Carried out by letters to every worker's part.
#pragma once

#include "proxy/worker/proxy_state.hpp"

#include <cstdint>
#include <memory>

namespace pgsteady {

enum class pool_command : std::uint8_t {
    pause,  ///< idle servers are closed, busy ones when they come back; whoever wants one waits, up to hold_timeout
    resume,
    reconnect,  ///< every server that is open now is closed as soon as it is free
};

/// Thread-safe; returns at once, the workers follow within a turn of their loops. shared_pool::paused tells at once.
void order(proxy_state& all, const std::shared_ptr<shared_pool>& pool, pool_command what);

}  // namespace pgsteady
