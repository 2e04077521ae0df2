// The log: one line per event, as text or JSON, limited in lines per second and kind of event.
// The only place that knows spdlog. Never given a secret. Thread-safe.
#pragma once

#include "config/config.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace pgsteady::log {

/// At the start, and when the configuration has changed.
void set_up(const config::log_settings& settings);

/// From now on, until set_up() is called again.
void set_level(config::log_level level);

/// Whether lines of this level are written at all.
[[nodiscard]] bool wanted(config::log_level level);
/// Writes one line, unless more than the allowed number with the same format came this second; how many were left
/// out is told when there is room again.
void write(config::log_level level, std::string_view kind, std::string line);

template <typename... Parts>
void line(config::log_level level, fmt::format_string<Parts...> text, Parts&&... parts) {
    if (!wanted(level)) return;
    const fmt::string_view form = text;
    write(level, {form.data(), form.size()}, fmt::format(text, std::forward<Parts>(parts)...));
}
template <typename... Parts>
void debug(fmt::format_string<Parts...> text, Parts&&... parts) {
    line(config::log_level::debug, text, std::forward<Parts>(parts)...);
}
template <typename... Parts>
void info(fmt::format_string<Parts...> text, Parts&&... parts) {
    line(config::log_level::info, text, std::forward<Parts>(parts)...);
}
template <typename... Parts>
void warning(fmt::format_string<Parts...> text, Parts&&... parts) {
    line(config::log_level::warning, text, std::forward<Parts>(parts)...);
}
template <typename... Parts>
void error(fmt::format_string<Parts...> text, Parts&&... parts) {
    line(config::log_level::error, text, std::forward<Parts>(parts)...);
}

}  // namespace pgsteady::log
