#include "protocol/scram_keys.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <limits>

namespace pgsteady {

namespace {

const unsigned char* octets(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

bool fits_int(std::string_view bytes) {
    return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

}  // namespace

std::string_view as_bytes(const scram_key& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

std::optional<scram_key> as_key(std::string_view bytes) {
    scram_key key{};
    if (bytes.size() != key.size()) return std::nullopt;
    std::copy_n(octets(bytes), key.size(), key.begin());
    return key;
}

std::optional<scram_key> sha256(std::string_view bytes) {
    scram_key digest{};
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) return std::nullopt;
    return digest;
}

std::optional<scram_key> hmac_sha256(std::string_view key, std::string_view bytes) {
    if (!fits_int(key)) return std::nullopt;
    scram_key digest{};
    unsigned int size = 0;
    // A null key would mean "the key of last time" to libcrypto.
    const char* const key_start = key.empty() ? "" : key.data();
    const auto* const made =
        HMAC(EVP_sha256(), key_start, static_cast<int>(key.size()), octets(bytes), bytes.size(), digest.data(), &size);
    if (made == nullptr || size != digest.size()) return std::nullopt;
    return digest;
}

std::optional<scram_key> salted_password(std::string_view prepared, std::string_view salt, int iterations) {
    if (iterations < 1 || !fits_int(prepared) || !fits_int(salt)) return std::nullopt;
    scram_key derived{};
    const char* const password_start = prepared.empty() ? "" : prepared.data();
    const int made = PKCS5_PBKDF2_HMAC(password_start, static_cast<int>(prepared.size()), octets(salt),
                                       static_cast<int>(salt.size()), iterations, EVP_sha256(),
                                       static_cast<int>(derived.size()), derived.data());
    if (made != 1) return std::nullopt;
    return derived;
}

scram_key exclusive_or(const scram_key& left, const scram_key& right) {
    scram_key result{};
    std::transform(left.begin(), left.end(), right.begin(), result.begin(),
                   [](unsigned char a, unsigned char b) { return static_cast<unsigned char>(a ^ b); });
    return result;
}

}  // namespace pgsteady
