// One SCRAM exchange for tests: the vector of RFC 7677, and ways to build and damage messages.
#pragma once

#include "protocol/base64.hpp"
#include "protocol/scram_client.hpp"
#include "protocol/scram_server.hpp"

#include <cstddef>
#include <functional>
#include <string>

namespace pgsteady::scram_fixture {

inline const std::string client_nonce = "rOprNGfwEbeRWgbNEkqO";
inline const std::string server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
inline const std::string salt = *base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==");

// RFC 7677 section 3.
inline const std::string client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
inline const std::string server_first =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
inline const std::string client_final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
inline const std::string server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

inline const scram_verifier& verifier() {
    static const auto made = make_scram_verifier("pencil", salt, 4096);
    return made;
}

inline const scram_secret& secret() {
    static const auto derived = derive_scram_secret("pencil", salt, 4096).value();
    return derived;
}

inline scram_server::settings server_settings() {
    scram_server::settings settings;
    settings.nonce = server_nonce;
    return settings;
}

inline scram_client::settings client_settings() {
    scram_client::settings settings;
    settings.nonce = client_nonce;
    settings.user = "user";
    return settings;
}

/// Calls `use` with `message` after every single-bit change, every byte replaced by NUL, comma and
/// equals sign, every byte removed and every byte doubled.
inline void for_each_damage(const std::string& message, const std::function<void(const std::string&)>& use) {
    const auto use_if_changed = [&](const std::string& damaged) {
        if (damaged != message) use(damaged);
    };
    for (std::size_t i = 0; i < message.size(); ++i) {
        std::string damaged = message;
        for (int bit = 0; bit < 8; ++bit) {
            damaged[i] = static_cast<char>(message[i] ^ (1 << bit));
            use_if_changed(damaged);
        }
        for (const char c : {'\0', ',', '='}) {
            damaged[i] = c;
            use_if_changed(damaged);
        }
        use_if_changed(std::string(message).erase(i, 1));
        use_if_changed(std::string(message).insert(i, 1, message[i]));
    }
}

}  // namespace pgsteady::scram_fixture
