// See transaction_text.hpp.
#include "proxy/sql/transaction_text.hpp"

#include "protocol/token_scan.hpp"

#include "proxy/sql/parse_tree.hpp"

namespace pgsteady {
namespace {

using step = transaction_text::step;
using access = transaction_text::access;
using isolation = transaction_text::isolation;

constexpr std::size_t max_bytes = 64U * 1024U;

step step_of(PgQuery__TransactionStmtKind kind) {
    switch (kind) {
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START: return step::begin;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: return step::commit;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK: return step::rollback;
        default: return step::none;
    }
}

std::string_view level_name(std::string_view said) {
    for (const std::string_view known : {"read uncommitted", "read committed", "repeatable read"})
        if (said == known) return known;
    return "serializable";
}

/// READ WRITE and SERIALIZABLE win: a transaction that says more than one thing is taken for the most that it says.
void read_options(PgQuery__Node* const* options, std::size_t count, transaction_text& into) {
    for (std::size_t i = 0; i < count; ++i) {
        if (options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
        const std::string_view name = options[i]->def_elem->defname;
        const PgQuery__Node* const value = options[i]->def_elem->arg;
        const PgQuery__AConst* const constant =
            value != nullptr && value->node_case == PG_QUERY__NODE__NODE_A_CONST ? value->a_const : nullptr;
        if (name == "transaction_read_only") {
            const bool on =
                constant != nullptr && constant->val_case == PG_QUERY__A__CONST__VAL_IVAL && constant->ival->ival == 1;
            into.says = !on || into.says == access::read_write ? access::read_write : access::read_only;
            into.last.read_only = on;
        } else if (name == "transaction_isolation") {
            const bool known = constant != nullptr && constant->val_case == PG_QUERY__A__CONST__VAL_SVAL;
            const std::string_view word = known ? constant->sval->sval : "serializable";
            into.last.isolation = level_name(word);
            if (word == "serializable") into.level = isolation::serializable;
            else if (into.level == isolation::unsaid) into.level = isolation::weaker;
        } else if (name == "transaction_deferrable") {
            into.last.deferrable =
                constant != nullptr && constant->val_case == PG_QUERY__A__CONST__VAL_IVAL && constant->ival->ival == 1;
        }
    }
}

}  // namespace

transaction_text read_transaction_text(std::string_view sql) {
    // Most texts are no such step, and the scan is much cheaper than the grammar.
    if (!scan_tokens(sql).has(token_hit::transaction | token_hit::set)) return {};
    const parse_tree tree = parse_tree::parse(sql, max_bytes);
    if (tree.size() != 1) return {};
    const PgQuery__Node& only = *tree[0].stmt;
    transaction_text text;
    if (only.node_case == PG_QUERY__NODE__NODE_VARIABLE_SET_STMT) {
        const PgQuery__VariableSetStmt& set = *only.variable_set_stmt;
        if (set.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI || std::string_view(set.name) != "TRANSACTION")
            return {};
        text.what = step::characteristics;
        read_options(set.args, set.n_args, text);
    } else if (only.node_case == PG_QUERY__NODE__NODE_TRANSACTION_STMT) {
        const PgQuery__TransactionStmt& statement = *only.transaction_stmt;
        text.what = step_of(statement.kind);
        text.chain = statement.chain != 0;
        if (text.what == step::begin) read_options(statement.options, statement.n_options, text);
    }
    return text.what == step::none ? transaction_text() : text;
}

bool is_only_begin(std::string_view sql) { return read_transaction_text(sql).what == step::begin; }

bool begin_is_read_only(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return text.what == step::begin && text.says == access::read_only;
}

bool is_only_commit(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return text.what == step::commit && !text.chain;
}

bool is_only_rollback(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return text.what == step::rollback && !text.chain;
}

bool is_only_chain(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return (text.what == step::commit || text.what == step::rollback) && text.chain;
}

}  // namespace pgsteady
