// See certificate.hpp.
#include "proxy/net/certificate.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <ctime>
#include <memory>

namespace pgsteady::net {
namespace {

struct deleter {
    void operator()(BIO* file) const { BIO_free(file); }
    void operator()(X509* certificate) const { X509_free(certificate); }
};

/// PEM files may be encrypted; nobody is asked.
int no_pass_phrase(char*, int, int, void*) { return 0; }

}  // namespace

std::optional<certificate_facts> read_certificate(const std::string& file) {
    const std::unique_ptr<BIO, deleter> in(BIO_new_file(file.c_str(), "r"));
    if (in == nullptr) return std::nullopt;
    const std::unique_ptr<X509, deleter> found(PEM_read_bio_X509(in.get(), nullptr, no_pass_phrase, nullptr));
    if (found == nullptr) return std::nullopt;
    std::tm when{};
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(found.get()), &when) != 1 ||
        X509_digest(found.get(), EVP_sha256(), digest.data(), &length) != 1)
        return std::nullopt;
    certificate_facts result;
    result.expires = std::chrono::system_clock::from_time_t(::timegm(&when));
    constexpr char digits[] = "0123456789abcdef";
    for (unsigned at = 0; at < length; ++at) {
        result.fingerprint += digits[digest[at] >> 4];
        result.fingerprint += digits[digest[at] & 15];
    }
    return result;
}

}  // namespace pgsteady::net
