// The gate in front of the commit of what is no transaction block (recovery.md 2.4, D33): a segment that writes is asked
// for its number between its last statement and its Sync, in the same write, and a Flush makes the server say it before it
// commits. So if the answer is lost a primary can be asked (session_doubt.cpp): what is committed is answered with what the
// server had computed, what is not is sent again. Two things follow from the order of what a server sends. Once the number
// is here, so is all of the answer but ReadyForQuery. And if a backend has taken its leave in its own words without having
// said it, it has not come to the commit, and never will: nothing is in doubt.
// It must never answer or send again without one of these proofs; reads pay a branch. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"

namespace pgsteady {

namespace {

/// Of a row or a tag that was held back no more memory is kept for the next one.
constexpr std::size_t held_kept = 4096;
constexpr std::string_view flush_frame("H\0\0\0\4", 5);
}  // namespace

/// Whether a request that is about to commit by itself can be asked for its number. A capture that fails fails the request,
/// so there is none where the server is skipping, and none behind other requests: the number that is noted is that of the
/// first one without an answer.
bool session::may_gate() const {
    const server_link& link = *link_;
    return pool_.guards_autocommit != config::autocommit_guard::off && link.transaction_status == 'I' &&
           effects_pending_ == 0 && !link.tracker.skipping() && link.tracker.client_readies_owed() == 0 &&
           link.kept_complete && !guarding_ && !replaying_ && may_capture();
}

void session::ask_number() {
    inject_capture(flush_frame);
    // Of this request alone: what follows it in a pipeline may be a transaction with a number of its own.
    link_->trace.asked = link_->trace.flushed = false;
    link_->trace.gated = true;
}

/// The Sync of a segment that writes is at hand. False: it has to wait for the number (guard_autocommit = always).
bool session::pass_gate() {
    if (!segment_gated_) {
        if (!may_gate()) return true;
        ask_number();
        segment_gated_ = true;
    }
    return pool_.guards_autocommit != config::autocommit_guard::always || link_->tracker.empty() ||
           link_->tracker.skipping();
}

// ------------------------------------------------------------------------------------------ Query

/// A Query commits before it says anything, so its number could not be asked for in between. One that is a single writing
/// statement is therefore sent as Parse, Bind, Describe and Execute: the same text and formats, and a plan for no
/// parameters. Not what could mean something else then: `$` might begin a parameter (D32), and rules add results that only
/// a Query shows.
bool session::gates_query(std::string_view text, token_hits hits) const {
    if (pool_.guards_autocommit == config::autocommit_guard::off || !writes_by_form(text)) return false;
    constexpr token_hits odd = needs_parser_mask | transaction_mask | token_hit::call | token_hit::notify |
                               token_hit::copy | token_hit::ambiguous | token_hit::unicode_quoted;
    if (hits.has(odd) || text.find('$') != std::string_view::npos || segment_open_ || !link_->may_rewrite ||
        pool_.rules_made || !may_gate())
        return false;
    if (text.find(';') == std::string_view::npos) return true;
    token_scanner statements;
    statements.feed(text);
    (void)statements.finish();
    return statements.statement_count() == 1;
}

session::taken session::send_gated_query(const client_frame& frame, std::string_view text) {
    server_link& link = *link_;
    gather& out = tables_.to_server;
    forget_unnamed();
    link.unnamed_token = tables_.next_token++;  // nobody's that is still there
    // Otherwise it returns nothing, and a Query would say nothing of it.
    const bool described = mentions(text, "returning") || leading_word(text) == "WITH";
    std::string head(1, frontend::parse);
    put_u32(head, static_cast<std::uint32_t>(4 + 1 + text.size() + 1 + 2));
    head += '\0';
    out.copy(head);
    out.view(frame.body());
    constexpr std::string_view no_types_and_bind("\0\0B\0\0\0\14\0\0\0\0\0\0\0\0", 15);
    constexpr std::string_view describe("D\0\0\0\6P\0", 7);
    constexpr std::string_view execute("E\0\0\0\11\0\0\0\0\0", 10);
    out.copy(no_types_and_bind);
    if (described) out.copy(describe);
    out.copy(execute);
    for (const owed kind : {owed::parse, owed::bind}) {
        link.notes.emplace_back();
        link.tracker.push(kind, true);
    }
    if (described) link.tracker.push(owed::describe);
    link.tracker.push(owed::execute);
    keep(frame.bytes);
    rewritten_ = true;
    ask_number();
    link.tracker.push(owed::sync);
    sync_held_ = true;
    if (pool_.guards_autocommit != config::autocommit_guard::always) send_held_sync();
    process_settled();
    return taken::yes;
}

void session::send_held_sync() {
    sync_held_ = false;
    tables_.to_server.copy(std::string_view("S\0\0\0\4", 5));
}

/// Of a Query that fails, a client gets no RowDescription, unless there was a row, and no tag, if it fails when it commits;
/// what is said meanwhile comes before them.
void session::hold_of_query(char type, std::string_view frame) {
    if (type == backend_message::no_data) return;
    show_held();
    more().held = frame;
}

void session::show_held() {
    if (extra_ == nullptr || extra_->held.empty()) return;
    std::string& held = extra_->held;
    if (!(digesting_ || muted_) || counts(held)) tables_.to_client.copy(held);
    if (digesting_) link_->journal.answer().settle();  // before the bytes go away
    held.clear();
    if (held.capacity() > held_kept) held.shrink_to_fit();
}

// ------------------------------------------------------------------------------------------ lost

/// Of the request at hand only ReadyForQuery is missing: a client can do nothing with the rest by itself.
bool session::awaits_only_commit() const { return link_ != nullptr && link_->trace.gated && link_->trace.xid != 0; }

/// The server's answer must outlive it until it is known whether it counts.
void session::keep_gated_answer() {
    extra& e = more();
    e.gated_answer = std::exchange(e.withheld, {});
    e.gated_answer += std::exchange(e.held, {});
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
