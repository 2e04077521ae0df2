// Strict base64: RFC 4648 vectors, and every way of writing a value differently is refused.
#include "protocol/base64.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace pgsteady;

TEST_CASE("base64 encodes and decodes the vectors of RFC 4648") {
    const std::pair<std::string, std::string> vectors[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    for (const auto& [bytes, text] : vectors) {
        CAPTURE(text);
        CHECK(base64_encode(bytes) == text);
        CHECK(base64_decode(text) == bytes);
    }
}

TEST_CASE("base64 carries every byte value at every alignment") {
    for (int lead = 0; lead < 3; ++lead) {
        std::string bytes(static_cast<std::size_t>(lead), 'x');
        for (int c = 0; c < 256; ++c) bytes += static_cast<char>(c);
        CHECK(base64_decode(base64_encode(bytes)) == bytes);
    }
}

TEST_CASE("base64 refuses everything but the one canonical text") {
    for (const char* text :
         {"Z",    "Zg",   "Zg=",    "Zg===", "=",    "==",   "===",      "====", "Zm9v====", "Zm9v=",           "Z===",
          "Zh==", "Zm9=", "Zm9v\n", " Zm9v", "Zm 9", "Zm-_", "Zg==Zg==", "=Zg=", "Z=g=",     "\xff\xff\xff\xff"}) {
        CAPTURE(text);
        CHECK_FALSE(base64_decode(text).has_value());
    }
}

TEST_CASE("base64 has one spelling for a value: no two texts of four characters decode alike") {
    constexpr std::string_view characters = "ABgw/=";
    for (const char a : characters)
        for (const char b : characters)
            for (const char c : characters)
                for (const char d : characters) {
                    const std::string text{a, b, c, d};
                    if (const auto bytes = base64_decode(text)) CHECK(base64_encode(*bytes) == text);
                }
}
