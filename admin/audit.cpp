#include "admin/audit.hpp"

#include "admin/printable.hpp"

#include <fmt/format.h>

namespace pgsteady::admin {

std::string audit_line(const outcome& from) {
    std::string result;
    const auto add = [&result](const std::string& part) {
        if (!result.empty()) result += "; ";
        result += printable(part, 200);
    };
    for (const std::string& each : from.did) add(each);
    for (const change& each : from.changes)
        add(fmt::format("{} {}: {} -> {}", each.where, each.what, each.before, each.after));
    return printable(result, 4000);
}

}  // namespace pgsteady::admin
