// The server's side of sign-in: from accept to AuthenticationOk, as a conversation of bytes in, replies and
// steps out. Must never open a socket, read a clock, draw a random number or log; must never tell an unknown
// user from a wrong password (P13); must never accept a byte in clear after agreeing to TLS (P1).
// One object per client connection, owned by its session until sign-in is over.
#pragma once

#include "protocol/error_response.hpp"
#include "protocol/scram_common.hpp"
#include "protocol/scram_server.hpp"
#include "protocol/startup.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

class client_login {
public:
    enum class auth_method {
        trust,        ///< no question asked
        md5,          ///< AuthenticationMD5Password against credentials::md5_hash
        scram,        ///< SCRAM-SHA-256 against credentials::verifier
        passthrough,  ///< cleartext asked, then tried against the server by the caller (D38)
        reject,       ///< no rule lets this user in
    };

    struct settings {
        bool tls_available = false;               ///< answer S to SSLRequest
        bool tls_required = false;                ///< refuse a StartupMessage in clear; false for Unix sockets
        bool is_loopback_or_unix = false;         ///< where the client connects from
        std::size_t max_password_bytes = 65'536;  ///< body of a PasswordMessage (P42)
        std::string mock_secret{};                ///< random, same for the whole process: salts of unknown users (P13)
        int mock_iterations = 4'096;              ///< what verifiers here usually have (P13)
    };

    /// What is known about a user. Without known_user nobody gets in, whatever the method (P6).
    struct credentials {
        auth_method method = auth_method::reject;
        std::optional<scram_verifier> verifier{};  ///< scram; absent: signs in nobody
        std::string md5_hash{};                    ///< md5: pg_authid form; empty: signs in nobody
        bool known_user = false;                   ///< passthrough ignores it: the server decides
    };

    enum class step {
        need_more,       ///< write `out`, then feed() more bytes
        start_tls,       ///< write `out`, shake hands, then tls_established()
        lookup_user,     ///< find out about user() and database(), then provide_credentials()
        check_password,  ///< try take_password() against the server, then password_checked()
        cancel_request,  ///< startup() has pid and key; carry it out and close without an answer (P44)
        authenticated,   ///< write `out`; what follows belongs to the session
        failed,          ///< write `out` (an ErrorResponse), then close
    };

    explicit client_login(settings options);
    ~client_login();
    client_login(const client_login&) = delete;
    client_login& operator=(const client_login&) = delete;

    /// Takes the unread bytes; `consumed` says how many from the start are used up, the rest must come again,
    /// with more behind it. Never needs more than 10,004 bytes at startup, and max_password_bytes + 5 after.
    /// Replies are appended to `out`. While a call of the caller's is due, the same step is returned again.
    /// After start_tls: bytes handed in before tls_established() are bytes in clear and fail the login (P1).
    [[nodiscard]] step feed(std::string_view in, std::size_t& consumed, std::string& out);

    /// After start_tls: the client began with its handshake (sslnegotiation=direct). Nothing of it is consumed, and it has to
    /// have agreed on the protocol `postgresql` by ALPN, or it may be something that does not know what it talks to.
    [[nodiscard]] bool direct_tls() const noexcept { return direct_tls_; }

    /// The handshake is done. `channel_binding_data`: tls-server-end-point hash of our certificate as it was at
    /// accept (P15), or empty, in which case SCRAM-SHA-256-PLUS is not offered.
    void tls_established(std::string channel_binding_data);

    /// Answers lookup_user. `random_bytes`: at least 32 fresh ones, for the salt or the nonce.
    [[nodiscard]] step provide_credentials(credentials found, std::string_view random_bytes, std::string& out);

    /// Answers check_password. `why`: the server's or our own reason for a no. Reasons of class 28 all look like
    /// a wrong password to the client; others are passed on as FATAL, without source positions.
    [[nodiscard]] step password_checked(bool ok, const error_fields* why, std::string& out);

    /// Ends the login with an error of the caller's (too many clients, shutting down), at any step before
    /// authenticated. The severity becomes FATAL.
    [[nodiscard]] step refuse(error_fields why, std::string& out);

    /// The packet that began the session, `_pq_.` options removed; or the CancelRequest.
    [[nodiscard]] const startup_packet& startup() const noexcept { return startup_; }
    /// It asks for a replication connection (protocol chapter 55.4). What the value means beyond that, the server knows.
    [[nodiscard]] bool wants_replication() const;
    [[nodiscard]] std::string user() const;
    /// Defaults to the user's name.
    [[nodiscard]] std::string database() const;
    /// Minor version of protocol 3 that the session speaks: what was asked for, or the newest that we know (P38).
    [[nodiscard]] std::uint16_t protocol_minor() const noexcept { return std::min(startup_.minor, newest_minor); }
    /// Keys of cancel requests have 4 bytes before 3.2, and up to 256 since (P39).
    [[nodiscard]] std::size_t cancel_key_bytes() const noexcept { return protocol_minor() >= 2 ? 32 : 4; }
    static constexpr std::uint16_t newest_minor = 2;
    [[nodiscard]] bool tls_in_use() const noexcept { return tls_in_use_; }

    /// Hands over the cleartext password (passthrough only). Empty when there is none or it was taken before.
    [[nodiscard]] std::string take_password();

    /// After authenticated by scram: keys with which to sign in to a server that stores the same verifier.
    [[nodiscard]] const std::optional<scram_secret>& recovered_secret() const noexcept;

    /// What the client was told.
    [[nodiscard]] const error_fields& failure() const noexcept { return failure_; }
    /// The real reason, for the log only: it may tell an unknown user from a wrong password.
    [[nodiscard]] const std::string& failure_cause() const noexcept { return failure_cause_; }

private:
    enum class phase {
        startup,       // expects a packet without type byte
        tls_pending,   // S was answered, the handshake is under way
        lookup,        // the caller looks the user up
        md5_answer,    // expects PasswordMessage
        clear_answer,  // expects PasswordMessage
        checking,      // the caller tries the password
        scram_first,   // expects SASLInitialResponse
        scram_final,   // expects SASLResponse
        cancel,        // over: was a CancelRequest
        done,
        failed,
    };

    step feed_startup(std::string_view in, std::size_t& consumed, std::string& out);
    step on_encryption_request(startup_kind kind, bool more_bytes, std::string& out);
    step on_startup_message(std::string& out);
    std::optional<error_fields> objection_to_startup() const;
    void negotiate_version(std::string& out);
    void remove_protocol_options();

    step feed_answer(std::string_view in, std::size_t& consumed, std::string& out);
    step on_md5_answer(std::string_view body, std::string& out);
    step on_clear_answer(std::string_view body, std::string& out);
    step on_scram_first(std::string_view body, std::string& out);
    step on_scram_final(std::string_view body, std::string& out);
    std::optional<std::string_view> password_of(std::string_view body, std::string& out);

    step begin_md5(std::string_view random_bytes, std::string& out);
    step begin_scram(std::string_view random_bytes, std::string& out);
    step begin_passthrough(std::string& out);

    step succeed(std::string& out);
    step fail(error_fields shown, std::string cause, std::string& out);
    step fail_password(std::string cause, std::string& out);
    step fail_scram(const std::string& problem, std::string& out);
    [[nodiscard]] std::string identity() const;
    [[nodiscard]] bool offers_plus() const noexcept;

    settings settings_;
    phase phase_ = phase::startup;
    bool direct_tls_ = false;
    bool ssl_asked_ = false;
    bool gssenc_asked_ = false;
    bool tls_in_use_ = false;
    std::string channel_binding_data_;
    startup_packet startup_;
    credentials credentials_;
    std::string md5_salt_;
    std::string password_;
    std::optional<scram_server> scram_;
    error_fields failure_;
    std::string failure_cause_;
};

[[nodiscard]] std::string_view to_string(client_login::step value);
[[nodiscard]] std::string_view to_string(client_login::auth_method value);

}  // namespace pgsteady
