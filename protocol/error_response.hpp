// ErrorResponse and NoticeResponse: parse the ones of a server, build our own. Must never fail on a
// missing field (P9) nor let text from outside forge further fields. Plain values; no state.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady {

/// Limits of what parse_error_fields keeps; the original bytes stay with the caller for forwarding.
inline constexpr std::size_t error_field_bytes_max = 16 * 1024;
inline constexpr std::size_t error_other_fields_max = 32;

/// The fields of an ErrorResponse or NoticeResponse (protocol: "Error and Notice Message Fields").
struct error_fields {
    std::string severity;                              ///< not localised ('V'), else 'S'
    std::string sqlstate;                              ///< 'C'; empty if the sender left it out
    std::string message;                               ///< 'M'
    std::string detail;                                ///< 'D'
    std::string hint;                                  ///< 'H'
    std::vector<std::pair<char, std::string>> others;  ///< all other codes, in order

    /// The session ends after this message (FATAL or PANIC).
    [[nodiscard]] bool is_fatal() const noexcept;

    bool operator==(const error_fields&) const = default;
};

/// A FATAL error of our own.
[[nodiscard]] error_fields fatal_error(std::string_view code, std::string message, std::string detail = {},
                                       std::string hint = {});
/// An ERROR of our own.
[[nodiscard]] error_fields plain_error(std::string_view code, std::string message, std::string detail = {},
                                       std::string hint = {});

/// Decodes the body of 'E' or 'N'. Missing fields stay empty; unknown ones go to `others`; values are cut
/// at error_field_bytes_max. False when the body is not a terminated list of fields: `out` then holds what
/// came before the damage.
[[nodiscard]] bool parse_error_fields(std::string_view body, error_fields& out);

/// Appends a whole ErrorResponse with S and V. An empty severity becomes ERROR, an empty SQLSTATE XX000.
void append_error_response(std::string& out, const error_fields& fields);
/// Appends a whole NoticeResponse with S and V. An empty severity becomes NOTICE, an empty SQLSTATE 00000.
void append_notice_response(std::string& out, const error_fields& fields);

}  // namespace pgsteady
