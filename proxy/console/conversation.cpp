// See conversation.hpp.
#include "proxy/console/conversation.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include <array>
#include <utility>

namespace pgsteady {
namespace {

void put_ready(std::string& out) {
    const frame_builder frame(out, backend_message::ready_for_query);
    put_u8(out, 'I');
}

void put_parameter(std::string& out, std::string_view name, std::string_view value) {
    const frame_builder frame(out, backend_message::parameter_status);
    put_cstring(out, name);
    put_cstring(out, value);
}

}  // namespace

void console_conversation::welcome(std::string& out, std::string_view version) {
    // The number is for clients, who choose by it what they may ask for; psql does not warn about this one.
    put_parameter(out, "server_version", "15.0 (pgsteady " + std::string(version) + ')');
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> fixed{
        {{"server_encoding", "UTF8"},
         {"client_encoding", "UTF8"},
         {"DateStyle", "ISO"},
         {"TimeZone", "GMT"},
         {"integer_datetimes", "on"},
         {"IntervalStyle", "postgres"},
         {"is_superuser", "off"},
         {"standard_conforming_strings", "on"}}};
    for (const auto& [name, value] : fixed) put_parameter(out, name, value);
    put_ready(out);
}

console_conversation::step console_conversation::feed(std::string_view in, std::size_t& used, std::string& out) {
    used = 0;
    if (!queue_.empty()) return step::run;
    while (true) {
        const frame_header header = read_frame_header(in.substr(used), message_max);
        if (header.state == frame_header::status::malformed) {
            farewell(fatal_error(sqlstate::protocol_violation, "invalid message length", {},
                                 "A text for the console may have " + std::to_string(message_max) + " bytes."),
                     out);
            return step::close;
        }
        if (header.state == frame_header::status::need_more || in.size() - used < header.total) return step::need_more;
        const std::string_view body = in.substr(used + frame_header_size, header.total - frame_header_size);
        used += header.total;
        const step next = take(header.type, body, out);
        if (next != step::need_more) return next;
    }
}

console_conversation::step console_conversation::take(char type, std::string_view body, std::string& out) {
    switch (type) {
        case frontend::query: return take_query(body, out);
        case frontend::terminate: return step::close;
        case frontend::sync:
            skipping_ = false;
            put_ready(out);
            return step::need_more;
        case frontend::parse:
        case frontend::bind:
        case frontend::describe:
        case frontend::execute:
        case frontend::close: refuse_extended(out); return step::need_more;
        case frontend::flush:
        case frontend::copy_data:
        case frontend::copy_done:
        case frontend::copy_fail: return step::need_more;  // without a COPY, PostgreSQL ignores them, too
        case frontend::function_call:
            append_error_response(out, plain_error(sqlstate::feature_not_supported, "the console has no functions"));
            put_ready(out);
            return step::need_more;
        default: break;
    }
    farewell(fatal_error(sqlstate::protocol_violation,
                         "invalid frontend message type " + std::to_string(static_cast<unsigned char>(type))),
             out);
    return step::close;
}

console_conversation::step console_conversation::take_query(std::string_view body, std::string& out) {
    if (skipping_) return step::need_more;
    wire_reader reader(body);
    const auto text = reader.cstring();
    if (!text || !reader.at_end()) {
        farewell(fatal_error(sqlstate::protocol_violation, "invalid message format"), out);
        return step::close;
    }
    console_script script = parse_console_text(*text);
    if (script.error) {
        append_error_response(out, *script.error);
    } else if (script.commands.empty()) {
        const frame_builder frame(out, backend_message::empty_query_response);
    } else {
        queue_.assign(std::make_move_iterator(script.commands.begin()), std::make_move_iterator(script.commands.end()));
        return step::run;
    }
    put_ready(out);
    return step::need_more;
}

/// Once per segment; the rest of it is skipped, as after any error.
void console_conversation::refuse_extended(std::string& out) {
    if (std::exchange(skipping_, true)) return;
    append_error_response(
        out, plain_error(sqlstate::feature_not_supported, "the console speaks the simple query protocol alone", {},
                         "Switch your driver to simple queries (psql and psycopg2 use them)."));
}

void console_conversation::answer(const console_answer& outcome, std::string& out) {
    append_answer(out, outcome);
    if (outcome.error) queue_.clear();
    else queue_.pop_front();
    if (queue_.empty()) put_ready(out);
}

}  // namespace pgsteady
