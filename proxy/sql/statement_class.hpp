// May this text be sent twice, or to a standby? Its class by form (recovery.md 2.0), and the names that the catalogue
// must confirm before "reads only" is believed (D20). What is not understood is a write (P63).
// Pure and thread-safe; the result owns its strings. It never asks the server anything: that is its caller's part.
#pragma once

#include "protocol/token_scan.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// From harmless to dangerous; the class of several statements is the largest of theirs.
enum class statement_kind : std::uint8_t {
    reads,                ///< RO by form: repeatable if `functions`, `operators` and `relations` are what they seem
    session_state,        ///< SS: SET, PREPARE, LISTEN, DISCARD, CLOSE, …
    transaction_control,  ///< TCL: BEGIN, COMMIT, ROLLBACK, SAVEPOINT, …
    writes,               ///< W: changes data or takes locks, within its transaction; also everything unknown
    writes_beyond,  ///< WX: effects outside of one transaction: VACUUM, CALL, COPY … PROGRAM, PREPARE TRANSACTION
};

/// One word, e.g. "reads".
[[nodiscard]] const char* to_string(statement_kind kind);

/// A name as written (folded by the grammar); `schema` is empty if none was given.
struct sql_name {
    std::string schema;
    std::string name;
    bool maybe_cte = false;  ///< a WITH of the same statement has this name: it need not be a relation

    friend auto operator<=>(const sql_name&, const sql_name&) = default;
};

struct statement_class {
    bool parsed = false;
    statement_kind kind = statement_kind::writes;  ///< of the whole text
    std::vector<statement_kind> statements;        ///< of each statement, in order

    // Named anywhere in the text; sorted, each once.
    std::vector<sql_name> functions;  ///< called; volatile ones known to be harmless are left out
    std::vector<sql_name> operators;  ///< "+" and the like: each stands for a function, too; not those that are implied
    std::vector<sql_name> relations;  ///< tables and views
    std::vector<sql_name> harmless;   ///< those left out of `functions`, called without a schema: may be somebody's own
    std::vector<sql_name> attributes;  ///< a of t.a and (t).a, which is a call of a(t) if t has no such column

    bool denied_function = false;  ///< calls a function known to have effects (nextval, pg_notify, lo_…, …)
    bool locks_rows = false;       ///< FOR UPDATE, FOR SHARE, …
    bool explain_analyze = false;
    bool is_copy = false;
    bool uses_cursor = false;  ///< FETCH: what it runs, and how far, is not in this text
    bool names_types = false;  ///< casts and the like: they run functions of the types
    bool ascii = true;         ///< no byte above 127: means the same in every encoding
};

/// Texts longer than max_parsed_bytes, nested too deeply, or with a literal that `hits` (the scan of the same text, mode
/// sql or sql_standard) call ambiguous are writes and not `parsed`. An empty query reads. A string with transaction
/// control among other statements is writes_beyond: a part of it may be committed.
[[nodiscard]] statement_class classify_statements(std::string_view sql, token_hits hits);

/// Scans first. For callers that have no hits at hand.
[[nodiscard]] statement_class classify_statements(std::string_view sql);

}  // namespace pgsteady
