// See tls_contexts.hpp.
#include "proxy/tls_contexts.hpp"

#include <utility>

namespace pgsteady {

namespace {

net::tls_version version_of(config::tls_version version) {
    return version == config::tls_version::tls_1_3 ? net::tls_version::tls_1_3 : net::tls_version::tls_1_2;
}

}  // namespace

net::tls_context_result client_tls_context(const config::client_tls_settings& from) {
    if (!from.offered()) return {};
    net::tls_server_settings how;
    how.certificate_file = from.cert_file;
    how.key_file = from.key_file;
    how.ca_file = from.ca_file;
    if (from.mode == config::client_tls_mode::verify_full)
        how.clients = net::tls_server_settings::client_certificate::required;
    how.min_version = version_of(from.min_version);
    return net::tls_context::server(how);
}

net::tls_context_result server_tls_context(const config::server_tls_settings& from) {
    if (from.sslmode == config::server_tls_mode::disable) return {};
    net::tls_client_settings how;
    how.ca_file = from.ca_file;
    how.certificate_file = from.cert_file;
    how.key_file = from.key_file;
    how.min_version = version_of(from.min_version);
    if (from.sslmode == config::server_tls_mode::verify_ca) how.verify = net::tls_client_settings::verification::ca;
    if (from.sslmode == config::server_tls_mode::verify_full) how.verify = net::tls_client_settings::verification::full;
    return net::tls_context::client(how);
}

tls_context_pair tls_contexts(const config::settings& from) {
    net::tls_context_result clients = client_tls_context(from.listen.tls);
    net::tls_context_result servers = server_tls_context(from.backends.tls);
    tls_context_pair result{std::move(clients.context), std::move(servers.context), std::move(clients.problems)};
    result.problems.insert(result.problems.end(), servers.problems.begin(), servers.problems.end());
    return result;
}

}  // namespace pgsteady
