#include "protocol/scram_keys.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace pgsteady {

namespace {

const unsigned char* octets(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

bool fits_int(std::string_view bytes) {
    return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
}

struct mac_context_deleter {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }  // which wipes it
};
using mac_context = std::unique_ptr<EVP_MAC_CTX, mac_context_deleter>;

/// HMAC-SHA-256 without a key. libcrypto looks algorithms up by their names, under locks, which for a short text costs
/// more than the digest itself: once per process, and a copy per use.
mac_context new_hmac() {
    static const mac_context keyless = [] {
        EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, OSSL_MAC_NAME_HMAC, nullptr);
        mac_context made(EVP_MAC_CTX_new(hmac));
        EVP_MAC_free(hmac);  // the context holds it
        char digest[] = "SHA256";
        const OSSL_PARAM how[]{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                               OSSL_PARAM_construct_end()};
        if (made && EVP_MAC_CTX_set_params(made.get(), how) != 1) made.reset();
        return made;
    }();
    return mac_context(keyless ? EVP_MAC_CTX_dup(keyless.get()) : nullptr);
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
    const mac_context context = new_hmac();
    scram_key digest{};
    std::size_t size = 0;
    // A null key would mean "the key of last time" to libcrypto.
    const unsigned char* const key_start = key.empty() ? digest.data() : octets(key);
    if (!context || EVP_MAC_init(context.get(), key_start, key.size(), nullptr) != 1 ||
        EVP_MAC_update(context.get(), octets(bytes), bytes.size()) != 1 ||
        EVP_MAC_final(context.get(), digest.data(), &size, digest.size()) != 1 || size != digest.size())
        return std::nullopt;
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
