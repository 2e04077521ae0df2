// SASLprep: the examples of RFC 4013, and PostgreSQL's "otherwise the bytes as they are".
#include "protocol/saslprep.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;

TEST_CASE("SASLprep follows the examples of RFC 4013") {
    CHECK(saslprep_or_raw("I\u00adX") == "IX");
    CHECK(saslprep_or_raw("user") == "user");
    CHECK(saslprep_or_raw("USER") == "USER");
    CHECK(saslprep_or_raw("\u00aa") == "a");
    CHECK(saslprep_or_raw("\u2168") == "IX");
}

TEST_CASE("SASLprep maps spaces and composes characters") {
    CHECK(saslprep_or_raw("a\u00a0b") == "a b");
    CHECK(saslprep_or_raw("\u3000") == " ");
    CHECK(saslprep_or_raw("e\u0301") == "\u00e9");
    CHECK(saslprep_or_raw("p\u00e4ssw\u00f6rd") == "p\u00e4ssw\u00f6rd");
}

TEST_CASE("a password that cannot be prepared is used as it is, as PostgreSQL does") {
    const std::string raw[] = {
        "",
        "\x07",                       // ASCII is never touched, not even control characters
        "\u06271",                    // bidirectional rule broken
        "\u00ad",                     // would become empty
        "\u0221",                     // unassigned in Unicode 3.2
        "\u00e9\u0007",               // prohibited
        "\u0340a",                    // prohibited as typed, though not once normalised
        "caf\xe9",                    // Latin-1
        "\xc3",                       // cut short
        "\xed\xa0\x80",               // surrogate
        "\xc0\x80",                   // overlong
        "\xf4\x90\x80\x80",           // beyond Unicode
        std::string("\u00aa\0b", 4),  // libidn would stop at the zero byte
    };
    for (const auto& password : raw) {
        CAPTURE(password);
        CHECK(saslprep_or_raw(password) == password);
    }
}

TEST_CASE("right-to-left passwords keep to the rule of RFC 3454 section 6") {
    CHECK(saslprep_or_raw("\u0627\u0031\u0628\u00ad") == "\u0627\u0031\u0628");
    CHECK(saslprep_or_raw("\u0627a\u0628\u00ad") == "\u0627a\u0628\u00ad");
}

TEST_CASE("SASLprep makes room for the character that grows most") {
    std::string password;
    for (int i = 0; i < 200; ++i) password += "\ufdfa";
    CHECK(saslprep_or_raw(password).size() == 200 * 33);
}

TEST_CASE("P8: SASLprep is bounded: longer passwords are left alone") {
    std::string at_limit;
    while (at_limit.size() + 2 <= max_prepared_password_bytes) at_limit += "\u00aa";
    CHECK(saslprep_or_raw(at_limit) == std::string(at_limit.size() / 2, 'a'));
    CHECK(saslprep_or_raw(at_limit + "\u00aa") == at_limit + "\u00aa");
    CHECK(saslprep_or_raw(std::string(1 << 20, '\xff')).size() == 1 << 20);
}
