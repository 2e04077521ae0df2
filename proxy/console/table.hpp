// What the console answers with: a table, a line for the operator, an error; and how each is written to the wire.
// Pure; text in cells is made printable, since names and peers are hostile.
#pragma once

#include "protocol/error_response.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace pgsteady {

/// PostgreSQL's types that the columns have, by their OIDs.
enum class console_type : std::uint32_t { text = 25, int4 = 23, int8 = 20, numeric = 1700 };

struct console_column {
    std::string_view name;  ///< a literal
    console_type type = console_type::text;
};

/// One row under construction: a cell per call, in the order of the columns.
class console_row {
public:
    console_row& add(std::string_view text);
    console_row& add(const char* text) { return add(std::string_view(text)); }
    template <class Number>
    requires(std::is_integral_v<Number> && !std::is_same_v<Number, bool>) console_row& add(Number value) {
        cells_.emplace_back(std::to_string(value));
        return *this;
    }
    console_row& add(bool value) { return add(value ? 1 : 0); }
    /// NULL when there is none.
    template <class Value>
    console_row& add(const std::optional<Value>& value) {
        return value ? add(*value) : null();
    }
    console_row& null() {
        cells_.emplace_back();
        return *this;
    }
    [[nodiscard]] const std::vector<std::optional<std::string>>& cells() const { return cells_; }

private:
    std::vector<std::optional<std::string>> cells_;
};

struct console_table {
    std::vector<console_column> columns{};
    std::vector<console_row> rows{};

    /// A new last row.
    [[nodiscard]] console_row& row() { return rows.emplace_back(); }
};

/// The outcome of one command.
struct console_answer {
    std::optional<console_table> table{};
    std::vector<error_fields> notices{};  ///< sent first
    std::optional<error_fields> error{};  ///< then there is no table and no tag
    std::string tag = "SHOW";             ///< of CommandComplete
};

[[nodiscard]] error_fields console_notice(std::string message, std::string detail = {});

/// Appends the messages of an answer, without ReadyForQuery.
void append_answer(std::string& out, const console_answer& answer);

}  // namespace pgsteady
