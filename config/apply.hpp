// The steps of load(), in the order in which they run. Internal to config/.
#pragma once

#include "config/load.hpp"
#include "config/value.hpp"
#include "config/yaml_tree.hpp"

#include <string>
#include <string_view>

namespace pgsteady::config {

/// Sections and keys of the file, but not the entries of `databases` and `users`.
void apply_file_keys(const yaml_node& root, const std::string& file, load_result& out);

/// PGSTEADY_* variables, the older names and DATABASE_URL.
void apply_environment(const environment& variables, load_result& out);

/// A default gives way to what was set beside it: DB_POOL_SIZE=3 alone is no mistake. Before the
/// entries, which inherit the result.
void fit_defaults(load_result& out);

/// The entries of `databases` and `users`: after the environment, because what an entry of
/// `databases` leaves out is the effective global value.
void apply_file_entries(const yaml_node& root, const std::string& file, load_result& out);

/// What follows from the rest: the same fitting for entries, ports, secrets from files and variables, users, automatic values.
void derive(const environment& variables, load_result& out);

/// The files of users, rules and maps that `auth` names.
void apply_auth_files(load_result& out);

/// It is what pg_authid stores, and not the password itself.
[[nodiscard]] bool is_stored_form(std::string_view secret);

/// A problem at a key, placed where its value came from.
void report(load_result& out, severity level, std::string key, std::string message, std::string suggestion = {});

/// How --print-config shows a secret; refused as a value, so that its output cannot be loaded by mistake.
inline constexpr std::string_view hidden_secret = "(set)";

}  // namespace pgsteady::config
