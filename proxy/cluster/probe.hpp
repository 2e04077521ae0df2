// The probe: the texts that are asked of a host and how their one row is read. Simple queries that PostgreSQL 12 and later
// answer on primaries and standbys, from full to least: what an account may not call must not hide the role.
// The row is hostile input. Pure functions.
#pragma once

#include "proxy/policy/cluster_report.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// 0: everything; 1: nothing that is commonly forbidden; 2: the role alone.
inline constexpr std::size_t probe_levels = 3;
[[nodiscard]] std::string_view probe_query(std::size_t level);

/// Makes the primary extend a file and write WAL, and leaves nothing behind; asked only while storage is said to fail.
[[nodiscard]] std::string_view write_probe();

/// What is set once per connection. `timeout` bounds a probe on the server, so that none is left running there.
[[nodiscard]] std::string probe_settings(std::chrono::milliseconds timeout);

/// The body of the DataRow that answers any of the queries. Nothing: it is not one.
[[nodiscard]] std::optional<probe_result> read_probe_row(std::string_view body);

}  // namespace pgsteady
