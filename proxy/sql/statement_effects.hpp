// What a text would do to the session if the server executes it: settings, prepared statements, pins, locks.
// Read from PostgreSQL's own grammar (libpg_query) and only for texts in which scan_tokens() found something (D12).
// It never changes a text, never guesses a value, never throws, and treats what it cannot read as "pin".
// Pure and thread-safe; the result owns its strings and can be shared (effects_cache).
#pragma once

#include "protocol/token_scan.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

/// Why a client must keep its server: state that the pool cannot carry over. A bit mask in statement_effects::pins.
enum class pin_reason : std::uint32_t {
    none = 0,
    temp_object = 1U << 0,       ///< temporary table, view, sequence, or an object in pg_temp
    advisory_lock = 1U << 1,     ///< session-level advisory lock
    listen = 1U << 2,            ///< LISTEN (a caller that shares a listener, D18, ignores this bit)
    hold_cursor = 1U << 3,       ///< DECLARE … WITH HOLD
    sql_prepare = 1U << 4,       ///< PREPARE or EXECUTE as SQL
    load = 1U << 5,              ///< LOAD of a library
    computed_setting = 1U << 6,  ///< set_config() whose setting's name is known only to the server
    opaque = 1U << 7,            ///< what we cannot see through: DO with such words, dblink_connect, doubtful quoting
    unparsable = 1U << 8,        ///< our grammar does not know the text, and the scan found words that matter
    too_large = 1U << 9,         ///< longer or nested deeper than we parse, and the scan found words that matter
    random_seed = 1U << 10,      ///< setseed() or SET seed: the sequence of random() is bound to that server
};

/// One word for logs, metrics and status, e.g. "temp_object". Not for combined bits.
[[nodiscard]] const char* to_string(pin_reason reason);

/// All reasons of a mask joined with ", "; "none" if empty.
[[nodiscard]] std::string describe_pins(std::uint32_t pins);

/// One change of a setting. `statement` is the position in the string (0 = first): the change is real once that
/// statement's CommandComplete has arrived (P31), and undone if its transaction rolls back (P36).
struct setting_change {
    enum class action : std::uint8_t {
        assign,  ///< to `value`
        reset,   ///< to the session's default: the client's startup value (D16)
    };
    std::string name;  ///< canonical: lower case, "timezone" for TIME ZONE; also "role", "session_authorization"
    action kind = action::assign;
    std::optional<std::string> value;  ///< as set_config() takes it; nullopt with assign: ask current_setting(name)
    int value_parameter = 0;           ///< n: the value is parameter $n of the Bind (and `value` is nullopt)
    bool local = false;                ///< until the end of the transaction only
    std::size_t statement = 0;
};

/// Transaction control with names, in order.
struct transaction_step {
    enum class action : std::uint8_t {
        begin,
        commit,
        rollback,
        savepoint,
        release,
        rollback_to,
        prepare,
        commit_prepared,
        rollback_prepared,
    };
    action kind = action::begin;
    std::string name;    ///< savepoint name (as PostgreSQL folds it) or gid
    bool chain = false;  ///< AND CHAIN: a new transaction begins with the same characteristics
    std::size_t statement = 0;
};

struct sql_prepared {
    std::string name;
    std::string text;  ///< the PREPARE statement itself, without `;`
    std::size_t statement = 0;
};

struct named_step {
    std::string name;  ///< as PostgreSQL folds it
    std::size_t statement = 0;
};

struct statement_effects {
    bool parsed = false;         ///< false: everything but `pins` is unknown
    std::size_t statements = 0;  ///< 0 for an empty query

    std::vector<setting_change> settings;        ///< in order of execution
    std::vector<transaction_step> transactions;  ///< in order
    std::vector<sql_prepared> prepares;
    std::vector<named_step> executes;
    std::vector<named_step> deallocates;
    std::vector<named_step> listens;
    std::vector<named_step> unlistens;

    std::uint32_t pins = 0;  ///< pin_reason bits: the client keeps its server from this text on

    bool reset_all = false;  ///< RESET ALL (DISCARD ALL sets discard_all only)
    bool discard_all = false;
    bool discard_plans = false;
    bool discard_temp = false;
    bool discard_sequences = false;
    bool deallocate_all = false;
    bool unlisten_all = false;
    bool advisory_unlock_all = false;  ///< pg_advisory_unlock_all() is called
    bool uses_lastval = false;         ///< lastval() or currval() (D15)
    bool transaction_control = false;  ///< `transactions` is not empty
    bool rollback_to_savepoint = false;
    bool calls_procedure = false;  ///< CALL: opaque_functions decides (D12)
    bool is_copy = false;
    bool copy_program = false;

    /// Bytes this value holds, for the cache's limit.
    [[nodiscard]] std::size_t footprint() const;
};

/// Longest text given to the parser, in bytes (D12).
inline constexpr std::size_t max_parsed_bytes = 256U * 1024U;

/// Reads `sql`. `hits` are the scan's of the same text (whole, sql or sql_standard mode): they decide whether a text
/// that cannot be read pins. A text with an ambiguous literal is not parsed: it pins as opaque if it has other hits.
/// Cost: some ten microseconds for a short text.
[[nodiscard]] statement_effects analyse_effects(std::string_view sql, token_hits hits);

/// Scans first. For callers that have no hits at hand.
[[nodiscard]] statement_effects analyse_effects(std::string_view sql);

}  // namespace pgsteady
