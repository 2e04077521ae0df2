// SASLprep (RFC 4013) of passwords, with PostgreSQL's fallback (src/common/saslprep.c).
//
// Must never fail: a password that cannot be prepared is used as the bytes it is, so that
// passwords in other encodings than UTF-8 work as they do against PostgreSQL.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pgsteady {

/// Longer passwords are not prepared. Preparation is quadratic at worst, and the password may
/// come from a client that has not signed in yet (D38).
inline constexpr std::size_t max_prepared_password_bytes = 4096;

/// The prepared password; the same bytes when they are ASCII, not UTF-8, too long, or hold what
/// SASLprep prohibits. Differs from PostgreSQL where Unicode corrected NFKC after 3.2: for the five
/// ideographs of Corrigendum 4, and for conjoining Hangul with a combining mark inside a syllable.
[[nodiscard]] std::string saslprep_or_raw(std::string_view password);

}  // namespace pgsteady
