// The effective configuration as YAML, each value with its source; secrets as "(set)".
// Backs --print-config and GET /config. Pure.
#pragma once

#include "config/load.hpp"

#include <string>
#include <vector>

namespace pgsteady::config {

/// One line of the configuration in use.
struct effective_value {
    std::string key;     ///< the path: pool.size, databases.app.pool.size
    std::string value;   ///< as the file would say it; a secret is "(set)"
    std::string source;  ///< default, proxy.yaml:12, env DB_HOST, …
};

/// What print() prints, in the same order, as values.
[[nodiscard]] std::vector<effective_value> effective(const load_result& loaded);

[[nodiscard]] std::string print(const load_result& loaded);

}  // namespace pgsteady::config
