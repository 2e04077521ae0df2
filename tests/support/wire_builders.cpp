// See wire_builders.hpp.
#include "tests/support/wire_builders.hpp"

#include "protocol/wire.hpp"

namespace pgsteady::testing {

namespace {

void put_i32_of(std::string& out, std::size_t value) { put_i32(out, static_cast<std::int32_t>(value)); }
void put_i16_of(std::string& out, std::size_t value) { put_i16(out, static_cast<std::int16_t>(value)); }

std::string named(char type, char kind, std::string_view name) {
    std::string body(1, kind);
    put_cstring(body, name);
    return frame_of(type, body);
}

std::string report(char type, std::string_view sqlstate, std::string_view message, std::string_view severity) {
    std::string body;
    for (const auto& [code, value] :
         {std::pair('S', severity), std::pair('V', severity), std::pair('C', sqlstate), std::pair('M', message)}) {
        body += code;
        put_cstring(body, value);
    }
    body += '\0';
    return frame_of(type, body);
}

}  // namespace

std::string frame_of(char type, std::string_view body) {
    std::string out(1, type);
    put_i32_of(out, body.size() + 4);
    return out.append(body);
}

std::vector<frame> split_frames(std::string_view stream, std::size_t* rest) {
    std::vector<frame> frames;
    while (stream.size() >= 5) {
        wire_reader length(stream.substr(1, 4));
        const std::size_t total = static_cast<std::size_t>(length.u32().value_or(0)) + 1;
        if (total < 5 || stream.size() < total) break;
        frames.push_back({stream[0], std::string(stream.substr(5, total - 5))});
        stream.remove_prefix(total);
    }
    if (rest != nullptr) *rest = stream.size();
    return frames;
}

std::string describe(const frame& each) {
    std::string text(1, each.type);
    text += ' ';
    for (const char byte : each.body) {
        if (byte >= ' ' && byte < '\x7f') {
            text += byte;
        } else {
            text += '.';
        }
    }
    if (text.size() > 200) text = text.substr(0, 200) + "... (" + std::to_string(each.body.size()) + " bytes)";
    return text;
}

std::string describe(std::string_view stream) {
    std::string text;
    std::size_t rest = 0;
    for (const frame& each : split_frames(stream, &rest)) text += describe(each) + '\n';
    if (rest > 0) text += "(and " + std::to_string(rest) + " bytes of a frame)\n";
    return text;
}

std::string types_of(std::string_view stream) {
    std::string types;
    for (const frame& each : split_frames(stream)) types += each.type;
    return types;
}

std::string field_of(const frame& error, char code) {
    wire_reader fields(error.body);
    while (const auto kind = fields.u8()) {
        if (*kind == 0) break;
        const auto value = fields.cstring();
        if (value && static_cast<char>(*kind) == code) return std::string(*value);
    }
    return {};
}

std::string sqlstate_of(std::string_view stream) {
    for (const frame& each : split_frames(stream))
        if (each.type == 'E') return field_of(each, 'C');
    return {};
}

namespace client {

std::string query(std::string_view sql) {
    std::string body;
    put_cstring(body, sql);
    return frame_of('Q', body);
}

std::string parse(std::string_view name, std::string_view sql, const std::vector<std::uint32_t>& types) {
    std::string body;
    put_cstring(body, name);
    put_cstring(body, sql);
    put_i16_of(body, types.size());
    for (const std::uint32_t type : types) put_u32(body, type);
    return frame_of('P', body);
}

std::string bind(std::string_view portal, std::string_view statement,
                 const std::vector<std::optional<std::string>>& values) {
    std::string body;
    put_cstring(body, portal);
    put_cstring(body, statement);
    put_i16(body, 0);
    put_i16_of(body, values.size());
    for (const auto& value : values) {
        put_i32(body, value ? static_cast<std::int32_t>(value->size()) : -1);
        if (value) body += *value;
    }
    put_i16(body, 0);
    return frame_of('B', body);
}

std::string describe_statement(std::string_view name) { return named('D', 'S', name); }
std::string describe_portal(std::string_view name) { return named('D', 'P', name); }
std::string close_statement(std::string_view name) { return named('C', 'S', name); }
std::string close_portal(std::string_view name) { return named('C', 'P', name); }

std::string execute(std::string_view portal, std::uint32_t max_rows) {
    std::string body;
    put_cstring(body, portal);
    put_u32(body, max_rows);
    return frame_of('E', body);
}

std::string sync() { return frame_of('S'); }
std::string flush() { return frame_of('H'); }
std::string terminate() { return frame_of('X'); }
std::string copy_data(std::string_view data) { return frame_of('d', data); }
std::string copy_done() { return frame_of('c'); }

std::string copy_fail(std::string_view why) {
    std::string body;
    put_cstring(body, why);
    return frame_of('f', body);
}

std::string function_call(std::uint32_t oid) {
    std::string body;
    put_u32(body, oid);
    put_i16(body, 0);
    put_i16(body, 0);
    put_i16(body, 0);
    return frame_of('F', body);
}

}  // namespace client

namespace server {

std::string ready(char status) { return frame_of('Z', std::string(1, status)); }

std::string complete(std::string_view tag) {
    std::string body;
    put_cstring(body, tag);
    return frame_of('C', body);
}

std::string row_description(const std::vector<std::string>& columns) {
    std::string body;
    put_i16_of(body, columns.size());
    for (const std::string& column : columns) {
        put_cstring(body, column);
        put_i32(body, 0);
        put_i16(body, 0);
        put_i32(body, 25);
        put_i16(body, -1);
        put_i32(body, -1);
        put_i16(body, 0);
    }
    return frame_of('T', body);
}

std::string row(const std::vector<std::optional<std::string>>& values) {
    std::string body;
    put_i16_of(body, values.size());
    for (const auto& value : values) {
        put_i32(body, value ? static_cast<std::int32_t>(value->size()) : -1);
        if (value) body += *value;
    }
    return frame_of('D', body);
}

std::string error(std::string_view sqlstate, std::string_view message, std::string_view severity) {
    return report('E', sqlstate, message, severity);
}

std::string notice(std::string_view sqlstate, std::string_view message, std::string_view severity) {
    return report('N', sqlstate, message, severity);
}

std::string parameter(std::string_view name, std::string_view value) {
    std::string body;
    put_cstring(body, name);
    put_cstring(body, value);
    return frame_of('S', body);
}

}  // namespace server

}  // namespace pgsteady::testing
