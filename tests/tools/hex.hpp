// Bytes as hexadecimal digits, none as a dot: how the shells of this folder speak on standard input and output. For tests.
#pragma once

#include <string>

namespace pgsteady::testing {

inline std::string decoded(const std::string& hex) {
    std::string text;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
        text += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    return text;
}

inline std::string encoded(const std::string& text) {
    std::string hex;
    for (const char c : text) {
        hex += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
        hex += "0123456789abcdef"[static_cast<unsigned char>(c) & 15U];
    }
    return hex.empty() ? "." : hex;
}

}  // namespace pgsteady::testing
