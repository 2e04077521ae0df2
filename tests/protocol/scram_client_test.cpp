// The client's half of SCRAM: RFC 7677, keys instead of a password, hostile servers.
#include "protocol/scram_client.hpp"

#include "tests/protocol/scram_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

using namespace pgsteady;
namespace fixture = pgsteady::scram_fixture;

namespace {

scram_client make_client(scram_client::settings settings = fixture::client_settings()) {
    return {fixture::secret(), std::move(settings)};
}

/// What challenge() makes of a server-first-message.
struct challenge_result {
    scram_status status;
    std::string reply;
    std::string problem;
};

challenge_result challenge(scram_client& client, std::string_view message) {
    challenge_result result{};
    result.status = client.challenge(message, result.reply, result.problem);
    CHECK(result.problem.empty() == (result.status != scram_status::failed));
    CHECK(result.reply.empty() == (result.status == scram_status::failed));
    return result;
}

challenge_result challenge_fresh(std::string_view message,
                                 scram_client::settings settings = fixture::client_settings()) {
    auto client = make_client(std::move(settings));
    (void)client.first();
    return challenge(client, message);
}

/// What finish() makes of a server-final-message after the challenge of RFC 7677.
scram_status finish_fresh(std::string_view message, std::string& problem) {
    auto client = make_client();
    (void)client.first();
    REQUIRE(challenge(client, fixture::server_first).reply == fixture::client_final);
    const auto status = client.finish(message, problem);
    CHECK(client.secret().has_value() == (status == scram_status::done));
    return status;
}

std::string with_iterations(const std::string& iterations) {
    return fixture::server_first.substr(0, fixture::server_first.find(",i=")) + ",i=" + iterations;
}

const std::string both_nonces = fixture::client_nonce + fixture::server_nonce;

}  // namespace

TEST_CASE("the client speaks the exchange of RFC 7677, with the password and with keys alone") {
    const auto speak = [](scram_client client) {
        std::string problem;
        CHECK(client.mechanism() == "SCRAM-SHA-256");
        CHECK(client.first() == fixture::client_first);
        CHECK(challenge(client, fixture::server_first).reply == fixture::client_final);
        CHECK_FALSE(client.secret());
        CHECK(client.finish(fixture::server_final, problem) == scram_status::done);
        CHECK(problem.empty());
        CHECK(client.secret() == fixture::secret());
    };
    SUBCASE("password") { speak(scram_client("pencil", fixture::client_settings())); }
    SUBCASE("keys") { speak(scram_client(fixture::secret(), fixture::client_settings())); }
    SUBCASE("both") { speak(scram_client("pencil", fixture::secret(), fixture::client_settings())); }
    SUBCASE("outdated keys and a password") {
        auto outdated = fixture::secret();
        outdated.salt += 'x';
        speak(scram_client("pencil", outdated, fixture::client_settings()));
    }
}

TEST_CASE("the client sends no user unless told to, and escapes the one it sends") {
    auto settings = fixture::client_settings();
    settings.user.clear();
    CHECK(make_client(settings).first() == "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
    settings.user = "a,b=c";
    CHECK(make_client(settings).first() == "n,,n=a=2Cb=3Dc,r=rOprNGfwEbeRWgbNEkqO");
}

TEST_CASE("a raw nonce of the client is sent in base64; one of the wrong size fails") {
    auto settings = fixture::client_settings();
    settings.nonce = std::string(18, '\0');
    CHECK(make_client(settings).first() == "n,,n=user,r=AAAAAAAAAAAAAAAAAAAAAAAA");
    settings.nonce = "short";
    CHECK(make_client(settings).first().empty());
    CHECK(challenge_fresh(fixture::server_first, settings).status == scram_status::failed);
}

TEST_CASE("keys for another salt or iteration count fail with a clear problem") {
    for (const bool other_salt : {true, false}) {
        auto secret = fixture::secret();
        if (other_salt) secret.salt[0] = static_cast<char>(secret.salt[0] ^ 1);
        else secret.iterations = 4097;
        scram_client client(secret, fixture::client_settings());
        (void)client.first();
        const auto result = challenge(client, fixture::server_first);
        CHECK(result.status == scram_status::failed);
        CHECK(result.problem.find("must store the same verifier") != std::string::npos);
    }
}

TEST_CASE("D40: the client knows beforehand whether a challenge costs a PBKDF2") {
    auto outdated = fixture::secret();
    outdated.iterations = 1;
    const auto settings = fixture::client_settings();
    CHECK(scram_client("pencil", settings).needs_derivation(fixture::server_first));
    CHECK(scram_client("pencil", outdated, settings).needs_derivation(fixture::server_first));
    CHECK_FALSE(scram_client("pencil", fixture::secret(), settings).needs_derivation(fixture::server_first));
    CHECK_FALSE(scram_client(fixture::secret(), settings).needs_derivation(fixture::server_first));
    CHECK_FALSE(scram_client(outdated, settings).needs_derivation(fixture::server_first));
    CHECK_FALSE(scram_client("pencil", settings).needs_derivation("nonsense"));
    CHECK_FALSE(scram_client("pencil", settings).needs_derivation(with_iterations("600001")));
}

TEST_CASE("P17: the iteration count of a server is capped before anything is computed") {
    auto settings = fixture::client_settings();
    settings.max_iterations = 4096;
    CHECK(challenge_fresh(fixture::server_first, settings).status == scram_status::more);
    settings.max_iterations = 4095;
    CHECK(challenge_fresh(fixture::server_first, settings).problem ==
          "the server asks for 4096 SCRAM iterations, at most 4095 are allowed");

    scram_client client("pencil", fixture::client_settings());
    (void)client.first();
    CHECK(challenge(client, with_iterations("2147483647")).problem ==
          "the server asks for 2147483647 SCRAM iterations, at most 600000 are allowed");
}

TEST_CASE("P17: a server that cannot sign is not trusted") {
    std::string problem;
    auto forged = fixture::server_final;
    forged[5] = forged[5] == 'A' ? 'B' : 'A';
    CHECK(finish_fresh(forged, problem) == scram_status::failed);
    CHECK(problem == "incorrect server signature: the server does not know the password");
    for (const char* message :
         {"", "v", "v=", "v=AAAA", "x=1", "=", ",", "v=====", "vv=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="}) {
        CAPTURE(message);
        CHECK(finish_fresh(message, problem) == scram_status::failed);
    }
    CHECK(finish_fresh(fixture::server_final + ",", problem) == scram_status::failed);
    CHECK(finish_fresh(fixture::server_final + ",m=x", problem) == scram_status::failed);
    CHECK(finish_fresh(fixture::server_final + ",x=1", problem) == scram_status::done);
}

TEST_CASE("the words of a server that ends the exchange are quoted, shortened and harmless") {
    std::string problem;
    CHECK(finish_fresh("e=invalid-proof", problem) == scram_status::failed);
    CHECK(problem == "the server ended the SCRAM exchange: invalid-proof");
    CHECK(finish_fresh("e=\x1b[31m\n" + std::string(1000, 'x'), problem) == scram_status::failed);
    CHECK(problem.find('\x1b') == std::string::npos);
    CHECK(problem.find('\n') == std::string::npos);
    CHECK(problem.size() < 200);
}

TEST_CASE("P9: malformed challenges are refused") {
    const std::string nonce = "r=" + both_nonces;
    const std::string malformed[] = {
        "",
        ",",
        "r=",
        nonce,
        nonce + ",",
        nonce + ",s=",
        nonce + ",s=,i=4096",
        nonce + ",s=QQ,i=4096",
        nonce + ",s=Q===,i=4096",
        nonce + ",s=QQ==",
        nonce + ",s=QQ==,",
        nonce + ",s=QQ==,i",
        nonce + ",i=4096,s=QQ==",
        with_iterations(""),
        with_iterations("0"),
        with_iterations("-4096"),
        with_iterations("+4096"),
        with_iterations("04096"),
        with_iterations("4096 "),
        with_iterations("0x1000"),
        with_iterations("2147483648"),
        with_iterations("99999999999999999999999999"),
        with_iterations("4096,"),
        with_iterations("4096,x"),
        with_iterations("4096,m=x"),
        "m=x," + fixture::server_first,
        "e=other-error",
        "r=" + fixture::client_nonce + ",s=QQ==,i=4096",  // the server added nothing
        "r=" + fixture::server_nonce + ",s=QQ==,i=4096",
        "r=x" + both_nonces + ",s=QQ==,i=4096",
        nonce + " ,s=QQ==,i=4096",
        nonce + "\xff,s=QQ==,i=4096",
    };
    for (const auto& message : malformed) {
        CAPTURE(message);
        CHECK(challenge_fresh(message).status == scram_status::failed);
    }
}

TEST_CASE("P9: oversized messages of a server are refused before they are parsed") {
    const std::string padding(max_scram_message_bytes, 'x');
    CHECK(challenge_fresh("r=" + both_nonces + padding + ",s=QQ==,i=1").status == scram_status::failed);
    CHECK(challenge_fresh(fixture::server_first + ",x=" + padding).status == scram_status::failed);
    CHECK(challenge_fresh(fixture::server_first + '\0').status == scram_status::failed);
    std::string problem;
    CHECK(finish_fresh(fixture::server_final + ",x=" + padding, problem) == scram_status::failed);
    CHECK(finish_fresh(fixture::server_final + '\0', problem) == scram_status::failed);
}

TEST_CASE("every truncation of a server's message is refused") {
    std::string problem;
    for (std::size_t length = 0; length < fixture::server_final.size(); ++length)
        CHECK(finish_fresh(fixture::server_final.substr(0, length), problem) == scram_status::failed);
    for (std::size_t length = 0; length < fixture::server_first.size(); ++length)
        CHECK(challenge_fresh(fixture::server_first.substr(0, length)).status == scram_status::failed);
}

TEST_CASE("no damage to a server's message is ever accepted") {
    fixture::for_each_damage(fixture::server_final, [](const std::string& damaged) {
        CAPTURE(damaged);
        std::string problem;
        CHECK(finish_fresh(damaged, problem) == scram_status::failed);
    });
    fixture::for_each_damage(fixture::server_first, [](const std::string& damaged) {
        CAPTURE(damaged);
        auto client = make_client();
        (void)client.first();
        if (challenge(client, damaged).status == scram_status::failed) return;
        std::string problem;
        CHECK(client.finish(fixture::server_final, problem) == scram_status::failed);
        CHECK_FALSE(client.secret());
    });
}

TEST_CASE("P14: the client binds when it can, says y when it could, and n otherwise") {
    const auto header = [](bool use_plus, bool offered, bool tls, bool certificate) {
        auto settings = fixture::client_settings();
        settings.use_plus = use_plus;
        settings.server_offered_plus = offered;
        settings.tls_active = tls;
        settings.channel_binding_data = certificate ? "hash" : "";
        auto client = make_client(settings);
        const auto first = client.first();
        const bool binds = first.starts_with("p=");
        CHECK(client.mechanism() == (binds ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256"));
        return first.substr(0, first.find(','));
    };
    CHECK(header(true, true, true, true) == "p=tls-server-end-point");
    CHECK(header(true, false, true, true) == "y");
    CHECK(header(true, true, true, false) == "n");  // no hash for this certificate: "y" would be a lie
    CHECK(header(true, false, true, false) == "n");
    CHECK(header(true, true, false, true) == "n");
    CHECK(header(true, false, false, true) == "n");
    CHECK(header(false, true, true, true) == "n");
    CHECK(header(false, false, true, true) == "n");
}

TEST_CASE("steps out of order are refused, and a failed exchange stays failed") {
    std::string problem;
    auto early = make_client();
    CHECK(challenge(early, fixture::server_first).status == scram_status::failed);
    CHECK(early.first().empty());

    auto skipped = make_client();
    (void)skipped.first();
    CHECK(skipped.finish(fixture::server_final, problem) == scram_status::failed);
    CHECK(challenge(skipped, fixture::server_first).status == scram_status::failed);

    auto twice = make_client();
    (void)twice.first();
    CHECK(challenge(twice, fixture::server_first).status == scram_status::more);
    CHECK(challenge(twice, fixture::server_first).status == scram_status::failed);
    CHECK(twice.finish(fixture::server_final, problem) == scram_status::failed);
    CHECK_FALSE(twice.secret());
}
