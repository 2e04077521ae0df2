// Reads what PgBouncer's configuration says: pgbouncer.ini with its %include lines, connection strings, and userlist.txt.
// Knows the notation only; what a setting means is pgbouncer_import's. Files come from a function, so it is pure.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::config {

/// The content of a file; nothing if it cannot be read.
using file_reader = std::function<std::optional<std::string>(const std::string& path)>;

/// `key = value` in a section.
struct ini_entry {
    std::string section;
    std::string key;
    std::string value;
    std::string where;  ///< pgbouncer.ini:12
};

struct ini_file {
    static constexpr std::size_t max_depth = 10;  ///< of %include, as in PgBouncer

    std::vector<ini_entry> entries;
    std::vector<std::string> problems;  ///< "pgbouncer.ini:3: …"
};

[[nodiscard]] ini_file read_ini(const std::string& path, const file_reader& read);

/// host=… port=… dbname='it''s': as in the sections [databases] and [users]. Nothing if it is not well-formed.
[[nodiscard]] std::optional<std::vector<std::pair<std::string, std::string>>> read_pairs(std::string_view text);

/// "user" "password" per line; what follows is left out, as PgBouncer does. Lines that say something else, but for comments
/// behind ; and #, are counted from 1 in `unreadable`.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> read_userlist(std::string_view text,
                                                                             std::vector<int>* unreadable = nullptr);

}  // namespace pgsteady::config
