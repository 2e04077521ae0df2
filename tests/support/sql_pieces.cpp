// See sql_pieces.hpp.
#include "tests/support/sql_pieces.hpp"

#include "protocol/wire.hpp"

namespace pgsteady::testing {

namespace {

using kind = sql_statement::token::kind;

void skip_casts(const sql_statement& statement, std::size_t& at) {
    while (statement.is(at, ":") && statement.is(at + 1, ":")) at += 3;
}

/// $1 and 0.5 are joined to one token; a cast is left out.
sql_statement::token take_value(const sql_statement& statement, std::size_t& at) {
    if (at >= statement.size()) syntax_error(statement);
    sql_statement::token value = statement.tokens.at(at++);
    if (value.text == "$" && value.what == kind::other) value.text += statement.at(at++);
    if (statement.is(at, ".") && value.what == kind::number) {
        value.text += '.' + statement.at(at + 1);
        at += 2;
    }
    skip_casts(statement, at);
    return value;
}

}  // namespace

void syntax_error(const sql_statement& statement) {
    throw sql_error("42601", "syntax error at or near \"" + (statement.size() == 0 ? "" : statement.at(0)) + '"');
}

std::vector<select_target> targets_of(const sql_statement& statement) {
    std::vector<select_target> all;
    std::size_t at = 1;
    while (at < statement.size()) {
        if (statement.is(at, "pg_catalog") && statement.is(at + 1, ".")) at += 2;
        select_target next;
        if (statement.tokens.at(at).what == kind::word && statement.is(at + 1, "(")) {
            next.function = statement.at(at);
            at += 2;
            while (!statement.is(at, ")")) {
                if (statement.is(at, ",")) ++at;
                else next.arguments.push_back(take_value(statement, at));
            }
            ++at;
            skip_casts(statement, at);
        } else {
            next.arguments.push_back(take_value(statement, at));
        }
        all.push_back(std::move(next));
        if (at < statement.size() && !statement.is(at, ",")) syntax_error(statement);
        ++at;
    }
    return all;
}

std::string dotted_name(const sql_statement& statement, std::size_t& at) {
    std::string name = statement.at(at++);
    while (statement.is(at, ".")) {
        name += '.' + statement.at(at + 1);
        at += 2;
    }
    return name;
}

bool ends_transaction(const sql_statement& statement) {
    return statement.is(0, "commit") || statement.is(0, "end") || statement.is(0, "rollback") ||
           statement.is(0, "abort");
}

bind_message read_bind(std::string_view body) {
    wire_reader in(body);
    bind_message read;
    read.portal = in.cstring().value_or("");
    read.statement = in.cstring().value_or("");
    for (int formats = in.i16().value_or(0); formats > 0; --formats) (void)in.i16();
    for (int count = in.i16().value_or(0); count > 0; --count) {
        const std::int32_t size = in.i32().value_or(-1);
        if (size < 0) read.parameters.emplace_back(std::nullopt);
        else read.parameters.emplace_back(std::string(in.bytes(static_cast<std::size_t>(size)).value_or("")));
    }
    return read;
}

}  // namespace pgsteady::testing
