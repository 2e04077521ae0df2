// tls_engine on OpenSSL with a BIO of our own: see the header.
#include "proxy/net/tls_engine.hpp"

#include "proxy/net/io_result.hpp"
#include "proxy/net/socket_address.hpp"
#include "proxy/net/tls_context.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace pgsteady::net {

namespace {

/// Where ciphertext is produced. One per thread, empty between uses of any engine, so that a connection whose peer
/// reads keeps no buffer of its own.
std::string& output_scratch() {
    thread_local std::string scratch;
    return scratch;
}

void free_memory(std::string& text) { std::string().swap(text); }

/// Takes the cause out of OpenSSL's queue as static text.
const char* take_reason() {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason != nullptr ? reason : "TLS failure";
}

using certificate = std::unique_ptr<X509, decltype(&X509_free)>;

}  // namespace

/// The memory below OpenSSL: reads from the engine's input view, appends to its output.
struct engine_bio {
    static tls_engine& owner(BIO* bio) { return *static_cast<tls_engine*>(BIO_get_data(bio)); }

    static int read(BIO* bio, char* into, std::size_t size, std::size_t* bytes) {
        std::string_view& input = owner(bio).input_;
        BIO_clear_retry_flags(bio);
        *bytes = std::min(size, input.size());
        if (*bytes == 0) {
            if (!owner(bio).input_ended_) BIO_set_retry_read(bio);
            return 0;
        }
        std::memcpy(into, input.data(), *bytes);
        input.remove_prefix(*bytes);
        return 1;
    }

    static int write(BIO* bio, const char* from, std::size_t size, std::size_t* bytes) {
        BIO_clear_retry_flags(bio);
        tls_engine& engine = owner(bio);
        std::string& output = engine.kept_output_.empty() ? output_scratch() : engine.kept_output_;
        output.append(from, size);
        *bytes = size;
        return 1;
    }

    static long control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
        if (command == BIO_CTRL_EOF) return owner(bio).input_ended_ && owner(bio).input_.empty() ? 1 : 0;
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    static const BIO_METHOD* method() {
        static const BIO_METHOD* const made = [] {
            BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgsteady");
            if (method == nullptr) return method;
            BIO_meth_set_read_ex(method, read);
            BIO_meth_set_write_ex(method, write);
            BIO_meth_set_ctrl(method, control);
            return method;
        }();
        return made;
    }

    static BIO* make(tls_engine& engine) {
        BIO* bio = method() != nullptr ? BIO_new(method()) : nullptr;
        if (bio == nullptr) return nullptr;
        BIO_set_data(bio, &engine);
        BIO_set_init(bio, 1);
        return bio;
    }
};

void tls_engine::ssl_deleter::operator()(ssl_st* ssl) const { SSL_free(ssl); }

tls_engine::~tls_engine() = default;

std::unique_ptr<tls_engine> tls_engine::make(const tls_context& context, const std::string& host,
                                             std::string& problem) {
    ERR_clear_error();
    SSL* const ssl = SSL_new(context.native());
    if (ssl == nullptr) {
        problem = take_reason();
        return nullptr;
    }
    std::unique_ptr<tls_engine> engine(new tls_engine(ssl));
    BIO* const bio = engine_bio::make(*engine);
    if (bio == nullptr) {
        problem = take_reason();
        return nullptr;
    }
    SSL_set_bio(ssl, bio, bio);
    engine->is_server_ = context.is_server();
    if (context.is_server()) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        if (!engine->prepare_client(context, host, problem)) return nullptr;
    }
    return engine;
}

bool tls_engine::prepare_client(const tls_context& context, const std::string& host, std::string& problem) {
    const bool is_name = !host.empty() && !socket_address::numeric(host, 0);
    // RFC 6066: SNI carries names only, never addresses.
    if (is_name && SSL_set_tlsext_host_name(ssl_.get(), host.c_str()) != 1) {
        problem = "host name cannot be sent as SNI: " + std::string(take_reason());
        return false;
    }
    if (!context.verifies_host()) return true;
    X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl_.get());
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    // An empty name would switch the check off: refuse it.
    const bool accepted = !host.empty() && (is_name ? X509_VERIFY_PARAM_set1_host(rules, host.c_str(), 0) == 1
                                                    : X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1);
    if (!accepted) problem = "host cannot be verified against a certificate: \"" + host + "\"";
    return accepted;
}

tls_engine::outcome tls_engine::handshake() {
    if (state_ == state::failed) return outcome::failed;
    ERR_clear_error();
    const outcome how = judge(SSL_do_handshake(ssl_.get()));
    handshake_done_ = how == outcome::done;
    // A close_notify before the handshake is complete is no orderly end of anything.
    if (how != outcome::closed) return how;
    state_ = state::failed;
    problem_ = "peer closed the connection during the TLS handshake";
    return outcome::failed;
}

tls_engine::outcome tls_engine::read(std::span<char> into, std::size_t& bytes) {
    bytes = 0;
    if (state_ == state::closed) return outcome::closed;
    if (state_ == state::failed) return outcome::failed;
    ERR_clear_error();
    return judge(SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes));
}

bool tls_engine::write(std::string_view plain) {
    assert(!plain.empty() && plain.size() <= max_record);
    if (state_ == state::failed || output_ended_) return false;
    ERR_clear_error();
    std::size_t written = 0;
    const outcome how = judge(SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written));
    // Our BIO takes everything and there is no renegotiation, so a write never waits for input.
    return how == outcome::done && written == plain.size();
}

tls_engine::outcome tls_engine::judge(int result) {
    if (result == 1) return outcome::done;
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:  // cannot happen: output always has room
            return outcome::want_input;
        case SSL_ERROR_ZERO_RETURN: state_ = state::closed; return outcome::closed;
        default: break;
    }
    state_ = state::failed;
    problem_ = take_reason();
    if (input_ended_ && input_.empty()) {
        problem_ = handshake_done_ ? io_result::truncated_text : "peer closed the connection during the TLS handshake";
    }
    return outcome::failed;
}

void tls_engine::end_output() {
    if (output_ended_ || state_ == state::failed || !handshake_done_) return;
    output_ended_ = true;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());  // 0 or 1: the alert is in our output; its answer is read like anything else
    ERR_clear_error();
}

void tls_engine::feed(std::string_view ciphertext) {
    assert(input_.empty());
    input_ = ciphertext;
}

void tls_engine::keep_unread() {
    const bool is_kept = !kept_input_.empty() && input_.data() >= kept_input_.data() &&
                         input_.data() <= kept_input_.data() + kept_input_.size();
    if (input_.empty()) {
        input_ = {};
        if (!kept_input_.empty()) free_memory(kept_input_);
    } else if (!is_kept) {
        kept_input_.assign(input_);
        input_ = kept_input_;
    }
}

bool tls_engine::has_input() const {
    return !input_.empty() || input_ended_ || state_ != state::open || SSL_pending(ssl_.get()) > 0;
}

std::string_view tls_engine::output() const {
    if (kept_output_.empty()) return output_scratch();
    return std::string_view(kept_output_).substr(output_sent_);
}

void tls_engine::sent(std::size_t bytes) {
    if (!kept_output_.empty()) {
        output_sent_ += bytes;
        if (output_sent_ < kept_output_.size()) return;
        free_memory(kept_output_);
        output_sent_ = 0;
        return;
    }
    std::string& scratch = output_scratch();
    if (bytes < scratch.size()) kept_output_.assign(scratch, bytes);
    scratch.clear();
}

std::string tls_engine::describe_problem() const {
    const long verdict = SSL_get_verify_result(ssl_.get());
    std::string text = problem_ != nullptr ? problem_ : "TLS failure";
    if (verdict != X509_V_OK) text += std::string(": ") + X509_verify_cert_error_string(verdict);
    return text;
}

std::string tls_engine::describe() const {
    return std::string(SSL_get_version(ssl_.get())) + ", cipher " + SSL_get_cipher_name(ssl_.get());
}

std::string tls_engine::server_end_point() const {
    if (!handshake_done_) return {};
    certificate peer(is_server_ ? nullptr : SSL_get1_peer_certificate(ssl_.get()), X509_free);
    const X509* const leaf = is_server_ ? SSL_get_certificate(ssl_.get()) : peer.get();
    int digest = NID_undef;
    if (leaf == nullptr || OBJ_find_sigid_algs(X509_get_signature_nid(leaf), &digest, nullptr) != 1) return {};
    // RFC 5929 section 4.1: MD5 and SHA-1 are replaced; signatures without one hash leave the binding undefined.
    if (digest == NID_undef) return {};
    if (digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
    const EVP_MD* const method = EVP_get_digestbynid(digest);
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned int size = 0;
    if (method == nullptr || X509_digest(leaf, method, hash.data(), &size) != 1) return {};
    return {reinterpret_cast<const char*>(hash.data()), size};
}

std::string_view tls_engine::application_protocol() const {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
}

std::string tls_engine::peer_common_name() const {
    if (!handshake_done_ || SSL_get_verify_mode(ssl_.get()) == SSL_VERIFY_NONE ||
        SSL_get_verify_result(ssl_.get()) != X509_V_OK) {
        return {};
    }
    const certificate peer(SSL_get1_peer_certificate(ssl_.get()), X509_free);
    if (!peer) return {};
    X509_NAME* const subject = X509_get_subject_name(peer.get());
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return {};
    unsigned char* text = nullptr;
    const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) return {};
    std::string name(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
    OPENSSL_free(text);
    // A NUL inside a name has been used to pass for another one (PostgreSQL refuses it too).
    return name.find('\0') == std::string::npos ? name : std::string();
}

}  // namespace pgsteady::net
