// A statement's text without its constants, as it may stand in a log: what has no text there cannot leak (D39).
// PostgreSQL's own grammar does it. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgsteady {

/// Constants become $1, $2, …; from a literal that stays all the same nothing more is shown. Empty when the text cannot be parsed or is longer than `most` bytes.
[[nodiscard]] std::string normalized_statement(std::string_view sql, std::size_t most = 64 * 1024);

}  // namespace pgsteady
