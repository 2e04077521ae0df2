// The value of SET, written as set_config() takes it: what PostgreSQL's flatten_set_variable_args() makes of the
// arguments (src/backend/utils/misc/guc.c). Never guesses: a value that only the server can compute is nullopt.
// Internal to proxy/sql.
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// Settings are found without regard to case; this is the one spelling the ledger uses.
[[nodiscard]] std::string canonical_setting_name(std::string_view name);

/// `name` must be canonical. nullopt: an interval, an expression, or a text with a backslash (whose meaning depends
/// on standard_conforming_strings).
[[nodiscard]] std::optional<std::string> flatten_setting_value(std::string_view name, PgQuery__Node* const* args,
                                                               std::size_t count);

/// The text of a constant: a string, number or boolean as written. nullopt for NULL and everything else.
[[nodiscard]] std::optional<std::string> constant_text(const PgQuery__AConst& constant);

}  // namespace pgsteady
