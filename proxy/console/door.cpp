// See door.hpp.
#include "proxy/console/door.hpp"

#include <algorithm>

namespace pgsteady {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool leads_to_console(const config::settings& all, std::string_view database) {
    return (database == "pgsteady" || database == "pgbouncer") && !all.databases.contains(database);
}

console_role console_role_of(const config::settings& all, std::string_view user) {
    if (contains(all.admin.admin_users, user)) return console_role::admin;
    return contains(all.admin.stats_users, user) ? console_role::stats : console_role::nobody;
}

bool console_is_closed(const config::settings& all) {
    return all.admin.admin_users.empty() && all.admin.stats_users.empty();
}

}  // namespace pgsteady
