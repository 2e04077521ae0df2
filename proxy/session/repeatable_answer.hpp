// Whether what a statement has answered would be answered the same if it were given again at once, as far as its form tells:
// how many rows a write has changed is, what a clock, a sequence or chance has told is not. Decides only whether a
// transaction that has lost nothing may be interrupted for another one's sake (D30): what is not understood says no. Pure.
#pragma once

#include <string_view>

namespace pgsteady {

[[nodiscard]] bool answers_the_same_again(std::string_view text);

}  // namespace pgsteady
