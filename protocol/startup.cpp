// The packets that open a connection; see startup.hpp. Must never allocate by a length that came from outside.
// Follows PostgreSQL's ProcessStartupPacket (postmaster.c) and pg_split_opts (postinit.c). Stateless.

#include "protocol/startup.hpp"

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <cassert>

namespace pgsteady {

namespace {

// Request codes pose as protocol versions with major 1234.
constexpr std::uint32_t cancel_code = 1234U << 16 | 5678U;
constexpr std::uint32_t ssl_code = 1234U << 16 | 5679U;
constexpr std::uint32_t gssenc_code = 1234U << 16 | 5680U;

constexpr std::size_t code_bytes = 4;

parse_status malformed(std::string& problem, std::string_view why) {
    problem = why;
    return parse_status::malformed;
}

parse_status read_encryption_request(std::string_view body, startup_kind kind, startup_packet& out,
                                     std::string& problem) {
    if (!body.empty()) return malformed(problem, "invalid length of encryption request");
    out.kind = kind;
    return parse_status::ok;
}

parse_status read_cancel_request(std::string_view body, startup_packet& out, std::string& problem) {
    wire_reader reader(body);
    const auto pid = reader.i32();
    const std::string_view key = reader.rest();
    if (!pid || key.size() < cancel_key_bytes_min || key.size() > cancel_key_bytes_max) {
        return malformed(problem, "invalid length of cancel request packet");
    }
    out.kind = startup_kind::cancel_request;
    out.cancel_pid = *pid;
    out.cancel_key = key;
    return parse_status::ok;
}

parse_status read_parameters(std::string_view body, startup_packet& out, std::string& problem) {
    wire_reader reader(body);
    for (;;) {
        const auto name = reader.cstring();
        if (name && name->empty() && reader.at_end()) return parse_status::ok;
        const auto value = reader.cstring();
        if (!name || !value || name->empty()) {
            return malformed(problem, "invalid startup packet layout: expected terminator as last byte");
        }
        out.parameters.emplace_back(*name, *value);
    }
}

parse_status read_packet(std::uint32_t code, std::string_view body, startup_packet& out, std::string& problem) {
    switch (code) {
        case ssl_code: return read_encryption_request(body, startup_kind::ssl_request, out, problem);
        case gssenc_code: return read_encryption_request(body, startup_kind::gssenc_request, out, problem);
        case cancel_code: return read_cancel_request(body, out, problem);
        default: break;
    }
    out.kind = startup_kind::startup;
    out.major = static_cast<std::uint16_t>(code >> 16);
    out.minor = static_cast<std::uint16_t>(code);
    // Other major versions may lay their packets out in ways we do not know; they are refused by number.
    return out.major == 3 ? read_parameters(body, out, problem) : parse_status::ok;
}

bool is_option_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Words of the string, unescaped. A backslash takes the next character as it is.
std::vector<std::string> split_options(std::string_view text) {
    std::vector<std::string> words;
    std::size_t at = 0;
    for (;;) {
        while (at < text.size() && is_option_space(text[at])) ++at;
        if (at == text.size()) return words;
        std::string word;
        for (bool escaped = false; at < text.size() && (escaped || !is_option_space(text[at])); ++at) {
            const bool starts_escape = !escaped && text[at] == '\\';
            if (!starts_escape) word.push_back(text[at]);
            escaped = starts_escape;
        }
        words.push_back(std::move(word));
    }
}

/// Splits "some-name=value"; false when there is no '=' or no name.
bool read_assignment(std::string_view text, parameter_list& settings) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) return false;
    std::string name(text.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    settings.emplace_back(std::move(name), text.substr(equals + 1));
    return true;
}

void append_code_only(std::string& out, std::uint32_t code) {
    const frame_builder packet(out);
    put_u32(out, code);
}

}  // namespace

std::string_view startup_packet::parameter(std::string_view name) const noexcept {
    const auto found = std::find_if(parameters.rbegin(), parameters.rend(),
                                    [name](const auto& parameter) { return parameter.first == name; });
    return found == parameters.rend() ? std::string_view{} : std::string_view(found->second);
}

parse_status parse_startup(std::string_view in, std::size_t& consumed, startup_packet& out, std::string& problem) {
    consumed = 0;
    if (in.size() < sizeof(std::uint32_t)) return parse_status::need_more;
    // A TLS record where a length belongs: sslnegotiation=direct, or a client that expects TLS from the start.
    if (in.starts_with("\x16\x03")) return malformed(problem, "TLS handshake without SSLRequest is not supported");

    const std::size_t length = load_u32(in.data());
    constexpr std::size_t length_bytes = sizeof(std::uint32_t);
    if (length < length_bytes + code_bytes || length - length_bytes > startup_body_bytes_max) {
        return malformed(problem, "invalid length of startup packet");
    }
    if (in.size() < length) return parse_status::need_more;

    out = startup_packet{};
    const std::uint32_t code = load_u32(in.data() + length_bytes);
    const auto body = in.substr(length_bytes + code_bytes, length - length_bytes - code_bytes);
    const parse_status status = read_packet(code, body, out, problem);
    if (status == parse_status::ok) consumed = length;
    return status;
}

parameter_list parse_options(std::string_view text, std::vector<std::string>* unknown) {
    parameter_list settings;
    const std::vector<std::string> words = split_options(text);
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        bool understood = false;
        if (word == "-c") {
            understood = i + 1 < words.size() && read_assignment(words[i + 1], settings);
            if (understood) ++i;
        } else if (word.starts_with("-c") || word.starts_with("--")) {
            understood = read_assignment(word.substr(2), settings);
        }
        if (!understood && unknown != nullptr) unknown->emplace_back(word);
    }
    return settings;
}

void append_startup(std::string& out, const parameter_list& parameters, std::uint16_t minor) {
    const frame_builder packet(out);
    put_u16(out, 3);
    put_u16(out, minor);
    for (const auto& [name, value] : parameters) {
        if (name.empty()) continue;  // would read as the terminator
        put_cstring(out, name);
        put_cstring(out, value);
    }
    put_u8(out, 0);
}

void append_ssl_request(std::string& out) { append_code_only(out, ssl_code); }

void append_gssenc_request(std::string& out) { append_code_only(out, gssenc_code); }

void append_cancel_request(std::string& out, std::int32_t pid, std::string_view key) {
    assert(key.size() >= cancel_key_bytes_min && key.size() <= cancel_key_bytes_max);
    const frame_builder packet(out);
    put_u32(out, cancel_code);
    put_i32(out, pid);
    out.append(key);
}

}  // namespace pgsteady
