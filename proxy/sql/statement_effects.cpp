// Walks the parse tree of a text and writes down what it would do to the session. See statement_effects.hpp.
// One rule for doubt: what is not surely known is left to the server (value nullopt) or pins; nothing is guessed.
#include "proxy/sql/statement_effects.hpp"

#include "proxy/sql/parse_tree.hpp"
#include "proxy/sql/setting_switch.hpp"
#include "proxy/sql/setting_value.hpp"
#include "proxy/sql/tree_walk.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

namespace pgsteady {
namespace {

constexpr std::uint32_t bit(pin_reason reason) { return static_cast<std::uint32_t>(reason); }

struct pin_name {
    pin_reason reason;
    const char* name;
};

constexpr std::array pin_names = {
    pin_name{pin_reason::temp_object, "temp_object"},
    pin_name{pin_reason::advisory_lock, "advisory_lock"},
    pin_name{pin_reason::listen, "listen"},
    pin_name{pin_reason::hold_cursor, "hold_cursor"},
    pin_name{pin_reason::sql_prepare, "sql_prepare"},
    pin_name{pin_reason::load, "load"},
    pin_name{pin_reason::computed_setting, "computed_setting"},
    pin_name{pin_reason::opaque, "opaque"},
    pin_name{pin_reason::unparsable, "unparsable"},
    pin_name{pin_reason::too_large, "too_large"},
    pin_name{pin_reason::random_seed, "random_seed"},
};

constexpr int cursor_opt_hold = 0x0020;  // CURSOR_OPT_HOLD of nodes/parsenodes.h

bool starts_with(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

/// pg_temp and pg_temp_N: the schemas of temporary objects.
bool is_temp_schema(std::string_view name) { return name == "pg_temp" || starts_with(name, "pg_temp_"); }

/// A function's name without its schema, and whether that schema lets it be a built-in one.
struct function_name {
    std::string_view name;
    bool maybe_builtin = false;
};

function_name name_of(const PgQuery__FuncCall& call) {
    const auto part = [&](std::size_t i) -> std::string_view {
        const PgQuery__Node& node = *call.funcname[i];
        return node.node_case == PG_QUERY__NODE__NODE_STRING ? std::string_view(node.string->sval) : "";
    };
    const std::size_t count = call.n_funcname;
    if (count == 0) return {};
    return {part(count - 1), count == 1 || part(count - 2) == "pg_catalog"};
}

/// The constant in `node`, also within a cast to a text or boolean type; nullptr if it is no constant.
const PgQuery__AConst* constant_of(const PgQuery__Node& node) {
    if (node.node_case == PG_QUERY__NODE__NODE_A_CONST) return node.a_const;
    if (node.node_case != PG_QUERY__NODE__NODE_TYPE_CAST) return nullptr;
    const PgQuery__TypeCast& cast = *node.type_cast;
    if (cast.arg == nullptr || cast.type_name == nullptr || cast.type_name->n_names == 0) return nullptr;
    const PgQuery__Node& type = *cast.type_name->names[cast.type_name->n_names - 1];
    if (type.node_case != PG_QUERY__NODE__NODE_STRING || cast.type_name->n_array_bounds > 0) return nullptr;
    const std::string_view name = type.string->sval;
    const bool transparent = name == "text" || name == "bool";
    return transparent && cast.arg->node_case == PG_QUERY__NODE__NODE_A_CONST ? cast.arg->a_const : nullptr;
}

std::optional<std::string> literal_text(const PgQuery__Node& node) {
    const PgQuery__AConst* constant = constant_of(node);
    return constant != nullptr ? constant_text(*constant) : std::nullopt;
}

std::optional<bool> literal_bool(const PgQuery__Node& node) {
    const std::optional<std::string> text = literal_text(node);
    return text ? setting_switch(*text) : std::nullopt;
}

/// SELECT of expressions and nothing else: each target is computed exactly once.
bool is_plain_select(const PgQuery__SelectStmt& select) {
    return select.n_from_clause == 0 && select.where_clause == nullptr && select.n_group_clause == 0 &&
           select.having_clause == nullptr && select.with_clause == nullptr && select.n_distinct_clause == 0 &&
           select.n_sort_clause == 0 && select.limit_count == nullptr && select.limit_offset == nullptr &&
           select.n_values_lists == 0 && select.into_clause == nullptr && select.larg == nullptr &&
           select.n_locking_clause == 0;
}

transaction_step::action action_of(PgQuery__TransactionStmtKind kind) {
    using action = transaction_step::action;
    switch (kind) {
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: return action::commit;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK: return action::rollback;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT: return action::savepoint;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE: return action::release;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO: return action::rollback_to;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE: return action::prepare;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED: return action::commit_prepared;
        case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED: return action::rollback_prepared;
        default: return action::begin;
    }
}

/// Collects the effects of one statement after the other.
class effects_reader {
public:
    explicit effects_reader(statement_effects& effects) : out_(effects) {}

    void read(const PgQuery__RawStmt& raw, std::string_view text) {
        text_ = text;
        known_calls_.clear();
        lazy_ = raw.stmt->node_case == PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT;
        if (raw.stmt->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) read_plain_select(*raw.stmt->select_stmt);
        walk(&raw.stmt->base, [this](const ProtobufCMessage& message) { return enter(message); });
        ++statement_;
    }

private:
    void pin(pin_reason reason) { out_.pins |= bit(reason); }

    /// One message of the tree. True: look below it, too.
    bool enter(const ProtobufCMessage& message) {
        if (const auto* call = as<PgQuery__FuncCall>(message, pg_query__func_call__descriptor)) return on_call(*call);
        if (const auto* set = as<PgQuery__VariableSetStmt>(message, pg_query__variable_set_stmt__descriptor)) {
            on_set(*set);
            return false;
        }
        if (const auto* range = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor)) {
            on_range(*range);
        } else if (const auto* name = as<PgQuery__String>(message, pg_query__string__descriptor)) {
            if (is_temp_schema(name->sval)) pin(pin_reason::temp_object);  // part of a qualified name
        } else if (message.descriptor == &pg_query__a__const__descriptor) {
            return false;  // a literal: its text names nothing
        } else if (message.descriptor == &pg_query__create_function_stmt__descriptor ||
                   message.descriptor == &pg_query__alter_role_set_stmt__descriptor ||
                   message.descriptor == &pg_query__alter_database_set_stmt__descriptor) {
            return on_definition(message);
        } else {
            on_statement(message);
        }
        return true;
    }

    /// SET inside of CREATE FUNCTION, ALTER ROLE or ALTER DATABASE changes no setting of this session.
    bool on_definition(const ProtobufCMessage& definition) {
        walk_below_sets(definition);
        return false;
    }

    void walk_below_sets(const ProtobufCMessage& definition) {
        bool outermost = true;
        walk(&definition, [this, &outermost](const ProtobufCMessage& message) {
            if (outermost) {
                outermost = false;
                return true;
            }
            if (message.descriptor == &pg_query__variable_set_stmt__descriptor) return false;
            return enter(message);
        });
    }

    // ---- expressions ----

    bool on_call(const PgQuery__FuncCall& call) {
        const auto [name, maybe_builtin] = name_of(call);
        if (starts_with(name, "dblink_connect")) pin(pin_reason::opaque);
        if (name == "set_limit") pin(pin_reason::opaque);
        if (!maybe_builtin) return true;
        if (name == "set_config") {
            if (!known_calls_.contains(&call)) on_set_config(call, false);
        } else if (name == "pg_advisory_unlock_all") {
            out_.advisory_unlock_all = true;
        } else if (starts_with(name, "pg_advisory_lock") || starts_with(name, "pg_try_advisory_lock")) {
            pin(pin_reason::advisory_lock);
        } else if (name == "lastval" || name == "currval") {
            out_.uses_lastval = true;
        } else if (name == "setseed") {
            pin(pin_reason::random_seed);
        } else if (scan_tokens(name).has(token_hit::session_function)) {
            pin(pin_reason::opaque);
        }
        return true;
    }

    /// `SELECT set_config(…), set_config(…)`: the calls that surely run once, in this order.
    void read_plain_select(const PgQuery__SelectStmt& select) {
        if (!is_plain_select(select)) return;
        for (std::size_t i = 0; i < select.n_target_list; ++i) {
            const PgQuery__Node& target = *select.target_list[i];
            if (target.node_case != PG_QUERY__NODE__NODE_RES_TARGET || target.res_target->val == nullptr) continue;
            const PgQuery__Node& value = *target.res_target->val;
            if (value.node_case != PG_QUERY__NODE__NODE_FUNC_CALL) continue;
            const PgQuery__FuncCall& call = *value.func_call;
            const auto [name, maybe_builtin] = name_of(call);
            if (name != "set_config" || !maybe_builtin || call.agg_filter != nullptr || call.over != nullptr) continue;
            on_set_config(call, true);
            known_calls_.insert(&call);
        }
    }

    /// set_config(name, value, is_local). `surely`: it runs exactly once if the statement does.
    void on_set_config(const PgQuery__FuncCall& call, bool surely) {
        if (call.n_args != 3) return;  // an error, or somebody's own function: opaque_functions decides
        for (std::size_t i = 0; i < 3; ++i) {
            // set_config(setting_name => …) may come in any order: known to be unusual, so not worth reading
            if (call.args[i]->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR)
                return pin(pin_reason::computed_setting);
        }
        const std::optional<std::string> name = literal_text(*call.args[0]);
        const std::optional<bool> local = literal_bool(*call.args[2]);
        if (!name || lazy_) {
            // What ends with the transaction needs no pin: the server stays with the client until then anyway.
            if (!local.value_or(false)) pin(pin_reason::computed_setting);
            return;
        }
        setting_change change;
        change.name = canonical_setting_name(*name);
        change.local = local.value_or(false);
        if (surely && local) read_config_value(*call.args[1], change);
        add_setting(std::move(change));
    }

    static void read_config_value(const PgQuery__Node& value, setting_change& change) {
        if (value.node_case == PG_QUERY__NODE__NODE_PARAM_REF) {
            change.value_parameter = value.param_ref->number;
            return;
        }
        const PgQuery__AConst* constant = constant_of(value);
        if (constant == nullptr) return;
        if (constant->isnull) {
            change.kind = setting_change::action::reset;  // set_config(name, NULL, …)
            return;
        }
        change.value = constant_text(*constant);
        if (change.value && change.value->find('\\') != std::string::npos) change.value.reset();
    }

    void on_range(const PgQuery__RangeVar& range) {
        const std::string_view persistence = range.relpersistence;
        if (persistence == "t" || is_temp_schema(range.schemaname)) pin(pin_reason::temp_object);
    }

    // ---- SET ----

    void on_set(const PgQuery__VariableSetStmt& set) {
        switch (set.kind) {
            case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL: out_.reset_all = true; return;
            case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI: return on_set_multi(set);
            case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_CURRENT: return;  // only within CREATE FUNCTION
            default: break;
        }
        setting_change change;
        change.name = canonical_setting_name(set.name);
        change.local = set.is_local;
        change.kind = setting_change::action::reset;
        if (set.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE) {
            change.value = flatten_setting_value(change.name, set.args, set.n_args);
            const bool to_none = change.name == "role" && change.value == "none";
            if (!to_none) change.kind = setting_change::action::assign;
            if (to_none) change.value.reset();
        }
        add_setting(std::move(change));
    }

    /// SET SESSION CHARACTERISTICS AS TRANSACTION …; SET TRANSACTION … ends with its transaction.
    void on_set_multi(const PgQuery__VariableSetStmt& set) {
        if (std::string_view(set.name) != "SESSION CHARACTERISTICS") return;
        for (std::size_t i = 0; i < set.n_args; ++i) {
            if (set.args[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
            const PgQuery__DefElem& item = *set.args[i]->def_elem;
            setting_change change;
            change.name = "default_" + std::string(item.defname);
            if (item.arg != nullptr) change.value = literal_text(*item.arg);
            if (change.value == "1") change.value = "on";
            if (change.value == "0") change.value = "off";
            add_setting(std::move(change));
        }
    }

    void add_setting(setting_change change) {
        // These live and die with the transaction, whatever the form of SET says.
        for (const char* transient : {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}) {
            if (change.name == transient) return;
        }
        if (change.name == "seed") return pin(pin_reason::random_seed);
        if (change.name == "search_path" && creates_in_temp(change)) pin(pin_reason::temp_object);
        change.statement = statement_;
        out_.settings.push_back(std::move(change));
    }

    /// True if pg_temp stands first in the path: then CREATE TABLE makes temporary tables without saying so.
    static bool creates_in_temp(const setting_change& change) {
        if (change.kind != setting_change::action::assign || !change.value) return false;
        std::string_view path = *change.value;
        path.remove_prefix(std::min(path.find_first_not_of(" \""), path.size()));
        if (starts_with(path, "$user")) {
            path.remove_prefix(5);
            path.remove_prefix(std::min(path.find_first_not_of(" ,\""), path.size()));
        }
        return starts_with(canonical_setting_name(path), "pg_temp");
    }

    // ---- other statements ----

    void on_statement(const ProtobufCMessage& message) {
        if (const auto* step = as<PgQuery__TransactionStmt>(message, pg_query__transaction_stmt__descriptor)) {
            on_transaction(*step);
        } else if (const auto* prepare = as<PgQuery__PrepareStmt>(message, pg_query__prepare_stmt__descriptor)) {
            pin(pin_reason::sql_prepare);
            lazy_ = true;
            out_.prepares.push_back({prepare->name, std::string(text_), statement_});
        } else if (const auto* execute = as<PgQuery__ExecuteStmt>(message, pg_query__execute_stmt__descriptor)) {
            pin(pin_reason::sql_prepare);
            out_.executes.push_back({execute->name, statement_});
        } else if (const auto* gone = as<PgQuery__DeallocateStmt>(message, pg_query__deallocate_stmt__descriptor)) {
            add_name(gone->name, out_.deallocates, &out_.deallocate_all);
        } else if (const auto* listen = as<PgQuery__ListenStmt>(message, pg_query__listen_stmt__descriptor)) {
            pin(pin_reason::listen);
            add_name(listen->conditionname, out_.listens, nullptr);
        } else if (const auto* unlisten = as<PgQuery__UnlistenStmt>(message, pg_query__unlisten_stmt__descriptor)) {
            add_name(unlisten->conditionname, out_.unlistens, &out_.unlisten_all);
        } else if (const auto* cursor =
                       as<PgQuery__DeclareCursorStmt>(message, pg_query__declare_cursor_stmt__descriptor)) {
            if ((cursor->options & cursor_opt_hold) != 0) pin(pin_reason::hold_cursor);
        } else if (const auto* discard = as<PgQuery__DiscardStmt>(message, pg_query__discard_stmt__descriptor)) {
            on_discard(*discard);
        } else if (const auto* copy = as<PgQuery__CopyStmt>(message, pg_query__copy_stmt__descriptor)) {
            out_.is_copy = true;
            out_.copy_program = out_.copy_program || copy->is_program;
        } else if (const auto* block = as<PgQuery__DoStmt>(message, pg_query__do_stmt__descriptor)) {
            on_do(*block);
        } else if (const auto* update = as<PgQuery__UpdateStmt>(message, pg_query__update_stmt__descriptor)) {
            const bool settings =
                update->relation != nullptr && std::string_view(update->relation->relname) == "pg_settings";
            if (settings) pin(pin_reason::computed_setting);  // the view has a rule that calls set_config()
        } else if (message.descriptor == &pg_query__load_stmt__descriptor) {
            pin(pin_reason::load);
        } else if (message.descriptor == &pg_query__call_stmt__descriptor) {
            out_.calls_procedure = true;
        }
    }

    /// PostgreSQL's grammar leaves the name empty for ALL and for `*`.
    void add_name(const char* name, std::vector<named_step>& names, bool* all) const {
        if (all != nullptr && *name == '\0') {
            *all = true;
        } else {
            names.push_back({name, statement_});
        }
    }

    void on_transaction(const PgQuery__TransactionStmt& step) {
        transaction_step next;
        next.kind = action_of(step.kind);
        next.name = *step.gid != '\0' ? step.gid : step.savepoint_name;
        next.chain = step.chain;
        next.statement = statement_;
        out_.transaction_control = true;
        if (next.kind == transaction_step::action::rollback_to) out_.rollback_to_savepoint = true;
        out_.transactions.push_back(std::move(next));
    }

    void on_discard(const PgQuery__DiscardStmt& discard) {
        switch (discard.target) {
            case PG_QUERY__DISCARD_MODE__DISCARD_ALL: out_.discard_all = true; return;
            case PG_QUERY__DISCARD_MODE__DISCARD_PLANS: out_.discard_plans = true; return;
            case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES: out_.discard_sequences = true; return;
            default: out_.discard_temp = true; return;
        }
    }

    /// A DO block runs here and now: its text is searched for the same words. Other languages are opaque.
    void on_do(const PgQuery__DoStmt& block) {
        std::string_view language = "plpgsql";
        std::string_view body;
        for (std::size_t i = 0; i < block.n_args; ++i) {
            if (block.args[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) continue;
            const PgQuery__DefElem& item = *block.args[i]->def_elem;
            if (item.arg == nullptr || item.arg->node_case != PG_QUERY__NODE__NODE_STRING) continue;
            (std::string_view(item.defname) == "language" ? language : body) = item.arg->string->sval;
        }
        const token_hits hits = scan_tokens(body, scan_mode::plpgsql);
        if (language != "plpgsql" || hits.has(needs_parser_mask)) pin(pin_reason::opaque);
        if (hits.has(token_hit::temp)) pin(pin_reason::temp_object);
        if (hits.has(token_hit::advisory)) pin(pin_reason::advisory_lock);
        if (hits.has(token_hit::sequence_value)) out_.uses_lastval = true;
    }

    statement_effects& out_;
    std::string_view text_;
    std::size_t statement_ = 0;
    bool lazy_ = false;  // what is read runs later, at FETCH or EXECUTE: a value asked for now would be the old one
    std::unordered_set<const PgQuery__FuncCall*> known_calls_;
};

statement_effects unreadable(pin_reason reason, token_hits hits) {
    statement_effects effects;
    if (hits.has(needs_parser_mask)) effects.pins = bit(reason);
    return effects;
}

std::size_t bytes_of(const std::vector<named_step>& names) {
    std::size_t bytes = 0;
    for (const named_step& each : names) bytes += sizeof each + each.name.size();
    return bytes;
}

}  // namespace

const char* to_string(pin_reason reason) {
    for (const pin_name& each : pin_names) {
        if (each.reason == reason) return each.name;
    }
    return "none";
}

std::string describe_pins(std::uint32_t pins) {
    std::string text;
    for (const pin_name& each : pin_names) {
        if ((pins & bit(each.reason)) == 0) continue;
        if (!text.empty()) text += ", ";
        text += each.name;
    }
    return text.empty() ? "none" : text;
}

std::size_t statement_effects::footprint() const {
    std::size_t bytes = sizeof *this;
    for (const setting_change& each : settings) {
        bytes += sizeof each + each.name.size() + (each.value ? each.value->size() : 0);
    }
    for (const transaction_step& each : transactions) bytes += sizeof each + each.name.size();
    for (const sql_prepared& each : prepares) bytes += sizeof each + each.name.size() + each.text.size();
    return bytes + bytes_of(executes) + bytes_of(deallocates) + bytes_of(listens) + bytes_of(unlistens);
}

statement_effects analyse_effects(std::string_view sql, token_hits hits) {
    if (hits.has(token_hit::ambiguous)) return unreadable(pin_reason::opaque, hits);
    const parse_tree tree = parse_tree::parse(sql, max_parsed_bytes);
    switch (tree.status()) {
        case parse_status::unparsable: return unreadable(pin_reason::unparsable, hits);
        case parse_status::too_large: return unreadable(pin_reason::too_large, hits);
        case parse_status::ok: break;
    }
    statement_effects effects;
    effects.parsed = true;
    effects.statements = tree.size();
    effects_reader reader(effects);
    for (std::size_t i = 0; i < tree.size(); ++i) reader.read(tree[i], tree.statement_text(sql, i));
    return effects;
}

statement_effects analyse_effects(std::string_view sql) { return analyse_effects(sql, scan_tokens(sql)); }

}  // namespace pgsteady
