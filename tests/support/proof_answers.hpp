// What the questions of read_proof name, and answers to them: a catalogue in which everything is harmless unless told
// otherwise. For tests; reads the questions as text and shares no code with those that write them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::testing {

using proof_rows = std::vector<std::vector<std::optional<std::string>>>;

/// True if this is such a question.
[[nodiscard]] bool is_proof_question(std::string_view sql);

/// The names (or schema.name) that a part of the question lists, in order: 'f'unctions, 'o'perators, 'r'elations. Names
/// that are sent as hexadecimal digits stay so.
[[nodiscard]] std::vector<std::string> names_in_proof(std::string_view sql, char part);

/// `verdict_of(part, name)`: "ok", "volatile", "missing", or a relation's kind.
[[nodiscard]] proof_rows answer_proof(std::string_view sql,
                                      const std::function<std::string(char part, const std::string& name)>& verdict_of);

}  // namespace pgsteady::testing
