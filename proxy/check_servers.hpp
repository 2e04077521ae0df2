// --check beyond the file: signs in to the configured servers, if it can, and compares what the pools may open with
// what the servers admit (D7). Best effort with a short patience; nothing it finds is an error. Never prints a secret.
#pragma once

#include "config/config.hpp"

#include <string>
#include <vector>

namespace pgsteady {

/// One line per server: what was compared, or why it could not be. A line that needs attention begins with "warning: ".
[[nodiscard]] std::vector<std::string> compare_with_servers(const config::settings& settings);

}  // namespace pgsteady
