// Bounds-checked big-endian fields; see wire.hpp. Must never read or write past what it was given.
// Stateless but for the cursor that the caller owns.

#include "protocol/wire.hpp"

#include "protocol/frame.hpp"

namespace pgsteady {

std::optional<std::uint32_t> wire_reader::big_endian(std::size_t width) noexcept {
    const auto field = bytes(width);
    if (!field) return std::nullopt;
    std::uint32_t value = 0;
    for (const char byte : *field) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
}

std::optional<std::uint8_t> wire_reader::u8() noexcept {
    const auto value = big_endian(1);
    if (!value) return std::nullopt;
    return static_cast<std::uint8_t>(*value);
}

std::optional<std::uint16_t> wire_reader::u16() noexcept {
    const auto value = big_endian(2);
    if (!value) return std::nullopt;
    return static_cast<std::uint16_t>(*value);
}

std::optional<std::int16_t> wire_reader::i16() noexcept {
    const auto value = big_endian(2);
    if (!value) return std::nullopt;
    return static_cast<std::int16_t>(*value);
}

std::optional<std::uint32_t> wire_reader::u32() noexcept { return big_endian(4); }

std::optional<std::int32_t> wire_reader::i32() noexcept {
    const auto value = big_endian(4);
    if (!value) return std::nullopt;
    return static_cast<std::int32_t>(*value);
}

std::optional<std::string_view> wire_reader::cstring() noexcept {
    const std::size_t end = ok_ ? in_.find('\0') : std::string_view::npos;
    if (end == std::string_view::npos) {
        ok_ = false;
        return std::nullopt;
    }
    const std::string_view text = in_.substr(0, end);
    in_.remove_prefix(end + 1);
    return text;
}

std::optional<std::string_view> wire_reader::bytes(std::size_t count) noexcept {
    if (!ok_ || count > in_.size()) {
        ok_ = false;
        return std::nullopt;
    }
    const std::string_view field = in_.substr(0, count);
    in_.remove_prefix(count);
    return field;
}

std::string_view wire_reader::rest() noexcept {
    if (!ok_) return {};
    const std::string_view field = in_;
    in_ = {};
    return field;
}

void put_u8(std::string& out, std::uint8_t value) { out.push_back(static_cast<char>(value)); }

void put_u16(std::string& out, std::uint16_t value) {
    put_u8(out, static_cast<std::uint8_t>(value >> 8));
    put_u8(out, static_cast<std::uint8_t>(value));
}

void put_i16(std::string& out, std::int16_t value) { put_u16(out, static_cast<std::uint16_t>(value)); }

void put_u32(std::string& out, std::uint32_t value) {
    put_u16(out, static_cast<std::uint16_t>(value >> 16));
    put_u16(out, static_cast<std::uint16_t>(value));
}

void put_i32(std::string& out, std::int32_t value) { put_u32(out, static_cast<std::uint32_t>(value)); }

void put_cstring(std::string& out, std::string_view text) {
    out.append(text.substr(0, text.find('\0')));
    out.push_back('\0');
}

frame_builder::frame_builder(std::string& out, char type) : out_(out), length_at_(out.size() + 1) {
    out_.push_back(type);
    put_u32(out_, 0);
}

frame_builder::frame_builder(std::string& out) : out_(out), length_at_(out.size()) { put_u32(out_, 0); }

frame_builder::~frame_builder() {
    const auto length = static_cast<std::uint32_t>(out_.size() - length_at_);
    for (std::size_t i = 0; i < 4; ++i) out_[length_at_ + i] = static_cast<char>(length >> (24 - 8 * i));
}

void put_query(std::string& out, std::string_view sql) {
    const frame_builder frame(out, frontend::query);
    put_cstring(out, sql);
}

std::string query_frame(std::string_view sql) {
    std::string out;
    put_query(out, sql);
    return out;
}

}  // namespace pgsteady
