// What both sides of SCRAM-SHA-256 share: keys, verifiers and limits (RFC 5802, RFC 7677).
//
// Must never draw random numbers: nonces and salts are arguments. Nothing here is logged.
// Plain values; whoever holds one owns its bytes.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

using scram_key = std::array<unsigned char, 32>;

inline constexpr std::string_view scram_sha_256 = "SCRAM-SHA-256";
inline constexpr std::string_view scram_sha_256_plus = "SCRAM-SHA-256-PLUS";

/// No SCRAM message or attribute may be longer, on either side (P8, P9).
inline constexpr std::size_t max_scram_message_bytes = 4096;
/// Fewer nonce bytes than this are refused: PostgreSQL and libpq draw 18 (SCRAM_RAW_NONCE_LEN).
inline constexpr std::size_t min_scram_nonce_bytes = 18;
inline constexpr std::size_t max_scram_nonce_bytes = 256;

/// What a server stores about a password: enough to check a proof, not enough to make one.
struct scram_verifier {
    std::string salt;  // raw bytes, not base64
    int iterations = 0;
    scram_key stored_key{};
    scram_key server_key{};

    bool operator==(const scram_verifier&) const = default;
};

/// What signs in without the password, for exactly this salt and iteration count.
/// As good as the password towards any server that stores the same verifier: never log it.
struct scram_secret {
    scram_key client_key{};
    scram_key server_key{};
    std::string salt;  // raw bytes, not base64
    int iterations = 0;

    bool operator==(const scram_secret&) const = default;
};

enum class scram_status {
    more,    // the reply is to be sent, the other side speaks next
    done,    // the other side has proved itself
    failed,  // over; the problem text says why
};

/// Parses pg_authid.rolpassword: "SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>".
[[nodiscard]] std::optional<scram_verifier> parse_scram_verifier(std::string_view text);

/// The form of pg_authid, as PostgreSQL would print it.
[[nodiscard]] std::string format_scram_verifier(const scram_verifier& verifier);

/// The verifier of a password. Costs a PBKDF2: milliseconds, so off the hot threads (D40).
/// `iterations` is 1 or more. Should libcrypto fail, the result is one that no proof satisfies.
[[nodiscard]] scram_verifier make_scram_verifier(std::string_view password, std::string_view salt, int iterations);

/// For users that do not exist: looks like a verifier, with a salt that stays the same for each
/// user as long as `server_secret` does, and no proof satisfies it (P13).
[[nodiscard]] scram_verifier mock_scram_verifier(std::string_view user, std::string_view server_secret, int iterations);

/// Keys from a password: SASLprep, then PBKDF2. Milliseconds (D40); empty when libcrypto fails
/// or `iterations` is below 1.
[[nodiscard]] std::optional<scram_secret> derive_scram_secret(std::string_view password, std::string_view salt,
                                                              int iterations);

}  // namespace pgsteady
