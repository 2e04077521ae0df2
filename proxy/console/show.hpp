// SHOW: one function per table, from a view to an answer. Columns are those of PgBouncer 1.18, names, order and types, so
// that exporters and habits keep working; ours come after them. Pure.
#pragma once

#include "proxy/console/table.hpp"
#include "proxy/console/view.hpp"

#include <optional>
#include <string_view>

namespace pgsteady {

/// What a table has to be given beside the snapshot: it costs each worker a letter of its own.
struct console_needs {
    bool clients = false;
    bool servers = false;
};

/// What `name` (in capitals) needs, or nothing: there is no such table.
[[nodiscard]] std::optional<console_needs> needs_of_table(std::string_view name);

/// The table, or the reason why it is not shown. An unknown name is answered with 42601 and the nearest known one.
[[nodiscard]] console_answer show_table(std::string_view name, const console_view& view);

// show_pools.cpp
[[nodiscard]] console_table pools_table(const console_view& view);
[[nodiscard]] console_table databases_table(const console_view& view);
[[nodiscard]] console_table users_table(const console_view& view);
[[nodiscard]] console_table lists_table(const console_view& view);
// show_connections.cpp
[[nodiscard]] console_table clients_table(const console_view& view);
[[nodiscard]] console_table servers_table(const console_view& view);
[[nodiscard]] console_table sockets_table(const console_view& view);
[[nodiscard]] console_table active_sockets_table(const console_view& view);
// show_stats.cpp
[[nodiscard]] console_table stats_table(const console_view& view);
[[nodiscard]] console_table stats_totals_table(const console_view& view);
[[nodiscard]] console_table stats_averages_table(const console_view& view);
[[nodiscard]] console_table totals_table(const console_view& view);
// show_about.cpp
[[nodiscard]] console_table config_table(const console_view& view);
[[nodiscard]] console_table version_table(const console_view& view);
[[nodiscard]] console_table mem_table(const console_view& view);
[[nodiscard]] console_table dns_hosts_table(const console_view& view);
[[nodiscard]] console_table dns_zones_table(const console_view& view);
[[nodiscard]] console_table state_table(const console_view& view);
[[nodiscard]] console_table backends_table(const console_view& view);
/// As a notice, which is where psql shows it.
[[nodiscard]] console_answer help_answer();

}  // namespace pgsteady
