// The cryptography of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677): hash, HMAC, proofs.
//
// Must never invent a result when libcrypto fails: every function then returns nothing.
// Internal to protocol/scram_*.
#pragma once

#include "protocol/scram_common.hpp"

#include <optional>
#include <string_view>

namespace pgsteady {

/// The bytes of a key, as a view valid as long as the key.
[[nodiscard]] std::string_view as_bytes(const scram_key& key);

/// A key from exactly 32 bytes.
[[nodiscard]] std::optional<scram_key> as_key(std::string_view bytes);

[[nodiscard]] std::optional<scram_key> sha256(std::string_view bytes);
[[nodiscard]] std::optional<scram_key> hmac_sha256(std::string_view key, std::string_view bytes);

/// SaltedPassword: PBKDF2 of a password that has been prepared already.
[[nodiscard]] std::optional<scram_key> salted_password(std::string_view prepared, std::string_view salt,
                                                       int iterations);

/// Byte-wise: a proof from key and signature, or the key from proof and signature.
[[nodiscard]] scram_key exclusive_or(const scram_key& left, const scram_key& right);

}  // namespace pgsteady
