// Starts the program again, as it is on disk now, to take this process's place (takeover.hpp): what SIGUSR2 asks for.
#pragma once

#include <string>
#include <vector>

namespace pgsteady {

/// The path of the running program, absolute. To be asked at start: an update may replace the file later.
[[nodiscard]] std::string own_program();

/// Starts `program` with our environment. What becomes of it is in the log if it ends while this process lives.
void start_successor(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace pgsteady
