// The text form of SCRAM messages: attributes separated by commas (RFC 5802 section 7).
//
// Must never read past a view or keep one. Internal to protocol/scram_*.
#pragma once

#include "protocol/scram_common.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// Walks over "r=abc,s=def": each call takes one attribute and the comma behind it.
/// Views are into the message and live as long as it does.
class scram_attributes {
public:
    explicit scram_attributes(std::string_view message) : rest_(message) {}

    /// The value of the next attribute if its name is `name`; otherwise nothing is taken.
    [[nodiscard]] std::optional<std::string_view> take(char name);

    /// Skips attributes of any name, as RFC 5802 asks for unknown extensions, up to the end or up
    /// to one named `stop` (0: none). False when one is malformed or mandatory ("m=").
    [[nodiscard]] bool skip_extensions(char stop = '\0');

    [[nodiscard]] bool at_end() const { return ended_; }
    [[nodiscard]] bool next_is(char name) const;
    [[nodiscard]] std::string_view rest() const { return rest_; }

private:
    void take_first(std::size_t length);

    std::string_view rest_;
    bool ended_ = rest_.empty();  // differs from an empty rest after a comma that nothing follows
};

/// Whether a message may be looked at: neither empty nor too long (P8, P9), and without a zero
/// byte, which would end it early for PostgreSQL.
[[nodiscard]] bool is_scram_message(std::string_view message);

/// "printable" of RFC 5802: visible ASCII without the comma, at least one.
[[nodiscard]] bool is_scram_printable(std::string_view text);

/// The text of a nonce from what the settings hold; nothing if that is too short or too long.
[[nodiscard]] std::optional<std::string> printable_nonce(std::string_view bytes);

/// A decimal number from 1, without sign or leading zero.
[[nodiscard]] std::optional<int> parse_iterations(std::string_view text);

}  // namespace pgsteady
