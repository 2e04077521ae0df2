// Turns a problem into the line that --check and a failed start print.
#include "config/problem.hpp"

#include <algorithm>

namespace pgsteady::config {

std::string describe(const problem& found) {
    std::string line = found.file;
    if (!line.empty() && found.line > 0) line += ':' + std::to_string(found.line);
    if (!line.empty()) line += ": ";
    line += found.level == severity::error ? "error: " : "warning: ";
    if (!found.key.empty()) line += found.key + ": ";
    line += found.message;
    if (!found.suggestion.empty()) line += "; " + found.suggestion;
    return line;
}

bool has_errors(const std::vector<problem>& problems) {
    return std::ranges::any_of(problems, [](const problem& p) { return p.level == severity::error; });
}

}  // namespace pgsteady::config
