// The server's half of one SCRAM-SHA-256 sign-in (RFC 5802, RFC 7677), as PostgreSQL speaks it.
//
// Must never tell an unknown user from a wrong password: a doomed exchange runs to its end and
// fails there (P13). Must never keep a view of its input. One object per sign-in, owned by it.
#pragma once

#include "protocol/scram_common.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady {

/// Why an exchange failed, for the choice of SQLSTATE.
enum class scram_failure {
    none,             // it has not failed
    malformed,        // 08P01: not a SCRAM message, or not one that may come now
    unsupported,      // 0A000: authorization identity, mandatory extension
    channel_binding,  // 28000: binding does not match, or was negotiated away
    wrong_proof,      // 28P01: wrong password, or unknown user; the two look the same
    internal,         // XX000: our own settings or libcrypto
};

[[nodiscard]] std::string_view to_string(scram_failure failure);

class scram_server {
public:
    struct settings {
        /// Fresh random bytes for this exchange, 18 to 256 of them. Used as they are when all are
        /// printable ASCII other than a comma (RFC 5802), otherwise in base64.
        std::string nonce;
        /// Whether AuthenticationSASL offered SCRAM-SHA-256-PLUS.
        bool plus_advertised = false;
        /// tls-server-end-point: hash of our certificate (RFC 5929). Empty: there is none.
        std::string channel_binding_data;
        bool tls_active = false;
        /// Fail at the end whatever the proof: the user is unknown or may not sign in (P13).
        bool doomed = false;
    };

    scram_server(scram_verifier verifier, settings options);

    /// Takes SASLInitialResponse; gives `more` with AuthenticationSASLContinue's data, or `failed`.
    [[nodiscard]] scram_status start(std::string_view mechanism, std::string_view client_first,
                                     std::string& server_first, std::string& problem);

    /// Takes SASLResponse; gives `done` with AuthenticationSASLFinal's data, or `failed`.
    [[nodiscard]] scram_status finish(std::string_view client_final, std::string& server_final, std::string& problem);

    /// After `done`: the client's keys, recovered from its proof, with which we can sign in to a
    /// server that stores the same verifier.
    [[nodiscard]] const std::optional<scram_secret>& recovered_secret() const { return recovered_; }

    [[nodiscard]] scram_failure failure() const { return failure_; }

private:
    enum class phase { expects_first, expects_final, over };

    scram_status fail(scram_failure why, std::string_view text, std::string& problem);
    [[nodiscard]] bool offers_plus() const;
    [[nodiscard]] bool read_gs2_header(std::string_view& message, std::string& problem);
    [[nodiscard]] bool read_client_first_bare(std::string_view bare, std::string& problem);
    [[nodiscard]] scram_status check_proof(std::string_view without_proof, const scram_key& proof,
                                           std::string& server_final, std::string& problem);

    scram_verifier verifier_;
    settings settings_;
    phase phase_ = phase::expects_first;
    scram_failure failure_ = scram_failure::none;
    bool plus_chosen_ = false;
    std::string gs2_header_;
    std::string client_first_bare_;
    std::string server_first_;
    std::string nonce_;  // the client's part, then ours
    std::optional<scram_secret> recovered_;
};

}  // namespace pgsteady
