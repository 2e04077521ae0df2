// Settings: bringing a server to the client's, and learning what the client's statements changed.
// Values come from the text where it says them, from the server where it does not (D12, D16, P36).
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/own_settings.hpp"
#include "proxy/session/savepoint_steps.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>

namespace pgsteady {

bool session::restore_needed() const { return link_->applied != target(); }

/// Sends what the server lacks. True: the client's request may follow at once, because a server of this
/// pool has accepted exactly these values before (D16); false: the outcome is awaited.
bool session::restore() {
    const std::vector<setting_difference> changes = differences(*link_->applied, *target());
    link_->notes.push_back({reply_note::about::restore, {}, nullptr, nullptr, nullptr, 0});
    link_->tracker.push(owed::query, true);
    link_->unnamed_token = 0;
    ++seldom().restores;
    tables_.to_server.copy(query_frame(restore_sql(changes)));
    link_->applied = target();
    for (const setting_difference& each : changes) link_->own_settings_lost |= !each.value && is_own_setting(each.name);
    const bool takes_rights = desired_->find("role") != nullptr || desired_->find("session_authorization") != nullptr;
    const bool for_proof = asks_about_commit();
    const bool special = guarding_ || confined_ || for_proof || takes_rights || resumes_next();
    if (phase_ == phase::ready && !special && pool_.known.contains(desired_.get())) return true;
    restoring_ = true;
    return false;
}

void session::on_restored(outcome how) {
    const bool awaited = restoring_;
    restoring_ = false;
    error_in_request_ = false;
    const bool for_proof = asks_about_commit();
    if (guarding_ || (for_proof && how != outcome::done)) {  // the client never hears of it
        if (how == outcome::done) return;
        if (for_proof && more().redos.front().fate == request_fate::commit_resolve) give_up_resolving();
        else if (redoing_) refute(more().redos.front().why);
        return detach(session_actions::release::discard);
    }
    if (how == outcome::done) {
        if (pool_.known.size() >= pool_facts::known_max) pool_.known.clear();
        if (!confined_) pool_.known.insert_or_assign(desired_.get(), pool_facts::accepted{desired_, link_->reported});
        committed_applied_ = link_->applied;
        if (phase_ == phase::welcoming) {
            believed_ = shown();
            welcome();
        } else {
            sync_reported();
            if (ready_held_) emit_ready('I');
            ready_held_ = false;
        }
        return;
    }
    // Nothing was applied. The client's statement has not been executed: it gets the server's own error.
    pool_.known.erase(desired_.get());
    error_fields why = more().restore_error;
    if (phase_ == phase::welcoming) {
        why.severity = "FATAL";
        end(why, end_reason::startup_rejected);
        return detach(session_actions::release::discard);
    }
    if (!awaited) {  // it was pipelined, and what follows ran with the wrong settings: never again on this server
        end(why, end_reason::server_lost);
        return detach(session_actions::release::discard);
    }
    refused_ = true;
    more().refusal = std::move(why);
    detach(session_actions::release::discard);
}

/// What the client is to know of its server: what that reports, and of a standby that it takes no writes (2.13).
const reported_ptr& session::shown() {
    if (!link_->standby) return link_->reported;
    if (link_->shown_of != link_->reported) {
        link_->shown_of = link_->reported;
        link_->shown = as_read_only(tables_.reported, link_->reported);
    }
    return link_->shown;
}

/// Tells the client about reported values that differ from what it knows (P34).
void session::sync_reported() {
    const reported_ptr& now = shown();
    if (believed_ == now || replaying_) return;
    std::string out;
    append_parameter_changes(out, believed_.get(), *now);
    tables_.to_client.copy(out);
    believed_ = now;
}

/// How the client's texts are encoded, as far as is known; empty: not at all.
std::string_view session::client_encoding() const {
    if (const std::string* chosen = desired_->find("client_encoding")) return *chosen;
    const reported_ptr& said = link_ != nullptr ? link_->reported : believed_;
    const std::string* reported = said != nullptr ? find_reported(*said, "client_encoding") : nullptr;
    return reported != nullptr ? std::string_view(*reported) : std::string_view();
}

void session::change_setting(const std::string& name, std::optional<std::string> value, bool reset) {
    if (reset) {
        link_->own_settings_lost |= is_own_setting(name);
        resets_ = true;
        const std::string* startup = base_->find(name);
        link_->applied = tables_.settings.with(link_->applied, name, std::nullopt);
        desired_ = tables_.settings.with(desired_, name, startup != nullptr ? std::optional(*startup) : std::nullopt);
        return;
    }
    // What is not ASCII can be carried to a server of any encoding if it is known what it means.
    if (!is_ascii(name) || (value && !is_ascii(*value) && !is_utf8_encoding(client_encoding())))
        pin(static_cast<std::uint32_t>(pin_reason::computed_setting));
    link_->applied = tables_.settings.with(link_->applied, name, value);
    desired_ = tables_.settings.with(desired_, name, std::move(value));
}

/// A statement with effects has completed.
void session::apply_effects(const statement_effects& effects) {
    if (effects.discard_all) {
        pins_ = pins_of_transaction_ = 0;
        forget_channels();
        forget_statements();
        desired_ = committed_ = base_;
        link_->applied = committed_applied_ = tables_.settings.none();
        link_->only_client = id_;
        link_->used_by_others = link_->names_uncertain = false;
        link_->own_settings_lost = true;
        resets_ = true;
        return;
    }
    pin(pins_of(effects, true));
    if (pool_.pin_opaque && effects.calls_procedure) pin(static_cast<std::uint32_t>(pin_reason::opaque));
    if (effects.deallocate_all) forget_statements();
    forget_deallocated(effects, effects.statements);
    if (may_follow_prepare(effects)) remember_prepared(effects);
    follow_settings(effects);
    apply_settings(effects);
    note_local_wishes(effects);
    note_channels(effects);
}

/// PREPARE, and EXECUTE of what is known here, need no server of their own: the next one is given the statement (D14).
/// `whole`: all of the text was executed.
std::uint32_t session::pins_of(const statement_effects& effects, bool whole) const {
    const bool follows = effects.prepares.empty() || (whole && may_follow_prepare(effects));
    const auto is_known = [&](const named_step& each) {
        const auto makes = [&](const sql_prepared& made) { return made.name == each.name; };
        return find_statement(each.name) != nullptr ||
               std::any_of(effects.prepares.begin(), effects.prepares.end(), makes);
    };
    const bool known = follows && std::all_of(effects.executes.begin(), effects.executes.end(), is_known);
    return known ? effects.pins & ~static_cast<std::uint32_t>(pin_reason::sql_prepare) : effects.pins;
}

/// A string of several statements failed: what its completed ones did beyond their transaction stays done.
void session::apply_partly(const statement_effects& effects) {
    if (completed_ == 0) return;
    pin(pins_of(effects, false));
    forget_deallocated(effects, completed_);
    if (effects.deallocate_all) {  // before the failure or behind it: who knows
        forget_statements();
        link_->names_uncertain = true;
    }
    if (!effects.transaction_control) return;  // one transaction: the settings went back with it
    note_channels(effects);
    follow_settings(effects);
    const bool had = touched_;
    apply_settings(effects);
    if (touched_ && (!had || !effects.settings.empty())) uncertain_ = true;
}

void session::forget_deallocated(const statement_effects& effects, std::size_t completed) {
    for (const named_step& each : effects.deallocates) {
        if (each.statement >= completed) continue;
        const statement_ptr statement = find_statement(each.name);
        if (statement != nullptr && !statement->shared) link_->prepared.remove(statement);
        if (statement != nullptr) note_gone(each.name, statement);
        forget_name(each.name);
    }
}

void session::apply_settings(const statement_effects& effects) {
    if (effects.reset_all) {
        touched_ = true;
        link_->own_settings_lost = true;
        const settings_ptr before = desired_;
        const settings_ptr had = link_->applied;
        for (const settings_ptr& all : {before, had})
            for (const auto& [name, value] : all->entries()) {
                if (name == "role" || name == "session_authorization") continue;
                change_setting(name, std::nullopt, true);
                more().touched_names.push_back(name);
            }
        resets_ = true;
    }
    for (const setting_change& change : effects.settings) {
        if (change.local) continue;
        touched_ = true;
        more().touched_names.push_back(change.name);
        if (change.kind == setting_change::action::reset) change_setting(change.name, std::nullopt, true);
        else if (change.value) change_setting(change.name, change.value, false);
        else uncertain_ = true;
        if (effects.statements > 1) uncertain_ = true;
        if (effects.statements > 1 && effects.transaction_control) perhaps_kept_ = true;
        if (change.name == "session_authorization") {  // changing whose rights apply resets the role with it
            more().touched_names.emplace_back("role");
            uncertain_ = true;
        }
    }
}

/// Since a setting was changed in the transaction, its savepoints matter: a statement with these effects has completed.
void session::follow_settings(const statement_effects& effects) {
    if (!touched_ || effects.transactions.empty()) return;
    more().marks_unsure = false;
    if (effects.statements == 1) return note_setting_mark(effects.transactions.front());
    using action = transaction_step::action;
    uncertain_ |=
        std::any_of(effects.transactions.begin(), effects.transactions.end(), [](const transaction_step& each) {
            return each.kind == action::savepoint || each.kind == action::release || each.kind == action::rollback_to;
        });
}

void session::note_setting_mark(const transaction_step& said) {
    constexpr std::size_t most = 256;  // beyond it the server is asked
    using action = transaction_step::action;
    std::vector<setting_mark>& marks = extra_->setting_marks;
    follow_savepoint(marks, said);
    if (said.kind == action::savepoint) {
        if (marks.size() == most) marks.clear(), uncertain_ = true;
        marks.push_back({said.name, true, desired_, link_->applied});
    } else if (said.kind == action::rollback_to || said.kind == action::rollback) {
        if (said.kind == action::rollback) marks.clear();  // AND CHAIN, or it ends
        desired_ = marks.empty() ? committed_ : marks.back().desired;
        link_->applied = marks.empty() ? committed_applied_ : marks.back().applied;
    }
}

/// The tag of a statement has come. What one of savepoints does to settings is known once its text has been looked at, which
/// is before the next tag, or never.
void session::note_mark_tag(bool savepoint) { uncertain_ |= std::exchange(more().marks_unsure, savepoint); }

void session::forget_setting_marks() {
    extra_->setting_marks.clear();
    extra_->marks_unsure = false;
}

/// The transaction in which the ledger changed is over.
void session::transaction_ended(bool committed) {
    if (extra_ != nullptr) forget_setting_marks();
    if (uncertain_) return ask_truth();
    touched_ = false;
    if (committed) {
        committed_ = desired_;
        committed_applied_ = link_->applied;
    } else {
        desired_ = committed_;
        link_->applied = committed_applied_;
    }
    if (extra_ != nullptr) extra_->touched_names.clear();
}

void session::note_local_wishes(const statement_effects& effects) {
    if (!has_wishes_ && !begins_local_wishes(effects)) return;
    more().wishes.note(effects);
    if (effects.transaction_control) wishes_unsure_ = false;
    has_wishes_ = !extra_->wishes.empty();
}

/// A request is complete. How far a ROLLBACK went whose text was prepared before anything was set is not followed.
void session::settle_local_wishes(char status) {
    if (status != 'I' && !wishes_unsure_) return;
    extra_->wishes = {};
    has_wishes_ = wishes_unsure_ = false;
}

/// Asks the server for the values of everything that may have changed.
void session::ask_truth() {
    auto& names = more().touched_names;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    std::string sql = "SELECT ";
    for (const std::string& name : names) {
        if (sql.back() == ')') sql += ',';
        sql += "pg_catalog.current_setting(" + quote_literal(name) + ",true)";
    }
    more().truth_names = std::move(names);
    extra_->truth_reported = link_->reported;
    names.clear();
    touched_ = perhaps_kept_ = false;
    link_->notes.push_back({reply_note::about::truth, {}, nullptr, nullptr, nullptr, 0});
    link_->tracker.push(owed::query, true);
    link_->unnamed_token = 0;
    // It is behind what the client has pipelined meanwhile: whatever of that is undone, no unnamed statement is left.
    for (reply_note& ahead : link_->notes) ahead.link_token = 0;
    tables_.to_server.copy(query_frame(sql));
}

void session::on_truth(outcome how) {
    uncertain_ = false;
    extra& known = more();
    if (how != outcome::done || known.truth_values.size() != known.truth_names.size()) {
        pin(static_cast<std::uint32_t>(pin_reason::computed_setting));  // not known: it keeps its server
        return;
    }
    for (std::size_t i = 0; i < known.truth_names.size(); ++i)
        change_setting(known.truth_names[i], known.truth_values[i], false);
    committed_ = desired_;
    committed_applied_ = link_->applied;
}

/// The server that is lost was being asked what its client's settings are. True: it had reported them by itself, which it
/// does before it says that a transaction is over.
bool session::learn_from_reports() {
    if (touched_) return false;
    std::vector<std::pair<std::string, std::string>> said;
    for (const std::string& name : more().truth_names) {
        const reported_list& all = *extra_->truth_reported;
        const auto at =
            std::find_if(all.begin(), all.end(), [&](const auto& each) { return lower_case(each.first) == name; });
        if (at == all.end()) return false;
        said.emplace_back(name, at->second);
    }
    for (auto& [name, value] : said) change_setting(name, std::move(value), false);
    committed_ = desired_;
    return true;
}

void session::forget_statements() {
    link_->prepared.clear();
    link_->names_of = 0;
    forget_own_names();
    for (const auto& [name, statement] : names_) note_gone(name, statement);
    names_.clear();
    names_bytes_ = 0;
}

}  // namespace pgsteady
