// See show.hpp.
#include "proxy/console/show.hpp"

#include "protocol/sqlstate.hpp"

#include "config/suggest.hpp"

#include "admin/printable.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace pgsteady {
namespace {

struct table_row {
    std::string_view name;
    console_table (*make)(const console_view&);  // null: not a table
    console_needs needs{};
};

constexpr console_needs nothing_more{};

constexpr std::array<table_row, 21> tables{{
    {"POOLS", pools_table, nothing_more},
    {"CLIENTS", clients_table, {.clients = true}},
    {"SERVERS", servers_table, {.servers = true}},
    {"DATABASES", databases_table, nothing_more},
    {"STATS", stats_table, nothing_more},
    {"STATS_TOTALS", stats_totals_table, nothing_more},
    {"STATS_AVERAGES", stats_averages_table, nothing_more},
    {"TOTALS", totals_table, nothing_more},
    {"CONFIG", config_table, nothing_more},
    {"VERSION", version_table, nothing_more},
    {"USERS", users_table, nothing_more},
    {"LISTS", lists_table, nothing_more},
    {"MEM", mem_table, nothing_more},
    {"SOCKETS", sockets_table, {.clients = true, .servers = true}},
    {"ACTIVE_SOCKETS", active_sockets_table, {.clients = true, .servers = true}},
    {"DNS_HOSTS", dns_hosts_table, nothing_more},
    {"DNS_ZONES", dns_zones_table, nothing_more},
    {"STATE", state_table, nothing_more},
    {"BACKENDS", backends_table, nothing_more},
    {"HELP", nullptr, nothing_more},
    {"FDS", nullptr, nothing_more},
}};

const table_row* find(std::string_view name) {
    const auto at =
        std::find_if(tables.begin(), tables.end(), [&](const table_row& each) { return each.name == name; });
    return at == tables.end() ? nullptr : &*at;
}

console_answer unknown_table(std::string_view name) {
    std::vector<std::string_view> known;
    for (const table_row& each : tables) known.push_back(each.name);
    const std::string_view meant = config::nearest(name.substr(0, 64), known);
    std::string hint = meant.empty() ? std::string() : "Perhaps you mean SHOW " + std::string(meant) + ". ";
    hint += "SHOW HELP lists what the console knows.";
    return {.error = plain_error(sqlstate::syntax_error,
                                 "there is nothing called \"" + admin::printable(name, 64) + "\" to show", {},
                                 std::move(hint))};
}

}  // namespace

std::optional<console_needs> needs_of_table(std::string_view name) {
    const table_row* found = find(name);
    return found == nullptr ? std::nullopt : std::optional(found->needs);
}

console_answer show_table(std::string_view name, const console_view& view) {
    const table_row* found = find(name);
    if (found == nullptr) return unknown_table(name);
    if (name == "HELP") return help_answer();
    if (found->make == nullptr)
        return {.error = plain_error(sqlstate::feature_not_supported, "descriptors are not handed over",
                                     "PgBouncer passes them to its successor.",
                                     "SHOW CLIENTS and SHOW SERVERS list connections.")};
    return {.table = found->make(view)};
}

}  // namespace pgsteady
