// Pieces of statements and messages that the scripted server and the modelled one of tests/simulation read in the same way.
// For tests.
#pragma once

#include "tests/support/scripted_sql.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::testing {

/// One item of a SELECT list: a function with arguments, or a value.
struct select_target {
    std::string function;  ///< empty: a value
    std::vector<sql_statement::token> arguments;
};

[[noreturn]] void syntax_error(const sql_statement& statement);
[[nodiscard]] std::vector<select_target> targets_of(const sql_statement& statement);
/// `a.b`, "a"."b" or one name: the parts joined; `at` stands behind it afterwards.
[[nodiscard]] std::string dotted_name(const sql_statement& statement, std::size_t& at);
/// Of a block, also of one that has failed.
[[nodiscard]] bool ends_transaction(const sql_statement& statement);

struct bind_message {
    std::string portal;
    std::string statement;
    std::vector<std::optional<std::string>> parameters;
};
[[nodiscard]] bind_message read_bind(std::string_view body);

}  // namespace pgsteady::testing
