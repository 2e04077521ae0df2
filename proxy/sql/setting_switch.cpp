// See setting_switch.hpp.
#include "proxy/sql/setting_switch.hpp"

#include <algorithm>

namespace pgsteady {
namespace {

/// `value` is the beginning of `word`, of at least `least` letters.
bool begins(std::string_view word, std::string_view value, std::size_t least) {
    const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + ('a' - 'A') == b); };
    return value.size() >= least && value.size() <= word.size() &&
           std::equal(value.begin(), value.end(), word.begin(), same);
}

}  // namespace

std::optional<bool> setting_switch(std::string_view value) {
    if (begins("true", value, 1) || begins("yes", value, 1) || begins("on", value, 2) || value == "1") return true;
    if (begins("false", value, 1) || begins("no", value, 1) || begins("off", value, 2) || value == "0") return false;
    return std::nullopt;
}

}  // namespace pgsteady
