// See replay_obstacle.hpp.
#include "proxy/session/replay_obstacle.hpp"

#include "proxy/sql/statement_class.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {

namespace {

struct named_obstacle {
    std::string_view name;  ///< a prefix if it ends in an underscore, or is dblink
    std::string_view why;
};

// What a rollback does not take back, or what means something else on another server.
constexpr std::array<named_obstacle, 20> functions = {{
    {"pg_advisory_", "took a session's advisory lock"},
    {"pg_try_advisory_", "took a session's advisory lock"},
    {"setval", "set a sequence"},
    {"setseed", "seeded random()"},
    {"pg_export_snapshot", "exported its snapshot"},
    {"lo_", "used large objects"},
    {"loread", "used large objects"},
    {"lowrite", "used large objects"},
    {"dblink", "used another connection"},
    {"pg_terminate_", "gave an order to the server"},
    {"pg_cancel_", "gave an order to the server"},
    {"pg_create_", "gave an order to the server"},
    {"pg_drop_", "gave an order to the server"},
    {"pg_replication_", "gave an order to the server"},
    {"pg_logical_slot_", "gave an order to the server"},
    {"pg_backup_", "gave an order to the server"},
    {"pg_switch_wal", "gave an order to the server"},
    {"pg_reload_conf", "gave an order to the server"},
    {"pg_rotate_logfile", "gave an order to the server"},
    {"pg_promote", "gave an order to the server"},
}};

struct obstacle_of_hit {
    token_hits hits;
    std::string_view why;
};
constexpr std::array<obstacle_of_hit, 7> of_hits = {{
    {token_hit::ambiguous, "has a text that cannot be read"},
    {token_hit::unicode_quoted, "has a text that cannot be read"},
    {token_hit::hold, "used a cursor WITH HOLD"},
    {token_hit::prepare | token_hit::execute, "used PREPARE as SQL"},
    {token_hit::load | token_hit::session_function | token_hit::setseed, "used a function with state of its own"},
    {token_hit::large_object, "used large objects"},
    {token_hit::discard, "used DISCARD"},
}};

std::string_view obstacle_of(const sql_name& function) {
    if (function.name.find("_xact_") != std::string::npos) return {};  // held until the transaction's end
    for (const auto& [name, why] : functions) {
        const bool prefix = name.back() == '_' || name == "dblink";
        if (prefix ? function.name.starts_with(name) : function.name == name) return why;
    }
    return {};
}

}  // namespace

bool replay_judge::refuse(std::string_view why) {
    if (obstacle_.empty()) obstacle_ = why;
    return false;
}

bool replay_judge::take(std::string_view text) {
    if (!obstacle_.empty()) return false;
    if (seen_.contains(text)) return true;
    bytes_ += text.size();
    if (seen_.size() >= max_texts || bytes_ > max_text_bytes) return refuse("has too many different statements");
    seen_.emplace(text);
    return read(text);
}

bool replay_judge::read(std::string_view text) {
    const token_hits hits = scan_tokens(text);
    const transaction_text step = read_transaction_text(text);
    if (step.what == transaction_text::step::begin || step.what == transaction_text::step::characteristics) {
        // A deferrable one has waited for a safe snapshot of its own server.
        if (mentions(text, "deferrable")) return refuse("is DEFERRABLE");
        begun_ |= step.what == transaction_text::step::begin;
        return begun_ || refuse("has a beginning that is not known");
    }
    if (hits.has(token_hit::set) && mentions(text, "snapshot")) return refuse("took over another session's snapshot");
    for (const auto& [of, why] : of_hits)
        if (hits.has(of)) return refuse(why);
    const statement_class seen = classify_statements(text, hits);
    if (!seen.parsed) return refuse("has a text that cannot be read");
    if (hits.has(transaction_mask)) {
        using action = transaction_step::action;
        for (const transaction_step& each : analyse_effects(text, hits).transactions) {
            const bool first = each.kind == action::begin && (each.statement == 0 || begun_);
            const bool inner =
                each.kind == action::savepoint || each.kind == action::release || each.kind == action::rollback_to;
            if (!first && !inner) return refuse("has transaction control among its statements");
            begun_ |= first;
            savepoints_ |= each.kind == action::savepoint;
        }
    }
    if (!begun_) return refuse("has a beginning that is not known");
    if (seen.is_copy && seen.kind != statement_kind::reads) return refuse("used COPY FROM");
    for (const statement_kind each : seen.statements)
        if (each == statement_kind::writes_beyond) return refuse("has a statement with effects beyond it");
    for (const sql_name& each : seen.functions)
        if (const std::string_view why = obstacle_of(each); !why.empty()) return refuse(why);
    return true;
}

}  // namespace pgsteady
