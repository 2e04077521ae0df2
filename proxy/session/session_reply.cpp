// Messages of the server. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/policy/recovery_verdict.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

namespace msg = backend_message;

// Frames up to this size reach the client whole or not at all, so that a server that dies in the middle
// of one leaves a conversation that an error can still be put into.
constexpr std::size_t whole_limit = 64 * 1024;

constexpr bool may_be_large(char type) {
    return type == msg::data_row || type == msg::copy_data || type == msg::function_call_response ||
           type == msg::row_description || type == msg::notification_response;
}

/// Answers that say nothing which is not known already: whose they are is all.
constexpr bool only_passes(char type) {
    return type == msg::bind_complete || type == msg::row_description || type == msg::parse_complete ||
           type == msg::no_data || type == msg::parameter_description;
}

/// An ERROR, as long as it may be the server's last but one word.
constexpr std::string_view cut_in_copy = "ERROR 08006";

request_report::operation operation_of(std::string_view tag) {
    using op = request_report::operation;
    if (tag.starts_with("SELECT") || tag.starts_with("FETCH") || tag.starts_with("SHOW")) return op::select;
    if (tag.starts_with("INSERT")) return op::insert;
    if (tag.starts_with("UPDATE")) return op::update;
    if (tag.starts_with("DELETE")) return op::remove;
    if (tag.starts_with("BEGIN") || tag.starts_with("START")) return op::begin;
    if (tag.starts_with("COMMIT")) return op::commit;
    if (tag.starts_with("ROLLBACK")) return op::rollback;
    if (tag.starts_with("COPY")) return op::copy;
    if (tag.starts_with("SET") || tag.starts_with("RESET")) return op::set;
    return op::other;
}

/// Of the tags that are none of the above: what may change functions, views or tables.
bool may_change_schema(std::string_view tag) {
    for (const std::string_view word : {"CREATE", "ALTER", "DROP", "DO", "CALL", "IMPORT"})
        if (tag.starts_with(word)) return true;
    return false;
}

/// By the function that said it: a FATAL of the backend itself, and of nobody in between.
bool is_own_farewell(const error_fields& said) {
    return std::any_of(said.others.begin(), said.others.end(), [](const auto& field) {
        return field.first == 'R' && (field.second == "ProcessInterrupts" || field.second == "secure_read");
    });
}

}  // namespace

std::size_t session::on_server_bytes(std::string_view in) {
    gather& out = tables_.to_client;
    complete_at_ = out.size();
    if (keeps_result_back()) out.copy(std::exchange(extra_->withheld, {}));
    std::size_t at = 0;
    while (at < in.size() && link_ != nullptr) {
        if (link_->frame_left > 0) {
            const std::size_t part = std::min(in.size() - at, link_->frame_left);
            if (link_->frame_forward) show(in.substr(at, part));
            link_->frame_left -= part;
            at += part;
            if (differs_) fail_resume();
            continue;
        }
        const frame_header header = read_frame_header(in.substr(at));
        if (header.state == frame_header::status::need_more) break;
        if (header.state == frame_header::status::malformed) {
            server_violation();
            break;
        }
        std::size_t here = std::min(in.size() - at, header.total);
        if (here < header.total && (header.total <= whole_limit || !may_be_large(header.type))) {
            if (header.total <= 4 * whole_limit) break;
            server_violation();
            break;
        }
        const std::string_view frame = in.substr(at, here);
        if (header.type == msg::data_row || header.type == msg::copy_data) {
            // The bulk of all traffic: nothing but whose it is, and that is the same of all rows side by side.
            const reply_meaning meaning = link_->tracker.react(header.type);
            if (meaning.what == reply_meaning::verdict::unexpected) {
                server_violation();
                break;
            }
            link_->frame_forward = meaning.what == reply_meaning::verdict::forward;
            if (link_->frame_forward) {
                if (rewritten_) show_held();
                here += show_rows(frame, in.substr(at + here));
            } else {
                on_injected_frame(header.type, frame.substr(frame_header_size));
            }
        } else if (only_passes(header.type) && !rewritten_) {
            const reply_meaning meaning = link_->tracker.react(header.type);
            if (meaning.what == reply_meaning::verdict::unexpected) {
                server_violation();
                break;
            }
            link_->frame_forward = meaning.what == reply_meaning::verdict::forward;
            if (link_->frame_forward) show(frame);
            process_settled();
        } else {
            if (header.type == msg::error_response && waits_for_role(frame)) break;
            on_reply(header.type, frame);
        }
        if (differs_) fail_resume();
        if (link_ != nullptr) link_->frame_left = header.total > here ? header.total - here : 0;
        at += here;
    }
    if (digesting_) link_->journal.answer().settle();  // before the bytes go away
    if (resuming_) notice_short_answer();
    if (out.size() > complete_at_) hold_result(complete_at_);
    if (link_ != nullptr) release_if_at_rest();
    return at;
}

/// A row, or the part of one that is there, and those of `behind` that lie whole behind it: how much of `behind` that is.
/// What is answered once more is compared row by row.
std::size_t session::show_rows(std::string_view row, std::string_view behind) {
    const frame_run more_rows = resuming_ ? frame_run{} : read_frame_run(row.front(), behind);
    show({row.data(), row.size() + more_rows.bytes});
    rows_ += 1 + more_rows.count;
    return more_rows.bytes;
}

void session::on_reply(char type, std::string_view frame) {
    const std::string_view body = frame.substr(frame_header_size);
    // It has ended before what was delivered: its end is still owed. A capture in front of it has an end of its own.
    if (type == msg::ready_for_query && resuming_ && !link_->tracker.empty() && !link_->tracker.front().injected) {
        differs_ = true;
        return;
    }
    if (type == msg::error_response) note_failing_parse();
    const bool hidden =
        type == msg::error_response && ((pool_.resolves && is_capture_error(frame)) || is_order_error(frame));
    const reply_meaning meaning = link_->tracker.react(type);
    if (meaning.what == reply_meaning::verdict::unexpected) return server_violation();
    const bool forward = link_->frame_forward = meaning.what == reply_meaning::verdict::forward;
    switch (type) {
        case msg::notice_response:
            if (!is_farewell(body) && forward && !muted_) tables_.to_client.view(frame);
            break;
        case msg::parameter_status: return on_parameter_status(frame, forward);
        case msg::error_response:
            if (hidden) break;
            if (link_->tracker.wants_sync()) segment_open_ = true;
            on_error_reply(frame, forward);
            break;
        case msg::ready_for_query:
            if (body.size() != 1) return server_violation();
            return on_ready_frame(frame, forward);
        case msg::notification_response: return on_notification(frame);
        case msg::command_complete:
            if (link_->tracker.wants_sync()) segment_open_ = true;
            if (forward) on_command_complete(body);
            [[fallthrough]];
        default:
            if (type == msg::copy_out_response || type == msg::copy_both_response) copying_out_ = true;
            if (forward && rewritten_) hold_of_query(type, frame);
            else if (forward) show(frame);
            else on_injected_frame(type, body);
    }
    process_settled();
}

/// A WARNING that is the server's last word before it ends the connection: the reason of the loss, and no affair of a
/// client that is spared it (T30). Only its own C function is believed: a client can RAISE any SQLSTATE.
bool session::is_farewell(std::string_view body) {
    error_fields fields;
    if (!parse_error_fields(body, fields)) return false;
    const recovery_verdict verdict = judge(signal_of(fields, link_->doing()));
    if (!verdict.connection_over) return false;
    link_->verdict = verdict;
    link_->took_leave = true;
    actions_.loses_locks = link_->transaction_status != 'I';
    link_->committed_locally |= verdict.name == verdict_name::committed_locally;
    link_->last_words = fields.severity + ' ' + fields.sqlstate + ' ' + fields.message;
    return true;
}

/// An unnamed Parse that fails has destroyed the unnamed statement before it.
void session::note_failing_parse() {
    const reply_tracker& tracker = link_->tracker;
    if (tracker.empty() || tracker.front().kind != owed::parse || tracker.front().injected || tracker.front().noted)
        return;
    note_unnamed_gone();
}

void session::note_unnamed_gone() { set_unnamed({}, nullptr, 0, 0); }

/// What the unnamed statement turns out to be: now, or for the next Parse of one that is still owed, before that.
void session::set_unnamed(std::string_view tail, const effects_ptr& effects, std::uint64_t token,
                          std::uint64_t link_token) {
    for (reply_note& later : link_->notes) {
        const bool query = later.what == reply_note::about::query || later.what == reply_note::about::plain_query;
        if (!query && later.what != reply_note::about::client_unnamed) continue;
        (query ? later.unnamed_tail : later.name) = tail;
        (query ? later.unnamed_effects : later.effects) = effects;
        later.token = token;
        later.link_token = link_token;
        return;
    }
    unnamed_tail_ = tail;
    unnamed_effects_ = effects;
    unnamed_token_ = token;
    link_->unnamed_token = link_token;
}

void session::on_parameter_status(std::string_view frame, bool forward) {
    wire_reader body(frame.substr(frame_header_size));
    const auto name = body.cstring();
    const auto value = body.cstring();
    if (!name || !value) return server_violation();
    link_->reported = tables_.reported.with(link_->reported, *name, *value);
    if (phase_ == phase::ready && tells_other_role(*name, *value, link_->standby)) actions_.not_primary = true;
    // What a RESET reports is the server's default; the client hears of its own startup value instead (D16).
    if (!forward || phase_ != phase::ready || muted_) return;
    if (base_->find(lower_case(*name)) != nullptr && request_resets()) return;
    if (rewritten_) show_held();
    tables_.to_client.view(frame);
    believed_ = link_->standby ? tables_.reported.with(believed_, *name, *value) : link_->reported;
}

bool session::request_resets() const {
    if (resets_) return true;
    const reply_tracker& tracker = link_->tracker;
    if (tracker.empty() || tracker.front().kind != owed::query || !tracker.front().noted || link_->notes.empty())
        return false;
    const effects_ptr& effects = link_->notes.front().effects;
    if (effects == nullptr) return false;
    return effects->reset_all || effects->discard_all ||
           std::any_of(effects->settings.begin(), effects->settings.end(),
                       [](const setting_change& each) { return each.kind == setting_change::action::reset; });
}

/// A notification that the client sent itself carries the process number that the client knows (D18).
void session::on_notification(std::string_view frame) {
    if (frame.size() < frame_header_size + 4) return server_violation();
    if ((muted_ && !resuming_) || (shares_ && is_shared(frame))) return;  // the shared listener says it, too
    if (rewritten_) show_held();
    const auto sender = static_cast<std::int32_t>(load_u32(frame.data() + frame_header_size));
    if (sender != link_->backend_pid) return tables_.to_client.view(frame);
    std::string out(frame.substr(0, frame_header_size));
    put_i32(out, client_pid_);
    out += frame.substr(frame_header_size + 4);
    tables_.to_client.copy(out);
}

void session::on_command_complete(std::string_view body) {
    const std::string_view tag(body.data(), body.empty() ? 0 : body.size() - 1);
    report_.what = operation_of(tag);
    ++completed_;
    report_.wrote |=
        report_.what != request_report::operation::select && report_.what != request_report::operation::begin &&
        report_.what != request_report::operation::rollback && report_.what != request_report::operation::set;
    if (pool_.resolves && report_.what != request_report::operation::select &&
        report_.what != request_report::operation::begin && report_.what != request_report::operation::set)
        note_write(tag);
    if (report_.what == request_report::operation::insert || report_.what == request_report::operation::copy)
        sequence_used_ = true;
    if (report_.what == request_report::operation::begin && pool_.replays) {
        stop_following();
        digesting_ = true;
    }
    committed_within_ |= report_.what == request_report::operation::commit;
    const bool rollback = report_.what == request_report::operation::rollback;
    began_within_ = report_.what == request_report::operation::begin ||
                    (began_within_ && !rollback && report_.what != request_report::operation::commit);
    const bool after_rollback = last_tag_ == 'R' && completed_ > 1;
    last_tag_ = rollback ? 'R' : report_.what == request_report::operation::commit ? 'C' : '\0';
    wishes_unsure_ |= rollback && has_wishes_;
    const auto of_savepoint = [&] { return rollback || tag == "SAVEPOINT" || tag == "RELEASE"; };
    if (extra_ != nullptr && !extra_->listening.changes.empty()) {
        // A block that began and ended within the request: which LISTEN stood in it is not followed.
        extra_->listening.unknown |= rollback && link_->transaction_status == 'I';
        note_savepoint_tag(of_savepoint());
    }
    if (report_.what == request_report::operation::other && may_change_schema(tag)) {
        schema_touched_ = true;
        if (tag == "CREATE RULE") pool_.rules_made = true;
    }
    if (!touched_) return;
    if (tag.starts_with("PREPARE TRANSACTION")) last_tag_ = 'C';
    note_mark_tag(of_savepoint());
    if ((rollback && completed_ > 1) || after_rollback) uncertain_ = true;
}

void session::on_error_reply(std::string_view frame, bool forward) {
    error_fields fields;
    const std::string_view body = frame.substr(frame_header_size);
    (void)parse_error_fields(body, fields);
    if (fields.is_fatal()) {  // the connection is ending: the loss is answered when it has (recovery.md 2.9)
        // Behind its complaint that the connection broke in the middle of COPY, "lost synchronization" is no client's doing.
        const bool cut = link_->last_words.starts_with(cut_in_copy);
        link_->took_leave = !cut && is_own_farewell(fields);
        actions_.loses_locks = link_->transaction_status != 'I';
        link_->verdict = cut ? judge(failure_kind::closed, link_->doing()) : judge(signal_of(fields, link_->doing()));
        link_->last_words = fields.severity + ' ' + fields.sqlstate + ' ' + fields.message;
        if (!forward || link_->verdict.name != verdict_name::client_violation) return;
        tables_.to_client.view(frame);  // the client broke the protocol: PostgreSQL has the last word
        phase_ = phase::ended;
        actions_.close_client = true;
        actions_.reason = end_reason::server_fatal;
        return detach(session_actions::release::discard);
    }
    error_in_request_ = true;
    if (rewritten_ && extra_ != nullptr) extra_->held.clear();  // nothing was done
    if (fields.sqlstate == sqlstate::connection_failure) link_->last_words = cut_in_copy;
    if (!forward) {
        if (!link_->notes.empty() && link_->notes.front().what == reply_note::about::in_doubt)
            more().asked_sqlstate = fields.sqlstate;
        if (!link_->notes.empty() && link_->notes.front().what == reply_note::about::restore)
            more().restore_error = std::move(fields);
        return;
    }
    const bool lacks_name = fields.sqlstate == sqlstate::invalid_sql_statement_name;
    if ((lacks_name || fields.sqlstate == sqlstate::in_failed_sql_transaction) && extra_ != nullptr &&
        !extra_->order_error.sqlstate.empty()) {
        ++report_.errors;
        return emit_error(std::exchange(extra_->order_error, {}));
    }
    if (fields.sqlstate == sqlstate::in_failed_sql_transaction && extra_ != nullptr &&
        !extra_->capture_error.sqlstate.empty()) {
        ++report_.errors;  // what has failed the transaction was hidden from the client, but for this
        return emit_error(std::exchange(extra_->capture_error, {}));
    }
    if ((digesting_ || muted_) && !shows_error(fields.sqlstate)) {
        if (differs_ && guarding_ && fields.sqlstate == sqlstate::read_only_sql_transaction)
            more().told_why = more().guard_error;
        return;
    }
    if (fields.sqlstate == sqlstate::disk_full || fields.sqlstate == sqlstate::io_error)
        actions_.storage_failing |= judge(signal_of(fields, link_->doing())).strikes_writes;
    if (guarding_ && fields.sqlstate == sqlstate::read_only_sql_transaction) return emit_error(more().guard_error);
    if (fields.sqlstate == sqlstate::read_only_sql_transaction) return on_read_only_error(frame, fields);
    conflict_ = fields.sqlstate == sqlstate::serialization_failure || fields.sqlstate == sqlstate::deadlock_detected;
    ++report_.errors;
    // The schema changed under a shared statement: whoever prepares it again gets a fresh one (P29).
    if (fields.sqlstate == sqlstate::feature_not_supported && fields.message.starts_with("cached plan"))
        for (const auto& [name, statement] : names_) tables_.statements.retire(statement);
    if (fields.message.find("\"pgsteady_") == std::string::npos) return tables_.to_client.view(frame);
    name_as_client(fields);
    std::string out;
    append_error_response(out, fields);
    tables_.to_client.copy(out);
}

/// A standby has refused to write, or what was taken for the primary has. A request that was only taken for a read goes
/// to a primary, if there will be one; in read-only mode the client is told of that (R01). A primary that has become a
/// standby has done nothing: the request goes to its successor, once (D21); a transaction has to begin anew (R17).
void session::on_read_only_error(std::string_view frame, error_fields& fields) {
    ++report_.errors;
    if (pool_.only_standbys || (link_->standby && !pool_.recovers)) return tables_.to_client.view(frame);
    const role_question found = std::exchange(role_, role_question::none);
    if (!link_->standby && !confined_) {
        actions_.not_primary = found == role_question::none && !refuses_writes_itself();
        if (found != role_question::changed) return tables_.to_client.view(frame);
        if (link_->transaction_status != 'I' || began_within_)
            return emit_error(
                client_errors::role_changed(incident_of("the server of a transaction is not the primary any more")));
        if (!std::exchange(moved_, true)) needs_primary_ = conflict_ = true;
        return tables_.to_client.view(frame);
    }
    if (link_->transaction_status == 'I' && !confined_ && pool_.service != service_mode::read_only)
        needs_primary_ = conflict_ = true;
    const std::string_view said = fields.message;
    constexpr std::string_view before = "cannot execute ";
    const std::size_t end = said.find(" in a read-only transaction");
    const bool usual = said.starts_with(before) && end != std::string_view::npos;
    emit_error(client_errors::read_only(usual ? said.substr(before.size(), end - before.size()) : "the statement",
                                        incident_of("the server refused to write")));
}

/// The statement that an error speaks of has the client's name, not the shared one.
void session::name_as_client(error_fields& fields) const {
    const std::size_t begin = fields.message.find("\"pgsteady_") + 1;
    const std::size_t end = fields.message.find('"', begin);
    if (end == std::string::npos) return;
    const std::string shared = fields.message.substr(begin, end - begin);
    std::string own;
    if (!link_->tracker.settled().empty() && !link_->notes.empty()) own = link_->notes.front().name;
    for (const auto& [name, statement] : names_)
        if (own.empty() && statement->server_name == shared) own = name;
    if (extra_ != nullptr)
        for (const auto& [server_name, name] : extra_->former_names)
            if (own.empty() && server_name == shared) own = name;
    for (const reply_note& note : link_->notes)
        for (const statement_ptr& each : {note.statement, note.previous})
            if (own.empty() && each != nullptr && each->server_name == shared) own = note.name;
    if (!own.empty()) fields.message.replace(begin, end - begin, own);
}

void session::on_ready_frame(std::string_view frame, bool forward) {
    const char status = frame.back();
    if (!forward) {
        link_->transaction_status = status;
        return process_settled();
    }
    // If nothing else is owed, what the request did is known before the client hears that it is done.
    if (link_->tracker.empty()) process_settled();
    if (link_ == nullptr) return;
    settle_transaction(status);
    if (schema_touched_ && status == 'I') note_schema_change();
    if (conflict_ && repeat_conflict(status)) return void(rewritten_ = false);
    if (resets_ && status == 'I') {
        resets_ = false;
        if (restore_needed() && link_->tracker.empty() && !uncertain_) {
            (void)restore();
            restoring_ = ready_held_ = true;
            return finish_request(status);
        }
        sync_reported();
    }
    if (std::exchange(rewritten_, false)) show_held();
    if (!shares_ || status != 'I') show(frame);
    else if (!hold_for_listener()) deliver_notifications(), show(frame);
    complete_at_ = tables_.to_client.size();
    if (extra_ == nullptr) {
        process_settled();
    } else {
        if (!extra_->order_error.sqlstate.empty()) extra_->order_error = {};
        std::vector<std::string> made = std::exchange(extra_->new_names, {});
        process_settled();
        note_names(std::move(made), status);
    }
    if (link_ != nullptr && !differs_) finish_request(status);
}

/// What was learned of the catalogue may not be true any more; before the end of the transaction it was.
void session::note_schema_change() {
    schema_touched_ = false;
    seldom().changed_schema = true;
}

/// The ledger follows the transaction's end (P36).
void session::settle_transaction(char status) {
    const char before = link_->transaction_status;
    link_->transaction_status = status;
    if (status == 'I') link_->trace = {};
    else link_->trace.gated = false;
    if (extra_ != nullptr) {
        settle_channels(before, status);
        count_listening_pin();
    }
    if (pins_of_transaction_ != 0 && (status == 'I' || committed_within_))
        settle_pins(last_tag_ != 'R' || committed_within_);
    if (!touched_) return;
    if (std::exchange(more().marks_unsure, false) && !(status == 'I' && last_tag_ == 'R')) uncertain_ = true;
    // A COMMIT within the segment kept what stood before it; which of the changes did is for the server to say.
    if (committed_within_ && (last_tag_ != 'C' || error_in_request_)) uncertain_ = true;
    if (status == 'I') transaction_ended(!error_in_request_ && (before == 'I' || last_tag_ == 'C'));
    else if (last_tag_ == 'C' && status == 'T') transaction_ended(true);  // COMMIT AND CHAIN
}

/// A request of the client's is complete.
void session::finish_request(char status) {
    if (replaying_) {
        if (replay_differs())
            return fail_replay(client_errors::replay_differed(extra_->replay->next + 1, extra_->replay->incident),
                               replay_end::different);
        finish_replayed_request();
    } else {
        ++report_.requests;
        if (status == 'I') ++report_.transactions;
    }
    std::optional<std::string> opening;
    const bool chains = status == 'T' && last_tag_ != 0 && !replaying_ && ends_in_chain();
    if (chains) opening = opening_of_transaction();
    delivered_ = false;
    if (following_) stop_following();
    if (error_in_request_ && status != 'I') link_->journal.note_error();
    if (error_in_request_ && link_->last_words.starts_with(cut_in_copy)) link_->last_words.clear();  // it was a RAISE
    error_in_request_ = false;
    last_tag_ = 0;
    committed_within_ = began_within_ = false;
    completed_ = 0;
    attempts_ = 0;
    rows_ = copied_ = 0;
    conflict_ = copying_out_ = needs_primary_ = moved_ = false;
    if (has_wishes_) settle_local_wishes(status);
    if (remembering_texts_) remember_finished_texts();
    file_kept(status);
    if (chains) begin_journal_anew(opening);
    if (link_->tracker.empty() && !redoing_) guarding_ = false;
    if (status != 'I' && pool_.mode == session_mode::statement)
        end(client_errors::no_transactions_in_statement_mode(), end_reason::statement_mode);
}

void session::on_injected_frame(char type, std::string_view body) {
    using about = reply_note::about;
    if (type != msg::data_row || link_->notes.empty()) return;
    const about what = link_->notes.front().what;
    if (what == about::capture) return take_captured(body);
    if (what != about::proof && what != about::truth && what != about::in_doubt) return;
    wire_reader row(body);
    const auto columns = row.u16();
    if (what == about::proof) more().proof_rows.emplace_back();
    auto& values = what == about::in_doubt ? more().in_doubt_row
                   : what == about::proof  ? more().proof_rows.back()
                                           : more().truth_values;
    values.clear();
    for (std::uint16_t i = 0; columns && i < *columns; ++i) {
        const auto size = row.i32();
        if (!size) return;
        if (*size < 0) {
            values.emplace_back(std::nullopt);
            continue;
        }
        const auto bytes = row.bytes(static_cast<std::size_t>(*size));
        if (!bytes) return;
        values.emplace_back(std::string(*bytes));
    }
}

void session::process_settled() {
    if (link_ == nullptr || link_->tracker.settled().empty()) return;
    std::vector<settled_reply> settled = std::exchange(tables_.settled_room, {});
    link_->tracker.take_settled(settled);
    std::vector<reply_note> undone;
    for (const settled_reply& each : settled) {
        if (link_ == nullptr || link_->notes.empty()) return;
        reply_note note = std::move(link_->notes.front());
        link_->notes.pop_front();
        if (note.what == reply_note::about::query || note.what == reply_note::about::execute) {
            --effects_pending_;
            flush_sent_ = false;
        }
        if (note.what == reply_note::about::client_parse || note.what == reply_note::about::cached_parse ||
            note.what == reply_note::about::client_close || note.what == reply_note::about::injected_parse)
            --names_pending_;
        if (each.how == outcome::done) settle(note, each.how);
        else if (note.what == reply_note::about::restore || note.what == reply_note::about::truth ||
                 note.what == reply_note::about::proof || note.what == reply_note::about::listening ||
                 note.what == reply_note::about::moved_channels || note.what == reply_note::about::capture ||
                 note.what == reply_note::about::in_doubt)
            settle(note, each.how);
        else if (note.what == reply_note::about::query || note.what == reply_note::about::plain_query) {
            if (each.how == outcome::skipped) undone.push_back(std::move(note));
            else if (note.effects != nullptr) apply_partly(*note.effects);
        } else if (note.what == reply_note::about::client_unnamed && each.how == outcome::failed) note_unnamed_gone();
        else {
            if (each.how == outcome::failed) {
                note.had_before = false;  // the Close before it was carried out
                note.link_token = 0;      // and a Parse that fails destroys the unnamed statement
            }
            undone.push_back(std::move(note));
        }
    }
    tables_.settled_room = std::move(settled);
    // What a failed segment did not do is taken back in reverse, so that names mean what they meant before.
    for (auto note = undone.rbegin(); note != undone.rend() && link_ != nullptr; ++note) undo(*note);
}

void session::settle(const reply_note& note, outcome how) {
    using about = reply_note::about;
    switch (note.what) {
        case about::cached_parse: {
            more().new_names.push_back(note.name);
            std::string out;
            { const frame_builder frame(out, msg::parse_complete); }
            if (digesting_ || muted_) {
                const bool shown = counts(out);
                link_->journal.answer().settle();
                if (!shown) return;
            }
            // Made while the client speaks, it waits for the server's part of the answer.
            if (taking_ && pool_.recovers && pool_.retry.result_hold > 0 && !client_flushed_ && !delivered_)
                more().withheld += out;
            else {
                if (taking_) complete_at_ = tables_.to_client.size();
                tables_.to_client.copy(out);
                if (taking_ && !delivered_) note_delivered();
            }
            return;
        }
        case about::client_parse:
            if (note.statement != nullptr) more().new_names.push_back(note.name);
            [[fallthrough]];
        case about::injected_parse:  // once more: an earlier Parse of the same may have failed meanwhile
            if (note.statement != nullptr) link_->prepared.add(note.statement);
            return;
        case about::execute:
        case about::query: return apply_effects(*note.effects);
        case about::client_close:  // a name of the client's own may be given again
            if (!note.previous->shared) link_->prepared.remove(note.previous);
            note_gone(note.name, note.previous);
            return;
        case about::restore: return on_restored(how);
        case about::truth: return on_truth(how);
        case about::proof: return on_proof(how);
        case about::listening: return on_listening(how);
        case about::moved_channels:  // it may listen still: nobody else is to have it
            if (how == outcome::done) return;
            more().listening.unknown = true;
            return pin(static_cast<std::uint32_t>(pin_reason::listen));
        case about::capture: return on_captured(note, how);
        case about::in_doubt: return on_resolved(how);
        default: return;
    }
}

void session::undo(const reply_note& note) {
    using about = reply_note::about;
    switch (note.what) {
        case about::client_parse:
            if (note.statement == nullptr) return;
            if (!note.had_before) link_->prepared.remove(note.statement);
            [[fallthrough]];
        case about::cached_parse: {
            auto& former = more().former_names;
            if (former.size() >= 16) former.erase(former.begin());
            former.emplace_back(note.statement->server_name, note.name);
            if (find_statement(note.name) == note.statement) forget_name(note.name);
            return;
        }
        case about::injected_parse: link_->prepared.remove(note.statement); return;
        case about::query:
        case about::plain_query:
            return set_unnamed(note.unnamed_tail, note.unnamed_effects, note.token, note.link_token);
        case about::client_unnamed: return set_unnamed(note.name, note.effects, note.token, note.link_token);
        case about::client_close:
            if (names_.insert_or_assign(note.name, note.previous).second)
                names_bytes_ += note.name.size() + note.previous->bytes();
            return;
        case about::injected_unnamed:
            if (link_->unnamed_token == note.token) link_->unnamed_token = note.link_token;
            return;
        default: return;
    }
}

void session::server_violation() {
    link_->tracker.reset();
    link_->notes.clear();
    end(client_errors::server_violation(incident_of("a message from the server that nothing explains")),
        end_reason::server_violation);
    detach(session_actions::release::discard);
}

}  // namespace pgsteady
