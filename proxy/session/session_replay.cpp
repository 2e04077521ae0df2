// Transactions that die with their server are given to another one: its answered requests, one at a time, each answer
// compared with what the client was told and not shown again; then what was under way (recovery.md 2.1 E and F, 2.5; an
// answer of which a part was delivered: session_resume.cpp). Nothing is sent before the lost server is known to do nothing
// any more (D24), never a part of a transaction by itself (T10), never its ROLLBACK (T21), and a COMMIT only by who knows
// that it has not happened. Whatever cannot be shown to be the same is 40001. See session.hpp.
#include "protocol/frame.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/repeatable_answer.hpp"
#include "proxy/session/replay_obstacle.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/setting_switch.hpp"

#include <algorithm>

namespace pgsteady {

// ------------------------------------------------------------------------------------------ names

/// A name of the client's was taken back by a request that has completed.
void session::note_gone(const std::string& name, const statement_ptr& statement) {
    extra& e = more();
    const auto made = std::find(e.new_names.begin(), e.new_names.end(), name);
    if (made != e.new_names.end()) e.new_names.erase(made);
    else e.gone_names.emplace_back(name, statement);
}

/// A request is complete: what it has `made`, and taken back, belongs to the open transaction.
void session::note_names(std::vector<std::string> made, char status) {
    extra& e = *extra_;
    named_statements gone = std::exchange(e.gone_names, {});
    if (status == 'I') return forget_transaction_names();
    if (!pool_.replays || link_ == nullptr || link_->journal.given_up()) return;
    for (auto& [name, statement] : gone) {
        const auto own = std::find(e.names_made.begin(), e.names_made.end(), name);
        if (own != e.names_made.end()) e.names_made.erase(own);
        else e.names_gone.emplace_back(std::move(name), std::move(statement));
    }
    for (std::string& name : made) e.names_made.push_back(std::move(name));
}

void session::forget_transaction_names() {
    extra_->names_made.clear();
    extra_->names_gone.clear();
}

/// Names mean what they meant when the transaction began (T32).
void session::names_as_of_begin() {
    extra& e = more();
    for (const std::string& name : e.names_made) forget_name(name);
    for (const auto& [name, statement] : e.names_gone)
        if (names_.emplace(name, statement).second) names_bytes_ += name.size() + statement->bytes();
    forget_transaction_names();
}

// ------------------------------------------------------------------------------------------ whether

/// SET pgsteady.replay = off, within the transaction or before.
bool session::wants_replay() const {
    if (!pool_.replays || !pool_.recovers) return false;
    for (const settings_ptr& each : {desired_, committed_, extra_ != nullptr ? extra_->chosen : nullptr}) {
        const std::string* const said = each != nullptr ? each->find("pgsteady.replay") : nullptr;
        if (said != nullptr && !setting_switch(*said).value_or(true)) return false;
    }
    return true;
}

void session::judge_replay(loss_facts& facts) const {
    const server_link& link = *link_;
    const auto refuse = [&facts](std::string_view why) { facts.obstacle = why; };
    if (!wants_replay()) return refuse("replay is off");
    if (extra_ != nullptr && extra_->told_why) return;
    if (link.standby) return refuse("it read from a standby");
    if (link.verdict.name == verdict_name::session_ended) return refuse("the server has ended it: " + link.last_words);
    const std::uint32_t tried = extra_ != nullptr ? extra_->replays_tried : 0;
    if (tried >= pool_.replay_attempts) return refuse("so many attempts have failed: " + std::to_string(tried));
    facts.may_replay = facts.status == 'I';
    if (facts.status == 'I') return;
    if (link.journal.given_up()) return refuse("it is too large to be kept");
    std::string frames = answered_in_transaction();
    // What names meant when it began; without a name, nothing is known of before.
    const statement_text named = [this](std::string_view name) -> std::string_view {
        if (name.empty()) return {};
        if (extra_ != nullptr) {
            for (const auto& [gone, statement] : extra_->names_gone)
                if (gone == name) return statement->text();
            if (std::find(extra_->names_made.begin(), extra_->names_made.end(), name) != extra_->names_made.end())
                return {};
        }
        return text_of_statement(name);
    };
    std::size_t requests = 0;
    for (std::string_view rest = frames; !rest.empty(); rest = behind_requests(rest, 1)) ++requests;
    if (requests == 0 || requests != link.journal.answers().size()) return refuse("has answers that are not known");
    replay_judge judge(false);
    const auto judged = [&]() -> std::string {
        std::vector<std::string> texts;
        if (!executed_texts(frames, named, texts, true)) return "has statements that are not known";
        for (const std::string& text : texts)
            if (!judge.take(text)) return judge.obstacle();
        return {};
    };
    if (const std::string found = judged(); !found.empty()) return refuse(found);
    facts.may_replay = true;
    facts.revives = judge.savepoints();
    frames += behind_requests(link.kept_requests, link.kept_answered);
    facts.in_flight = judged();
}

// ------------------------------------------------------------------------------------------ carried out

/// The lost server's journal becomes the session's.
void session::keep_journal(std::string_view incident) {
    auto replay = std::make_unique<replay_state>();
    replay->frames = answered_in_transaction();
    replay->answers = link_->journal.answers();
    replay->incident = incident;
    more().replay = std::move(replay);
}

/// The session is what it was at BEGIN (T15); its settings are already.
void session::begin_replay() {
    replay_state& replay = *extra_->replay;
    replay.names = names_;
    replay.names_bytes = names_bytes_;
    replay.unnamed_tail = unnamed_tail_;
    replay.unnamed_effects = unnamed_effects_;
    replay.unnamed_token = unnamed_token_;
    names_as_of_begin();
    replaying_ = muted_ = true;
}

std::string_view session::replay_incident() const {
    return extra_ != nullptr && extra_->replay != nullptr ? std::string_view(extra_->replay->incident)
                                                          : std::string_view();
}

bool session::may_hold_answer() const {
    const bool may_be_cut = !delivered_ || digesting_;  // what has been shown of it can be continued
    return phase_ == phase::ready && busy() && link_->transaction_status == 'T' && link_->frame_left == 0 &&
           may_be_cut && !redoing_ && !behind_barrier_ && wants_replay() && !link_->journal.given_up() &&
           !commit_was_sent();
}

bool session::may_give_way() const {
    const bool asks_for_truth = std::any_of(link_->notes.begin(), link_->notes.end(), [](const reply_note& each) {
        return each.what == reply_note::about::truth;
    });
    if (!may_hold_answer() || pins_ != 0 || perhaps_kept_ || uncertain_ || asks_for_truth) return false;
    std::vector<sent_request> sent;
    std::vector<std::string> answered;
    if (!unanswered(sent) || sent.empty() || !texts_of_transaction(answered)) return false;
    if (!std::all_of(answered.begin(), answered.end(), answers_the_same_again)) return false;
    const recovery_plan plan = plan_recovery(sent, facts_of_loss(sent, link_->transaction_status));
    return plan.replays && std::all_of(plan.requests.begin(), plan.requests.end(), [](const planned_request& each) {
               return each.fate == request_fate::again_in_block;
           });
}

bool session::is_awaited(std::size_t input) const {
    if (extra_ == nullptr || chained_) return input > 0;
    std::size_t ours = 0;
    for (const redo& each : extra_->redos) {
        if (each.fate != request_fate::replay) return true;
        ours += each.bytes;
    }
    return input > ours;
}

bool session::replay_then_commit() {
    if (extra_ == nullptr || extra_->replay == nullptr || replaying_ || !redoing_ || taking_) return false;
    redo& commit = extra_->redos.front();
    if (commit.decided || (link_ != nullptr && !link_->at_rest())) return false;
    commit.fate = request_fate::again_in_block;
    commit.ends_block = true;
    begin_replay();
    put_journal_in_front(extra_->replay->frames.size());
    actions_.take_back = actions_.replays = true;
    behind_barrier_ = pool_.replays_together;
    actions_.attempt = ++extra_->replays_tried;
    return true;
}

/// All of it is taken from its beginning. `bytes_taken`: so much of it does not stand in front of the client's input any more.
void session::put_journal_in_front(std::size_t bytes_taken) {
    extra& e = *extra_;
    std::erase_if(e.redos, [](const redo& each) { return each.fate == request_fate::replay; });
    std::vector<std::size_t> sizes;
    for (std::string_view rest = e.replay->frames; !rest.empty();) {
        sizes.push_back(first_requests(rest, 1).size());
        rest.remove_prefix(sizes.back());
    }
    for (auto size = sizes.rbegin(); size != sizes.rend(); ++size) {
        redo next;
        next.bytes = *size;
        next.fate = request_fate::replay;
        e.redos.push_front(std::move(next));
    }
    e.replay->next = 0;
    e.taken_back.insert(0, e.replay->frames, 0, bytes_taken);
    redoing_ = true;
}

/// The server that it was being given to is lost, too.
void session::replay_anew(std::string_view words, std::string_view incident) {
    extra& e = *extra_;
    restore_names();
    names_as_of_begin();
    if (e.replays_tried >= pool_.replay_attempts)
        return fail_replay(client_errors::transaction_lost(
            "so many attempts have failed: " + std::to_string(e.replays_tried) + "; the last: " + std::string(words),
            incident));
    if (tables_.may_retry && !tables_.may_retry())
        return fail_replay(client_errors::transaction_lost(budget_is_used_up, incident));
    std::size_t left = 0;
    for (const redo& each : e.redos) left += each.fate == request_fate::replay ? each.bytes : 0;
    put_journal_in_front(e.replay->frames.size() - left);
    actions_.take_back = actions_.needs_fence = actions_.replays = true;
    behind_barrier_ = pool_.replays_together;
    actions_.attempt = ++e.replays_tried;
}

/// One at a time: what differs must be known before anything more is done.
session::taken session::take_replay(redo& front, bool& decided) {
    if ((link_ != nullptr && !link_->tracker.empty()) || (guarding_ && !end_guard())) return taken::wait;
    front.decided = link_ != nullptr;
    decided = false;
    return taken::yes;
}

bool session::replay_differs() const {
    const replay_state& replay = *extra_->replay;
    if (replay.opens_chain) return error_in_request_ || link_->transaction_status != 'T';
    return replay.next >= replay.answers.size() || link_->journal.answer().value() != replay.answers[replay.next];
}

/// The answer is what the client was told.
void session::finish_replayed_request() {
    replay_state& replay = *extra_->replay;
    const bool given_again = !replay.opens_chain;
    if (given_again) ++seldom().replayed_requests;
    if (++replay.next < replay.answers.size()) return;
    extra_->replay.reset();
    replaying_ = muted_ = false;
    actions_.restored = true;
    if (given_again) ++seldom().replays;
    sync_reported();
}

/// Something that must not be done in part is being done, or about to.
bool session::replay_at_stake() const {
    if (replaying_) return true;
    return redoing_ && extra_->redos.front().fate == request_fate::again_in_block &&
           (link_ == nullptr || link_->transaction_status == 'I');
}

void session::give_up_replay(std::string_view why) {
    if (!replay_at_stake()) return;
    waiting_ = false;
    fail_replay(client_errors::transaction_lost(why, incident_of("a transaction is not given again")));
}

/// The client is told at the request that it waits for, or at its next one; its transaction has failed until it ends it.
void session::fail_replay(const error_fields& why, replay_end how) {
    extra& e = *extra_;
    if (link_ != nullptr) link_->notes.clear();
    if (replaying_ && std::exchange(chained_, false)) {
        e.redos.pop_front();  // its bytes are in nobody's input
        redoing_ = !e.redos.empty();
    }
    if (replaying_) {
        replay_state& replay = *e.replay;
        names_ = std::move(replay.names);
        names_bytes_ = replay.names_bytes;
        unnamed_tail_ = std::move(replay.unnamed_tail);
        unnamed_effects_ = replay.unnamed_effects;
        unnamed_token_ = replay.unnamed_token;
    }
    if (touched_ || uncertain_) desired_ = committed_;
    settle_pins(false);
    bool told = false;
    for (redo& each : e.redos) {
        if (each.fate == request_fate::replay) each.fate = request_fate::dropped;
        if (each.fate != request_fate::again_in_block || each.decided) continue;
        each.fate = told ? request_fate::in_lost_block : request_fate::transaction_lost;
        each.opens_lost_block = !told && !each.ends_block;
        if (!told) each.why = why;
        told = true;
        if (each.ends_block) break;  // what comes behind it is another transaction's
    }
    lost_transaction_ = lost_unannounced_ = !told;
    if (!told) e.refusal = why, e.lost_reader = {};
    ++(how == replay_end::different ? seldom().replays_different : seldom().replays_failed);
    if (pool_.not_replayed) pool_.not_replayed(why);
    e.replay.reset();
    e.replays_tried = 0;
    forget_transaction_names();
    replaying_ = muted_ = behind_barrier_ = false;
    if (link_ != nullptr) detach(session_actions::release::discard);
}

}  // namespace pgsteady
