// The one description of every setting: path, kind, range, older variables, reason.
//
// Loading, the environment, --print-config, suggestions for unknown keys and the documentation are
// all derived from these rows; a setting that has no row does not exist. Constant data, no state.
#pragma once

#include "config/config.hpp"
#include "config/value.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace pgsteady::config {

/// One scalar (or list) key of the file.
struct key {
    std::string_view path;  // "listen.tls.mode"
    value_rule rule;
    std::string_view why;  // what it does and why it has its default; one or two sentences
    slot (*find)(settings&) = nullptr;
    slot (*find_policy)(policies&) = nullptr;     // set when the key may also stand under databases.NAME
    std::array<std::string_view, 2> variables{};  // older environment names; bare numbers are seconds there
};

/// One key of an entry of `databases` or `users`.
template <class Entry>
struct entry_key {
    std::string_view name;
    value_rule rule;
    std::string_view why;
    slot (*find)(Entry&) = nullptr;
};

/// A level of the file, with a sentence for readers: "listen", "listen.tls", …
struct section {
    std::string_view path;
    std::string_view why;
};

/// All keys, in the order of the file; the keys of a section stand together.
[[nodiscard]] std::span<const key> keys();
[[nodiscard]] std::span<const entry_key<database_settings>> database_keys();
[[nodiscard]] std::span<const entry_key<user_settings>> user_keys();
[[nodiscard]] std::span<const section> sections();

/// nullptr when there is no such key.
[[nodiscard]] const key* find_key(std::string_view path);
[[nodiscard]] bool is_section(std::string_view path);

/// "pool.max_overflow" -> "PGSTEADY_POOL__MAX_OVERFLOW" (D2).
[[nodiscard]] std::string variable_name(std::string_view path);

}  // namespace pgsteady::config
