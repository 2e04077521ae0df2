// PostgreSQL's md5 sign-in: AuthenticationMD5Password and its answer (protocol, "Start-up").
//
// Must never be offered where SCRAM will do: who knows the stored hash can sign in with it.
#pragma once

#include <string>
#include <string_view>

namespace pgsteady {

/// What pg_authid stores: "md5" followed by md5(password user) in 32 hexadecimal digits.
/// Empty when libcrypto refuses MD5 (FIPS mode).
[[nodiscard]] std::string md5_password_hash(std::string_view user, std::string_view password);

/// What a client sends in PasswordMessage: "md5" and md5(32 digits, salt).
/// `hash` is the form of pg_authid, `salt4` the four bytes of the server.
/// Empty when an input has another shape or libcrypto refuses MD5. An empty answer must be treated
/// as a failure and never be compared with one from outside.
[[nodiscard]] std::string md5_response(std::string_view hash, std::string_view salt4);

/// Whether this is the md5 form of pg_authid: "md5" and 32 lower-case hexadecimal digits.
[[nodiscard]] bool is_md5_password_hash(std::string_view text);

}  // namespace pgsteady
