// See transaction_text.hpp.
#include "proxy/sql/transaction_text.hpp"

#include "protocol/token_scan.hpp"
#include "proxy/sql/parse_tree.hpp"

namespace pgsteady {
namespace {

using step = transaction_text::step;
using access = transaction_text::access;

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

/// READ WRITE wins: a transaction that says both can write, whichever order it says them in.
access access_of(const PgQuery__TransactionStmt& statement) {
    access said = access::unsaid;
    for (std::size_t i = 0; i < statement.n_options; ++i) {
        const PgQuery__Node& option = *statement.options[i];
        if (option.node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
        if (std::string_view(option.def_elem->defname) != "transaction_read_only") continue;
        const PgQuery__Node* const value = option.def_elem->arg;
        const bool on = value != nullptr && value->node_case == PG_QUERY__NODE__NODE_A_CONST &&
                        value->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL && value->a_const->ival->ival == 1;
        if (!on || said == access::read_write) said = access::read_write;
        else said = access::read_only;
    }
    return said;
}

}  // namespace

transaction_text read_transaction_text(std::string_view sql) {
    // Most texts are no such step, and the scan is much cheaper than the grammar.
    if (!scan_tokens(sql).has(token_hit::transaction)) return {};
    const parse_tree tree = parse_tree::parse(sql, max_bytes);
    if (tree.size() != 1 || tree[0].stmt->node_case != PG_QUERY__NODE__NODE_TRANSACTION_STMT) return {};
    const PgQuery__TransactionStmt& statement = *tree[0].stmt->transaction_stmt;
    transaction_text text{step_of(statement.kind), statement.chain != 0, access::unsaid};
    if (text.what == step::begin) text.says = access_of(statement);
    return text.what == step::none ? transaction_text() : text;
}

bool is_only_begin(std::string_view sql) { return read_transaction_text(sql).what == step::begin; }

bool begin_is_read_only(std::string_view sql) { return read_transaction_text(sql).says == access::read_only; }

bool is_only_commit(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return text.what == step::commit && !text.chain;
}

bool is_only_rollback(std::string_view sql) {
    const transaction_text text = read_transaction_text(sql);
    return text.what == step::rollback && !text.chain;
}

}  // namespace pgsteady
