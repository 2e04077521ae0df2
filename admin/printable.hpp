// Makes hostile text printable: names that clients chose, problems that servers wrote.
// Nothing here fails; every result is valid UTF-8 without control characters.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady::admin {

/// Replaces control characters and what is not UTF-8 (RFC 3629) by U+FFFD, and cuts after `most` bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = 1024);

/// `database/user`, the name of a pool in answers and labels. Different pairs have different names: '/', '%', control
/// characters and what is not UTF-8 are written as %XX.
[[nodiscard]] std::string pool_name(std::string_view database, std::string_view user);

/// Undoes %XX and '+' of a query (application/x-www-form-urlencoded); nothing when it is malformed.
[[nodiscard]] std::optional<std::string> url_decoded(std::string_view text);

}  // namespace pgsteady::admin
