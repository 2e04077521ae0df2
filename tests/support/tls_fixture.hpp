// tls_fixture: certificate authorities and certificates made for one test run, as PEM files in a folder of its own.
// Keys never leave that folder, which dies with the fixture. Owned by the test.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace pgsteady::test {

class tls_fixture {
public:
    enum class key_kind { ec, rsa, rsa_pss, ed25519 };
    struct identity {
        std::string certificate_file;
        std::string key_file;
    };
    struct request {
        std::string common_name = "localhost";
        std::string alternative_names = "DNS:localhost,IP:127.0.0.1";  ///< OpenSSL's notation; may be empty
        key_kind key = key_kind::ec;
        bool expired = false;
    };

    /// Throws std::runtime_error if OpenSSL or the file system fails.
    tls_fixture();
    ~tls_fixture();
    tls_fixture(const tls_fixture&) = delete;
    tls_fixture& operator=(const tls_fixture&) = delete;

    /// A new leaf, signed by the authority of ca_file().
    [[nodiscard]] identity issue(const request& wanted);
    [[nodiscard]] identity issue() { return issue(request{}); }
    [[nodiscard]] std::string ca_file() const { return path("ca.pem"); }
    /// An authority that has signed nothing here.
    [[nodiscard]] std::string other_ca_file() const { return path("other_ca.pem"); }
    /// The key of `of`, encrypted with a pass phrase.
    [[nodiscard]] std::string encrypted_key(const identity& of) const;
    [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }

private:
    struct authority;
    std::filesystem::path folder_;
    std::unique_ptr<authority> authority_;
    long serial_ = 1;
};

}  // namespace pgsteady::test
