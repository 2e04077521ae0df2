// See repeatable_answer.hpp.
#include "proxy/session/repeatable_answer.hpp"

#include "proxy/session/leading_word.hpp"
#include "proxy/sql/statement_class.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {

namespace {

// Sorted. Their results depend on their arguments alone; somebody's own function of such a name is taken for PostgreSQL's, since all
// that can be lost by that is an answer that has to be an error.
constexpr auto plain_functions = std::to_array<std::string_view>(
    {"abs",      "array_agg", "avg",   "btrim",  "ceil",  "concat",  "count", "floor", "greatest",
     "json_agg", "jsonb_agg", "least", "length", "lower", "ltrim",   "max",   "min",   "mod",
     "nullif",   "replace",   "round", "rtrim",  "sum",   "to_char", "trim",  "upper"});
static_assert(std::is_sorted(plain_functions.begin(), plain_functions.end()));

bool is_plain(const sql_name& function) {
    const bool of_postgresql = function.schema.empty() || function.schema == "pg_catalog";
    return of_postgresql && std::binary_search(plain_functions.begin(), plain_functions.end(), function.name);
}

}  // namespace

bool answers_the_same_again(std::string_view text) {
    const statement_class seen = classify_statements(text);
    if (!seen.parsed || seen.denied_function || seen.uses_cursor || !seen.harmless.empty()) return false;
    // Functions without parentheses: CURRENT_TIMESTAMP, LOCALTIME and the like.
    for (const std::string_view word : {"returning", "current_", "localtime"})
        if (mentions(text, word)) return false;
    return std::all_of(seen.functions.begin(), seen.functions.end(), is_plain);
}

}  // namespace pgsteady
