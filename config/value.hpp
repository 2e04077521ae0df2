// Text to typed value and back, for every kind of setting: durations, sizes, counts, lists, choices.
//
// Pure; input is hostile (bounded, no exceptions, no overflow). Knows kinds, not keys: which key has
// which kind and range is the table of config/keys.cpp.
#pragma once

#include "config/config.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgsteady::config {

/// An enum with std::uint8_t beneath it; its spellings are value_rule::choices.
struct choice_slot {
    std::uint8_t* value;
};

/// Where a value lives inside a settings object. Valid as long as that object.
using slot = std::variant<bool*, std::uint16_t*, std::uint32_t*, std::uint64_t*, double*, milliseconds*, std::string*,
                          std::vector<host_port>*, std::vector<std::string>*, choice_slot,
                          std::optional<std::uint32_t>*, std::optional<milliseconds>*, std::optional<pool_mode>*>;

enum class value_kind : std::uint8_t {
    flag,      // true, false (yes, no, on, off, 1, 0)
    count,     // 20
    port,      // 0 to 65535
    size,      // 64KiB, 1MiB; bytes
    duration,  // 250ms, 30s, 10min, 1h, 7d
    percent,   // 10%; held as a share
    factor,    // 2.0
    text,
    hosts,   // host[:port][,host[:port]…]
    names,   // a, b, c
    choice,  // one of value_rule::choices
};

/// What a value may be. The bounds count in the kind's own unit: milliseconds, bytes, percent; and
/// for text, characters. A duration may also be 0 (off).
struct value_rule {
    value_kind kind = value_kind::text;
    double min = 0;
    double max = std::numeric_limits<double>::max();
    std::span<const std::string_view> choices{};
    bool secret = false;
};

/// Whether a bare number is a duration: in old variables it means seconds, elsewhere it is refused.
enum class bare_number : std::uint8_t { refused, seconds };

struct value_problem {
    std::string message;
    std::string suggestion;
};

/// Parses `text` into `where`. On a problem `where` is unchanged. Hosts written without a port get
/// port 0 (the caller knows the default).
[[nodiscard]] std::optional<value_problem> assign(const slot& where, const value_rule& rule, std::string_view text,
                                                  bare_number numbers = bare_number::refused);

/// The same for a YAML sequence: only hosts and names can be lists.
[[nodiscard]] std::optional<value_problem> assign_list(const slot& where, const value_rule& rule,
                                                       const std::vector<std::string>& items);

/// Canonical text, as `assign` reads it: 3600 s is "1h", lists are joined by commas, a choice is its
/// spelling. Secrets are returned as they are: the caller hides them.
[[nodiscard]] std::string format(const slot& where, const value_rule& rule);

/// The same as YAML: text quoted where needed, lists in brackets.
[[nodiscard]] std::string format_yaml(const slot& where, const value_rule& rule);

/// A YAML scalar that reads back as `text`, quoted only where it must be.
[[nodiscard]] std::string quote_yaml(std::string_view text);

[[nodiscard]] std::string format_duration(milliseconds value);
[[nodiscard]] std::string format_size(std::uint64_t bytes);
[[nodiscard]] std::string format_host(const host_port& address);

/// "1 to 100000", "1ms to 30d, or 0 for off", "session, transaction, statement"; empty for text.
[[nodiscard]] std::string describe_range(const value_rule& rule);

/// "duration", "size", … for documentation and messages.
[[nodiscard]] std::string_view kind_name(value_kind kind);

}  // namespace pgsteady::config
