// Comparison of secrets, and their removal from memory.
//
// Must never return early at the first difference: the time taken depends on the lengths alone.
#pragma once

#include <string>
#include <string_view>

namespace pgsteady {

/// Whether both hold the same bytes. The lengths are not secret, the contents are.
[[nodiscard]] bool constant_time_equal(std::string_view left, std::string_view right);

/// Overwrites the text in a way the compiler may not remove, then leaves it empty.
void wipe(std::string& secret);

}  // namespace pgsteady
