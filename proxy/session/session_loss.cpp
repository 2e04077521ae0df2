// When the server is lost, and errors of our own: the client is told the truth and stays connected
// wherever a well-formed answer is possible (recovery.md 2.1, 2.14). A transaction that died with its
// server stays failed until the client ends it, as it would on PostgreSQL (phases E, I).
#include "proxy/session/session.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"
#include "proxy/policy/client_errors.hpp"
#include "proxy/session/leading_word.hpp"
#include "proxy/sql/statement_effects.hpp"

namespace pgsteady {

void session::emit_error(const error_fields& why) {
    std::string out;
    append_error_response(out, why);
    tables_.to_client.copy(out);
}

void session::emit_ready(char status) {
    const char frame[] = {backend_message::ready_for_query, 0, 0, 0, 5, status};
    tables_.to_client.copy(std::string_view(frame, sizeof frame));
}

void session::refuse_waiting(const error_fields& why) {
    waiting_ = false;
    if (phase_ == phase::welcoming) {
        error_fields fatal = why;
        fatal.severity = "FATAL";
        return end(fatal, end_reason::no_server);
    }
    refused_ = true;
    more().refusal = why;
}

/// Answers the request that begins with `frame` with an error instead of sending it.
session::taken session::refuse(const client_frame& frame, const error_fields& why) {
    skip_rest_of(frame, false);
    emit_error(why);
    if (frame.type == frontend::query || frame.type == frontend::function_call || frame.type == frontend::sync)
        emit_ready(lost_transaction_ ? 'E' : 'I');
    else
        skip_to_sync_ = true;
    return taken::yes;
}

void session::on_server_lost(std::string_view last_words, std::string_view incident) {
    if (link_ == nullptr || phase_ == phase::ended) return;
    const server_link& link = *link_;
    const std::string words = link.last_words.empty() ? std::string(last_words) : link.last_words;
    if (phase_ == phase::welcoming) {  // nothing was asked of it yet: another server will do
        detach(session_actions::release::discard);
        return wait_for_server();
    }
    const bool cut_frame = link.frame_left > 0 && link.frame_forward;
    if (pins_ != 0 || cut_frame) {
        end(client_errors::session_lost(pins_ != 0 ? describe_pins(pins_) : "part of a row was delivered", words, incident),
            end_reason::server_lost);
        return detach(session_actions::release::discard);
    }
    // What was under way did not happen, as far as the client's names go.
    for (auto note = link_->notes.rbegin(); note != link_->notes.rend(); ++note) undo(*note);
    const std::size_t owed_readies = link.tracker.client_readies_owed();
    const bool in_block = link.transaction_status != 'I';
    const bool open = segment_open_;
    if (owed_readies == 0 && !open && !in_block) return detach(session_actions::release::discard);

    if (touched_ || uncertain_) desired_ = committed_;
    if (in_block && !commit_was_sent()) {
        lost_transaction_ = true;
        lost_unannounced_ = owed_readies == 0 && !open && link.transaction_status == 'T';
    }
    const error_fields why = commit_was_sent()  ? client_errors::commit_unknown(words, incident)
                             : in_block         ? client_errors::transaction_lost("its server is gone", incident)
                                                : client_errors::statement_unknown(words, incident);
    if (lost_unannounced_) more().refusal = why;
    const char status = lost_transaction_ ? 'E' : 'I';
    for (std::size_t i = 0; i < owed_readies; ++i) {
        emit_error(why);
        emit_ready(status);
        ++report_.errors;
        ++report_.requests;
    }
    if (open) {
        emit_error(why);
        skip_to_sync_ = true;
    } else if (client_frame_left_ > 0) {
        forward_large_ = false;
        large_is_query_ = false;
    }
    detach(session_actions::release::discard);
}

/// Whether a COMMIT may have reached the server among the requests that are still owed.
bool session::commit_was_sent() const {
    std::string_view rest = link_->kept_requests;
    while (true) {
        const frame_header header = read_frame_header(rest);
        if (header.state != frame_header::status::ok || header.total > rest.size()) return !link_->kept_complete;
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

// ---------------------------------------------------------------------------------------------
// A transaction that died with its server, seen from the client: failed until it is ended.

session::taken session::take_in_lost_transaction(const client_frame& frame) {
    if (frame.type == frontend::sync) {
        emit_ready(lost_transaction_ ? 'E' : 'I');
        return taken::yes;
    }
    if (lost_unannounced_ && frame.type != frontend::flush) {
        lost_unannounced_ = false;
        const std::string_view body = frame.body();
        const bool ends = frame.type == frontend::query && ends_transaction(body);
        if (!ends) return refuse(frame, more().refusal);
    }
    switch (frame.type) {
        case frontend::query: return answer_lost_query(frame);
        case frontend::parse: answer_lost_parse(frame); break;
        case frontend::bind:
        case frontend::close: {
            const char type = frame.type == frontend::bind ? backend_message::bind_complete : backend_message::close_complete;
            const bool allowed = frame.type == frontend::close || lost_ends_;
            if (!allowed) return refuse(frame, client_errors::transaction_aborted());
            const char reply[] = {type, 0, 0, 0, 4};
            tables_.to_client.copy(std::string_view(reply, sizeof reply));
            break;
        }
        case frontend::describe: {
            if (!lost_ends_) return refuse(frame, client_errors::transaction_aborted());
            const char reply[] = {backend_message::no_data, 0, 0, 0, 4};
            tables_.to_client.copy(std::string_view(reply, sizeof reply));
            break;
        }
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

session::taken session::answer_lost_query(const client_frame& frame) {
    const std::string_view body = frame.body();
    const std::string_view text = body.substr(0, body.find('\0'));
    if (ends_transaction(text)) {
        answer_lost_execute();
        emit_ready('I');
    } else if (leading_word(text).empty()) {  // probes by drivers pass (P32)
        const char reply[] = {backend_message::empty_query_response, 0, 0, 0, 4};
        tables_.to_client.copy(std::string_view(reply, sizeof reply));
        emit_ready('E');
    } else {
        return refuse(frame, client_errors::transaction_aborted());
    }
    skip_rest_of(frame, false);
    return taken::yes;
}

void session::answer_lost_parse(const client_frame& frame) {
    std::string_view tail = frame.body();
    tail.remove_prefix(std::min(tail.size(), tail.find('\0') + 1));
    lost_ends_ = ends_transaction(tail.substr(0, tail.find('\0')));
    if (!lost_ends_) {
        emit_error(client_errors::transaction_aborted());
        skip_to_sync_ = true;
        return;
    }
    const char reply[] = {backend_message::parse_complete, 0, 0, 0, 4};
    tables_.to_client.copy(std::string_view(reply, sizeof reply));
}

// COMMIT of a failed transaction is answered ROLLBACK, as PostgreSQL does (T9).
void session::answer_lost_execute() {
    std::string out;
    {
        const frame_builder frame(out, backend_message::command_complete);
        put_cstring(out, "ROLLBACK");
    }
    tables_.to_client.copy(out);
    lost_transaction_ = lost_unannounced_ = lost_ends_ = false;
}

}  // namespace pgsteady
