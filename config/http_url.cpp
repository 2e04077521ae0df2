// See http_url.hpp.
#include "config/http_url.hpp"

#include <algorithm>
#include <charconv>

namespace pgsteady::config {
namespace {

[[nodiscard]] bool is_plain(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char each) { return each > ' ' && each < 0x7f; });
}

/// Takes `prefix` off.
[[nodiscard]] bool skip(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace

std::optional<http_url> parse_http_url(std::string_view text) {
    http_url result;
    if (!is_plain(text)) return std::nullopt;
    if (skip(text, "https://")) result.tls = true, result.port = 443;
    else if (!skip(text, "http://")) return std::nullopt;
    const std::size_t end = std::min(text.find_first_of("/?#"), text.size());
    std::string_view authority = text.substr(0, end);
    std::string_view target = text.substr(end);
    target = target.substr(0, target.find('#'));
    if (authority.find('@') != std::string_view::npos) return std::nullopt;
    if (authority.starts_with('[')) {
        const std::size_t close = authority.find(']');
        if (close == std::string_view::npos) return std::nullopt;
        result.host = authority.substr(1, close - 1);
        authority.remove_prefix(close + 1);
    } else {
        const std::size_t colon = std::min(authority.find(':'), authority.size());
        result.host = authority.substr(0, colon);
        authority.remove_prefix(colon);
    }
    if (result.host.empty()) return std::nullopt;
    if (skip(authority, ":")) {
        const auto [read, error] = std::from_chars(authority.data(), authority.data() + authority.size(), result.port);
        if (error != std::errc{} || read != authority.data() + authority.size() || result.port == 0)
            return std::nullopt;
    } else if (!authority.empty()) {
        return std::nullopt;
    }
    if (!target.empty()) result.target = target.starts_with('/') ? std::string(target) : '/' + std::string(target);
    return result;
}

}  // namespace pgsteady::config
