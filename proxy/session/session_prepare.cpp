// SQL PREPARE, EXECUTE and DEALLOCATE: one namespace with the protocol's, per client (D14, P28). What the protocol prepared
// under a shared name is lent to SQL under the client's for one request. What has the client's own name on a server, made by
// PREPARE or spoken of by a text that is itself prepared, needs no server of the client's own: it stays until another client
// uses the server, and the next server is given it before the message that names it. Text is never changed, and what cannot
// be made again as it was keeps its server, as it did before. See session.hpp.
#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {

namespace {

constexpr auto prepares = static_cast<std::uint32_t>(pin_reason::sql_prepare);
constexpr auto opaque = static_cast<std::uint32_t>(pin_reason::opaque);
constexpr std::string_view order_name = "pgsteady_order";  // of a statement and a portal that live for one message

// What the constants and names in a text mean. Relations are looked up again at EXECUTE, as on PostgreSQL.
constexpr std::array<std::string_view, 10> meaning_settings = {
    "search_path", "client_encoding", "standard_conforming_strings", "datestyle",   "intervalstyle",
    "timezone",    "lc_monetary",     "transform_null_equals",       "array_nulls", "xmloption"};

std::string order_frames(std::string_view sql) {
    std::string out;
    const auto close = [&out](char kind) {
        const frame_builder frame(out, frontend::close);
        out += kind;
        put_cstring(out, order_name);
    };
    close('S');  // one that failed has left its own
    {
        const frame_builder frame(out, frontend::parse);
        put_cstring(out, order_name);
        put_cstring(out, sql);
        out += std::string_view("\0\0", 2);
    }
    {
        const frame_builder frame(out, frontend::bind);
        put_cstring(out, order_name);
        put_cstring(out, order_name);
        out += std::string_view("\0\0\0\0\0\0", 6);
    }
    {
        const frame_builder frame(out, frontend::execute);
        put_cstring(out, order_name);
        put_u32(out, 0);
    }
    close('P');
    close('S');
    return out;
}

}  // namespace

// ------------------------------------------------------------------------------------------ what is known

/// The text's PREPAREs can be carried out again elsewhere, and mean the same there.
bool session::may_follow_prepare(const statement_effects& effects) const {
    const bool only_prepares = effects.pins == prepares && !effects.uses_lastval && effects.settings.empty() &&
                               effects.deallocates.empty() && effects.transactions.empty();
    const bool drops = effects.reset_all || effects.deallocate_all || effects.discard_all;
    return effects.parsed && !effects.prepares.empty() && only_prepares && !drops;
}

/// They have been executed. As on PostgreSQL they stay, whatever becomes of the transaction.
void session::remember_prepared(const statement_effects& effects) {
    for (const sql_prepared& each : effects.prepares) {
        auto made = std::make_shared<prepared_statement>();
        made->server_name = each.name;
        made->shared = false;
        made->by_sql = true;
        made->parse_tail = each.text + '\0';
        made->made_under = desired_;
        if (!within_memory(each.name.size() + made->bytes())) return;
        names_.insert_or_assign(each.name, made);
        link_->prepared.add(made);
        link_->names_of = names_token_;
        more().new_names.push_back(each.name);
    }
}

// ------------------------------------------------------------------------------------------ own names

/// Names of somebody else, or that this client has given up meanwhile, are taken off the server, in a segment of its own.
void session::drop_names_of_others() {
    link_->names_of = 0;
    std::vector<std::string> names;
    for (const statement_ptr& each : link_->prepared.take_own()) names.push_back(each->server_name);
    take_names_back(names);
}

/// One of them is none any more. The server at hand knows; others may have it yet, and are told when they are used next.
void session::forget_own_names() {
    const bool knows = link_ != nullptr && link_->names_of == names_token_;
    names_token_ = tables_.next_token++;
    if (knows) link_->names_of = names_token_;
}

/// Those that a text is going to look up under the client's own name and that the server lacks. A text that was not read
/// may look up any.
std::vector<statement_ptr> session::own_missing(const statement_effects& effects) const {
    std::vector<statement_ptr> missing;
    const auto look = [&](const statement_ptr& each) {
        const bool lacks = each != nullptr && !each->shared && !link_->prepared.has(each);
        if (lacks && std::find(missing.begin(), missing.end(), each) == missing.end()) missing.push_back(each);
    };
    if (!effects.parsed || (effects.pins & opaque) != 0)
        for (const auto& [name, each] : names_) look(each);
    else
        for (const named_step& each : effects.executes) look(find_statement(each.name));
    return missing;
}

/// Gives them to the server, within the client's segment: an error is the client's.
void session::bring_own(const std::vector<statement_ptr>& missing) {
    for (const statement_ptr& each : missing)
        if (!link_->prepared.has(each)) inject_parse(each);
}

/// The same in front of a Query, in a segment of its own: what an Execute leaves open would not end with the Query.
void session::bring_in_front(const std::vector<statement_ptr>& missing) {
    if (missing.empty()) return;
    in_front_ = true;
    bring_own(missing);
    in_front_ = false;
    inject_sync();
}

/// An error in such a segment: the Query fails for it in another way, and the client is told this one.
bool session::is_order_error(std::string_view frame) {
    if (link_->tracker.empty() || !link_->tracker.front().injected || link_->notes.empty()) return false;
    if (!link_->notes.front().in_front) return false;
    error_fields why;
    (void)parse_error_fields(frame.substr(frame_header_size), why);
    if (why.is_fatal()) return false;
    if (why.sqlstate != sqlstate::in_failed_sql_transaction) more().order_error = std::move(why);
    return true;
}

/// Carries out PREPARE as it was: what it makes of constants depends on settings.
void session::inject_prepare(const statement_ptr& statement) {
    std::vector<setting_difference> there;
    std::vector<setting_difference> back;
    if (statement->made_under != desired_)
        for (const std::string_view name : meaning_settings) {
            const std::string* then = statement->made_under->find(name);
            const std::string* now = desired_->find(name);
            if (then == now || (then != nullptr && now != nullptr && *then == *now)) continue;
            there.push_back({std::string(name), then != nullptr ? std::optional(*then) : std::nullopt});
            back.push_back({std::string(name), now != nullptr ? std::optional(*now) : std::nullopt});
        }
    for (const setting_difference& each : there) inject_order(restore_sql({each}), nullptr);
    inject_order(statement->parse_tail.c_str(), statement);
    for (const setting_difference& each : back) inject_order(restore_sql({each}), nullptr);
}

/// One statement, its answers swallowed. `makes`: what exists if it succeeds.
void session::inject_order(std::string_view sql, const statement_ptr& makes) {
    for (const owed kind : {owed::close, owed::parse, owed::bind, owed::execute, owed::close, owed::close}) {
        reply_note note;
        note.what = reply_note::about::order;
        note.in_front = in_front_;
        if (kind == owed::execute && makes != nullptr) {
            note.what = reply_note::about::injected_parse;
            note.statement = makes;
            ++names_pending_;
        }
        link_->notes.push_back(std::move(note));
        link_->tracker.push(kind, true);
    }
    tables_.to_server.copy(order_frames(sql));
    process_settled();
}

/// In the extended protocol, EXECUTE as SQL looks its statement up when it is prepared and bound, not only when it
/// runs. A name that the protocol prepared is therefore made the client's own.
void session::own_executed(const effects_ptr& effects) {
    if (effects == nullptr) return;
    for (const named_step& each : effects->executes) {
        const statement_ptr statement = find_statement(each.name);
        if (statement == nullptr || !statement->shared) continue;
        auto own = std::make_shared<prepared_statement>(*statement);
        own->server_name = each.name;
        own->shared = false;
        names_.insert_or_assign(each.name, own);
    }
    bring_own(own_missing(*effects));
}

// ------------------------------------------------------------------------------------------ lent names

/// Names that this text's SQL mentions and that are not there under the client's own name.
std::vector<std::string> session::names_to_lend(const statement_effects& effects) const {
    std::vector<std::string> names;
    const auto add = [&](const std::string& name, bool executed) {
        const statement_ptr statement = find_statement(name);
        if (statement == nullptr) return;
        if (!statement->shared && (executed || link_->prepared.has(statement))) return;  // bring_own()
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    };
    for (const named_step& each : effects.executes) add(each.name, true);
    for (const named_step& each : effects.deallocates) add(each.name, executes(effects, each.name));
    for (const sql_prepared& each : effects.prepares) add(each.name, executes(effects, each.name));
    return names;
}

bool session::executes(const statement_effects& effects, std::string_view name) {
    return std::any_of(effects.executes.begin(), effects.executes.end(),
                       [&](const named_step& each) { return each.name == name; });
}

/// Prepares them under the client's own names, for one request: SQL then finds what the client expects.
void session::lend_names(const std::vector<std::string>& names, const statement_effects& effects) {
    if (link_->transaction_status == 'E') return;
    for (const std::string& name : names) {
        if (!executes(effects, name)) {
            inject_placeholder(name);
            continue;
        }
        link_->notes.emplace_back();
        link_->tracker.push(owed::parse, true);
        forward_parse(name, find_statement(name)->parse_tail);
        process_settled();
    }
}

/// A statement that only has to exist, and whose Parse cannot fail by itself: it is empty. Nobody may execute it,
/// so from now on this server is told to close a name before it is given a meaning.
void session::inject_placeholder(std::string_view name) {
    if (link_->names_uncertain) inject_close(name);  // an earlier placeholder may still be there
    link_->names_uncertain = true;
    link_->notes.emplace_back();
    link_->tracker.push(owed::parse, true);
    forward_parse(name, std::string_view("\0\0\0", 3));
    process_settled();
}

/// Closes what was lent, in a segment of its own, so that it is not skipped. No later client may find it.
void session::take_names_back(const std::vector<std::string>& names) {
    if (names.empty()) return;
    for (const std::string& name : names) inject_close(name);
    inject_sync();
}

void session::inject_sync() {
    link_->notes.emplace_back();
    link_->tracker.push(owed::sync, true);
    tables_.to_server.copy(std::string_view("S\0\0\0\4", 5));
}

/// At the end of a segment: what its Executes were lent.
void session::take_lent_back() {
    if (extra_ == nullptr || extra_->lent.empty()) return;
    take_names_back(std::exchange(extra_->lent, {}));
}

}  // namespace pgsteady
