// See statement_class.hpp. The lists of statements and functions below are the whole policy.
#include "proxy/sql/statement_class.hpp"

#include "proxy/sql/parse_tree.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/sql/tree_walk.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {
namespace {

/// Volatile, but a second run harms nobody and a standby can run them.
constexpr std::array<std::string_view, 8> harmless_functions = {
    "random",       "clock_timestamp", "timeofday",       "pg_sleep",
    "pg_sleep_for", "pg_sleep_until",  "gen_random_uuid", "pg_is_in_recovery",
};

/// Effects that a READ ONLY transaction does not stop (D20), or that make a second run wrong.
constexpr std::array<std::string_view, 17> denied_functions = {
    "nextval",
    "setval",
    "lastval",
    "currval",
    "pg_notify",
    "set_config",
    "setseed",
    "txid_current",
    "pg_current_xact_id",
    "pg_export_snapshot",
    "pg_logical_emit_message",
    "pg_switch_wal",
    "loread",
    "lowrite",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_promote",
};
/// The second half runs SQL that it is given as text or reads relations that it is given by name; some of those are
/// declared STABLE (table_to_xml, tablefunc's crosstab and connectby, xml2's xpath_table).
constexpr std::array<std::string_view, 22> denied_prefixes = {
    "pg_advisory_",  "pg_try_advisory_", "lo_",           "dblink",          "pg_terminate_",
    "pg_cancel_",    "pg_create_",       "pg_drop_",      "pg_replication_", "pg_logical_slot_",
    "query_to_xml",  "pg_stat_reset",    "pg_backup_",    "pg_copy_",

    "cursor_to_xml", "table_to_xml",     "schema_to_xml", "database_to_xml", "crosstab",
    "connectby",     "xpath_table",      "ts_stat",
};

bool is_denied(std::string_view name) {
    if (std::find(denied_functions.begin(), denied_functions.end(), name) != denied_functions.end()) return true;
    return std::any_of(denied_prefixes.begin(), denied_prefixes.end(),
                       [&](std::string_view prefix) { return name.substr(0, prefix.size()) == prefix; });
}

bool is_harmless(const sql_name& function) {
    if (!function.schema.empty() && function.schema != "pg_catalog") return false;
    return std::find(harmless_functions.begin(), harmless_functions.end(), function.name) != harmless_functions.end();
}

sql_name name_of(PgQuery__Node* const* parts, std::size_t count) {
    const auto text = [&](std::size_t i) -> std::string {
        return parts[i]->node_case == PG_QUERY__NODE__NODE_STRING ? parts[i]->string->sval : "";
    };
    if (count == 0) return {};
    return {count > 1 ? text(count - 2) : "", text(count - 1), false};
}

/// Sorted, each once. Done at the end: a hostile text can hold tens of thousands of names.
void tidy(std::vector<sql_name>& names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
}

/// True if a list of DefElem has `name` and its value is not a form of "off".
bool has_option(PgQuery__Node* const* options, std::size_t count, std::string_view name) {
    for (std::size_t i = 0; i < count; ++i) {
        if (options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM || options[i]->def_elem->defname != name) continue;
        const PgQuery__Node* const value = options[i]->def_elem->arg;
        if (value == nullptr) return true;
        if (value->node_case == PG_QUERY__NODE__NODE_INTEGER) return value->integer->ival != 0;
        if (value->node_case != PG_QUERY__NODE__NODE_STRING) return true;
        const std::string_view word = value->string->sval;
        return word != "off" && word != "false" && word != "OFF" && word != "FALSE";
    }
    return false;
}

class class_reader {
public:
    explicit class_reader(statement_class& result) : out_(result) {}

    void read(const PgQuery__Node& statement) {
        ctes_.clear();
        walk(&statement.base, [this](const ProtobufCMessage& message) {
            if (const auto* cte = as<PgQuery__CommonTableExpr>(message, pg_query__common_table_expr__descriptor)) {
                ctes_.emplace_back(cte->ctename);
            }
            return true;
        });
        std::sort(ctes_.begin(), ctes_.end());
        kind_ = kind_of(statement);
        walk(&statement.base, [this](const ProtobufCMessage& message) {
            enter(message);
            return true;
        });
        out_.statements.push_back(kind_);
    }

private:
    void at_least(statement_kind kind) { kind_ = std::max(kind_, kind); }

    /// By the kind of the statement alone. Not listed: DDL and whatever comes new, which is a write.
    statement_kind kind_of(const PgQuery__Node& node) {
        switch (node.node_case) {
            case PG_QUERY__NODE__NODE_SELECT_STMT:
            case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
            case PG_QUERY__NODE__NODE_FETCH_STMT: return statement_kind::reads;
            case PG_QUERY__NODE__NODE_EXPLAIN_STMT: return kind_of_explain(*node.explain_stmt);
            case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: return statement_kind::session_state;
            case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
            case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
            case PG_QUERY__NODE__NODE_PREPARE_STMT:
            case PG_QUERY__NODE__NODE_DEALLOCATE_STMT:
            case PG_QUERY__NODE__NODE_LISTEN_STMT:
            case PG_QUERY__NODE__NODE_UNLISTEN_STMT:
            case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
            case PG_QUERY__NODE__NODE_LOAD_STMT:
            case PG_QUERY__NODE__NODE_DISCARD_STMT: return statement_kind::session_state;
            case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return kind_of_transaction(*node.transaction_stmt);
            case PG_QUERY__NODE__NODE_COPY_STMT: return kind_of_copy(*node.copy_stmt);
            case PG_QUERY__NODE__NODE_INDEX_STMT: return beyond_if(node.index_stmt->concurrent);
            case PG_QUERY__NODE__NODE_DROP_STMT: return beyond_if(node.drop_stmt->concurrent);
            case PG_QUERY__NODE__NODE_CALL_STMT:
            case PG_QUERY__NODE__NODE_DO_STMT:
            case PG_QUERY__NODE__NODE_VACUUM_STMT:
            case PG_QUERY__NODE__NODE_CLUSTER_STMT:
            case PG_QUERY__NODE__NODE_REINDEX_STMT:
            case PG_QUERY__NODE__NODE_CHECK_POINT_STMT:
            case PG_QUERY__NODE__NODE_CREATEDB_STMT:
            case PG_QUERY__NODE__NODE_DROPDB_STMT:
            case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
            case PG_QUERY__NODE__NODE_CREATE_TABLE_SPACE_STMT:
            case PG_QUERY__NODE__NODE_DROP_TABLE_SPACE_STMT:
            case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT:
            case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:  // DETACH PARTITION CONCURRENTLY
            case PG_QUERY__NODE__NODE_ALTER_ENUM_STMT:
            case PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT:
            case PG_QUERY__NODE__NODE_ALTER_SUBSCRIPTION_STMT:
            case PG_QUERY__NODE__NODE_DROP_SUBSCRIPTION_STMT: return statement_kind::writes_beyond;
            default: return statement_kind::writes;
        }
    }

    static statement_kind beyond_if(bool concurrently) {
        return concurrently ? statement_kind::writes_beyond : statement_kind::writes;
    }

    /// EXPLAIN runs nothing; EXPLAIN ANALYZE runs all.
    statement_kind kind_of_explain(const PgQuery__ExplainStmt& explain) {
        if (!has_option(explain.options, explain.n_options, "analyze")) {
            only_planned_ = true;
            return statement_kind::reads;
        }
        out_.explain_analyze = true;
        return explain.query != nullptr ? kind_of(*explain.query) : statement_kind::writes;
    }

    static statement_kind kind_of_transaction(const PgQuery__TransactionStmt& step) {
        switch (step.kind) {
            case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
            case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
            case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED: return statement_kind::writes_beyond;
            default: return statement_kind::transaction_control;
        }
    }

    statement_kind kind_of_copy(const PgQuery__CopyStmt& copy) {
        out_.is_copy = true;
        if (copy.is_program || *copy.filename != '\0') return statement_kind::writes_beyond;
        return copy.is_from ? statement_kind::writes : statement_kind::reads;
    }

    /// What the parts of a statement add to its kind. Under EXPLAIN they only add names.
    void enter(const ProtobufCMessage& message) {
        if (const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor)) {
            on_call(*call);
        } else if (const auto* operation = as<PgQuery__AExpr>(message, pg_query__a__expr__descriptor)) {
            on_operation(*operation);
        } else if (const auto* link = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor)) {
            if (link->n_oper_name > 0) out_.operators.push_back(name_of(link->oper_name, link->n_oper_name));
        } else if (const auto* sort = as<PgQuery__SortBy>(message, pg_query__sort_by__descriptor)) {
            if (sort->n_use_op > 0) out_.operators.push_back(name_of(sort->use_op, sort->n_use_op));
        } else if (const auto* column = as<PgQuery__ColumnRef>(message, pg_query__column_ref__descriptor)) {
            if (column->n_fields > 1) add_attributes(column->fields + 1, column->n_fields - 1);
        } else if (const auto* part = as<PgQuery__AIndirection>(message, pg_query__a__indirection__descriptor)) {
            add_attributes(part->indirection, part->n_indirection);
        } else if (message.descriptor == &pg_query__type_name__descriptor) {
            out_.names_types = true;
        } else if (message.descriptor == &pg_query__fetch_stmt__descriptor) {
            out_.uses_cursor = true;
        } else if (const auto* range = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor)) {
            const bool cte =
                *range->schemaname == '\0' && std::binary_search(ctes_.begin(), ctes_.end(), range->relname);
            out_.relations.push_back({range->schemaname, range->relname, cte});
        } else if (message.descriptor == &pg_query__locking_clause__descriptor) {
            out_.locks_rows = true;
            if (!only_planned_) at_least(statement_kind::writes);
        } else if (message.descriptor == &pg_query__into_clause__descriptor ||
                   message.descriptor == &pg_query__insert_stmt__descriptor ||
                   message.descriptor == &pg_query__update_stmt__descriptor ||
                   message.descriptor == &pg_query__delete_stmt__descriptor ||
                   message.descriptor == &pg_query__merge_stmt__descriptor) {
            // also in WITH and in COPY (…); what PREPARE contains does not run yet, EXECUTE is a write
            if (!only_planned_ && kind_ != statement_kind::session_state) at_least(statement_kind::writes);
        }
    }

    /// BETWEEN has no operator of its own.
    void on_operation(const PgQuery__AExpr& operation) {
        switch (operation.kind) {
            case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
            case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
            case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
            case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
                for (const char* name : {"<", "<=", ">", ">="}) out_.operators.push_back({"", name, false});
                return;
            default: out_.operators.push_back(name_of(operation.name, operation.n_name));
        }
    }

    void add_attributes(PgQuery__Node* const* fields, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            if (fields[i]->node_case == PG_QUERY__NODE__NODE_STRING)
                out_.attributes.push_back({"", fields[i]->string->sval, false});
        }
    }

    void on_call(const PgQuery__FuncCall& call) {
        sql_name name = name_of(call.funcname, call.n_funcname);
        if (is_harmless(name)) {
            if (name.schema.empty()) out_.harmless.push_back(std::move(name));
            return;
        }
        if (is_denied(name.name)) {
            out_.denied_function = true;
            if (!only_planned_) at_least(statement_kind::writes);
        }
        out_.functions.push_back(std::move(name));
    }

    statement_class& out_;
    statement_kind kind_ = statement_kind::writes;
    bool only_planned_ = false;
    std::vector<std::string> ctes_;
};

/// The whole text's kind. One implicit transaction holds all statements, unless one of them ends it midway.
statement_kind combine(const std::vector<statement_kind>& kinds) {
    statement_kind all = statement_kind::reads;
    bool control = false;
    for (const statement_kind kind : kinds) {
        all = std::max(all, kind);
        control = control || kind == statement_kind::transaction_control;
    }
    return control && kinds.size() > 1 ? statement_kind::writes_beyond : all;
}

}  // namespace

const char* to_string(statement_kind kind) {
    switch (kind) {
        case statement_kind::reads: return "reads";
        case statement_kind::session_state: return "session_state";
        case statement_kind::transaction_control: return "transaction_control";
        case statement_kind::writes: return "writes";
        case statement_kind::writes_beyond: return "writes_beyond";
    }
    return "writes";
}

statement_class classify_statements(std::string_view sql, token_hits hits) {
    statement_class result;
    result.ascii = std::all_of(sql.begin(), sql.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (hits.has(token_hit::ambiguous)) return result;
    const parse_tree tree = parse_tree::parse(sql, max_parsed_bytes);
    if (tree.status() != parse_status::ok) return result;
    result.parsed = true;
    for (std::size_t i = 0; i < tree.size(); ++i) class_reader(result).read(*tree[i].stmt);
    result.kind = combine(result.statements);
    tidy(result.functions);
    tidy(result.operators);
    tidy(result.relations);
    tidy(result.harmless);
    tidy(result.attributes);
    return result;
}

statement_class classify_statements(std::string_view sql) { return classify_statements(sql, scan_tokens(sql)); }

}  // namespace pgsteady
