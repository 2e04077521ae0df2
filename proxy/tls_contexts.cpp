// See tls_contexts.hpp.
#include "proxy/tls_contexts.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

net::tls_version version_of(config::tls_version version) {
    return version == config::tls_version::tls_1_3 ? net::tls_version::tls_1_3 : net::tls_version::tls_1_2;
}

}  // namespace

/// `asks`: some rule wants to see a certificate; whoever has none may be let in by another.
net::tls_context_result client_tls_context(const config::client_tls_settings& from, bool asks) {
    if (!from.offered()) return {};
    net::tls_server_settings how;
    how.postgresql = true;
    how.certificate_file = from.cert_file;
    how.key_file = from.key_file;
    how.ca_file = from.ca_file;
    if (asks) how.clients = net::tls_server_settings::client_certificate::optional;
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
    how.postgresql = from.negotiation == config::tls_negotiation::direct;
    if (from.sslmode == config::server_tls_mode::verify_ca) how.verify = net::tls_client_settings::verification::ca;
    if (from.sslmode == config::server_tls_mode::verify_full) how.verify = net::tls_client_settings::verification::full;
    return net::tls_context::client(how);
}

net::tls_context_result admin_tls_context(const config::admin_settings& from) {
    if (!from.enabled || from.tls.cert_file.empty()) return {};
    net::tls_server_settings how;
    how.certificate_file = from.tls.cert_file;
    how.key_file = from.tls.key_file;
    return net::tls_context::server(how);
}

tls_context_set tls_contexts(const config::settings& from) {
    const bool asks = std::ranges::any_of(
        from.auth.hba, [](const auto& each) { return each.shows != config::hba_rule::certificate::none; });
    net::tls_context_result clients = client_tls_context(from.listen.tls, asks);
    net::tls_context_result servers = server_tls_context(from.backends.tls);
    net::tls_context_result admin = admin_tls_context(from.admin);
    tls_context_set result{std::move(clients.context), std::move(servers.context), std::move(admin.context),
                           std::move(clients.problems)};
    for (const auto* each : {&servers.problems, &admin.problems})
        result.problems.insert(result.problems.end(), each->begin(), each->end());
    return result;
}

}  // namespace pgsteady
