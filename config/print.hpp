// The effective configuration as YAML, each value with its source; secrets as "(set)".
// Backs --print-config and GET /config. Pure.
#pragma once

#include "config/load.hpp"

#include <string>

namespace pgsteady::config {

[[nodiscard]] std::string print(const load_result& loaded);

}  // namespace pgsteady::config
