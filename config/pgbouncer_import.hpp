// Makes a proxy.yaml of a PgBouncer configuration, and says what it could not carry over. Pure: reads through a function.
// Backs --import-pgbouncer.
#pragma once

#include "config/pgbouncer_ini.hpp"

#include <string>
#include <vector>

namespace pgsteady::config {

struct pgbouncer_import {
    std::string yaml;                ///< has the passwords that auth_file had
    std::vector<std::string> notes;  ///< what is not, or not quite, the same: "pgbouncer.ini:12: auth_query: …"
    bool ok = true;                  ///< false: the file cannot be read; yaml is empty
};

/// `path` and whatever it includes or names are read by `read`.
[[nodiscard]] pgbouncer_import import_pgbouncer(const std::string& path, const file_reader& read);

}  // namespace pgsteady::config
