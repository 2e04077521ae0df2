// Base64 (RFC 4648 section 4) for SCRAM: strict and canonical.
//
// Must never accept two spellings of one value: white space, missing padding and non-zero
// trailing bits are refused, so that no changed byte of a signed message goes unnoticed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// Padded base64 of `bytes`, without line breaks.
[[nodiscard]] std::string base64_encode(std::string_view bytes);

/// The bytes behind `text`, or nothing unless `text` is exactly what `base64_encode` would give.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

}  // namespace pgsteady
