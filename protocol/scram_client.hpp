// The client's half of one SCRAM-SHA-256 sign-in (RFC 5802, RFC 7677), towards a PostgreSQL server.
//
// Must never trust the server: its messages are bounded (P9), its iteration count is capped and
// its signature is verified before `done` (P17). One object per sign-in, owned by it.
#pragma once

#include "protocol/scram_common.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

class scram_client {
public:
    struct settings {
        /// Fresh random bytes for this exchange, 18 to 256 of them. Used as they are when all are
        /// printable ASCII other than a comma (RFC 5802), otherwise in base64.
        std::string nonce;
        /// More iterations than this are refused: a hostile server could keep us computing (P17).
        int max_iterations = 600'000;
        /// Bind to the TLS channel when the server offers it.
        bool use_plus = false;
        /// tls-server-end-point: hash of the server's certificate (RFC 5929). Empty: there is none, and
        /// the client does not claim that it could bind.
        std::string channel_binding_data;
        /// Whether AuthenticationSASL listed SCRAM-SHA-256-PLUS.
        bool server_offered_plus = false;
        bool tls_active = false;
        /// Sent as "n=". PostgreSQL takes the user from the startup packet, and libpq sends none.
        std::string user;
    };

    /// Signs in with a password; the challenge costs a PBKDF2 (D40).
    scram_client(std::string password, settings options);

    /// Signs in with keys alone. Fails at the challenge unless the server's salt and iterations are
    /// those of the secret.
    scram_client(scram_secret secret, settings options);

    /// Signs in with cached keys if they fit the challenge, else with the password.
    scram_client(std::string password, std::optional<scram_secret> cached, settings options);

    scram_client(const scram_client&) = delete;
    scram_client& operator=(const scram_client&) = delete;
    scram_client(scram_client&&) = default;
    scram_client& operator=(scram_client&&) = default;
    ~scram_client();

    /// The mechanism to name in SASLInitialResponse.
    [[nodiscard]] std::string mechanism() const;

    /// client-first-message, the data of SASLInitialResponse. Empty when the nonce has not the size
    /// asked for; the challenge then fails.
    [[nodiscard]] std::string first();

    /// Whether `challenge` with this message would run PBKDF2 and so belongs off the hot threads.
    [[nodiscard]] bool needs_derivation(std::string_view server_first) const;

    /// Takes AuthenticationSASLContinue; gives `more` with SASLResponse's data, or `failed`.
    [[nodiscard]] scram_status challenge(std::string_view server_first, std::string& client_final,
                                         std::string& problem);

    /// Takes AuthenticationSASLFinal; `done` only if the server has proved that it knows us.
    [[nodiscard]] scram_status finish(std::string_view server_final, std::string& problem);

    /// After `done`: the keys that this server has proved to know, for a cache that spares the next
    /// sign-in its PBKDF2.
    [[nodiscard]] const std::optional<scram_secret>& secret() const { return proven_; }

private:
    enum class phase { expects_start, expects_challenge, expects_final, over };

    scram_status fail(std::string_view text, std::string& problem);
    [[nodiscard]] bool choose_keys(const std::string& salt, int iterations, std::string& problem);
    [[nodiscard]] bool binds_channel() const;
    [[nodiscard]] std::string gs2_header() const;

    std::optional<std::string> password_;
    std::optional<scram_secret> keys_;  // cached ones at first, from the challenge on those in use
    std::optional<scram_secret> proven_;
    settings settings_;
    phase phase_ = phase::expects_start;
    std::string nonce_;  // ours; empty when the settings hold none that will do
    std::string first_bare_;
    std::string auth_message_;
};

}  // namespace pgsteady
