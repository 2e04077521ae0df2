// Is a text nothing but one step of transaction control, and which? Read from PostgreSQL's own grammar: comments, case,
// WORK, TRANSACTION, isolation levels and trailing semicolons do not deceive it. It never guesses: a text that is not
// understood, or says anything else as well, is no step. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pgsteady {

struct transaction_text {
    enum class step : std::uint8_t {
        none,             ///< not a single statement of these
        begin,            ///< BEGIN, START TRANSACTION
        commit,           ///< COMMIT, END
        rollback,         ///< ROLLBACK, ABORT; not TO a savepoint
        characteristics,  ///< SET TRANSACTION, about the transaction in progress
    };
    enum class access : std::uint8_t { unsaid, read_only, read_write };
    enum class isolation : std::uint8_t { unsaid, weaker, serializable };

    step what = step::none;
    bool chain = false;                   ///< AND CHAIN: opens the next transaction with the same characteristics (D29)
    access says = access::unsaid;         ///< with begin and characteristics; read_write if both are said
    isolation level = isolation::unsaid;  ///< with the same; serializable if several are said and one of them is

    /// What it says, for the next who is to be told the same; where several are said, the last, as PostgreSQL takes it.
    struct modes {
        std::string_view isolation{};  ///< PostgreSQL's name of the level, of static duration; empty: unsaid
        std::optional<bool> read_only{};
        std::optional<bool> deferrable{};
    };
    modes last{};
};

/// Texts longer than 64 KiB are no step.
[[nodiscard]] transaction_text read_transaction_text(std::string_view sql);

/// BEGIN or START TRANSACTION and nothing else, with whatever characteristics.
[[nodiscard]] bool is_only_begin(std::string_view sql);
/// A BEGIN that makes the transaction READ ONLY by itself.
[[nodiscard]] bool begin_is_read_only(std::string_view sql);
/// COMMIT or END and nothing else, without AND CHAIN.
[[nodiscard]] bool is_only_commit(std::string_view sql);
/// ROLLBACK or ABORT of the whole transaction and nothing else, without AND CHAIN.
[[nodiscard]] bool is_only_rollback(std::string_view sql);
/// COMMIT AND CHAIN or ROLLBACK AND CHAIN and nothing else (D29).
[[nodiscard]] bool is_only_chain(std::string_view sql);

}  // namespace pgsteady
