// PostgreSQL's own grammar behind one owning type: text in, tree or a named refusal out.
// Hostile text cannot exhaust the stack: the parser's printer and reader recurse, so nesting is bounded before.
// Internal to proxy/sql. The tree is owned by the value; nodes are borrowed from it.
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace pgsteady {

enum class parse_status : std::uint8_t {
    ok,
    unparsable,  ///< not in this grammar (PostgreSQL 15's), or contains a NUL
    too_large,   ///< longer than the limit given, or nested deeper than max_nesting
};

/// Bound on tokens between the root and a leaf. Measured: at most 3 KiB of stack for each, so 1.5 MiB in all.
inline constexpr std::size_t max_nesting = 512;

class parse_tree {
public:
    /// Parses `sql` if it is at most `max_bytes` long.
    [[nodiscard]] static parse_tree parse(std::string_view sql, std::size_t max_bytes);

    [[nodiscard]] parse_status status() const { return status_; }
    /// The statements, in order; never null entries. Empty unless status() is ok.
    [[nodiscard]] std::size_t size() const { return root_ ? root_->n_stmts : 0; }
    [[nodiscard]] const PgQuery__RawStmt& operator[](std::size_t i) const { return *root_->stmts[i]; }

    /// The part of `sql` (the text that was parsed) that is statement `i`, without its `;`.
    [[nodiscard]] std::string_view statement_text(std::string_view sql, std::size_t i) const;

private:
    struct freer {
        void operator()(PgQuery__ParseResult* root) const;
    };

    explicit parse_tree(parse_status status) : status_(status) {}

    parse_status status_;
    std::unique_ptr<PgQuery__ParseResult, freer> root_;
};

/// An upper bound for the height of the tree that `sql` parses to, in tokens; or npos if it cannot be tokenised.
/// Siblings count once: list items, AND/OR operands and clauses do not add up, operator chains and nesting do.
[[nodiscard]] std::size_t nesting_bound(const std::string& sql);

/// How PostgreSQL would write this name where an identifier is expected (quote_identifier()).
[[nodiscard]] std::string quote_identifier(const std::string& name);

}  // namespace pgsteady
