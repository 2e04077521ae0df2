// Builds the settings: defaults, then the file, then the environment (D2); then what follows from them.
//
// Every problem is reported, not the first alone. Reads the named files and nothing else: the
// environment is an argument. Never throws for bad input; never puts a secret into a problem.
// Called at start and on reload, by main alone.
#pragma once

#include "config/config.hpp"
#include "config/problem.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::config {

/// Variables by name. An empty value counts as not set.
using environment = std::map<std::string, std::string, std::less<>>;

/// A copy of this process's variables.
[[nodiscard]] environment process_environment();

enum class origin : std::uint8_t { default_value, file, variable, derived };

/// Where the effective value of a key came from.
struct source {
    origin from = origin::default_value;
    std::string name;  // path of the file, name of the variable, or what it was derived from
    int line = 0;
};

/// By key path ("pool.size", "databases.app.pool.size"); a key without an entry has its default.
using source_map = std::map<std::string, source, std::less<>>;

struct load_result {
    config::settings settings;  // complete, but to be used only if ok()
    std::vector<problem> problems;
    source_map sources;

    /// No errors; warnings are allowed.
    [[nodiscard]] bool ok() const { return !has_errors(problems); }
};

/// `file` must exist if given; without one the environment alone counts. After load(): hosts have
/// ports, secrets are read from their files, `automatic` values are resolved, the pair of DB_USER and
/// DB_PASS is among the users, DB_NAME among the databases, and validate() has been applied.
[[nodiscard]] load_result load(const std::optional<std::filesystem::path>& file, const environment& variables);

/// The same for the text of a file called `name`.
[[nodiscard]] load_result load_text(std::string_view text, const std::string& name, const environment& variables);

/// The file to use when none is named: ./proxy.yaml, then /etc/pgsteady/proxy.yaml, then none.
[[nodiscard]] std::optional<std::filesystem::path> default_file();

/// "default", "proxy.yaml:12", "env DB_HOST", "from backends.password_file".
[[nodiscard]] std::string describe(const source& where);

/// "databases" + "my.db" + "pool.size" -> databases."my.db".pool.size
[[nodiscard]] std::string entry_path(std::string_view map, std::string_view name, std::string_view key = {});

}  // namespace pgsteady::config
