// An http or https address, taken apart. Pure; knows no more of URLs than an operator needs to write one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady::config {

struct http_url {
    bool tls = false;
    std::string host;  ///< without the brackets of an IPv6 address
    std::uint16_t port = 80;
    std::string target = "/";  ///< path and query

    bool operator==(const http_url&) const = default;
};

/// Nothing when `text` is something else, names a user, or has characters that would end a header line.
[[nodiscard]] std::optional<http_url> parse_http_url(std::string_view text);

}  // namespace pgsteady::config
