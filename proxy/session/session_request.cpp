// Messages of the client. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

// Frames up to this size are looked at whole; larger ones pass in pieces (bounded memory).
constexpr std::size_t inspect_limit = 64 * 1024;
// Of a larger frame, so much must be there before it is looked at: names stand at its front.
constexpr std::size_t large_prefix = 1024;

constexpr bool is_frontend_type(char type) {
    switch (type) {
        case frontend::bind:
        case frontend::close:
        case frontend::copy_data:
        case frontend::copy_done:
        case frontend::copy_fail:
        case frontend::describe:
        case frontend::execute:
        case frontend::flush:
        case frontend::function_call:
        case frontend::parse:
        case frontend::query:
        case frontend::sync:
        case frontend::terminate: return true;
        default: return false;
    }
}

constexpr bool is_copy_type(char type) {
    return type == frontend::copy_data || type == frontend::copy_done || type == frontend::copy_fail;
}

constexpr bool is_control(char type) {
    return type == frontend::flush || type == frontend::sync || type == frontend::terminate;
}

}  // namespace

std::size_t session::on_client_bytes(std::string_view in) {
    std::size_t used = 0;
    taking_ = true;
    while (used < in.size() && phase_ == phase::ready && !awaits_role()) {
        const std::string_view rest = in.substr(used);
        if (client_frame_left_ > 0) {
            used += pass_large_frame(rest);
            continue;
        }
        const frame_header header = read_frame_header(rest, pool_.max_message);
        if (header.state == frame_header::status::need_more) {
            if (is_frontend_type(rest[0])) break;
            violation("invalid frontend message type " + std::to_string(static_cast<unsigned char>(rest[0])));
            break;
        }
        if (header.state == frame_header::status::malformed || !is_frontend_type(header.type)) {
            violation(is_frontend_type(header.type)
                          ? "invalid message length"
                          : "invalid frontend message type " + std::to_string(static_cast<unsigned char>(header.type)));
            break;
        }
        if (is_control(header.type) && header.total != frame_header_size) {
            violation("invalid message format");
            break;
        }
        const client_frame frame{header.type, rest.substr(0, std::min(rest.size(), header.total)), header.total};
        const bool enough = frame.whole() || (frame.total > inspect_limit && frame.bytes.size() >= large_prefix) ||
                            (frame.type == frontend::copy_data && frame.total > inspect_limit);
        if (!enough) break;
        offered_ = rest;
        if (lost_unannounced_ && !is_control(frame.type) && !is_copy_type(frame.type) && end_lost_reader()) break;
        if (chained_ && !is_control(frame.type) && !is_copy_type(frame.type) && !open_chain()) break;
        const bool again = redoing_;
        if (take_frame(frame) == taken::wait) break;
        used += frame.bytes.size() + std::exchange(taken_along_, 0);
        if (again && redoing_) taken_again(frame.bytes.size());
    }
    taking_ = false;
    offered_ = {};
    if (resuming_) notice_short_answer();
    if (relisten_) want_listening();
    return used;
}

session::taken session::take_frame(const client_frame& frame) {
    if (frame.type == frontend::terminate) {
        actions_.close_client = true;
        actions_.reason = end_reason::client_terminated;
        phase_ = phase::ended;
        return taken::yes;
    }
    if (listener_wait_ == listener_wait::ready) return taken::wait;
    if (resuming_ && holds_back_behind_resume()) return taken::wait;
    if (redoing_ || guarding_ || replaying_ || behind_barrier_) {
        bool decided = false;
        const taken done = take_again(frame, decided);
        if (decided) return done;
    }
    if (chained_ && frame.type == frontend::sync && !skip_to_sync_) {
        emit_ready('T');
        return taken::yes;
    }
    if (skip_to_sync_) {  // we answered an error ourselves; the rest of the segment is void (P18)
        if (frame.type != frontend::sync) {
            skip_rest_of(frame, false);
            return taken::yes;
        }
        skip_to_sync_ = false;
        emit_ready(lost_transaction_ ? 'E' : 'I');
        return taken::yes;
    }
    if (refused_) {
        refused_ = false;
        return refuse(frame, more().refusal);
    }
    if (lost_transaction_) return take_in_lost_transaction(frame);
    return link_ == nullptr ? take_detached(frame) : take_attached(frame);
}

// Nothing is owed: Sync and Flush need no server, and COPY data is late (P20).
session::taken session::take_detached(const client_frame& frame) {
    if (frame.type == frontend::sync) {
        emit_ready('I');
        return taken::yes;
    }
    if (frame.type == frontend::flush) return taken::yes;
    if (is_copy_type(frame.type)) {
        skip_rest_of(frame, false);
        return taken::yes;
    }
    only_listens_ = false;
    if (waiting_) return taken::wait;
    if (replaying_) {
        need_ = server_need::primary;
        wait_for_server();
        return taken::wait;
    }
    bool known = true;
    need_ = judge_need(frame, known);
    if (!known) return taken::wait;
    const bool refuses = pool_.service == service_mode::read_only && need_ == server_need::primary && pool_.recovers;
    if (refuses && refuse_resume()) return refuse(frame, error_fields(extra_->redos.front().why));
    if (refuses)
        return refuse(frame, client_errors::read_only(refused_word(frame), incident_of("refused in read-only mode")));
    wait_for_server();
    return taken::wait;
}

session::taken session::take_attached(const client_frame& frame) {
    if (sync_held_) return taken::wait;
    if (is_copy_type(frame.type)) return on_copy(frame);
    // A session that keeps its server between requests: a standby does only as long as nothing else is to be had.
    if (link_->standby && !redoing_ && link_->at_rest() && !segment_open_ && pins_ == 0 && !restoring_ && !claimed_) {
        bool known = true;
        const bool stays = judge_need(frame, known) == server_need::read_only && pool_.service != service_mode::normal;
        if (known && !stays) {
            detach(session_actions::release::reuse);
            return taken::wait;  // what is done next offers it again
        }
    }
    if (!is_control(frame.type) && !ready_to_send()) return taken::wait;
    return dispatch(frame);
}

session::taken session::dispatch(const client_frame& frame) {
    claimed_ = false;
    if (link_->names_of != 0 && link_->names_of != names_token_) drop_names_of_others();
    if (link_->trace.wrote && !link_->trace.asked) capture_before(frame);
    switch (frame.type) {
        case frontend::query: return on_query(frame);
        case frontend::parse: return on_parse(frame);
        case frontend::bind: return on_bind(frame);
        case frontend::describe: return on_describe(frame);
        case frontend::execute: return on_execute(frame);
        case frontend::close: return on_close(frame);
        case frontend::function_call: return on_function_call(frame);
        case frontend::sync: return on_sync(frame);
        default:  // Flush
            client_flushed_ = segment_open_;
            release_result();
            send(frame);
            return taken::yes;
    }
}

/// At the start of a request: are the server's settings the client's? False: not yet, wait.
bool session::ready_to_send() {
    if (restoring_ || proving_ || relistening_) return false;
    // What follows a change of settings or names is looked at when the change is known. The server is asked to say
    // what it has got so far, since without a Sync it would keep it.
    if (effects_pending_ > 0) {
        if (segment_open_ && !flush_sent_) tables_.to_server.copy(std::string_view("H\0\0\0\4", 5));
        flush_sent_ = true;
        return false;
    }
    // Also while the server has yet to answer what we have asked it behind the request before.
    const bool begins = !segment_open_ && link_->tracker.client_readies_owed() == 0;
    if (shares_ && begins && asks_listener_first()) return false;
    if (!link_->tracker.empty() || segment_open_) return true;
    if (link_->transaction_status == 'I' && (confined_ || pool_.service == service_mode::read_only)) {
        confine();
        if (!restore_needed()) sync_reported();  // somebody before had it confined
    }
    if (link_->transaction_status == 'I' && restore_needed() && !restore()) return false;
    return true;
}

session::taken session::on_query(const client_frame& frame) {
    if (!frame.whole()) return on_large_query(frame);
    const std::string_view body = frame.body();
    if (body.empty() || body.back() != '\0') {
        violation("invalid message format");
        return taken::yes;
    }
    const std::string_view text = body.substr(0, body.size() - 1);
    echo(text);
    if (shares_) show_channels(text);
    const token_hits hits = scan_tokens(text);
    if (hits.has(token_hit::transaction) && contains_commit(text)) capture_before_commit(segment_open_);
    const effects_ptr effects = note_hits(text, hits);
    if (effects == nullptr && gates_query(text, hits)) return send_gated_query(frame, text);
    if (effects == nullptr) {
        end_segment();
        const bool noted = note_plain_query();
        forget_unnamed();
        link_->tracker.push(owed::query, false, noted);
        send(frame);
        process_settled();
        take_lent_back();
        return taken::yes;
    }
    if (refuses_sequence_value(*effects)) {
        const taken done = refuse(frame, client_errors::sequence_value_lost());
        release_if_at_rest();
        return done;
    }
    const std::vector<std::string> lent = names_to_lend(*effects);
    const std::vector<statement_ptr> missing = own_missing(*effects);
    if (!(lent.empty() && missing.empty()) && !link_->tracker.empty())
        return wait_for_answers();  // whether the transaction has failed must be known
    end_segment();
    if (link_->transaction_status != 'E') bring_in_front(missing);
    lend_names(lent, *effects);
    ++effects_pending_;
    note_query(reply_note::about::query, effects);
    forget_unnamed();
    link_->tracker.push(owed::query, false, true);
    send(frame);
    process_settled();
    take_names_back(lent);
    take_lent_back();
    return taken::yes;
}

/// Of what was sent before, perhaps by us alone: the server is kept meanwhile.
session::taken session::wait_for_answers() {
    claimed_ = link_->tracker.client_readies_owed() == 0;
    return taken::wait;
}

void session::note_query(reply_note::about what, const effects_ptr& effects) {
    reply_note note{what, {}, nullptr, nullptr, effects, unnamed_token_};
    note.link_token = link_->unnamed_token;
    if (unnamed_token_ != 0) {
        note.unnamed_tail = unnamed_tail_;
        note.unnamed_effects = unnamed_effects_;
    }
    link_->notes.push_back(std::move(note));
}

/// Behind other messages, or an error before the Sync, a Query may be skipped or lost: true, and a note for it.
bool session::note_plain_query() {
    if (link_->tracker.empty() && !link_->tracker.skipping()) return false;
    note_query(reply_note::about::plain_query, nullptr);
    return true;
}

/// What a text's scan says beyond its effects; the effects, if it has any.
effects_ptr session::note_hits(std::string_view text, token_hits hits) {
    // Under some encodings a backslash may be half a character, and where a string ends is then not what we think.
    if (text.find('\\') != std::string_view::npos && !is_ascii(text) && hides_backslash(client_encoding()))
        pin(static_cast<std::uint32_t>(pin_reason::opaque));
    if (!hits.any()) return nullptr;
    if (hits.has(token_hit::sequence_use)) sequence_used_ = true;
    if (pool_.pin_opaque && hits.has(token_hit::call)) pin(static_cast<std::uint32_t>(pin_reason::opaque));
    const bool matters = hits.has(needs_parser_mask) ||
                         (hits.has(transaction_mask) && (has_wishes_ || touched_ || follows_savepoints()));
    return matters ? tables_.effects.get(text, hits) : nullptr;
}

/// A reason to keep the server; counted when it is new.
void session::pin(std::uint32_t reasons) {
    const std::uint32_t added = reasons & ~pins_;
    const auto counted_later = static_cast<std::uint32_t>(pin_reason::listen);  // count_listening_pin()
    if ((added & ~counted_later) != 0) ++seldom().pins;
    constexpr std::uint32_t transactional =
        static_cast<std::uint32_t>(pin_reason::temp_object) | static_cast<std::uint32_t>(pin_reason::hold_cursor);
    if (link_ != nullptr && link_->transaction_status != 'I') pins_of_transaction_ |= added & transactional;
    pins_ |= reasons;
}

void session::echo(std::string_view text) const {
    if (tables_.on_statement) tables_.on_statement(client_pid_, text);
}

/// Counts what the client makes us remember; beyond its limit the session ends.
bool session::within_memory(std::size_t more_bytes) {
    if (names_bytes_ + more_bytes > pool_.session_bytes) {
        end(client_errors::memory_exceeded(), end_reason::out_of_memory);
        return false;
    }
    names_bytes_ += more_bytes;
    return true;
}

session::taken session::on_large_query(const client_frame& frame) {
    if (const auto missing = own_missing({}); !missing.empty()) {
        if (!link_->tracker.empty()) return wait_for_answers();
        if (link_->transaction_status != 'E') bring_in_front(missing);
    }
    end_segment();
    const bool noted = note_plain_query();
    forget_unnamed();
    large_is_query_ = true;
    more().scanner.reset();
    more().scanner.feed(frame.body());
    link_->tracker.push(owed::query, false, noted);
    send(frame);
    process_settled();
    return taken::yes;
}

// A simple Query destroys the unnamed statement, on the server and therefore here.
void session::forget_unnamed() {
    link_->unnamed_token = 0;
    if (unnamed_token_ == 0) return;
    unnamed_token_ = 0;
    unnamed_tail_.clear();
    unnamed_tail_.shrink_to_fit();
    unnamed_effects_ = nullptr;
}

session::taken session::on_function_call(const client_frame& frame) {
    end_segment();
    link_->tracker.push(owed::function_call);
    send(frame);
    take_lent_back();
    return taken::yes;
}

// CopyData without a COPY is ignored by PostgreSQL; it must never reach a server that owes us nothing (P20).
session::taken session::on_copy(const client_frame& frame) {
    if (link_->tracker.empty() || link_->tracker.skipping()) {
        skip_rest_of(frame, false);
        return taken::yes;
    }
    copied_ += frame.type == frontend::copy_data ? frame.total - frame_header_size : 0;
    link_->tracker.push(frame.type == frontend::copy_data ? owed::copy_data : owed::copy_end);
    send(frame);
    return taken::yes;
}

session::taken session::on_sync(const client_frame& frame) {
    if (segment_writes_ && !pass_gate()) return taken::wait;
    end_segment();
    client_flushed_ = false;
    link_->tracker.push(owed::sync);
    send(frame);
    take_lent_back();
    return taken::yes;
}

void session::send(const client_frame& frame) {
    tables_.to_server.view(frame.bytes);
    if (frame.type != frontend::copy_data) keep(frame.bytes);
    skip_rest_of(frame, true);
}

// Requests stay at hand until ReadyForQuery: what recovery replays, within limits (D13).
void session::keep(std::string_view bytes) {
    if (!link_->kept_complete || link_->kept_requests.size() + bytes.size() > pool_.keep_bytes)
        return note_unkept(bytes);
    link_->kept_requests.append(bytes);
}

/// Of a frame that is not kept it is remembered whether it may commit. A Query that is still arriving cannot yet.
void session::note_unkept(std::string_view frame) {
    link_->kept_complete = false;
    const frame_header header = read_frame_header(frame);
    if (header.state != frame_header::status::ok || link_->unkept_commit) return;
    const bool whole = header.total == frame.size();
    const std::string_view body = frame.substr(frame_header_size);
    const std::string_view second = body.substr(std::min(body.size(), body.find('\0') + 1));
    if (header.type == frontend::query) {
        link_->unkept_commit = whole && contains_commit(body);
    } else if (header.type == frontend::parse) {
        const std::string word = leading_word(second.substr(0, second.find('\0')));
        link_->unkept_commit = word.empty() || word == "COMMIT" || word == "END";
    } else if (header.type == frontend::bind) {
        const std::string_view text = text_of_statement(second);
        link_->unkept_commit = text.empty() || contains_commit(text);
    }
}

/// What was kept of requests that are all answered is forgotten, or belongs to the open transaction.
void session::file_kept(char status) {
    server_link& link = *link_;
    ++link.kept_answered;
    if (status == 'I') {
        if (link.journal.active() || digesting_) link.journal.end();
        if (extra_ != nullptr) {
            extra_->replays_tried = 0;
            extra_->replay.reset();
        }
        link.journal_from = link.kept_answered;
        digesting_ = false;
    } else {
        if (digesting_) link.journal.note_answer();
        digesting_ = pool_.replays && !link.journal.given_up();
    }
    if (!link.tracker.empty()) return;
    if (status != 'I') {
        if (link.kept_complete)
            link.journal.add(link.kept_requests, link.journal_from, pool_.journal_bytes, tables_.journals);
        else link.journal.give_up();
    }
    link.kept_requests.clear();
    link.kept_complete = true;
    link.unkept_commit = false;
    link.kept_answered = link.journal_from = 0;
}

/// What has yet to arrive of a large frame goes the same way as its beginning.
void session::skip_rest_of(const client_frame& frame, bool forward) {
    client_frame_left_ = frame.total - frame.bytes.size();
    forward_large_ = forward;
    if (client_frame_left_ > 0 && link_ != nullptr && forward && frame.type != frontend::copy_data)
        note_unkept(frame.bytes);
    else if (client_frame_left_ > 0 && link_ != nullptr) link_->kept_complete = false;
}

std::size_t session::pass_large_frame(std::string_view in) {
    const std::size_t part = std::min(in.size(), client_frame_left_);
    const std::string_view bytes = in.substr(0, part);
    if (forward_large_ && link_ != nullptr) tables_.to_server.view(bytes);
    if (large_is_query_) more().scanner.feed(bytes);
    client_frame_left_ -= part;
    if (client_frame_left_ == 0 && large_is_query_) finish_large_query();
    return part;
}

/// The text was too large to analyse: anything in it that may change state pins the client.
void session::finish_large_query() {
    large_is_query_ = false;
    const token_hits hits = more().scanner.finish();
    more().scanner.reset();
    if (hits.has(needs_parser_mask)) pin(static_cast<std::uint32_t>(pin_reason::too_large));
    if (hits.has(token_hit::transaction) && link_ != nullptr) link_->unkept_commit = true;
}

void session::violation(std::string message) {
    end(client_errors::protocol_violation(std::move(message)), end_reason::protocol_violation);
}

/// lastval() and currval() would answer with another client's value (D15): the server has served others, and nothing
/// that draws from a sequence has run here since this client got it.
bool session::refuses_sequence_value(const statement_effects& effects) const {
    return effects.uses_lastval && !sequence_used_ && link_->used_by_others && link_->tracker.empty() && !segment_open_;
}

}  // namespace pgsteady
