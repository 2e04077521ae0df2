// What a setting's value, or a text that is cast to boolean, says: PostgreSQL's parse_bool() (src/backend/utils/adt/bool.c).
// Pure; never guesses: what PostgreSQL would refuse is nothing.
#pragma once

#include <optional>
#include <string_view>

namespace pgsteady {

/// Letters count in any case, and an unambiguous beginning of a word is enough.
[[nodiscard]] std::optional<bool> setting_switch(std::string_view value);

}  // namespace pgsteady
