// When the server is lost, and errors of our own: the client is told the truth and stays connected
// wherever a well-formed answer is possible (recovery.md 2.1, 2.14). A transaction that died with its
// server stays failed until the client ends it, as it would on PostgreSQL (phases E, I).
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/session/replay_obstacle.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/setting_switch.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>
#include <deque>

namespace pgsteady {

void session::emit_error(const error_fields& why) {
    std::string out;
    append_error_response(out, why);
    tables_.to_client.copy(out);
}

std::string session::incident_of(std::string_view why) const {
    return tables_.incident ? tables_.incident(client_pid_, why) : "-";
}

void session::emit_ready(char status) {
    if (shares_ && status == 'I') deliver_notifications();
    const char frame[] = {backend_message::ready_for_query, 0, 0, 0, 5, status};
    tables_.to_client.copy(std::string_view(frame, sizeof frame));
    complete_at_ = tables_.to_client.size();
    attempts_ = 0;
    moved_ = false;
    if (has_wishes_) settle_local_wishes(status);
}

void session::refuse_waiting(const error_fields& why) {
    waiting_ = false;
    if (std::exchange(only_listens_, false)) {  // no request of the client's has waited
        actions_.listen_later = true;
        return;
    }
    if (phase_ == phase::welcoming) {
        error_fields fatal = why;
        fatal.severity = "FATAL";
        return end(fatal, end_reason::no_server);
    }
    const bool cancelled = why.sqlstate == sqlstate::query_canceled;
    // Behind the barrier, too: its server has nothing to do that a cancel could end.
    if (replay_at_stake() || (cancelled && behind_barrier_))
        return fail_replay(
            cancelled ? client_errors::cancelled(incident_of("a replay was cancelled"), statement_outcome::rolled_back)
                      : client_errors::transaction_lost(why.message, incident_of("no server for a replay")));
    // Not sent is no answer for what was sent before: whether it was done stays unknown.
    if (asks_about_commit()) {
        if (extra_->redos.front().fate == request_fate::commit_resolve) return give_up_resolving();
        return refute(error_fields(extra_->redos.front().why));
    }
    if (!cancelled && refuse_resume()) return;
    refused_ = true;
    more().refusal = why;
    extra_->refusal.severity = "ERROR";  // a FATAL of a server that lets nobody in ends no client's session
}

/// Answers the request that begins with `frame` with an error instead of sending it.
session::taken session::refuse(const client_frame& frame, const error_fields& why) {
    skip_rest_of(frame, false);
    if (replay_at_stake()) {
        fail_replay(client_errors::transaction_lost(why.message, incident_of("a replay was refused")));
        return taken::yes;
    }
    emit_error(why);
    if (frame.type == frontend::query || frame.type == frontend::function_call || frame.type == frontend::sync)
        emit_ready(lost_transaction_ ? 'E' : 'I');
    else skip_to_sync_ = true;
    return taken::yes;
}

void session::on_server_lost(std::string_view last_words, std::string_view incident) {
    if (link_ == nullptr || phase_ == phase::ended) return;
    if (schema_touched_) note_schema_change();  // its COMMIT may have arrived
    const server_link& link = *link_;
    const std::string words = link.last_words.empty() ? std::string(last_words) : link.last_words;
    if (phase_ == phase::welcoming) {  // nothing was asked of it yet: another server will do
        detach(session_actions::release::discard);
        return wait_for_server();
    }
    const bool cut_frame = link.frame_left > 0 && link.frame_forward && !muted_;
    const std::uint32_t lost_pins = pins_that_are_lost();
    if (lost_pins != 0 || cut_frame) {
        end(client_errors::session_lost(lost_pins != 0 ? describe_pins(lost_pins) : "part of a row was delivered",
                                        words, incident),
            end_reason::server_lost);
        return detach(session_actions::release::discard);
    }
    remember_opening();
    // What was under way did not happen, as far as the client's names go.
    std::deque<reply_note> notes;
    notes.swap(link_->notes);
    for (auto note = notes.rbegin(); note != notes.rend(); ++note) undo(*note);
    const auto asked = std::count_if(notes.begin(), notes.end(),
                                     [](const reply_note& each) { return each.what == reply_note::about::truth; });
    // A setting was changed for good, and only the lost server knew to what.
    if (perhaps_kept_ || asked > 1 || (asked == 1 && !learn_from_reports())) {
        end(client_errors::session_lost(describe_pins(static_cast<std::uint32_t>(pin_reason::computed_setting)), words,
                                        incident),
            end_reason::server_lost);
        return detach(session_actions::release::discard);
    }
    const bool asked_for = asks_about_commit();
    if (extra_ != nullptr && !asked_for) extra_->chosen = nullptr, extra_->late_notice.clear();
    if (touched_ && !uncertain_) more().chosen = desired_;
    if (touched_ || uncertain_) desired_ = committed_;
    if (link.committed_locally && !pool_.strict_sync)
        append_notice_response(more().late_notice, client_errors::committed_locally(incident));
    if (!replaying_) behind_barrier_ = false;
    const bool settled = std::all_of(notes.begin(), notes.end(), [](const reply_note& each) {
        return each.what == reply_note::about::plain_query;  // which a pipeline has, and does nothing that would remain
    });
    if (replaying_) replay_anew(words, incident);
    else if (!recover_requests(settled, words, incident)) answer_bluntly(words, incident);
    discard_result();
    if (relisten_) more().listening.incident = incident;
    detach(session_actions::release::discard);
    want_listening();
}

statement_text session::text_lookup() const {
    return [this](std::string_view name) { return text_of_statement(name); };
}

/// Of the request that is complete now: the first of those that are kept without an answer.
void session::remember_finished_texts() {
    std::vector<sent_request> sent;
    if (!link_->kept_complete || !split_requests(link_->kept_requests, link_->kept_answered, text_lookup(), sent) ||
        sent.empty())
        return;
    std::string& all = more().finished_texts;
    for (const std::string& each : sent.front().texts) all += (all.empty() ? "" : "; ") + each;
}

std::string session::take_texts() {
    return extra_ != nullptr ? std::exchange(extra_->finished_texts, {}) : std::string();
}

/// The requests that have no answer, if they are all known. False: they are not.
bool session::unanswered(std::vector<sent_request>& sent) const {
    const server_link& link = *link_;
    if (!pool_.recovers || !link.kept_complete || client_frame_left_ > 0 || link.tracker.copying_in() ||
        link.tracker.ambiguous())
        return false;
    if (!split_requests(link.kept_requests, link.kept_answered, text_lookup(), sent)) return false;
    const auto [readies, open] = answers_owed();
    const bool last_open = !sent.empty() && !sent.back().whole;
    return sent.size() == readies + (last_open ? 1 : 0) && last_open == open;
}

/// Takes the unanswered requests back, each with what is to become of it (recovery.md 2.1). False: what was sent is not
/// known well enough. `settled`: what the first of them has done to the session so far has been noted.
bool session::recover_requests(bool settled, std::string_view words, std::string_view incident) {
    std::vector<sent_request> sent;
    if (!unanswered(sent)) return false;
    bool chains = false;
    if (resuming_) rows_ = extra_->resumed_rows;
    if (sent.empty() && resuming_ && redoing_) extra_->redos.front().decided = false;  // nothing of it was sent
    if (error_in_request_ && !sent.empty()) finish_told_request(sent);
    else if (settled && !resuming_ && !sent.empty() && is_done(sent.front(), sent.size() > 1))
        chains = finish_done_request(sent);
    else restore_names();
    const char status = lost_transaction_ ? 'E' : link_->transaction_status;
    const recovery_plan plan = make_plan(sent, status);
    if (extra_ != nullptr && !asks_about_commit()) extra_->replay.reset();
    if (plan.may_replay) keep_journal(incident);
    if (plan.replays) begin_replay();
    const bool resumes = std::any_of(plan.requests.begin(), plan.requests.end(),
                                     [](const planned_request& each) { return each.resumes; });
    if (resumes) note_resumed();
    lost_transaction_ = plan.block_lost;
    lost_unannounced_ = plan.block_lost && sent.empty() && !skip_to_sync_ && status == 'T';
    if (lost_unannounced_) {
        extra& e = more();
        e.lost_reader = e.told_why ? commit_judgement{} : judge_open_transaction();
        e.refusal = lost_transaction_error(plan.obstacle, incident);
        if (e.lost_reader.what != commit_evidence::none) --seldom().lost[0];  // perhaps it is not told at all
    }
    if (sent.empty() && ready_held_)
        release_result(), emit_ready('I');  // the request is done; what it waited for comes with the next server
    schedule(plan, words, incident);
    if (chains) end_with_chain();
    return true;
}

loss_facts session::facts_of_loss(const std::vector<sent_request>& sent, char status) const {
    loss_facts facts;
    facts.status = status;
    facts.delivered = delivered_;
    facts.may_retry = attempts_ < limits().max_retries;
    facts.committed = link_->committed_locally && !pool_.strict_sync;
    facts.unreplicated = link_->committed_locally && pool_.strict_sync;
    facts.resumable = digesting_ && !following_ && (status != 'I' || link_->journal.answer().bytes() > 0);
    facts.continuable = following_ && !differs_ && wants_replay();
    judge_replay(facts);
    facts.captured = can_resolve();
    const bool in_words = link_->trace.xid == 0 && link_->took_leave && !link_->committed_locally;
    facts.unreached = status == 'I' && link_->trace.gated && (in_words || sync_held_);
    if (status == 'T' && !sent.empty()) facts.commit = judge_commit(sent.front());
    return facts;
}

recovery_plan session::make_plan(const std::vector<sent_request>& sent, char status) {
    loss_facts facts = facts_of_loss(sent, status);
    recovery_plan plan = plan_recovery(sent, facts);
    const bool repeats =
        plan.needs_fence || std::any_of(plan.requests.begin(), plan.requests.end(), [](const planned_request& each) {
            return each.fate == request_fate::again || each.fate == request_fate::again_read ||
                   each.fate == request_fate::commit_read || each.fate == request_fate::commit_resolve;
        });
    if (!repeats || !tables_.may_retry || tables_.may_retry()) return plan;
    facts.may_retry = facts.may_replay = false;
    facts.obstacle = budget_is_used_up;
    return plan_recovery(sent, facts);
}

/// The server had answered the first request with an error: only its ReadyForQuery is missing.
void session::finish_told_request(std::vector<sent_request>& sent) {
    release_result();
    if (link_->transaction_status != 'I') lost_transaction_ = true;
    if (sent.front().whole) emit_ready(lost_transaction_ ? 'E' : 'I');
    else skip_to_sync_ = true;
    ++report_.requests;
    sent.erase(sent.begin());
    link_->trace = {};
    delivered_ = error_in_request_ = false;
}

/// The first request has been answered but for its ReadyForQuery, and what it did is done. PostgreSQL sends the tag of a
/// Query's last statement, and that of a COMMIT, when it has committed. Otherwise, in the extended protocol, it sends a tag
/// before that [E5a].
/// `followed`: more has been sent, which stands in what AND CHAIN opens.
bool session::is_done(const sent_request& first, bool followed) const {
    const server_link& link = *link_;
    const reply_tracker& tracker = link.tracker;
    const bool readable = first.whole && !first.opaque && first.texts.size() == 1 && !uncertain_;
    if (!readable || tracker.empty() || tracker.front().injected) return false;
    const std::string& text = first.texts.front();
    if (followed && is_only_chain(text)) return false;
    const bool ends = (ends_transaction(text) || is_only_chain(text)) && last_tag_ != 0;
    if (link.transaction_status != 'I' && !ends) return false;
    if (!ends && scan_tokens(text).has(transaction_mask)) return false;
    if (tracker.front().kind == owed::sync) return ends || (link.committed_locally && !pool_.strict_sync);
    token_scanner statements;
    statements.feed(text);
    (void)statements.finish();
    return tracker.front().kind == owed::query && completed_ == 1 && statements.statement_count() == 1;
}

/// True: with AND CHAIN.
bool session::finish_done_request(std::vector<sent_request>& sent) {
    release_result();
    if (extra_ != nullptr) tables_.to_client.copy(std::exchange(extra_->late_notice, {}));
    if (rewritten_) show_held();
    if (last_tag_ != 'R') keep_chosen_settings();
    link_->transaction_status = 'I';
    link_->committed_locally = false;
    const bool chains = is_only_chain(sent.front().texts.front());
    emit_ready(chains ? 'T' : 'I');
    ++report_.requests;
    sent.erase(sent.begin());
    link_->trace = {};
    delivered_ = false;
    last_tag_ = 0;
    if (extra_ != nullptr) forget_name_changes();
    return chains;
}

/// What the transaction has set lasts: it is committed.
void session::keep_chosen_settings() {
    if (extra_ == nullptr || extra_->chosen == nullptr) return;
    desired_ = committed_ = std::exchange(extra_->chosen, nullptr);
}

/// Whether the transaction in which `first` was to be the COMMIT has only read (D23).
commit_judgement session::judge_commit(const sent_request& first) const {
    if (first.texts.size() != 1 || !contains_commit(first.texts.front())) return {};
    return judge_open_transaction();
}

/// The open transaction's requests that have been answered: those that are filed, and those still kept with later ones.
std::string session::answered_in_transaction() const {
    const server_link& link = *link_;
    std::string frames(link.journal.frames());
    frames += behind_requests(first_requests(link.kept_requests, link.kept_answered), link.journal_from);
    return frames;
}

/// What these have executed, in order. False: that is not known.
bool session::texts_of_transaction(std::vector<std::string>& texts) const {
    // What was prepared without a name before the transaction may be another by now.
    const statement_text named = [this](std::string_view name) {
        return name.empty() ? std::string_view() : text_lookup()(name);
    };
    return executed_texts(answered_in_transaction(), named, texts);
}

/// By all that has been answered in it.
commit_judgement session::judge_open_transaction() const {
    const server_link& link = *link_;
    if (uncertain_) return {};
    if (link.journal.active() && (!link.journal.complete() || link.journal.has_errors())) return {};
    std::vector<std::string> texts;
    if (!texts_of_transaction(texts)) return {};
    commit_facts facts;
    const std::string* access = committed_->find("default_transaction_read_only");
    facts.read_only_default = access != nullptr && setting_switch(*access).value_or(false);
    const std::string* level = committed_->find("default_transaction_isolation");
    facts.serializable_default = level != nullptr ? may_be_serializable(*level) : link.serializable_default;
    facts.trusts_functions = !pool_.pin_opaque;
    return judge_transaction(texts, facts);
}

/// COPY, and what was too large to keep: every request that is owed an answer gets the same error.
void session::answer_bluntly(std::string_view words, std::string_view incident) {
    const server_link& link = *link_;
    const auto [owed_readies, open] = answers_owed();
    const bool in_block = link.transaction_status != 'I';
    release_result();  // an error can follow it
    if (owed_readies == 0 && !open && !in_block) {
        if (ready_held_) emit_ready('I');  // the request is done; what it waited for comes with the next server
        return;
    }
    const bool commit = commit_was_sent();
    const bool copying = link.tracker.copying_in();
    if (in_block && !commit) {
        lost_transaction_ = true;
        lost_unannounced_ = owed_readies == 0 && !open && link.transaction_status == 'T';
    }
    error_fields why = fate_error(commit     ? request_fate::commit_unknown
                                  : in_block ? request_fate::transaction_lost
                                             : request_fate::statement_unknown,
                                  words, incident);
    if (link.committed_locally && !in_block && !commit && owed_readies == 1)
        why = pool_.strict_sync ? fate_error(request_fate::commit_unknown, words, incident)
                                : client_errors::committed_unseen(words, incident);
    else if (copying && (!commit || !in_block))
        why = client_errors::copy_lost(copied_, copy_is_over(), words, incident);
    if (lost_unannounced_) more().refusal = why, extra_->lost_reader = {};
    const char status = lost_transaction_ ? 'E' : 'I';
    for (std::size_t i = 0; i < owed_readies; ++i) {
        const bool told = i == 0 && error_in_request_;  // by the server itself: only ReadyForQuery is missing
        if (!told) emit_error(why);
        emit_ready(status);
        ++report_.errors;
        ++report_.requests;
    }
    if (open) {
        if (owed_readies > 0 || !error_in_request_) emit_error(why);
        skip_to_sync_ = true;
    } else if (client_frame_left_ > 0) {
        forward_large_ = false;
        large_is_query_ = false;
    }
}

/// CopyDone has been sent: the rows may be there.
bool session::copy_is_over() const {
    for (std::size_t i = 0; i < link_->tracker.size(); ++i)
        if (link_->tracker.at(i).kind == owed::copy_end) return true;
    return false;
}

/// What the client must still be told if the next message that is owed a reply fails: how many ReadyForQuery, and
/// whether a segment is left that its Sync has yet to end. Counted as a server would that fails there (P18, P20).
session::answers session::answers_owed() const {
    const reply_tracker& tracker = link_->tracker;
    answers left;
    bool failed = false;
    bool copying = tracker.copying_in();
    for (std::size_t i = 0; i < tracker.size(); ++i) {
        const owed_reply& entry = tracker.at(i);
        if (entry.injected) continue;
        switch (entry.kind) {
            case owed::copy_data: break;
            case owed::copy_end: copying = false; break;
            case owed::sync:
                if (copying) break;  // eaten
                ++left.readies;
                failed = false;
                break;
            case owed::query:
            case owed::function_call:
                if (!failed) ++left.readies;
                break;
            default: failed = true;
        }
    }
    left.open = failed || segment_open_;
    return left;
}

/// Whether a COMMIT may have reached the server among the requests that have no answer.
bool session::commit_was_sent() const {
    if (link_->unkept_commit) return true;
    std::string_view rest = behind_requests(link_->kept_requests, link_->kept_answered);
    while (true) {
        const frame_header header = read_frame_header(rest);
        if (header.state != frame_header::status::ok || header.total > rest.size()) return false;
        std::string_view body = rest.substr(frame_header_size, header.total - frame_header_size);
        if (header.type == frontend::parse) body.remove_prefix(std::min(body.size(), body.find('\0') + 1));
        if ((header.type == frontend::query || header.type == frontend::parse) && contains_commit(body)) return true;
        if (header.type == frontend::bind) {
            const std::size_t portal_end = body.find('\0');
            const std::size_t name_end = body.find('\0', portal_end + 1);
            if (name_end == std::string_view::npos) return true;
            const std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
            const statement_ptr statement = find_statement(name);
            if (statement != nullptr && contains_commit(statement->text())) return true;
            if (name.empty() && contains_commit(unnamed_tail_)) return true;
        }
        rest.remove_prefix(header.total);
    }
}

bool session::may_be_committing() const {
    if (link_ == nullptr) return false;
    if (link_->transaction_status != 'I') return commit_was_sent();
    std::vector<sent_request> sent;
    if (!link_->kept_complete || !split_requests(link_->kept_requests, link_->kept_answered, text_lookup(), sent))
        return true;
    return std::any_of(sent.begin(), sent.end(), [this](const sent_request& each) {
        return each.opaque || !std::all_of(each.texts.begin(), each.texts.end(),
                                           [this](const std::string& text) { return only_reads(text); });
    });
}

// ---------------------------------------------------------------------------------------------
// A transaction that died with its server, seen from the client: failed until it is ended.

/// The client goes on in a transaction that died while it was silent. If what comes is its COMMIT, and it has only read, it
/// is as good as done (D23), once the catalogue has confirmed that. True: the rest of the request has to arrive first.
bool session::end_lost_reader() {
    extra& e = more();
    if (e.lost_reader.what == commit_evidence::none) return false;
    bool known = true;
    sent_request next;
    const bool whole = offered_request(next, known);
    if (!known) return true;
    const commit_judgement found = std::exchange(e.lost_reader, {});
    ++seldom().lost[0];
    if (!whole) return false;
    loss_facts facts;
    facts.status = 'T';
    facts.commit = found;
    facts.may_retry = limits().max_retries > 0 && (!tables_.may_retry || tables_.may_retry());
    recovery_plan plan = plan_recovery({next}, facts);
    planned_request& only = plan.requests.front();
    if (only.fate != request_fate::commit_done && only.fate != request_fate::commit_read) return false;
    --seldom().lost[0];
    if (only.fate == request_fate::commit_read) ++seldom().commits_pending;
    redo again;
    again.bytes = only.frames.size();
    again.fate = only.fate;
    again.reads = std::move(only.reads);
    again.why = e.refusal;
    e.redos.push_front(std::move(again));
    redoing_ = true;
    lost_transaction_ = lost_unannounced_ = false;
    return false;
}

session::taken session::take_in_lost_transaction(const client_frame& frame) {
    if (frame.type == frontend::sync) {
        emit_ready(lost_unannounced_ ? 'T' : 'E');
        return taken::yes;
    }
    if (lost_unannounced_ && frame.type != frontend::flush) {
        lost_unannounced_ = false;
        more().lost_reader = {};
        const std::string_view text = frame.body().substr(0, frame.body().find('\0'));
        const bool ends = frame.type == frontend::query && (ends_transaction(text) || is_only_chain(text));
        const bool commits = ends && contains_commit(frame.body());
        if (commits) lost_transaction_ = false;  // it ends here, and its COMMIT must not look like a success
        if (!ends || commits) return refuse(frame, more().refusal);
    }
    switch (frame.type) {
        case frontend::query: return answer_lost_query(frame);
        case frontend::parse:
            if (!answer_lost_parse(frame)) return taken::yes;
            break;
        case frontend::bind:
            if (!note_lost_end(text_of_statement(frame.body().substr(frame.body().find('\0') + 1))))
                return refuse(frame, client_errors::transaction_aborted());
            emit_empty(backend_message::bind_complete);
            break;
        case frontend::describe: {
            const bool statement = frame.body().starts_with('S');
            if (statement) (void)note_lost_end(text_of_statement(frame.body().substr(1)));
            if (!lost_ends_) return refuse(frame, client_errors::transaction_aborted());
            if (statement) tables_.to_client.copy(std::string_view("t\0\0\0\6\0\0", 7));
            emit_empty(backend_message::no_data);
            break;
        }
        case frontend::close:
            if (frame.body().starts_with('S')) forget_name(frame.body().substr(1, frame.body().find('\0') - 1));
            emit_empty(backend_message::close_complete);
            break;
        case frontend::execute:
            if (!lost_ends_) return refuse(frame, client_errors::transaction_aborted());
            answer_lost_execute();
            break;
        case frontend::function_call: return refuse(frame, client_errors::transaction_aborted());
        default: break;  // Flush, late COPY data
    }
    skip_rest_of(frame, false);
    return taken::yes;
}

/// What its client says next, or executes next, ends it.
bool session::note_lost_end(std::string_view text) {
    lost_chains_ = is_only_chain(text);
    lost_ends_ = lost_chains_ || ends_transaction(text);
    return lost_ends_;
}

session::taken session::answer_lost_query(const client_frame& frame) {
    const std::string_view body = frame.body();
    const std::string_view text = body.substr(0, body.find('\0'));
    if (note_lost_end(text)) {
        const bool chains = lost_chains_;
        answer_lost_execute();
        emit_ready(chains ? 'T' : 'I');
    } else if (leading_word(text).empty()) {  // probes by drivers pass (P32)
        emit_empty(backend_message::empty_query_response);
        emit_ready('E');
    } else {
        return refuse(frame, client_errors::transaction_aborted());
    }
    skip_rest_of(frame, false);
    return taken::yes;
}

/// ROLLBACK and COMMIT may be prepared, and exist afterwards. False: the segment has failed.
bool session::answer_lost_parse(const client_frame& frame) {
    const std::string_view body = frame.body();
    const std::string_view name = body.substr(0, body.find('\0'));
    const std::string_view tail = body.substr(std::min(body.size(), name.size() + 1));
    lost_ends_ = false;
    if (!frame.whole() || !note_lost_end(tail.substr(0, tail.find('\0')))) {
        (void)refuse(frame, client_errors::transaction_aborted());
        return false;
    }
    adopt_parse(frame);
    emit_empty(backend_message::parse_complete);
    return true;
}

/// The text that the client has prepared under the name at the front of `in`, which may end in a NUL; empty if it has none.
std::string_view session::text_of_statement(std::string_view in) const {
    const std::string_view name = in.substr(0, in.find('\0'));
    if (name.empty()) return unnamed_tail_.c_str();
    const statement_ptr statement = find_statement(name);
    return statement != nullptr ? statement->text() : std::string_view();
}

void session::emit_empty(char type) {
    const char frame[] = {type, 0, 0, 0, 4};
    tables_.to_client.copy(std::string_view(frame, sizeof frame));
}

// COMMIT of a failed transaction is answered ROLLBACK, as PostgreSQL does (T9); one that is as good as done, COMMIT (D23).
void session::answer_lost_execute() {
    std::string out;
    {
        const frame_builder frame(out, backend_message::command_complete);
        put_cstring(out, lost_commits_ ? "COMMIT" : "ROLLBACK");
    }
    if (lost_commits_) keep_chosen_settings();
    if (lost_commits_ && extra_ != nullptr) tables_.to_client.copy(std::exchange(extra_->late_notice, {}));
    tables_.to_client.copy(out);
    lost_transaction_ = lost_unannounced_ = lost_ends_ = lost_commits_ = false;
    if (extra_ != nullptr) forget_transaction_names();
    if (std::exchange(lost_chains_, false)) end_with_chain();
}

}  // namespace pgsteady
