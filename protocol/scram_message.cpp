#include "protocol/scram_message.hpp"

#include "protocol/base64.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace pgsteady {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool scram_attributes::next_is(char name) const { return rest_.size() >= 2 && rest_[0] == name && rest_[1] == '='; }

void scram_attributes::take_first(std::size_t length) {
    ended_ = length == rest_.size();
    rest_.remove_prefix(ended_ ? length : length + 1);
}

std::optional<std::string_view> scram_attributes::take(char name) {
    if (!next_is(name)) return std::nullopt;
    const std::size_t length = std::min(rest_.find(','), rest_.size());
    const auto value = rest_.substr(2, length - 2);
    take_first(length);
    return value;
}

bool scram_attributes::skip_extensions(char stop) {
    while (!at_end()) {
        if (rest_.empty() || !is_letter(rest_[0]) || next_is('m')) return false;
        if (stop != '\0' && next_is(stop)) return true;
        if (!take(rest_[0])) return false;
    }
    return true;
}

bool is_scram_message(std::string_view message) {
    return !message.empty() && message.size() <= max_scram_message_bytes &&
           message.find('\0') == std::string_view::npos;
}

bool is_scram_printable(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

std::optional<std::string> printable_nonce(std::string_view bytes) {
    if (bytes.size() < min_scram_nonce_bytes || bytes.size() > max_scram_nonce_bytes) return std::nullopt;
    return is_scram_printable(bytes) ? std::string(bytes) : base64_encode(bytes);
}

std::optional<int> parse_iterations(std::string_view text) {
    if (text.empty() || text[0] < '1' || text[0] > '9') return std::nullopt;
    int number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace pgsteady
