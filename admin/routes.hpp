// The table of everything that the admin port answers, in one place: what a path is called, who may use it, who
// handles it. Nothing else knows a path.
#pragma once

#include "admin/router.hpp"

#include <span>

namespace pgsteady::admin {

[[nodiscard]] std::span<const route> all_routes();

}  // namespace pgsteady::admin
