// A client that has signed in to the console, on its way from a worker to the console's thread.
#pragma once

#include "proxy/console/door.hpp"
#include "proxy/net/stream.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace pgsteady {

struct console_arrival {
    std::unique_ptr<net::stream> stream{};  ///< in no loop
    std::string user{};
    std::string peer{};
    std::uint64_t serial = 0;
    console_role role = console_role::nobody;
    std::string input{};            ///< read already, not used
    std::string output{};           ///< to be written before anything else
    std::shared_ptr<void> place{};  ///< gives its place under the caps on clients back when it is destroyed
};

}  // namespace pgsteady
