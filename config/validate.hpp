// Whether settings make sense together. Pure: settings in, problems out (without file and line, which
// load() adds from the sources). Reports everything it finds.
#pragma once

#include "config/config.hpp"
#include "config/problem.hpp"

#include <functional>
#include <string>
#include <vector>

namespace pgsteady::config {

/// Empty when the file can be read, else why not.
using file_check = std::function<std::string(const std::string& path)>;

[[nodiscard]] std::vector<problem> validate(const settings& all, const file_check& check);

/// The file_check that asks the system.
[[nodiscard]] std::string check_readable(const std::string& path);

}  // namespace pgsteady::config
