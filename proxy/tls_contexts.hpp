// The TLS contexts that the configuration asks for: reads certificate and key files, at start-up and on reload.
#pragma once

#include "config/config.hpp"
#include "proxy/net/tls_context.hpp"

namespace pgsteady {

/// For clients. Without context and problems: TLS is not offered.
[[nodiscard]] net::tls_context_result client_tls_context(const config::client_tls_settings& from);
/// For servers. Without context and problems: sslmode is disable.
[[nodiscard]] net::tls_context_result server_tls_context(const config::server_tls_settings& from);

/// Both, and everything that is wrong with either.
struct tls_context_pair {
    std::shared_ptr<const net::tls_context> clients;
    std::shared_ptr<const net::tls_context> servers;
    std::vector<std::string> problems;
};
[[nodiscard]] tls_context_pair tls_contexts(const config::settings& from);

}  // namespace pgsteady
