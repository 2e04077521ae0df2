// The first word of an SQL text, and what it says about transactions. Reads words, not grammar;
// used where a server is gone and only the text is left. Pure.
#pragma once

#include <string>
#include <string_view>

namespace pgsteady {

/// The first word in upper case, behind comments and semicolons; empty if there is none.
[[nodiscard]] std::string leading_word(std::string_view sql);

/// The text is COMMIT, END, ROLLBACK or ABORT of the whole transaction and nothing else: not TO a savepoint, not PREPARED,
/// not AND CHAIN, and no other statement behind it. Ends at a NUL.
[[nodiscard]] bool ends_transaction(std::string_view sql);

/// The text may commit: it begins with COMMIT or END, or is a string of several statements with transaction control in which
/// a word stands that ends a transaction.
[[nodiscard]] bool contains_commit(std::string_view sql);

/// The text begins with INSERT, UPDATE, DELETE or MERGE, or with a WITH in which one of these words stands: a hint, not a
/// judgement. Cheap for whatever begins otherwise.
[[nodiscard]] bool writes_by_form(std::string_view sql);

}  // namespace pgsteady
