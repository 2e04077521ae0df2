// What a session needs a server for. Decided by the session, obeyed by the pool: the one word they share.
#pragma once

#include <cstdint>

namespace pgsteady {

enum class server_need : std::uint8_t {
    primary,    ///< it may write, or nobody knows what it does
    read_only,  ///< any server that shows what the session wrote itself will do (D3, D28)
};

}  // namespace pgsteady
