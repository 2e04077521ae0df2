// The client's side of sign-in to a PostgreSQL server: from TCP connected to the first ReadyForQuery, as a
// conversation of bytes in, requests and steps out. Must never trust the server: every message is bounded (P9),
// its signature is verified (P17), nothing in clear is accepted around the TLS answer (P2, P3), and no password
// that could be stolen leaves towards an unverified peer (D9). No sockets, no clock, no randomness, no log.
// One object per connection attempt, owned by whoever dials.
#pragma once

#include "protocol/error_response.hpp"
#include "protocol/scram_client.hpp"
#include "protocol/scram_common.hpp"
#include "protocol/startup.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

class server_login {
public:
    /// libpq's sslmode. This object speaks for one TCP connection: the second attempt of allow and prefer (the
    /// other way round, on a new connection) is the caller's. A Unix socket wants disable.
    enum class tls_mode { disable, allow, prefer, require, verify_ca, verify_full };

    /// libpq's channel_binding: whether SCRAM is tied to the TLS connection (RFC 5929).
    enum class channel_binding { disable, prefer, require };

    /// libpq's sslnegotiation: whether TLS is asked for first, or begun at once and named by ALPN (PostgreSQL 17).
    enum class tls_negotiation { postgres, direct };

    struct settings {
        std::string user{};
        std::string database{};
        tls_mode tls = tls_mode::prefer;
        channel_binding binding = channel_binding::prefer;
        tls_negotiation negotiation = tls_negotiation::postgres;  ///< direct counts from `require` on
        std::uint16_t newest_minor =
            0;  ///< of protocol 3: 0, or 2 for cancel keys of more than 4 bytes (PostgreSQL 18)
        bool peer_is_loopback_or_unix = false;
        std::string password{};                ///< empty: none
        std::optional<scram_secret> secret{};  ///< tried before the password when salt and iterations fit
        std::string md5_hash{};                ///< pg_authid form, used before the password; empty: none
        std::string nonce_material{};          ///< fresh random bytes, 18 to 256
        parameter_list extra_startup{};        ///< normally empty: they become RESET defaults (P37)
        int max_scram_iterations = 600'000;    ///< P17
    };

    enum class step {
        need_more,  ///< write `out`, then feed() more bytes
        start_tls,  ///< shake hands (verifying as `tls` says), then tls_established()
        ready,      ///< signed in; what follows belongs to the pool
        failed,     ///< failure() says why; close
    };

    explicit server_login(settings options);
    ~server_login();
    server_login(const server_login&) = delete;
    server_login& operator=(const server_login&) = delete;

    /// Appends the first packet: SSLRequest or, with disable and allow, StartupMessage. start_tls, with nothing appended,
    /// where the handshake comes first.
    [[nodiscard]] step begin(std::string& out);

    /// Takes the unread bytes; `consumed` says how many from the start are used up, the rest must come again,
    /// with more behind it. No message of a login may be longer than 64 KiB, all together not than 1 MiB (P9).
    /// May cost a PBKDF2 where next_feed_derives_key() says so (D40).
    [[nodiscard]] step feed(std::string_view in, std::size_t& consumed, std::string& out);

    /// The handshake is done, and with verify_ca and verify_full the certificate was accepted: appends the
    /// StartupMessage. Must only be called after start_tls. `end_point`: tls-server-end-point, the hash of the server's
    /// certificate; empty if it has none, and then nothing is bound to it (P15). `protocol`: what ALPN agreed on; a
    /// handshake that came first has to have agreed on "postgresql", else this fails.
    [[nodiscard]] step tls_established(std::string end_point, std::string_view protocol, std::string& out);

    /// These unread bytes hold a SCRAM challenge for which feed() would run PBKDF2: milliseconds, so off the hot
    /// threads (D40).
    [[nodiscard]] bool next_feed_derives_key(std::string_view in) const;

    /// The last values reported by ParameterStatus, in order of first appearance.
    [[nodiscard]] const parameter_list& parameters() const noexcept { return parameters_; }
    /// 0 when the server sent no BackendKeyData: such a connection cannot be cancelled.
    [[nodiscard]] std::int32_t backend_pid() const noexcept { return backend_pid_; }
    /// 4 to 256 raw bytes (P39), or empty as above.
    [[nodiscard]] std::string_view cancel_key() const noexcept { return cancel_key_; }

    [[nodiscard]] const error_fields& failure() const noexcept { return failure_; }
    /// failure() is the server's own ErrorResponse. False for ours, and for anything said in place of the
    /// answer to SSLRequest: that text is untrusted and dropped (P3).
    [[nodiscard]] bool failure_is_from_server() const noexcept { return failure_is_from_server_; }

    /// After ready by SCRAM: keys that spare the next sign-in its PBKDF2.
    [[nodiscard]] const std::optional<scram_secret>& scram_secret_for_cache() const noexcept;
    [[nodiscard]] bool tls_in_use() const noexcept { return tls_in_use_; }

private:
    enum class phase {
        not_begun,
        tls_answer,      // expects S or N
        tls_pending,     // S came, the handshake is under way
        authentication,  // expects Authentication*
        scram_continue,  // expects AuthenticationSASLContinue
        scram_final,     // expects AuthenticationSASLFinal
        auth_verdict,    // has answered; expects AuthenticationOk and no other question
        starting,        // signed in; expects S, K, Z
        ready,
        failed,
    };

    step feed_tls_answer(std::string_view in, std::size_t& consumed, std::string& out);
    step on_bad_length(std::string_view in);
    step on_message(char type, std::string_view body, std::string& out);
    step on_error(std::string_view body);
    step on_negotiation(std::string_view body);
    [[nodiscard]] bool begins_with_handshake() const noexcept;
    step on_authentication(std::string_view body, std::string& out);
    step on_auth_question(std::int32_t code, std::string_view data, std::string& out);
    step on_auth_ok();
    step answer_cleartext(std::string_view data, std::string& out);
    step answer_md5(std::string_view data, std::string& out);
    step answer_sasl(std::string_view data, std::string& out);
    step on_scram_continue(std::string_view data, std::string& out);
    step on_scram_final(std::string_view data);
    step on_parameter_status(std::string_view body);
    step on_backend_key_data(std::string_view body);
    step on_ready_for_query(std::string_view body);

    void append_startup_message(std::string& out);
    step fail(error_fields why);
    step fail(std::string_view code, std::string message, std::string detail = {}, std::string hint = {});
    step protocol_error(std::string detail);
    [[nodiscard]] bool peer_may_learn_password() const noexcept;
    step lack_of_binding(std::string_view why);
    step refuse_to_reveal(std::string_view what);
    step lack_of_password(std::string_view method);
    void forget_secrets();

    settings settings_;
    phase phase_ = phase::not_begun;
    bool tls_in_use_ = false;
    std::string end_point_;
    bool bound_ = false;  // SCRAM is tied to the TLS connection
    std::size_t bytes_taken_ = 0;
    std::optional<scram_client> scram_;
    parameter_list parameters_;
    std::int32_t backend_pid_ = 0;
    std::string cancel_key_;
    error_fields failure_;
    bool failure_is_from_server_ = false;
};

[[nodiscard]] std::string_view to_string(server_login::step value);
[[nodiscard]] std::string_view to_string(server_login::tls_mode value);

}  // namespace pgsteady
