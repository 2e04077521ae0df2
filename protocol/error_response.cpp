// ErrorResponse and NoticeResponse; see error_response.hpp. Must never assume that a field is there (P9).
// Stateless.

#include "protocol/error_response.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include <utility>

namespace pgsteady {

namespace {

/// The member that holds a field of this code, if it has one of its own.
std::string* member_of(error_fields& fields, char code) {
    switch (code) {
        case 'C': return &fields.sqlstate;
        case 'M': return &fields.message;
        case 'D': return &fields.detail;
        case 'H': return &fields.hint;
        default: return nullptr;
    }
}

bool has_own_member(char code) {
    return code == 'S' || code == 'V' || code == 'C' || code == 'M' || code == 'D' || code == 'H';
}

void put_field(std::string& out, char code, std::string_view value) {
    out.push_back(code);
    put_cstring(out, value);
}

std::string_view or_else(std::string_view value, std::string_view fallback) { return value.empty() ? fallback : value; }

void append_response(std::string& out, char type, const error_fields& fields, std::string_view default_severity,
                     std::string_view default_sqlstate) {
    const frame_builder frame(out, type);
    const std::string_view severity = or_else(fields.severity, default_severity);
    put_field(out, 'S', severity);
    put_field(out, 'V', severity);
    put_field(out, 'C', or_else(fields.sqlstate, default_sqlstate));
    put_field(out, 'M', fields.message);
    if (!fields.detail.empty()) put_field(out, 'D', fields.detail);
    if (!fields.hint.empty()) put_field(out, 'H', fields.hint);
    for (const auto& [code, value] : fields.others) {
        if (code != '\0' && !has_own_member(code)) put_field(out, code, value);
    }
    put_u8(out, 0);
}

error_fields own_error(std::string_view severity, std::string_view code, std::string message, std::string detail,
                       std::string hint) {
    error_fields fields;
    fields.severity = severity;
    fields.sqlstate = code;
    fields.message = std::move(message);
    fields.detail = std::move(detail);
    fields.hint = std::move(hint);
    return fields;
}

}  // namespace

bool error_fields::is_fatal() const noexcept { return severity == "FATAL" || severity == "PANIC"; }

error_fields fatal_error(std::string_view code, std::string message, std::string detail, std::string hint) {
    return own_error("FATAL", code, std::move(message), std::move(detail), std::move(hint));
}

error_fields plain_error(std::string_view code, std::string message, std::string detail, std::string hint) {
    return own_error("ERROR", code, std::move(message), std::move(detail), std::move(hint));
}

bool parse_error_fields(std::string_view body, error_fields& out) {
    out = error_fields{};
    wire_reader reader(body);
    bool severity_is_plain = false;
    for (;;) {
        const auto code = reader.u8();
        if (!code) return false;
        if (*code == 0) return reader.at_end();
        const auto text = reader.cstring();
        if (!text) return false;

        const char letter = static_cast<char>(*code);
        const std::string_view value = text->substr(0, error_field_bytes_max);
        if (letter == 'V' || (letter == 'S' && !severity_is_plain)) {
            severity_is_plain = letter == 'V';
            out.severity = value;
        } else if (std::string* member = member_of(out, letter)) {
            *member = value;
        } else if (letter != 'S' && out.others.size() < error_other_fields_max) {
            out.others.emplace_back(letter, value);
        }
    }
}

void append_error_response(std::string& out, const error_fields& fields) {
    append_response(out, backend_message::error_response, fields, "ERROR", sqlstate::internal_error);
}

void append_notice_response(std::string& out, const error_fields& fields) {
    append_response(out, backend_message::notice_response, fields, "NOTICE", sqlstate::successful_completion);
}

}  // namespace pgsteady
