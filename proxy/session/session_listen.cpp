// LISTEN outlives its server (recovery.md 2.7): the channels are known here, in the transaction's own time, and when the
// server is lost the next one is asked to listen to them before anything else, also if the client is waiting for nothing
// but notifications. Those sent meanwhile are lost, and the client is told so. Never silently: what is not known for sure
// ends the session as any other pinned state does. Also what else dies with its transaction. See session.hpp.
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/savepoint_steps.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

constexpr auto listens = static_cast<std::uint32_t>(pin_reason::listen);
}  // namespace

/// Changes of channels wait for the end of their transaction, so its savepoints matter.
bool session::follows_savepoints() const { return extra_ != nullptr && !extra_->listening.changes.empty(); }

/// A statement with effects has completed: what it says of channels counts when its transaction commits.
void session::note_channels(const statement_effects& effects) {
    const bool speaks = !effects.listens.empty() || !effects.unlistens.empty() || effects.unlisten_all;
    if (!speaks && !follows_savepoints()) return;
    listening_state& ledger = more().listening;
    const bool several = effects.statements > 1;
    if (!several) note_savepoint(effects);
    if (!speaks) return;
    // Which of them lasts, or which came first, is not followed there.
    if (several && (effects.transaction_control || effects.unlisten_all)) ledger.unknown = true;
    ledger.drops_shared |= several && effects.unlisten_all && !effects.transaction_control;
    std::vector<std::pair<std::size_t, channel_change>> ordered;
    for (const named_step& each : effects.listens) ordered.push_back({each.statement, {each.name, true}});
    for (const named_step& each : effects.unlistens) ordered.push_back({each.statement, {each.name, false}});
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    if (effects.unlisten_all) ledger.changes.push_back({});
    for (auto& [statement, change] : ordered) {
        if (!is_ascii(change.name) && !is_utf8_encoding(client_encoding())) ledger.unknown = true;
        ledger.changes.push_back(std::move(change));
    }
    limit_channels(ledger.changes.size());
    const bool may_end_all = effects.unlisten_all && !several;  // see settle_channels()
    if (ledger.unknown && !may_end_all) ledger.changes.clear();
}

/// Where changes of channels stand, a statement by itself has completed.
void session::note_savepoint(const statement_effects& effects) {
    listening_state& ledger = extra_->listening;
    if (effects.transactions.empty()) return;
    const transaction_step& said = effects.transactions.front();
    if (said.kind == transaction_step::action::savepoint) ledger.changes.push_back({said.name, false, true});
    else if (said.kind == transaction_step::action::rollback) ledger.changes.clear();
    else follow_savepoint(ledger.changes, said);
    ledger.unsure = false;
    limit_channels(ledger.changes.size());
}

/// The tag of a statement has come. What one of savepoints does to changes of channels is known once its text has been
/// looked at, which is before the next tag, or never.
void session::note_savepoint_tag(bool savepoint) {
    listening_state& ledger = extra_->listening;
    ledger.unknown |= ledger.unsure;
    ledger.unsure = savepoint;
}

/// A request is complete, and perhaps the transaction: LISTEN and UNLISTEN follow it, as on PostgreSQL.
void session::settle_channels(char before, char status) {
    listening_state& ledger = extra_->listening;
    if (ledger.changes.empty() && !ledger.drops_shared) return end_listening_pin();
    if (committed_within_ && (last_tag_ != 'C' || error_in_request_)) ledger.unknown = true;
    const bool ends = status == 'I' || last_tag_ == 'C';
    if (std::exchange(ledger.unsure, false) && !(status == 'I' && last_tag_ == 'R')) ledger.unknown = true;
    if (before != 'I' && status == 'I' && last_tag_ == 0) ledger.unknown = true;  // it ended before or behind it?
    if (!ends) return;
    const bool committed = !error_in_request_ && (before == 'I' || last_tag_ == 'C');
    const bool alone = before == 'I' && status == 'I' && completed_ == 1 && ledger.changes.size() == 1;
    if (committed && alone && ledger.changes.front().name.empty()) ledger.unknown = false;  // UNLISTEN *
    if (committed && !ledger.unknown) apply_channels(may_share(before, status));
    if (std::exchange(ledger.drops_shared, false) && committed) stop_sharing(nullptr);
    ledger.changes.clear();
    end_listening_pin();
}

/// Who listens to nothing needs no server for it.
void session::end_listening_pin() {
    const listening_state& ledger = extra_->listening;
    if (ledger.channels.empty() && !ledger.unknown) pins_ &= ~listens;
}

/// A listener that shares what it listens to never keeps its server, although its LISTEN had to begin there.
void session::count_listening_pin() {
    listening_state& ledger = extra_->listening;
    const bool pinned = (pins_ & listens) != 0;
    if (pinned && !ledger.pinned) ++seldom().pins;
    ledger.pinned = pinned;
}

/// `shares`: what is listened to needs no server of the client's own.
void session::apply_channels(bool shares) {
    listening_state& ledger = extra_->listening;
    for (const channel_change& each : ledger.changes) {
        if (each.savepoint) continue;
        if (each.name.empty()) ledger.channels.clear();
        else if (each.listens && shares) share(each.name);
        else if (each.listens) ledger.channels.insert(each.name);
        else ledger.channels.erase(each.name);
        if (!each.listens && shares_) stop_sharing(each.name.empty() ? nullptr : &each.name);
    }
    limit_channels(ledger.channels.size());
}

void session::limit_channels(std::size_t followed) {
    listening_state& ledger = extra_->listening;
    if (followed <= pool_.max_channels || ledger.unknown) return;
    ledger.unknown = true;
    ++seldom().channels_dropped;
}

void session::forget_channels() {
    if (shares_) stop_sharing(nullptr);
    if (extra_ != nullptr) extra_->listening = {};
    relisten_ = false;
}

/// The transaction is over: what it had made is there to stay, or is gone.
void session::settle_pins(bool committed) {
    if (!committed) pins_ &= ~pins_of_transaction_;
    pins_of_transaction_ = 0;
}

/// The server is lost. Returns what cannot be brought to another one.
std::uint32_t session::pins_that_are_lost() {
    if (link_->transaction_status != 'I' && !commit_was_sent()) settle_pins(false);
    if (extra_ != nullptr && pool_.recovers) extra_->listening.unsure = false, extra_->listening.changes.clear();
    if ((pins_ & listens) == 0) return pins_;
    listening_state& ledger = more().listening;
    if (!pool_.recovers || ledger.unknown) return pins_;
    relisten_ = !ledger.channels.empty();
    if (!relisten_) pins_ &= ~listens;
    return pins_ & ~listens;
}

/// The next server is asked for without the client doing anything: it may be waiting for notifications for ever.
void session::want_listening() {
    if (!relisten_ || link_ != nullptr || waiting_ || refused_ || lost_transaction_ || phase_ != phase::ready) return;
    need_ = server_need::primary;
    only_listens_ = true;
    wait_for_server();
}

/// Right behind the settings, before the client's next statement.
void session::listen_again() {
    if (restore_needed()) (void)restore();
    std::string sql;
    for (const std::string& each : extra_->listening.channels)
        sql += (sql.empty() ? "LISTEN " : "; LISTEN ") + quote_identifier(each);
    link_->notes.push_back({reply_note::about::listening, {}, nullptr, nullptr, nullptr, 0});
    link_->tracker.push(owed::query, true);
    link_->unnamed_token = 0;
    tables_.to_server.copy(query_frame(sql));
    relistening_ = true;
}

void session::on_listening(outcome how) {
    relistening_ = error_in_request_ = false;
    if (how != outcome::done) {
        end(client_errors::session_lost(describe_pins(listens), link_->last_words,
                                        incident_of("LISTEN was refused by the next server")),
            end_reason::server_lost);
        return detach(session_actions::release::discard);
    }
    relisten_ = false;
    std::string out;
    append_notice_response(out, client_errors::notifications_lost(extra_->listening.incident));
    tables_.to_client.copy(out);
}

}  // namespace pgsteady
