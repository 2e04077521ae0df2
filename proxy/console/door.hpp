// Who gets into the console (D37): which database names lead there, and what a user may do. Pure.
#pragma once

#include "config/config.hpp"

#include <cstdint>
#include <string_view>

namespace pgsteady {

enum class console_role : std::uint8_t { nobody, stats, admin };

/// `pgsteady` and `pgbouncer`, unless the configuration has a database of that name.
[[nodiscard]] bool leads_to_console(const config::settings& all, std::string_view database);
/// By admin.admin_users and admin.stats_users; who is in both may do both.
[[nodiscard]] console_role console_role_of(const config::settings& all, std::string_view user);
/// Neither list names anybody.
[[nodiscard]] bool console_is_closed(const config::settings& all);

}  // namespace pgsteady
