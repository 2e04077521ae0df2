// tls_context: certificates, keys and rules for TLS connections of one kind. Immutable and shared: a reload makes a
// new context, and connections keep the one they began with (P15). TLS 1.2 or newer; no renegotiation, compression,
// session cache or tickets. It must never prompt for a pass phrase and never put key material into an error text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct ssl_ctx_st;

namespace pgsteady::net {

enum class tls_version : std::uint8_t { tls_1_2, tls_1_3 };

struct tls_server_settings {
    enum class client_certificate : std::uint8_t { ignore, optional, required };

    std::string certificate_file{};  ///< PEM, leaf first, then the chain
    std::string key_file{};          ///< PEM, not encrypted
    std::string ca_file{};           ///< PEM; who may issue client certificates
    client_certificate clients = client_certificate::ignore;
    bool postgresql = false;  ///< of the protocols that a client names (ALPN), it has to be that
    tls_version min_version = tls_version::tls_1_2;
};

struct tls_client_settings {
    enum class verification : std::uint8_t {
        none,  ///< encrypts only (sslmode prefer, require)
        ca,    ///< the chain (verify-ca)
        full,  ///< the chain and the name dialled (verify-full)
    };

    verification verify = verification::none;
    std::string ca_file{};           ///< PEM; empty with `ca` or `full`: the system's store
    std::string certificate_file{};  ///< optional client certificate, with key_file
    std::string key_file{};
    bool postgresql = false;  ///< names that protocol (ALPN)
    tls_version min_version = tls_version::tls_1_2;
};

struct tls_context_result;

class tls_context {
public:
    /// Both read their files now and report every problem found, not only the first.
    [[nodiscard]] static tls_context_result server(const tls_server_settings& settings);
    [[nodiscard]] static tls_context_result client(const tls_client_settings& settings);

    [[nodiscard]] bool is_server() const { return is_server_; }
    [[nodiscard]] bool verifies_peer() const { return verifies_peer_; }
    /// Whether the name given to start_tls_client() is checked against the certificate.
    [[nodiscard]] bool verifies_host() const { return verifies_host_; }
    /// For tls_engine, and the admin port: HTTP has a TLS stream of its own.
    [[nodiscard]] ssl_ctx_st* native() const { return context_.get(); }

private:
    struct deleter {
        void operator()(ssl_ctx_st* context) const;
    };
    tls_context() = default;

    std::unique_ptr<ssl_ctx_st, deleter> context_;
    bool is_server_ = false;
    bool verifies_peer_ = false;
    bool verifies_host_ = false;
};

/// `context` is set exactly when `problems` is empty.
struct tls_context_result {
    std::shared_ptr<const tls_context> context;
    std::vector<std::string> problems;
};

}  // namespace pgsteady::net
