// What is told of certificate files: the test's own certificate, and everything that is none.
#include "proxy/net/certificate.hpp"

#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

using namespace pgsteady;

namespace {

/// A self-signed certificate that is valid for so many seconds from now, in a file of its own.
std::string certificate_file(long seconds, const std::string& name) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* made = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), seconds);
    X509_set_pubkey(made, key);
    X509_sign(made, key, EVP_sha256());
    const std::string path = std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()) + ".pem");
    std::FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, made);
    std::fclose(file);
    X509_free(made);
    EVP_PKEY_free(key);
    return path;
}

}  // namespace

TEST_CASE("The expiry of a certificate is read, and another certificate has another fingerprint") {
    const std::string one = certificate_file(86'400, "one");
    const std::string other = certificate_file(-30, "other");
    const auto now = std::chrono::system_clock::now();
    const auto first = net::read_certificate(one);
    const auto second = net::read_certificate(other);
    REQUIRE(first);
    REQUIRE(second);
    CHECK(std::chrono::abs(first->expires - now - std::chrono::hours(24)) < std::chrono::minutes(1));
    CHECK(second->expires < now);
    CHECK(first->fingerprint.size() == 64);
    CHECK(first->fingerprint != second->fingerprint);
    CHECK(net::read_certificate(one)->fingerprint == first->fingerprint);
    std::filesystem::remove(one);
    std::filesystem::remove(other);
}

TEST_CASE("A file that is missing or holds no certificate tells nothing") {
    CHECK_FALSE(net::read_certificate("/nonexistent/file.pem"));
    const std::string path = std::filesystem::temp_directory_path() / ("none" + std::to_string(::getpid()) + ".pem");
    std::ofstream(path) << "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
    CHECK_FALSE(net::read_certificate(path));
    std::filesystem::remove(path);
}
