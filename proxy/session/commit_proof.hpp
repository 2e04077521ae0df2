// Has this transaction only read? Then it does not matter whether its lost COMMIT was carried out, and the client hears
// COMMIT; else nobody knows, and it hears 08007 (D23). Judged from the texts of all its statements and from what is known
// of the server that ran it. Pure. It must never say yes for what was not shown: whatever is odd or unknown is a no.
#pragma once

#include "proxy/sql/statement_class.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

struct commit_facts {
    bool read_only_default = false;     ///< the session had default_transaction_read_only set when it began
    bool serializable_default = false;  ///< default_transaction_isolation was, or may have been, SERIALIZABLE
    bool trusts_functions = true;       ///< pool.opaque_functions (D12)
};

enum class commit_evidence : std::uint8_t {
    none,       ///< it may have written
    read_only,  ///< it has not
    ask,        ///< it has not, if the catalogue confirms what its statements name
};

struct commit_judgement {
    commit_evidence what = commit_evidence::none;
    statement_class reads;  ///< of `ask`: all statements as one
};

/// `texts`: each statement text that was executed since the transaction began, the one that began it first. Two ways lead
/// to a proof: PostgreSQL itself let nothing be written (READ ONLY, and nothing that escapes it), or every statement only
/// reads by form. Under SERIALIZABLE neither does: there a COMMIT may fail although nothing was written. More than
/// max_journal_texts different texts, or max_journal_text_bytes of them, are not looked at.
[[nodiscard]] commit_judgement judge_transaction(const std::vector<std::string>& texts, const commit_facts& facts);

inline constexpr std::size_t max_journal_texts = 256;
inline constexpr std::size_t max_journal_text_bytes = 256U * 1024U;

/// Whether a default_transaction_isolation of this value may mean SERIALIZABLE.
[[nodiscard]] bool may_be_serializable(std::string_view value);

}  // namespace pgsteady
