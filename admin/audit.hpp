// What an order did as one line, for the log: the same whether it came over HTTP or the console.
#pragma once

#include "admin/commands.hpp"

#include <string>

namespace pgsteady::admin {

/// Sentences and changes, printable and bounded; empty when there was nothing to do.
[[nodiscard]] std::string audit_line(const outcome& from);

}  // namespace pgsteady::admin
