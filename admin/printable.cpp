#include "admin/printable.hpp"

#include <cstdint>

namespace pgsteady::admin {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

[[nodiscard]] std::uint8_t byte_at(std::string_view text, std::size_t at) {
    return static_cast<std::uint8_t>(text[at]);
}

/// Length of the well-formed character at the front (Unicode table 3-7), 0 if there is none.
[[nodiscard]] std::size_t character_length(std::string_view text) {
    const std::uint8_t first = byte_at(text, 0);
    if (first < 0x80) return 1;
    std::size_t length = 0;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) length = 2;
    else if (first >= 0xE0 && first <= 0xEF) length = 3;
    else if (first >= 0xF0 && first <= 0xF4) length = 4;
    if (length == 0 || text.size() < length) return 0;
    if (first == 0xE0) low = 0xA0;   // overlong
    if (first == 0xED) high = 0x9F;  // surrogates
    if (first == 0xF0) low = 0x90;   // overlong
    if (first == 0xF4) high = 0x8F;  // beyond U+10FFFF
    if (byte_at(text, 1) < low || byte_at(text, 1) > high) return 0;
    for (std::size_t at = 2; at < length; ++at)
        if ((byte_at(text, at) & 0xC0) != 0x80) return 0;
    return length;
}

/// Whether the well-formed character is a control character of ASCII or Latin-1.
[[nodiscard]] bool is_control(std::string_view character) {
    const std::uint8_t first = byte_at(character, 0);
    return first < 0x20 || first == 0x7F || (first == 0xC2 && byte_at(character, 1) < 0xA0);
}

void append_escaped(std::string& to, std::string_view bytes) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (const char each : bytes) {
        const auto value = static_cast<std::uint8_t>(each);
        to += '%';
        to += digits[value >> 4];
        to += digits[value & 15];
    }
}

void append_name(std::string& to, std::string_view name) {
    while (!name.empty()) {
        const std::size_t length = character_length(name);
        const std::string_view character = name.substr(0, length == 0 ? 1 : length);
        const bool plain = length != 0 && !is_control(character) && character != "/" && character != "%";
        if (plain) to += character;
        else append_escaped(to, character);
        name.remove_prefix(character.size());
    }
}

[[nodiscard]] int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = character_length(text);
        std::string_view character = text.substr(0, length == 0 ? 1 : length);
        text.remove_prefix(character.size());
        if (length == 0 || is_control(character)) character = replacement;
        if (result.size() + character.size() > most) break;
        result += character;
    }
    return result;
}

std::string pool_name(std::string_view database, std::string_view user) {
    std::string result;
    append_name(result, database);
    result += '/';
    append_name(result, user);
    return result;
}

std::optional<std::string> url_decoded(std::string_view text) {
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '+') {
            result += ' ';
        } else if (text[at] != '%') {
            result += text[at];
        } else {
            const int high = at + 2 < text.size() ? hex_digit(text[at + 1]) : -1;
            const int low = at + 2 < text.size() ? hex_digit(text[at + 2]) : -1;
            if (high < 0 || low < 0) return std::nullopt;
            result += static_cast<char>(high * 16 + low);
            at += 2;
        }
    }
    return result;
}

}  // namespace pgsteady::admin
