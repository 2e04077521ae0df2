// Verifiers as PostgreSQL stores them, and the keys behind them.
#include "protocol/scram_common.hpp"

#include "protocol/base64.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;

namespace {

// RFC 7677 section 3: password "pencil". The keys were computed with another implementation.
const std::string pencil_salt = *base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==");
const std::string pencil =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("a verifier is made, printed and parsed as PostgreSQL does") {
    const auto made = make_scram_verifier("pencil", pencil_salt, 4096);
    CHECK(format_scram_verifier(made) == pencil);
    const auto parsed = parse_scram_verifier(pencil);
    REQUIRE(parsed);
    CHECK(*parsed == made);
    CHECK(parsed->salt == pencil_salt);
    CHECK(parsed->iterations == 4096);
}

TEST_CASE("verifier and secret of a password belong together") {
    const auto secret = derive_scram_secret("pencil", pencil_salt, 4096);
    REQUIRE(secret);
    CHECK(secret->server_key == make_scram_verifier("pencil", pencil_salt, 4096).server_key);
    CHECK(secret->salt == pencil_salt);
    CHECK(secret->iterations == 4096);
}

TEST_CASE("passwords are prepared before keys are derived") {
    CHECK(make_scram_verifier("I\u00adX", "salt", 1) == make_scram_verifier("IX", "salt", 1));
    CHECK(make_scram_verifier("\xff", "salt", 1) != make_scram_verifier("", "salt", 1));
}

TEST_CASE("an iteration count below one yields no keys, and a verifier that nothing satisfies") {
    CHECK_FALSE(derive_scram_secret("pencil", "salt", 0));
    CHECK_FALSE(derive_scram_secret("pencil", "salt", -1));
    CHECK(make_scram_verifier("pencil", "salt", 0).stored_key == scram_key{});
}

TEST_CASE("a malformed verifier is refused") {
    const std::string malformed[] = {
        "",
        "pencil",
        "md5d41d8cd98f00b204e9800998ecf8427e",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        replaced(pencil, "SCRAM-SHA-256", "SCRAM-SHA-1"),
        replaced(pencil, "SCRAM-SHA-256", "scram-sha-256"),
        replaced(pencil, "4096", "0"),
        replaced(pencil, "4096", "-1"),
        replaced(pencil, "4096", "+1"),
        replaced(pencil, "4096", "04096"),
        replaced(pencil, "4096", "4096x"),
        replaced(pencil, "4096", " 4096"),
        replaced(pencil, "4096", ""),
        replaced(pencil, "4096", "2147483648"),
        replaced(pencil, "4096", "99999999999999999999999"),
        replaced(pencil, "W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        replaced(pencil, "W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaJ0SNY7soEsUEjb6gQ"),
        replaced(pencil, "4qY=", "4q=="),
        replaced(pencil, "2dU=", "2dUA"),
        replaced(pencil, ":wfPL", "$wfPL"),
        pencil + "\n",
        pencil + ":",
        pencil + std::string(max_scram_message_bytes, 'A'),
    };
    for (const auto& text : malformed) {
        CAPTURE(text);
        CHECK_FALSE(parse_scram_verifier(text));
    }
    for (std::size_t length = 0; length < pencil.size(); ++length)
        CHECK_FALSE(parse_scram_verifier(pencil.substr(0, length)));
}

TEST_CASE("P13: a mock verifier is the same each time, differs by user and by server, and looks real") {
    const auto mock = mock_scram_verifier("nobody", "server secret", 4096);
    CHECK(mock == mock_scram_verifier("nobody", "server secret", 4096));
    CHECK(mock.salt != mock_scram_verifier("nobody2", "server secret", 4096).salt);
    CHECK(mock.salt != mock_scram_verifier("nobody", "other secret", 4096).salt);
    CHECK(mock.salt.size() == 16);
    CHECK(mock.iterations == 4096);
}
