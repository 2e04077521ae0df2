// What can be told of a certificate file without its key: when it expires, and whether it is another one than before.
// Reads the file, keeps nothing, never throws.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace pgsteady::net {

struct certificate_facts {
    std::chrono::system_clock::time_point expires{};
    std::string fingerprint;  ///< SHA-256 of the certificate, in hexadecimal digits
};

/// Of the first certificate in a PEM file: the one that is shown. Nothing when there is none that can be read.
[[nodiscard]] std::optional<certificate_facts> read_certificate(const std::string& file);

}  // namespace pgsteady::net
