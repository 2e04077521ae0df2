// The TLS contexts that the configuration asks for: reads certificate and key files, at start-up and on reload.
#pragma once

#include "config/config.hpp"

#include "proxy/net/tls_context.hpp"

namespace pgsteady {

/// For clients. `asks` them for a certificate, which they need not have. Without context and problems: TLS is not offered.
[[nodiscard]] net::tls_context_result client_tls_context(const config::client_tls_settings& from, bool asks);
/// For servers. Without context and problems: sslmode is disable.
[[nodiscard]] net::tls_context_result server_tls_context(const config::server_tls_settings& from);

/// For the admin port. Without context and problems: it speaks in clear.
[[nodiscard]] net::tls_context_result admin_tls_context(const config::admin_settings& from);

/// All, and everything that is wrong with any.
struct tls_context_set {
    std::shared_ptr<const net::tls_context> clients;
    std::shared_ptr<const net::tls_context> servers;
    std::shared_ptr<const net::tls_context> admin;
    std::vector<std::string> problems;
};
[[nodiscard]] tls_context_set tls_contexts(const config::settings& from);

}  // namespace pgsteady
