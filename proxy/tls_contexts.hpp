// The TLS contexts that the configuration asks for: reads certificate and key files, at start-up alone.
#pragma once

#include "config/config.hpp"
#include "proxy/net/tls_context.hpp"

namespace pgsteady {

/// For clients. Without context and problems: TLS is not offered.
[[nodiscard]] net::tls_context_result client_tls_context(const config::client_tls_settings& from);
/// For servers. Without context and problems: sslmode is disable.
[[nodiscard]] net::tls_context_result server_tls_context(const config::server_tls_settings& from);

}  // namespace pgsteady
