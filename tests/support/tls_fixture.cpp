// tls_fixture: see the header.
#include "tests/support/tls_fixture.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

#include <stdexcept>

namespace pgsteady::test {

namespace {

template <auto free_function>
struct freed_by {
    template <typename Object>
    void operator()(Object* object) const {
        free_function(object);
    }
};
using key_pointer = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using certificate_pointer = std::unique_ptr<X509, freed_by<X509_free>>;
using file_pointer = std::unique_ptr<FILE, freed_by<fclose>>;

void require(bool held, const char* what) {
    if (!held) throw std::runtime_error(std::string("tls_fixture: ") + what);
}

key_pointer make_key(tls_fixture::key_kind kind) {
    using key_kind = tls_fixture::key_kind;
    constexpr std::size_t rsa_bits = 2048;
    EVP_PKEY* key = nullptr;
    if (kind == key_kind::ec) key = EVP_EC_gen("P-256");
    if (kind == key_kind::rsa || kind == key_kind::rsa_pss) key = EVP_RSA_gen(rsa_bits);
    if (kind == key_kind::ed25519) key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    require(key != nullptr, "no key");
    return key_pointer(key);
}

void add_extension(X509* certificate, int nid, const std::string& value) {
    using extension_pointer = std::unique_ptr<X509_EXTENSION, freed_by<X509_EXTENSION_free>>;
    const extension_pointer extension(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
    require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "no extension");
}

certificate_pointer make_certificate(const std::string& name, EVP_PKEY* key, long serial, bool expired) {
    constexpr long day = 24 * 60 * 60;
    certificate_pointer certificate(X509_new());
    require(certificate != nullptr, "no certificate");
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * day);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), expired ? -day : day);
    X509_set_pubkey(certificate.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    return certificate;
}

void sign(X509* certificate, const X509* issuer, EVP_PKEY* key, bool with_pss) {
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    const std::unique_ptr<EVP_MD_CTX, freed_by<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
    const EVP_MD* const digest = EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
    EVP_PKEY_CTX* parameters = nullptr;
    require(EVP_DigestSignInit(context.get(), &parameters, digest, nullptr, key) == 1, "no signature");
    if (with_pss) EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING);
    require(X509_sign_ctx(certificate, context.get()) > 0, "no signature");
}

file_pointer create(const std::string& path) {
    file_pointer file(fopen(path.c_str(), "wx"));
    require(file != nullptr, "file not created");
    return file;
}

void write_certificate(const std::string& path, X509* certificate) {
    require(PEM_write_X509(create(path).get(), certificate) == 1, "certificate not written");
}

void write_key(const std::string& path, EVP_PKEY* key, const EVP_CIPHER* cipher = nullptr) {
    std::string pass_phrase = "for nobody";
    auto* const phrase = reinterpret_cast<unsigned char*>(pass_phrase.data());
    require(PEM_write_PrivateKey(create(path).get(), key, cipher, phrase, static_cast<int>(pass_phrase.size()), nullptr,
                                 nullptr) == 1,
            "key not written");
}

certificate_pointer make_authority(const std::string& name, EVP_PKEY* key) {
    certificate_pointer certificate = make_certificate(name, key, 1, false);
    add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    sign(certificate.get(), certificate.get(), key, false);
    return certificate;
}

}  // namespace

/// Signs the leaves.
struct tls_fixture::authority {
    key_pointer key;
    certificate_pointer certificate;
};

tls_fixture::tls_fixture() : authority_(std::make_unique<authority>()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "pgsteady-tls-XXXXXX").string();
    require(mkdtemp(pattern.data()) != nullptr, "no folder");
    folder_ = pattern;
    authority_->key = make_key(key_kind::ec);
    authority_->certificate = make_authority("pgsteady test CA", authority_->key.get());
    write_certificate(ca_file(), authority_->certificate.get());
    const key_pointer stranger = make_key(key_kind::ec);
    write_certificate(other_ca_file(), make_authority("another test CA", stranger.get()).get());
}

tls_fixture::~tls_fixture() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

tls_fixture::identity tls_fixture::issue(const request& wanted) {
    const long serial = ++serial_;
    const std::string stem = "leaf" + std::to_string(serial);
    const identity made{path(stem + ".pem"), path(stem + ".key")};
    const key_pointer key = make_key(wanted.key);
    const certificate_pointer certificate = make_certificate(wanted.common_name, key.get(), serial, wanted.expired);
    if (!wanted.alternative_names.empty()) {
        add_extension(certificate.get(), NID_subject_alt_name, wanted.alternative_names);
    }
    // Signatures that have no single hash (RSA-PSS, Ed25519) come from the issuer; here the leaf signs itself.
    const bool self_signed = wanted.key == key_kind::rsa_pss || wanted.key == key_kind::ed25519;
    sign(certificate.get(), self_signed ? certificate.get() : authority_->certificate.get(),
         self_signed ? key.get() : authority_->key.get(), wanted.key == key_kind::rsa_pss);
    write_certificate(made.certificate_file, certificate.get());
    write_key(made.key_file, key.get());
    return made;
}

std::string tls_fixture::encrypted_key(const identity& of) const {
    const std::string encrypted = of.key_file + ".encrypted";
    if (std::filesystem::exists(encrypted)) return encrypted;
    const file_pointer file(fopen(of.key_file.c_str(), "r"));
    require(file != nullptr, "key not found");
    const key_pointer key(PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr));
    require(key != nullptr, "key not read");
    write_key(encrypted, key.get(), EVP_aes_128_cbc());
    return encrypted;
}

}  // namespace pgsteady::test
