// The gate in front of the commit of what is no transaction block (recovery.md 2.4, D33): a segment that writes is asked
// for its number between its last statement and its Sync, in the same write, and a Flush makes the server say it before it
// commits. So if the answer is lost a primary can be asked (session_doubt.cpp): what is committed is answered with what the
// server had computed, what is not is sent again. Two things follow from the order of what a server sends. Once the number
// is here, so is all of the answer but ReadyForQuery. And if a backend has taken its leave in its own words without having
// said it, it has not come to the commit, and never will: nothing is in doubt.
// It must never answer or send again without one of these proofs; reads pay a branch. See session.hpp.
#include "protocol/frame.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"

namespace pgsteady {

namespace {
constexpr std::string_view flush_frame("H\0\0\0\4", 5);
}

/// The Sync of a segment that writes is at hand. False: it has to wait for the number (guard_autocommit = always).
/// A capture that fails fails its segment, so there is none where the server is skipping, and none behind other requests:
/// the number that is noted is that of the first one without an answer.
bool session::pass_gate() {
    server_link& link = *link_;
    if (!segment_gated_) {
        const bool may = pool_.guards_autocommit != config::autocommit_guard::off && link.transaction_status == 'I' &&
                         effects_pending_ == 0 && !link.tracker.skipping() && link.tracker.client_readies_owed() == 0 &&
                         link.kept_complete && !guarding_ && !replaying_ && may_capture();
        if (!may) return true;
        inject_capture(flush_frame);
        // Of this segment alone: what follows it in a pipeline may be a transaction with a number of its own.
        link.trace.asked = link.trace.flushed = false;
        link.trace.gated = segment_gated_ = true;
    }
    return pool_.guards_autocommit != config::autocommit_guard::always || link.tracker.empty() ||
           link.tracker.skipping();
}

/// Of the request at hand only ReadyForQuery is missing: a client can do nothing with the rest by itself.
bool session::awaits_only_commit() const { return link_ != nullptr && link_->trace.gated && link_->trace.xid != 0; }

/// The server's answer must outlive it until it is known whether it counts.
void session::keep_gated_answer() {
    extra& e = more();
    e.gated_answer = std::exchange(e.withheld, {});
}

void session::conclude_gated(redo& front, in_doubt_outcome found) {
    extra& e = *extra_;
    e.chosen = nullptr;
    if (found == in_doubt_outcome::committed) {
        front.fate = request_fate::answered;
        return;
    }
    e.late_notice.clear();
    e.withheld = std::exchange(e.gated_answer, {});
    discard_result();
    if (found == in_doubt_outcome::not_committed && front.obstacle.empty()) {
        front.fate = request_fate::again;
        ++seldom().retries;
    } else if (found == in_doubt_outcome::not_committed) {
        front.fate = request_fate::transaction_lost;
        front.why = client_errors::transaction_lost("it " + front.obstacle, e.doubt.incident);
        ++seldom().lost[0];
    } else {
        front.fate = request_fate::statement_unknown;
        ++seldom().lost[3];
    }
}

/// It is committed: the client gets the answer that the server had computed, and its names mean what it has made of them.
void session::answer_gated(const client_frame& frame) {
    extra& e = *extra_;
    redo& front = e.redos.front();
    if (!std::exchange(front.decided, true)) {
        guarding_ = claimed_ = false;
        tables_.to_client.copy(std::exchange(e.late_notice, {}));
        tables_.to_client.copy(std::exchange(e.gated_answer, {}));
    }
    switch (frame.type) {
        case frontend::parse: adopt_parse(frame); break;
        case frontend::close:
            if (frame.body().starts_with('S')) forget_name(frame.body().substr(1, frame.body().find('\0') - 1));
            break;
        case frontend::query:
        case frontend::sync:
            ++report_.requests;
            ++report_.transactions;
            emit_ready('I');
            break;
        default: break;
    }
    skip_rest_of(frame, false);
    release_if_at_rest();
}

/// A Parse that is as good as done, without a server.
void session::adopt_parse(const client_frame& frame) {
    const std::string_view body = frame.body();
    const std::string_view name = body.substr(0, body.find('\0'));
    const std::string_view tail = body.substr(std::min(body.size(), name.size() + 1));
    const std::string_view text = tail.substr(0, tail.find('\0'));
    const token_hits hits = scan_tokens(text);
    const effects_ptr effects = note_hits(text, hits);
    if (name.empty()) {
        unnamed_tail_ = tail;
        unnamed_effects_ = effects;
        unnamed_writes_ = effects == nullptr && writes_by_form(text);
        unnamed_commits_ = hits.has(token_hit::transaction) && contains_commit(text);
        unnamed_token_ = tables_.next_token++;
    } else if (!names_.contains(name)) {
        const statement_ptr statement = make_statement(name, tail, effects);
        if (within_memory(name.size() + statement->bytes())) names_.emplace(name, statement);
    }
}

}  // namespace pgsteady
