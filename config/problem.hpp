// What is wrong with a configuration, as a value: where, what, and what to write instead.
// Never carries the value of a secret. Produced by load() and validate(); printed by --check.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pgsteady::config {

enum class severity : std::uint8_t {
    error,    // pgsteady does not start, a reload changes nothing
    warning,  // it runs, and says so in the log
};

struct problem {
    severity level = severity::error;
    std::string file;  // a path, "env NAME", or empty when the fault lies in a default or between keys
    int line = 0;      // 1-based; 0 when `file` has no lines
    std::string key;   // "pool.size"; empty when the file as a whole is meant
    std::string message;
    std::string suggestion;  // empty when there is nothing useful to propose

    bool operator==(const problem&) const = default;
};

/// One line: `proxy.yaml:12: error: pool.siez: unknown key; did you mean pool.size?`
[[nodiscard]] std::string describe(const problem& found);

[[nodiscard]] bool has_errors(const std::vector<problem>& problems);

}  // namespace pgsteady::config
