// Finds the name that somebody probably meant. Pure; bounded by the length of names.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace pgsteady::config {

/// Insertions, deletions, substitutions and swaps of neighbours between two words.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest of `known`, or empty when none is near (about a third of the letters may differ).
[[nodiscard]] std::string_view nearest(std::string_view name, std::span<const std::string_view> known);

}  // namespace pgsteady::config
