// The console's language: what an operator types into psql, taken apart into commands. A small tokenizer and one row per
// verb; no SQL. Pure, never reads beyond the text, and bounded: the text by whoever receives it, the commands here.
#pragma once

#include "protocol/error_response.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

enum class console_verb : std::uint8_t {
    show,
    pause,
    resume,
    reconnect,
    kill,
    kill_client,
    disable,
    enable,
    reload,
    shutdown,
    suspend,
    wait_close,
    set,
};

struct console_command {
    console_verb verb = console_verb::show;
    /// SHOW: the table in capitals; SET: the key; SHUTDOWN: how, in capitals; else a database, a pool or a client's number.
    /// Empty: all, or not said.
    std::string target{};
    std::string value{};  ///< SET

    bool operator==(const console_command&) const = default;
};

/// A whole text. As in PostgreSQL, nothing of it is carried out if any part of it cannot be read.
struct console_script {
    std::vector<console_command> commands{};  ///< empty: there was nothing but blanks and comments
    std::optional<error_fields> error{};      ///< 42601 with the position, or 54000
};

/// Commands of one text; more are refused.
inline constexpr std::size_t console_commands_max = 16;

/// Words are case-insensitive, names are taken as they are written: plain, in double quotes or in single ones.
[[nodiscard]] console_script parse_console_text(std::string_view text);

/// "PAUSE", for tags, logs and errors.
[[nodiscard]] std::string_view to_string(console_verb verb);
/// Everything but looking needs an admin user (D37).
[[nodiscard]] bool changes_something(const console_command& command);
/// The command as one line of text, for logs; hostile text in it is made printable.
[[nodiscard]] std::string describe(const console_command& command);

/// What was typed in capitals (ASCII only).
[[nodiscard]] std::string in_capitals(std::string_view text);

}  // namespace pgsteady
