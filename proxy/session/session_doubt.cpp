// COMMITs whose answer is lost, and what became of them (recovery.md 2.6, phase G). Two halves: in a transaction that has
// written, its number and a WAL position are captured before its COMMIT is sent, pipelined with what the client sends anyway
// (D32); after a loss a primary is asked, and in_doubt.hpp judges its answer. It must never send a message whose failure
// would change what the client's own messages do: where the transaction may have failed meanwhile, the capture is a
// segment of its own. Reads pay nothing: only tags that say that something was written begin it. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/transaction_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgsteady {

namespace {

constexpr std::string_view portal = "pgsteady_capture";
constexpr std::string_view flush_frame("H\0\0\0\4", 5);
constexpr std::string_view sync_frame("S\0\0\0\4", 5);

// txid_* exist under these names in every supported version. The marker's record bears the transaction's number, and its
// commit record lies behind it; also under wal_level = minimal [E7].
constexpr std::string_view capture_sql =
    "SELECT x::pg_catalog.text, CASE WHEN x IS NOT NULL THEN "
    "pg_catalog.pg_logical_emit_message(true, 'pgsteady', '')::pg_catalog.text END "
    "FROM pg_catalog.txid_current_if_assigned() AS x /* pgsteady: which transaction is this, should its COMMIT be lost "
    "*/";
constexpr std::string_view forced_capture_sql =
    "SELECT pg_catalog.txid_current()::pg_catalog.text, "
    "pg_catalog.pg_logical_emit_message(true, 'pgsteady', '')::pg_catalog.text "
    "/* pgsteady: which transaction is this, should its COMMIT be lost */";

session_tables::question question_of(unsigned worker, std::string_view kind, std::string_view sql) {
    auto made = std::make_shared<prepared_statement>();
    made->server_name = "pgsteady_" + std::to_string(worker) + '_' + std::string(kind);
    made->parse_tail = sql;
    made->parse_tail += std::string_view("\0\0\0", 3);
    std::string frames;
    {
        const frame_builder bind(frames, frontend::bind);
        put_cstring(frames, portal);
        put_cstring(frames, made->server_name);
        frames += std::string_view("\0\0\0\0\0\0", 6);
    }
    {
        const frame_builder execute(frames, frontend::execute);
        put_cstring(frames, portal);
        put_u32(frames, 0);
    }
    {
        const frame_builder close(frames, frontend::close);
        frames += 'P';
        put_cstring(frames, portal);
    }
    return {std::move(made), std::move(frames)};
}

/// Tags of what has no part in what a COMMIT makes last.
bool is_harmless_tag(std::string_view tag) {
    for (const std::string_view word : {"SAVEPOINT", "RELEASE", "DECLARE", "CLOSE", "PREPARE", "DEALLOCATE", "EXPLAIN",
                                        "LISTEN", "UNLISTEN", "LOCK", "MOVE", "CHECKPOINT"})
        if (tag.starts_with(word)) return true;
    return false;
}

bool rolls_back(std::string_view text) {
    const std::string word = leading_word(text);
    return word == "ROLLBACK" || word == "ABORT";
}

}  // namespace

session_tables::session_tables(unsigned worker)
    : statements(worker),
      effects(4 * 1024 * 1024),
      capture(question_of(worker, "capture", capture_sql)),
      forced_capture(question_of(worker, "forced_capture", forced_capture_sql)),
      next_token((static_cast<std::uint64_t>(worker) << 48) + 1) {}

// ------------------------------------------------------------------------------------------ capture

/// A statement of the client's is complete; of no SELECT, BEGIN, SET or the like.
void session::note_write(std::string_view tag) {
    using op = request_report::operation;
    transaction_trace& trace = link_->trace;
    if (report_.what == op::commit || tag.starts_with("PREPARE TRANSACTION")) {
        trace = {};
    } else if (report_.what ==
               op::rollback) {  // to a savepoint, or another transaction begins: the number may be another
        trace.asked = trace.flushed = false;
        trace.xid = 0;
    } else if (report_.what != op::other || !is_harmless_tag(tag)) {
        trace.wrote = true;
        trace.notifies |= tag == "NOTIFY";
    }
}

bool session::may_capture() const {
    return pool_.resolves && link_->may_capture && !link_->standby && pins_ == 0 && phase_ == phase::ready;
}

/// The transaction has written, and nothing is owed: the next message takes the capture with it.
void session::capture_before(const client_frame& frame) {
    if (link_->transaction_status != 'T' || !link_->tracker.empty() || segment_open_ || !may_capture()) return;
    std::string_view text = frame.body();
    switch (frame.type) {
        case frontend::query: break;
        case frontend::parse: text.remove_prefix(std::min(text.size(), text.find('\0') + 1)); break;
        case frontend::bind:
            text.remove_prefix(std::min(text.size(), text.find('\0') + 1));
            text = text_of_statement(text);
            break;
        default: return;
    }
    if (rolls_back(text.substr(0, text.find('\0')))) return;
    // An error in a segment of the client's own is its error, and skips what a Query's must not.
    inject_capture(frame.type == frontend::query ? sync_frame : std::string_view());
}

/// The message at hand may commit. What was asked for must have left the server before it does; and in a pipeline it is
/// not known yet whether the transaction has written, or has failed. `inside`: of a segment that has begun.
void session::capture_before_commit(bool inside) {
    transaction_trace& trace = link_->trace;
    if (trace.asked) {
        if (trace.flushed || trace.xid != 0) return;
        trace.flushed = true;
        return tables_.to_server.copy(flush_frame);
    }
    const bool alone = link_->tracker.empty() && !inside;
    if (alone || link_->transaction_status == 'E' || !may_capture()) return;
    if (inside && link_->tracker.client_readies_owed() > 0) return;  // it may have failed before the segment
    inject_capture(inside ? flush_frame : sync_frame);
}

/// `end`: what follows it, a Flush, a Sync or nothing.
void session::inject_capture(std::string_view end) {
    server_link& link = *link_;
    const session_tables::question& asks = link.trace.notifies ? tables_.forced_capture : tables_.capture;
    if (!link.prepared.touch(*asks.statement)) inject_parse(asks.statement);
    const bool alone = end == sync_frame;
    for (const owed kind : {owed::bind, owed::execute, owed::close}) {
        link.notes.push_back(
            {reply_note::about::capture, {}, nullptr, nullptr, nullptr, kind == owed::execute ? 1U : 0U});
        link.notes.back().had_before = alone;
        link.tracker.push(kind, true);
    }
    tables_.to_server.copy(asks.frames);
    tables_.to_server.copy(end);
    if (alone) {
        link.notes.emplace_back();
        link.tracker.push(owed::sync, true);
    }
    link.trace.asked = true;
    link.trace.flushed = !end.empty();
    process_settled();
}

/// An error that answers a capture which is a segment of its own: no affair of the client's by itself, but if it has failed
/// the transaction, the client's next statement is told why. False: it is another error.
bool session::is_capture_error(std::string_view frame) {
    if (link_->tracker.empty() || !link_->tracker.front().injected || link_->notes.empty()) return false;
    const reply_note& note = link_->notes.front();
    const bool parse =
        note.what == reply_note::about::injected_parse &&
        (note.statement == tables_.capture.statement || note.statement == tables_.forced_capture.statement);
    if (note.what != reply_note::about::capture && !parse) return false;
    error_fields fields;
    (void)parse_error_fields(frame.substr(frame_header_size), fields);
    if (fields.is_fatal()) return false;
    const bool alone = parse ? link_->notes.size() > 1 && link_->notes[1].had_before : note.had_before;
    more().asked_sqlstate = fields.sqlstate;
    if (alone && fields.sqlstate != sqlstate::in_failed_sql_transaction) more().capture_error = std::move(fields);
    return alone;
}

/// A DataRow of two texts, or two NULLs. Anything else is no answer.
void session::take_captured(std::string_view body) {
    wire_reader row(body);
    std::array<std::optional<std::string_view>, 2> said;
    if (row.u16() != said.size()) return;
    for (auto& each : said) {
        const auto size = row.i32();
        if (!size || *size < -1) return;
        if (*size >= 0 && !(each = row.bytes(static_cast<std::size_t>(*size)))) return;
    }
    transaction_trace& trace = link_->trace;
    const auto& [number, position] = said;
    trace.unassigned = !number && !position;
    if (!number || !position) return;
    std::uint64_t xid = 0;
    const auto [end, error] = std::from_chars(number->data(), number->data() + number->size(), xid);
    const auto marker = read_wal_position(*position);
    if (error != std::errc{} || end != number->data() + number->size() || !marker) return;
    trace.xid = xid;
    trace.marker = *marker;
}

void session::on_captured(const reply_note& note, outcome how) {
    transaction_trace& trace = link_->trace;
    if (how == outcome::done && note.token == 0) return;  // Bind and Close
    if (sync_held_) send_held_sync();
    if (how == outcome::done) {
        if (trace.xid != 0) return void(++seldom().captures);
        if (trace.unassigned) return void(trace = {});  // nothing is written yet
        trace.gated = false;
        link_->may_capture = false;
        if (pool_.capture_failed) pool_.capture_failed({});
        return;
    }
    if (how == outcome::skipped) return;
    const std::string sqlstate = std::exchange(more().asked_sqlstate, {});
    // Empty: the server has taken its leave instead.
    const bool by_the_way =
        sqlstate.empty() || sqlstate == sqlstate::in_failed_sql_transaction || sqlstate == sqlstate::query_canceled;
    if (by_the_way) return;
    link_->may_capture = false;
    if (pool_.capture_failed) pool_.capture_failed(sqlstate);
}

// ------------------------------------------------------------------------------------------ resolution

/// What became of the open transaction can be found out, should its COMMIT be lost now.
bool session::can_resolve() const {
    const server_link& link = *link_;
    const bool listens = extra_ != nullptr && !extra_->listening.changes.empty();
    const bool asked = link.transaction_status == 'T' || (link.transaction_status == 'I' && link.trace.gated);
    return pool_.resolves && link.trace.xid != 0 && asked && link.life.started_at != 0 && !uncertain_ && !listens;
}

/// The first request in line is a COMMIT that a server is asked about.
bool session::asks_about_commit() const {
    if (!redoing_ || extra_->redos.empty()) return false;
    const request_fate fate = extra_->redos.front().fate;
    return fate == request_fate::commit_read || fate == request_fate::commit_resolve;
}

void session::begin_resolving(redo& front, std::string_view words, std::string_view incident) {
    const server_link& link = *link_;
    doubtful_commit& doubt = more().doubt;
    doubt = {};
    doubt.captured = {link.trace.xid, link.trace.marker, link.host, link.life};
    if (doubt.captured.server.system.empty() && pool_.system_of)
        doubt.captured.server.system = pool_.system_of(link.host);
    doubt.words = words;
    doubt.incident = incident;
    const std::string number = std::to_string(link.trace.xid);
    front.why = front.autocommit ? client_errors::statement_unknown(words, incident, number)
                                 : client_errors::commit_unknown(words, incident, number);
    ++seldom().commits_pending;
    if (pool_.resolving) pool_.resolving();
}

/// A primary is attached. Afterwards the fate of the first request is another, or it has to wait.
void session::resolve() {
    if (resolving_ != resolving::no || !link_->tracker.empty()) return;
    extra& e = more();
    e.in_doubt_row.clear();
    e.asked_sqlstate.clear();
    resolving_ = resolving::asked;
    link_->notes.push_back({reply_note::about::in_doubt, {}, nullptr, nullptr, nullptr, 0});
    link_->tracker.push(owed::query, true);
    link_->unnamed_token = 0;
    tables_.to_server.copy(query_frame("SELECT pg_catalog.txid_status(" + std::to_string(e.doubt.captured.xid) +
                                       ") /* pgsteady: was it committed? */"));
}

void session::on_resolved(outcome how) {
    resolving_ = resolving::no;
    error_in_request_ = false;
    if (!asks_about_commit()) return;
    extra& e = more();
    in_doubt_facts facts;
    facts.host = link_->host;
    facts.server = link_->life;
    if (facts.server.system.empty() && pool_.system_of) facts.server.system = pool_.system_of(link_->host);
    if (how == outcome::done && e.in_doubt_row.size() == 1) {
        const std::optional<std::string>& said = e.in_doubt_row.front();
        facts.state = read_xact_state(said ? std::optional<std::string_view>(*said) : std::nullopt);
    } else if (e.asked_sqlstate == sqlstate::invalid_parameter_value) {
        facts.state = xact_state::in_future;
    }
    e.asked_sqlstate.clear();  // nothing that comes later is to be taken for the answer
    e.in_doubt_row.clear();
    if (pool_.observe) pool_.observe(facts, e.doubt.captured);
    else facts.inherited.observed = true;
    in_doubt_judgement found = judge_in_doubt(e.doubt.captured, facts);
    if (found.what == in_doubt_outcome::ask_again && e.doubt.waited < pool_.in_doubt_timeout) {
        const std::chrono::milliseconds pause = in_doubt_pause(e.doubt.times++);
        e.doubt.waited += pause;
        resolving_ = resolving::pausing;
        actions_.ask_later = pause;
        return;
    }
    if (found.what == in_doubt_outcome::ask_again) found = {in_doubt_outcome::unknown, in_doubt_path::timeout};
    conclude_resolving(facts, found);
}

/// The client hears what is known: COMMIT, once its transaction has been given again if need be; that it is gone, or that
/// nobody knows.
void session::conclude_resolving(const in_doubt_facts& facts, const in_doubt_judgement& found) {
    extra& e = more();
    redo& front = e.redos.front();
    if (pool_.resolved) pool_.resolved({e.doubt.captured, facts, found, e.doubt.incident});
    resolving_ = resolving::no;
    if (front.autocommit) return conclude_gated(front, found.what);
    conclude_commit(front, found.what);
    conclude_followers();
}

void session::conclude_commit(redo& front, in_doubt_outcome found) {
    extra& e = *extra_;
    switch (found) {
        case in_doubt_outcome::committed:
            front.fate = front.answerable ? request_fate::commit_done : request_fate::committed;
            if (!front.answerable) {
                front.why = client_errors::committed_unseen(e.doubt.words, e.doubt.incident);
                ++seldom().lost[2];
            }
            return;
        case in_doubt_outcome::not_committed:
            e.chosen = nullptr;
            if (front.obstacle.empty() && replay_then_commit()) break;
            front.fate = request_fate::transaction_lost;
            front.why = client_errors::transaction_lost(
                "its COMMIT was not carried out; " +
                    (front.obstacle.empty() ? std::string("is not known well enough") : front.obstacle),
                e.doubt.incident);
            ++seldom().lost[0];
            if (pool_.replays) ++seldom().replays_refused;
            if (pool_.replays && pool_.not_replayed) pool_.not_replayed(front.why);
            break;
        default: front.fate = request_fate::commit_unknown; ++seldom().lost[2];
    }
    e.chosen = nullptr;
    e.late_notice.clear();
}

/// What was judged with the first request, the COMMIT last.
void session::conclude_followers() {
    std::deque<redo>& all = extra_->redos;
    const auto first = std::find_if(all.begin(), all.end(), [](const redo& each) { return !each.is_replayed(); });
    auto each = first == all.end() ? first : first + 1;
    if (each == all.end() || !each->follows) return;
    const bool again = first->fate == request_fate::again_in_block;
    first->opens_lost_block = first->fate == request_fate::transaction_lost;
    for (; each != all.end() && each->follows; ++each) {
        each->follows = false;
        each->ends_block = again && (each + 1 == all.end() || !(each + 1)->follows);
        each->fate = first->opens_lost_block ? request_fate::in_lost_block : first->fate;
        each->why = first->why;
        if (!again && !first->opens_lost_block) ++seldom().lost[2];
    }
    if (again) first->ends_block = false;
}

/// No primary was to be had.
void session::give_up_resolving() { conclude_resolving({}, {in_doubt_outcome::unknown, in_doubt_path::timeout}); }

}  // namespace pgsteady
