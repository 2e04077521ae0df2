// Takes the secrets out of a statement's text before it is logged (D39): where a text speaks of
// passwords, verifiers or user mappings, all of its literals go. Errs on the side of hiding. Pure.
#pragma once

#include <string>
#include <string_view>

namespace pgsteady {

/// The text as it may be logged, at most `limit` bytes of it.
[[nodiscard]] std::string redacted(std::string_view sql, std::size_t limit = 4096);

}  // namespace pgsteady
