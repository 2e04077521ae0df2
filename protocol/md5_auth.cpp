#include "protocol/md5_auth.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace pgsteady {

namespace {

constexpr std::string_view prefix = "md5";
constexpr std::size_t digits = 32;

/// "md5" and the digest of `bytes` in hexadecimal; empty when libcrypto does not do MD5.
std::string prefixed_md5(std::string_view bytes) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_md5(), nullptr) != 1 || size * 2 != digits)
        return {};

    constexpr std::string_view hexadecimal = "0123456789abcdef";
    std::string text(prefix);
    for (std::size_t i = 0; i < size; ++i) {
        text += hexadecimal[digest[i] >> 4];
        text += hexadecimal[digest[i] & 15];
    }
    return text;
}

}  // namespace

bool is_md5_password_hash(std::string_view text) {
    if (text.size() != prefix.size() + digits || !text.starts_with(prefix)) return false;
    text.remove_prefix(prefix.size());
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string md5_password_hash(std::string_view user, std::string_view password) {
    return prefixed_md5(std::string(password).append(user));
}

std::string md5_response(std::string_view hash, std::string_view salt4) {
    if (!is_md5_password_hash(hash) || salt4.size() != 4) return {};
    return prefixed_md5(std::string(hash.substr(prefix.size())).append(salt4));
}

}  // namespace pgsteady
