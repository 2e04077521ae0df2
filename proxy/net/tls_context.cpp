// tls_context: see the header. All that OpenSSL lets be decided once per kind of connection is decided here.
#include "proxy/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/ssl.h>

namespace pgsteady::net {

namespace {

using problem_list = std::vector<std::string>;

/// Takes OpenSSL's oldest queued error, which names the root cause, and forgets the rest.
std::string last_problem() {
    const unsigned long code = ERR_peek_error();
    ERR_clear_error();
    if (ERR_GET_LIB(code) == ERR_LIB_SYS) return std::generic_category().message(ERR_GET_REASON(code));
    const char* reason = ERR_reason_error_string(code);
    return reason != nullptr ? reason : "unknown TLS error";
}

/// A pooler has no terminal to ask at: an encrypted key is a problem to report, never a prompt.
int refuse_to_ask(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

void apply_rules(SSL_CTX* context, tls_version min_version) {
    SSL_CTX_set_min_proto_version(context, min_version == tls_version::tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    // Tickets and caches would make sessions resumable across reloads of certificates, and cost memory for nothing:
    // connections to a pooler live long.
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context,
                     SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

void load_identity(SSL_CTX* context, const std::string& certificate, const std::string& key, problem_list& problems) {
    const bool loaded = SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) == 1;
    if (!loaded) problems.push_back("certificate file \"" + certificate + "\": " + last_problem());

    bool asked = false;
    SSL_CTX_set_default_passwd_cb(context, refuse_to_ask);
    SSL_CTX_set_default_passwd_cb_userdata(context, &asked);
    const bool has_key = SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
    if (has_key) return;

    // With a certificate loaded first, OpenSSL compares the key with it while loading.
    const std::string reason = last_problem();
    problems.push_back("private key file \"" + key +
                       "\": " + (asked ? "is encrypted; give it without pass phrase" : reason));
}

void load_authorities(SSL_CTX* context, const std::string& file, problem_list& problems) {
    if (SSL_CTX_load_verify_file(context, file.c_str()) != 1) {
        problems.push_back("CA file \"" + file + "\": " + last_problem());
    }
}

void require_pair(const std::string& certificate, const std::string& key, problem_list& problems) {
    if (certificate.empty()) problems.emplace_back("a private key is given without its certificate");
    if (key.empty()) problems.emplace_back("a certificate is given without its private key");
}

constexpr std::string_view postgresql_protocol("\x0apostgresql", 11);

/// As PostgreSQL 17: who names protocols and not this one speaks something else.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
    unsigned char* found = nullptr;
    const int verdict =
        SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(postgresql_protocol.data()),
                              static_cast<unsigned int>(postgresql_protocol.size()), offered, offered_size);
    if (verdict != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

}  // namespace

void tls_context::deleter::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

tls_context_result tls_context::server(const tls_server_settings& settings) {
    using clients = tls_server_settings::client_certificate;
    problem_list problems;
    std::shared_ptr<tls_context> made(new tls_context);
    made->is_server_ = true;
    made->context_.reset(SSL_CTX_new(TLS_server_method()));
    if (!made->context_) return {nullptr, {last_problem()}};

    SSL_CTX* const context = made->native();
    apply_rules(context, settings.min_version);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (settings.postgresql) SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    if (settings.certificate_file.empty()) problems.emplace_back("no certificate file is given");
    if (settings.key_file.empty()) problems.emplace_back("no private key file is given");
    if (problems.empty()) load_identity(context, settings.certificate_file, settings.key_file, problems);

    if (!settings.ca_file.empty()) {
        load_authorities(context, settings.ca_file, problems);
        // Tells clients with several certificates which one to send.
        SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(settings.ca_file.c_str()));
        ERR_clear_error();
    }
    if (settings.clients != clients::ignore) {
        if (settings.ca_file.empty()) problems.emplace_back("client certificates are wanted but no CA file is given");
        const int required = settings.clients == clients::required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
        made->verifies_peer_ = true;
    }
    if (!problems.empty()) return {nullptr, std::move(problems)};
    return {std::move(made), {}};
}

tls_context_result tls_context::client(const tls_client_settings& settings) {
    using verification = tls_client_settings::verification;
    problem_list problems;
    std::shared_ptr<tls_context> made(new tls_context);
    made->context_.reset(SSL_CTX_new(TLS_client_method()));
    if (!made->context_) return {nullptr, {last_problem()}};

    SSL_CTX* const context = made->native();
    apply_rules(context, settings.min_version);
    if (!settings.certificate_file.empty() || !settings.key_file.empty()) {
        require_pair(settings.certificate_file, settings.key_file, problems);
        if (problems.empty()) load_identity(context, settings.certificate_file, settings.key_file, problems);
    }
    if (settings.postgresql &&
        SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(postgresql_protocol.data()),
                                static_cast<unsigned int>(postgresql_protocol.size())) != 0)
        problems.push_back(last_problem());
    made->verifies_peer_ = settings.verify != verification::none;
    made->verifies_host_ = settings.verify == verification::full;
    if (made->verifies_peer_) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        if (!settings.ca_file.empty()) {
            load_authorities(context, settings.ca_file, problems);
        } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
            problems.push_back("the system's certificate store: " + last_problem());
        }
    }
    if (!problems.empty()) return {nullptr, std::move(problems)};
    return {std::move(made), {}};
}

}  // namespace pgsteady::net
