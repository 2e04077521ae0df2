// Taking requests again that a lost server left unanswered: their bytes are offered once more, and each meets the
// fate that the plan gave it. Reads are sent under a READ ONLY guard, once the catalogue has confirmed that they read
// (D20). Also the result hold, which makes a result that was cut short repeatable (D26). See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/policy/crash_record.hpp"
#include "proxy/session/session.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

// An error in what begins with these may leave something behind that has been committed before it.
constexpr token_hits may_commit_in_between = transaction_mask | token_hit::call | token_hit::do_block;

constexpr std::string_view guard_setting = "default_transaction_read_only";

}  // namespace

/// Names mean again what they meant when the request at hand began.
void session::restore_names() {
    if (extra_ == nullptr) return;
    for (const std::string& name : extra_->new_names) forget_name(name);
    for (const auto& [name, statement] : extra_->gone_names)
        if (names_.emplace(name, statement).second) names_bytes_ += name.size() + statement->bytes();
    forget_name_changes();
}

void session::forget_name_changes() {
    extra_->new_names.clear();
    extra_->gone_names.clear();
}

std::string session::take_requests_back() { return std::exchange(more().taken_back, {}); }

retry_limits session::limits() const {
    const auto wish = [this](std::string_view name) -> std::optional<std::string_view> {
        if (!pool_.retry.client_control) return std::nullopt;
        const std::string* const local = has_wishes_ ? extra_->wishes.find(name) : nullptr;
        const std::string* const value = local != nullptr ? local : desired_->find(name);
        return value != nullptr ? std::optional<std::string_view>(*value) : std::nullopt;
    };
    return limits_of(pool_.retry, pool_.hold_timeout,
                     {wish("pgsteady.max_retries"), wish("pgsteady.retry_strategy"), wish("pgsteady.retry_timeout")});
}

/// The settings that the server must have for what is sent next.
const settings_ptr& session::target() const { return guarding_ || confined_ ? extra_->guarded : desired_; }

error_fields session::fate_error(request_fate fate, std::string_view words, std::string_view incident) {
    switch (fate) {
        case request_fate::transaction_lost: return lost_transaction_error({}, incident);
        case request_fate::result_lost: ++seldom().lost[1]; return client_errors::result_lost(rows_, words, incident);
        case request_fate::committed: ++seldom().lost[2]; return client_errors::committed_unseen(words, incident);
        case request_fate::commit_unknown:
            ++seldom().lost[2];
            return client_errors::commit_unknown(words, incident, number_of_unreplicated());
        default: ++seldom().lost[3]; return client_errors::statement_unknown(words, incident);
    }
}

/// The transaction's number, if its server has said that it is committed and perhaps not replicated, and what it is.
std::string session::number_of_unreplicated() const {
    const bool known = link_ != nullptr && link_->committed_locally && link_->trace.xid != 0;
    return known ? std::to_string(link_->trace.xid) : std::string();
}

/// R04, or what is known better.
error_fields session::lost_transaction_error(std::string_view obstacle, std::string_view incident) {
    if (extra_ != nullptr && extra_->told_why) return *std::exchange(extra_->told_why, std::nullopt);
    ++seldom().lost[0];
    const error_fields why =
        client_errors::transaction_lost(obstacle.empty() ? "its server is gone" : obstacle, incident);
    if (!pool_.replays || obstacle.empty()) return why;
    ++seldom().replays_refused;
    if (pool_.not_replayed) pool_.not_replayed(why);
    return why;
}

/// What was planned is carried out when its bytes come by again, in front of what is still to be taken from before.
void session::schedule(const recovery_plan& plan, std::string_view words, std::string_view incident) {
    extra& e = more();
    std::deque<redo> planned;
    std::string bytes;
    for (const planned_request& each : plan.requests) {
        redo next;
        next.bytes = each.frames.size();
        next.fate = each.fate;
        next.opens_lost_block = each.opens_lost_block;
        next.resumes = each.resumes;
        if (each.fate == request_fate::again_read) {
            next.reads = each.reads;
            next.why = client_errors::statement_unknown(words, incident);
        } else if (each.fate == request_fate::commit_read) {
            next.reads = each.reads;
            next.why = client_errors::commit_unknown(words, incident);
            ++seldom().commits_pending;
        } else if (each.fate == request_fate::result_lost && e.told_why) {
            ++seldom().lost[3];
            next.why = *std::exchange(e.told_why, std::nullopt);
        } else if (each.fate == request_fate::result_lost) {
            seldom().resumes_failed += pool_.replays && !differs_ ? 1U : 0U;
            next.why = fate_error(each.fate, words, incident);
        } else if (each.fate == request_fate::transaction_lost) {
            next.why = lost_transaction_error(plan.obstacle, incident);
        } else if (each.fate == request_fate::commit_resolve && each.follows) {
            next.follows = true;
        } else if (each.fate == request_fate::commit_resolve) {
            next.answerable = each.answerable;
            next.obstacle = each.obstacle;
            next.autocommit = each.autocommit;
            begin_resolving(next, words, incident);
            if (each.autocommit) keep_gated_answer();
        } else if (each.fate == request_fate::answered) {
            keep_gated_answer();
        } else if (each.fate != request_fate::again && each.fate != request_fate::again_in_block &&
                   each.fate != request_fate::in_lost_block && each.fate != request_fate::commit_done) {
            next.why = fate_error(each.fate, words, incident);
        }
        if (each.fate == request_fate::again || each.fate == request_fate::again_read ||
            each.fate == request_fate::again_in_block)
            ++seldom().retries;
        if (each.fate == request_fate::again_read) ++seldom().reads_again;
        if (each.resumes && !plan.needs_fence) {
            e.unresumed = each.fate == request_fate::again_read ? client_errors::result_lost(rows_, words, incident)
                          : each.whole                          ? client_errors::statement_unknown(words, incident)
                                       : client_errors::transaction_lost("its server is gone", incident);
        }
        planned.push_back(std::move(next));
        bytes += each.frames;
    }
    // A segment whose end has not been sent is one with what is left of it.
    if (redoing_ && !e.redos.empty() && e.redos.front().decided && !planned.empty() && !plan.requests.back().whole) {
        planned.back().bytes += e.redos.front().bytes;
        e.redos.pop_front();
    }
    e.redos.insert(e.redos.begin(), std::make_move_iterator(planned.begin()), std::make_move_iterator(planned.end()));
    redoing_ = !e.redos.empty();
    if (!bytes.empty()) {
        e.taken_back.insert(0, bytes);
        actions_.take_back = true;
        actions_.attempt = ++attempts_;
    }
    if (!plan.needs_fence) return;
    actions_.needs_fence = actions_.replays = true;
    behind_barrier_ = pool_.replays_together;
    if (plan.replays) put_journal_in_front(e.replay->frames.size());
    actions_.take_back = true;
    actions_.attempt = ++e.replays_tried;
}

void session::taken_again(std::size_t bytes) {
    redo& front = more().redos.front();
    front.bytes -= std::min(front.bytes, bytes);
    if (front.bytes > 0) return;
    more().redos.pop_front();
    more().proven = 0;
    redoing_ = !more().redos.empty();
}

/// A frame while requests are taken again, or their guard is still up. `decided` false: it goes the usual way.
session::taken session::take_again(const client_frame& frame, bool& decided) {
    decided = true;
    redo* const front = redoing_ ? &more().redos.front() : nullptr;
    if (front != nullptr && front->fate == request_fate::dropped) {
        skip_rest_of(frame, false);
        return taken::yes;
    }
    if (front != nullptr && front->fate == request_fate::answered && front->decided) {
        answer_gated(frame);
        return taken::yes;
    }
    if (replaying_ && (front == nullptr || (front->decided && front->fate != request_fate::replay)))
        return taken::wait;  // for the last answer of its transaction
    // What its client says meanwhile would meet locks that others held together with it, and have not got back yet (D30).
    if (front == nullptr && behind_barrier_) return taken::wait;
    if (front == nullptr || front->decided) {
        decided = false;
        if (front == nullptr && guarding_ && !end_guard()) {
            decided = true;
            return taken::wait;
        }
        return taken::yes;
    }
    if (front->fate == request_fate::replay) return take_replay(*front, decided);
    if (link_ != nullptr && pool_.crashes_of && !replaying_) withhold_poison(*front);
    const bool owes = link_ != nullptr && !link_->tracker.empty();
    if (front->fate == request_fate::again_read) {
        if (!guarding_ && pool_.guards) {
            if (owes) return taken::wait;
            begin_guard();
        }
        decided = false;
        // Without a server, or with one that is not under the guard yet, the usual way leads to both.
        const bool ready = link_ != nullptr && !restoring_ && !proving_ && (owes || !restore_needed());
        if (!ready || prove()) return taken::yes;
        if (front->fate == request_fate::again_read) return decided = true, taken::wait;
        decided = true;
    }
    if (asks_about_commit()) {
        if (owes || (guarding_ && !end_guard())) return taken::wait;
        const bool ready = link_ != nullptr && !restoring_ && !proving_ && !restore_needed();
        if (!ready) return decided = false, taken::yes;
        if (front->fate == request_fate::commit_resolve) resolve();
        else if (prove()) front->fate = request_fate::commit_done;
        if (asks_about_commit()) return taken::wait;
        front->decided = false;
        claimed_ = false;
        release_if_at_rest();
    }
    const bool in_block = front->fate == request_fate::again_in_block;
    if (in_block || front->fate == request_fate::again) {
        const bool behind_others = in_block && (replaying_ || behind_barrier_);
        if (behind_others || (front->resumes && owes) || (guarding_ && !end_guard())) return taken::wait;
        if (front->resumes && !begin_resume(*front)) return decided = link_ != nullptr, taken::wait;
        front->decided = true;
        decided = false;
        return taken::yes;
    }
    if (owes) return taken::wait;  // the answers before it come first
    if (front->fate == request_fate::answered) {
        answer_gated(frame);
        return taken::yes;
    }
    front->decided = true;
    if (front->fate == request_fate::commit_done) {
        lost_transaction_ = lost_commits_ = true;
        claimed_ = false;  // it is answered here: who was asked about it is needed no more
        release_if_at_rest();
    }
    if (front->fate == request_fate::in_lost_block || front->fate == request_fate::commit_done)
        return decided = false, taken::yes;
    guarding_ = claimed_ = false;
    more().late_notice.clear();
    lost_transaction_ |= front->opens_lost_block;
    const error_fields why = front->why;
    const taken done = refuse(frame, why);
    ++report_.errors;
    release_if_at_rest();
    return done;
}

// ------------------------------------------------------------------------------------------ poison

std::vector<std::uint64_t> session::fingerprints(std::string_view frames, std::uint32_t answered) const {
    std::vector<sent_request> sent;
    std::vector<std::uint64_t> result;
    if (!split_requests(frames, answered, text_lookup(), sent)) return result;
    for (const sent_request& request : sent)
        for (const std::string& text : request.texts) result.push_back(statement_fingerprint(text));
    return result;
}

std::vector<std::uint64_t> session::statements_in_flight() const {
    return link_ == nullptr ? std::vector<std::uint64_t>{} : fingerprints(link_->kept_requests, link_->kept_answered);
}

/// We do not go on crashing servers on behalf of a client: its request is answered with R10 (T22, D25). Decided as late
/// as possible: of who else was told of the crash we may have heard only after the victim's end.
void session::withhold_poison(redo& front) {
    const bool in_block = front.fate == request_fate::again_in_block;
    if (front.fate != request_fate::again && front.fate != request_fate::again_read && !in_block) return;
    const std::vector<std::uint64_t> texts = fingerprints(offered_.substr(0, front.bytes), 0);
    const std::uint32_t crashes = texts.empty() ? 0 : pool_.crashes_of(texts);
    if (crashes < crash_record::crashes_until_withheld) return;
    const std::string incident = incident_of("servers crash under statement " + fingerprint_name(texts.front()));
    const error_fields why = client_errors::withheld(crashes, texts.front(), incident);
    ++seldom().withheld;
    if (in_block) return fail_replay(why);
    front.fate = request_fate::statement_unknown;
    front.why = why;
}

// ------------------------------------------------------------------------------------------ guard

void session::begin_guard() {
    guarding_ = true;
    more().guarded = tables_.settings.with(desired_, std::string(guard_setting), "on");
}

/// False: an answer that was asked for under it is still owed.
bool session::end_guard() {
    if (link_ != nullptr && !link_->tracker.empty()) return false;
    guarding_ = false;
    return true;
}

/// In read-only mode a server that is no standby enforces by itself that nobody writes, and says so (2.13).
void session::confine() {
    confined_ = pool_.service == service_mode::read_only && pool_.recovers && !link_->standby;
    if (confined_) more().guarded = tables_.settings.with(desired_, std::string(guard_setting), "on");
}

// ------------------------------------------------------------------------------------------ proof

/// Whether the first request in line is known to read only. False: the catalogue is being asked, or said no.
bool session::prove() {
    extra& e = more();
    redo& front = e.redos.front();
    if (!link_->tracker.empty()) return false;  // asked in its turn
    while (e.proven < front.reads.size()) {
        if (e.proof == nullptr) begin_proof(front.reads[e.proven]);
        switch (e.proof->now()) {
            case read_proof::verdict::proven:
                e.proof.reset();
                ++e.proven;
                continue;
            case read_proof::verdict::refuted:
                e.proof.reset();
                refute(front.why);
                return false;
            case read_proof::verdict::ask: break;
        }
        proving_ = true;
        ++seldom().proofs_asked;
        e.proof_rows.clear();
        link_->notes.push_back({reply_note::about::proof, {}, nullptr, nullptr, nullptr, 0});
        link_->tracker.push(owed::query, true);
        link_->unnamed_token = 0;
        tables_.to_server.copy(query_frame(e.proof->query()));
        return false;
    }
    e.guard_error = front.why;
    if (front.resumes) return begin_resume(front);
    return front.decided = true;
}

void session::begin_proof(const statement_class& text) {
    pool_.catalogue.set_version(pool_.schema_version ? pool_.schema_version() : 0);
    const bool any_known = pool_.catalogue.size() > 0;
    more().proof = std::make_unique<read_proof>(text, &pool_.catalogue, link_->host);
    if (any_known && extra_->proof->now() == read_proof::verdict::proven) ++seldom().proofs_known;
}

void session::on_proof(outcome how) {
    proving_ = false;
    error_in_request_ = false;
    extra& e = more();
    if (e.proof == nullptr) return;
    pool_.catalogue.set_version(pool_.schema_version ? pool_.schema_version() : 0);
    if (how == outcome::done) e.proof->answer(e.proof_rows);
    else e.proof->failed();
    e.proof_rows.clear();
}

/// It may have written when it was first sent: nobody knows, and it is not sent again.
void session::refute(const error_fields& why) {
    redo& front = more().redos.front();
    const bool commit = front.fate == request_fate::commit_read;
    front.fate = commit ? request_fate::commit_unknown : request_fate::statement_unknown;
    front.why = why;
    const bool never_sent = why.sqlstate == sqlstate::serialization_failure;  // the COMMIT of what died before it (R04)
    ++seldom().lost[never_sent ? 0 : commit ? 2 : 3];
}

// ------------------------------------------------------------------------------------------ conflicts

/// PostgreSQL itself has rolled the only request back (40001, 40P01; 25006 of a server that must not write), outside of
/// any transaction: it may be sent again.
bool session::repeat_conflict(char status) {
    conflict_ = false;
    std::vector<sent_request> sent;
    const bool may = (pool_.retry.conflicts || needs_primary_) && pool_.recovers && status == 'I' && !delivered_ &&
                     pins_ == 0 && !redoing_ && attempts_ < limits().max_retries && link_->tracker.empty() &&
                     link_->kept_complete &&
                     split_requests(link_->kept_requests, link_->kept_answered, text_lookup(), sent);
    if (!may || sent.size() != 1 || sent.front().opaque || !sent.front().whole) return false;
    for (const std::string& text : sent.front().texts)
        if (scan_tokens(text).has(may_commit_in_between)) return false;
    // What was refused by the wrong server is as good as not sent, and so no retry (recovery.md 2.11).
    if (!needs_primary_ && tables_.may_retry && !tables_.may_retry()) return false;
    restore_names();
    tables_.to_client.cut(complete_at_);
    recovery_plan plan;
    plan.requests.push_back({sent.front().frames, request_fate::again, true, false, false, {}, false});
    schedule(plan, {}, {});
    actions_.conflict = !needs_primary_;
    link_->kept_requests.clear();
    link_->kept_answered = link_->journal_from = 0;
    error_in_request_ = false;
    --report_.errors;
    rows_ = 0;
    return true;
}

// ------------------------------------------------------------------------------------------ roles

/// Writes are refused since this session, or the role, wants it so, as far as is known.
bool session::refuses_writes_itself() const {
    if (pool_.read_only_by_itself || link_->read_only_default) return true;
    const std::string* chosen = desired_->find(guard_setting);
    return chosen != nullptr && *chosen != "off" && *chosen != "false" && *chosen != "0";
}

/// Whether this error is a refusal to write, of what was taken for the primary, whose reason the monitor has to tell first
/// (D21): nothing of it is taken until then.
bool session::waits_for_role(std::string_view frame) {
    if (role_ != role_question::none) return awaits_role();
    if (!pool_.recovers || phase_ != phase::ready || link_->standby || guarding_ || moved_ || refuses_writes_itself())
        return false;
    if (link_->tracker.empty() || (link_->tracker.front().injected && !rewritten_) || pins_ != 0) return false;
    error_fields fields;
    (void)parse_error_fields(frame.substr(frame_header_size), fields);
    if (fields.sqlstate != sqlstate::read_only_sql_transaction || fields.is_fatal()) return false;
    role_ = role_question::asked;
    actions_.asks_role = true;
    return true;
}

void session::on_role(bool changed) {
    if (awaits_role()) role_ = changed ? role_question::changed : role_question::unchanged;
}

// ------------------------------------------------------------------------------------------ result hold

/// The end of a batch of server messages: of a result that is not complete, up to result_hold bytes stay here.
/// `complete`: so much of the output belongs to complete answers. Notices, parameters and notifications in front pass.
void session::hold_result(std::size_t complete) {
    gather& out = tables_.to_client;
    if (out.size() <= complete) return;
    const bool may_hold = link_ != nullptr && phase_ == phase::ready && pool_.recovers && !delivered_ && pins_ == 0 &&
                          link_->frame_left == 0 && link_->kept_complete && !client_flushed_ &&
                          !link_->tracker.copying_in() && !copying_out_ &&
                          out.size() - complete <= pool_.retry.result_hold;
    if (!may_hold) {
        if (link_ != nullptr && !delivered_) note_delivered();
        return;
    }
    std::string tail;
    out.append_to(tail, complete);
    out.cut(complete);
    std::string& kept = more().withheld;
    for (std::string_view rest = tail; !rest.empty();) {
        const frame_header header = read_frame_header(rest);
        const std::string_view frame = rest.substr(0, header.total);
        if (kept.empty() && is_asynchronous(header.type)) out.copy(frame);  // behind others it keeps its place
        else kept += frame;
        rest.remove_prefix(frame.size());
    }
}

/// The result will come again, or never: only what is no part of it reaches the client.
void session::discard_result() {
    if (!keeps_result_back()) return;
    for (std::string_view rest = extra_->withheld; !rest.empty();) {
        const frame_header header = read_frame_header(rest);
        const bool lasts =
            header.type == backend_message::parameter_status || header.type == backend_message::notification_response;
        if (lasts) tables_.to_client.copy(rest.substr(0, header.total));
        rest.remove_prefix(header.total);
    }
    extra_->withheld.clear();
}

void session::release_result() {
    if (!keeps_result_back()) return;
    complete_at_ = tables_.to_client.size();
    tables_.to_client.copy(extra_->withheld);
    extra_->withheld.clear();
    extra_->withheld.shrink_to_fit();
    if (link_ != nullptr && !delivered_) note_delivered();
}

}  // namespace pgsteady
