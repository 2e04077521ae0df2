// What a configuration that was loaded again changes: which keys differ, which of them can change while the proxy runs,
// and the settings that result. It decides nothing else and changes nothing. Pure; secrets are compared, never shown.
#pragma once

#include "config/config.hpp"

#include "admin/commands.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

struct reload_plan {
    config::settings next;                 ///< the new values of what can change, the values in use of everything else
    std::vector<admin::change> changes{};  ///< what `next` differs in
    std::vector<std::string> needs_restart{};  ///< keys whose new values wait for one
};

[[nodiscard]] reload_plan plan_reload(const config::settings& in_use, const config::settings& loaded);

/// Whether a key (as in config/keys.cpp, without the name of an entry) keeps its value until the process starts again.
[[nodiscard]] bool needs_restart(std::string_view path);

}  // namespace pgsteady
