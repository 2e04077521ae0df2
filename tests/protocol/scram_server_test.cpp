// The server's half of SCRAM: RFC 7677, channel binding flags, hostile clients, unknown users.
#include "protocol/scram_server.hpp"

#include "tests/protocol/scram_fixture.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <tuple>
#include <utility>

using namespace pgsteady;
namespace fixture = pgsteady::scram_fixture;

namespace {

scram_server make_server(scram_server::settings settings = fixture::server_settings()) {
    return {fixture::verifier(), std::move(settings)};
}

/// What start() makes of a client-first-message.
struct start_result {
    scram_status status;
    scram_failure failure;
    std::string reply;
    std::string problem;
};

start_result start(scram_server& server, std::string_view message, std::string_view mechanism = scram_sha_256) {
    start_result result{};
    result.status = server.start(mechanism, message, result.reply, result.problem);
    result.failure = server.failure();
    return result;
}

start_result start_fresh(std::string_view message, std::string_view mechanism = scram_sha_256,
                         scram_server::settings settings = fixture::server_settings()) {
    auto server = make_server(std::move(settings));
    return start(server, message, mechanism);
}

/// What finish() makes of a client-final-message, after the client-first-message of RFC 7677.
start_result finish_fresh(std::string_view message) {
    auto server = make_server();
    REQUIRE(start(server, fixture::client_first).status == scram_status::more);
    start_result result{};
    result.status = server.finish(message, result.reply, result.problem);
    result.failure = server.failure();
    CHECK(server.recovered_secret().has_value() == (result.status == scram_status::done));
    return result;
}

scram_server::settings plus_settings() {
    auto settings = fixture::server_settings();
    settings.tls_active = true;
    settings.plus_advertised = true;
    settings.channel_binding_data = std::string(32, '\x5a');
    return settings;
}

}  // namespace

TEST_CASE("the server speaks the exchange of RFC 7677 and recovers the client's keys") {
    auto server = make_server();
    const auto first = start(server, fixture::client_first);
    CHECK(first.status == scram_status::more);
    CHECK(first.reply == fixture::server_first);
    CHECK(first.problem.empty());
    CHECK_FALSE(server.recovered_secret());

    std::string reply;
    std::string problem;
    CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::done);
    CHECK(reply == fixture::server_final);
    CHECK(problem.empty());
    CHECK(server.failure() == scram_failure::none);
    REQUIRE(server.recovered_secret());
    CHECK(*server.recovered_secret() == fixture::secret());
}

TEST_CASE("a raw nonce of the server is sent in base64, a printable one as it is") {
    auto settings = fixture::server_settings();
    settings.nonce = std::string(18, '\xff');
    const auto raw = start_fresh(fixture::client_first, scram_sha_256, settings);
    CHECK(raw.reply.starts_with("r=rOprNGfwEbeRWgbNEkqO" + std::string(24, '/') + ",s="));
    settings.nonce = std::string(18, ',');
    CHECK(start_fresh(fixture::client_first, scram_sha_256, settings).status == scram_status::more);
}

TEST_CASE("a nonce of the wrong size is refused rather than used") {
    auto settings = fixture::server_settings();
    for (const std::size_t size : {std::size_t{0}, min_scram_nonce_bytes - 1, max_scram_nonce_bytes + 1}) {
        settings.nonce = std::string(size, 'x');
        CHECK(start_fresh(fixture::client_first, scram_sha_256, settings).failure == scram_failure::internal);
    }
}

TEST_CASE("a wrong proof is a wrong password") {
    const auto other = *derive_scram_secret("pencils", fixture::salt, 4096);
    scram_client client(other, fixture::client_settings());
    auto server = make_server();
    std::string problem;
    std::string client_final;
    const auto first = start(server, client.first());
    REQUIRE(client.challenge(first.reply, client_final, problem) == scram_status::more);
    std::string server_final;
    CHECK(server.finish(client_final, server_final, problem) == scram_status::failed);
    CHECK(server.failure() == scram_failure::wrong_proof);
    CHECK(problem == "password authentication failed");
    CHECK(server_final.empty());
    CHECK_FALSE(server.recovered_secret());
}

TEST_CASE("P13: a doomed exchange runs to its end and fails as a wrong password does") {
    SUBCASE("even with the right proof") {
        auto settings = fixture::server_settings();
        settings.doomed = true;
        auto server = make_server(settings);
        CHECK(start(server, fixture::client_first).reply == fixture::server_first);
        std::string reply;
        std::string problem;
        CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::failed);
        CHECK(server.failure() == scram_failure::wrong_proof);
        CHECK(problem == "password authentication failed");
        CHECK(reply.empty());
        CHECK_FALSE(server.recovered_secret());
    }
    SUBCASE("with a mock verifier, which fails also without the flag") {
        const auto mock = mock_scram_verifier("nobody", "server secret", 4096);
        scram_server server(mock, fixture::server_settings());
        const auto first = start(server, fixture::client_first);
        CHECK(first.status == scram_status::more);
        CHECK(first.reply.size() == fixture::server_first.size());
        std::string reply;
        std::string problem;
        CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::failed);
        CHECK(server.failure() == scram_failure::wrong_proof);
    }
}

TEST_CASE("P14: the channel binding flag of the client is checked against what was offered") {
    auto tls = fixture::server_settings();
    tls.tls_active = true;
    const std::string bare = "n=,r=rOprNGfwEbeRWgbNEkqO";

    CHECK(start_fresh("n,," + bare).status == scram_status::more);
    CHECK(start_fresh("y,," + bare).status == scram_status::more);
    CHECK(start_fresh("n,," + bare, scram_sha_256, tls).status == scram_status::more);
    CHECK(start_fresh("y,," + bare, scram_sha_256, tls).status == scram_status::more);
    CHECK(start_fresh("n,," + bare, scram_sha_256, plus_settings()).status == scram_status::more);
    CHECK(start_fresh("p=tls-server-end-point,," + bare, scram_sha_256_plus, plus_settings()).status ==
          scram_status::more);

    const auto downgraded = start_fresh("y,," + bare, scram_sha_256, plus_settings());
    CHECK(downgraded.failure == scram_failure::channel_binding);
    CHECK(downgraded.problem == "SCRAM channel binding negotiation error");
}

TEST_CASE("a mechanism and a channel binding flag that contradict each other are refused") {
    const std::string bare = "n=,r=rOprNGfwEbeRWgbNEkqO";
    const auto plus = plus_settings();
    CHECK(start_fresh("n,," + bare, scram_sha_256_plus, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("y,," + bare, scram_sha_256_plus, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("p=tls-server-end-point,," + bare, scram_sha_256, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("p=tls-unique,," + bare, scram_sha_256_plus, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("p=,," + bare, scram_sha_256_plus, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("p,," + bare, scram_sha_256_plus, plus).failure == scram_failure::malformed);
    CHECK(start_fresh("p=tls-server-end-point,," + bare).failure == scram_failure::malformed);
}

TEST_CASE("SCRAM-SHA-256-PLUS needs to be offered, and TLS, and a certificate") {
    const std::string first = "p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO";
    auto not_offered = plus_settings();
    not_offered.plus_advertised = false;
    auto no_tls = plus_settings();
    no_tls.tls_active = false;
    auto no_certificate = plus_settings();
    no_certificate.channel_binding_data.clear();
    for (const auto& settings : {not_offered, no_tls, no_certificate}) {
        const auto result = start_fresh(first, scram_sha_256_plus, settings);
        CHECK(result.failure == scram_failure::malformed);
        CHECK(result.problem == "client selected an invalid SASL authentication mechanism");
    }
}

TEST_CASE("an unknown mechanism is refused") {
    for (const char* mechanism :
         {"", "SCRAM-SHA-1", "scram-sha-256", "SCRAM-SHA-256 ", "SCRAM-SHA-256-PLUS", "OAUTHBEARER"})
        CHECK(start_fresh(fixture::client_first, mechanism).failure == scram_failure::malformed);
}

TEST_CASE("the features of SCRAM that PostgreSQL lacks are refused by name") {
    const auto authzid = start_fresh("n,a=admin,n=user,r=rOprNGfwEbeRWgbNEkqO");
    CHECK(authzid.failure == scram_failure::unsupported);
    CHECK(authzid.problem == "client uses authorization identity, but it is not supported");
    const auto extension = start_fresh("n,,m=ext,n=user,r=rOprNGfwEbeRWgbNEkqO");
    CHECK(extension.failure == scram_failure::unsupported);
    CHECK(extension.problem == "client requires an unsupported SCRAM extension");
}

TEST_CASE("malformed client-first-messages are refused") {
    for (const char* message : {"",
                                "n",
                                "n,",
                                "n,,",
                                "n,,n",
                                "n,,n=",
                                "n,,n=user",
                                "n,,n=user,",
                                "n,,n=user,r",
                                "n,,n=user,r=",
                                "x,,n=,r=abc",
                                "N,,n=,r=abc",
                                ",,n=,r=abc",
                                "nn,,n=,r=abc",
                                "n,b,n=,r=abc",
                                "n,,r=abc,n=",
                                "n,,n=,r=ab c",
                                "n,,n=,r=ab\tc",
                                "n,,n=,r=ab\x7f",
                                "n,,n=,r=ab\xc3\xa9",
                                "n,,n=,r=abc,",
                                "n,,n=,r=abc,x",
                                "n,,n=,r=abc,1=x",
                                "n,,n=,r=abc,x=1,",
                                "n,,n=,r=abc,m=x"}) {
        CAPTURE(message);
        const auto result = start_fresh(message);
        CHECK(result.status == scram_status::failed);
        CHECK(result.failure == scram_failure::malformed);
        CHECK(result.reply.empty());
        CHECK_FALSE(result.problem.empty());
    }
}

TEST_CASE("unknown optional extensions are ignored but signed") {
    scram_client client(fixture::secret(), fixture::client_settings());
    CHECK(start_fresh("n,,n=,r=abc,x=1,Y=,z=a=b").status == scram_status::more);
    CHECK(finish_fresh("c=biws,x=1," + fixture::client_final.substr(7)).failure == scram_failure::malformed);
    const std::string extended = std::string(fixture::client_final).insert(fixture::client_final.find(",p="), ",x=1");
    CHECK(finish_fresh(extended).failure == scram_failure::wrong_proof);
}

TEST_CASE("malformed client-final-messages are refused") {
    const std::string nonce = "r=" + fixture::client_nonce + fixture::server_nonce;
    const std::string proof = fixture::client_final.substr(fixture::client_final.find(",p=") + 1);
    const std::string malformed[] = {
        "",
        "c=biws",
        "c=biws,",
        "c=biws," + nonce,
        "c=biws," + nonce + ",",
        "c=biws," + nonce + ",p=",
        "c=biws," + nonce + ",p",
        "c=biws," + nonce + ",p=AAAA",
        "c=biws," + nonce + ",p=====",
        "c=biws," + nonce + "," + proof + ",",
        "c=biws," + nonce + "," + proof + ",x=1",
        "c=biws," + nonce + "," + proof + "\n",
        "c=biws," + nonce + ",m=1," + proof,
        "c=biws,r=" + fixture::client_nonce + "," + proof,
        "c=biws,r=" + fixture::server_nonce + "," + proof,
        "c=biws," + nonce + "x," + proof,
        "c=," + nonce + "," + proof,
        "c=eSws," + nonce + "," + proof,  // P14: must be the very header that the client sent
        "c=biwsAAAA," + nonce + "," + proof,
        nonce + ",c=biws," + proof,
        proof,
    };
    for (const auto& message : malformed) {
        CAPTURE(message);
        CHECK(finish_fresh(message).failure == scram_failure::malformed);
    }
}

TEST_CASE("P14: the repeated header follows the flag: biws after n, eSws after y") {
    for (const auto& [flag, right, wrong] : {std::tuple{"n,,", "biws", "eSws"}, std::tuple{"y,,", "eSws", "biws"}}) {
        for (const auto* sent : {right, wrong}) {
            auto server = make_server();
            REQUIRE(start(server, std::string(flag) + "n=user,r=rOprNGfwEbeRWgbNEkqO").status == scram_status::more);
            std::string reply;
            std::string problem;
            const std::string message = std::string("c=") + sent + fixture::client_final.substr(6);
            const auto status = server.finish(message, reply, problem);
            if (sent == wrong) {
                CHECK(server.failure() == scram_failure::malformed);
            } else if (std::string_view(flag) == "n,,") {
                CHECK(status == scram_status::done);
            } else {
                CHECK(server.failure() == scram_failure::wrong_proof);  // well-formed; the vector signs "biws"
            }
        }
    }
}

TEST_CASE("P8: oversized messages and zero bytes are refused before they are parsed") {
    CHECK(start_fresh("n,,n=,r=" + std::string(max_scram_message_bytes, 'x')).failure == scram_failure::malformed);
    CHECK(start_fresh("n,,n=,r=" + std::string(1 << 20, 'x')).failure == scram_failure::malformed);
    CHECK(start_fresh("n,,n=,r=" + std::string(max_scram_message_bytes - 8, 'x')).status == scram_status::more);
    CHECK(start_fresh(fixture::client_first + '\0').failure == scram_failure::malformed);
    CHECK(start_fresh(std::string("n,,n=\0,r=abc", 12)).failure == scram_failure::malformed);
    CHECK(finish_fresh(fixture::client_final + std::string(1 << 20, 'x')).failure == scram_failure::malformed);
    CHECK(finish_fresh(fixture::client_final + '\0').failure == scram_failure::malformed);
}

TEST_CASE("every truncation of a client's message is refused") {
    for (std::size_t length = 0; length < fixture::client_final.size(); ++length)
        CHECK(finish_fresh(fixture::client_final.substr(0, length)).status == scram_status::failed);
    for (std::size_t length = 0; length < fixture::client_first.size(); ++length) {
        auto server = make_server();
        // Cutting the nonce short leaves a valid message, but not one that the proof has signed.
        if (start(server, fixture::client_first.substr(0, length)).status == scram_status::failed) continue;
        std::string reply;
        std::string problem;
        CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::failed);
    }
}

TEST_CASE("no damage to a client's message is ever accepted") {
    fixture::for_each_damage(fixture::client_final, [](const std::string& damaged) {
        CAPTURE(damaged);
        CHECK(finish_fresh(damaged).status == scram_status::failed);
    });
    fixture::for_each_damage(fixture::client_first, [](const std::string& damaged) {
        CAPTURE(damaged);
        auto server = make_server();
        if (start(server, damaged).status == scram_status::failed) return;
        std::string reply;
        std::string problem;
        CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::failed);
    });
}

TEST_CASE("messages out of order are refused, and a finished exchange stays finished") {
    std::string reply;
    std::string problem;
    auto server = make_server();
    CHECK(server.finish(fixture::client_final, reply, problem) == scram_status::failed);
    CHECK(start(server, fixture::client_first).status == scram_status::failed);

    auto twice = make_server();
    CHECK(start(twice, fixture::client_first).status == scram_status::more);
    CHECK(start(twice, fixture::client_first).status == scram_status::failed);
    CHECK(twice.finish(fixture::client_final, reply, problem) == scram_status::failed);

    auto guess_again = make_server();
    CHECK(start(guess_again, fixture::client_first).status == scram_status::more);
    CHECK(guess_again.finish("c=biws", reply, problem) == scram_status::failed);
    CHECK(guess_again.finish(fixture::client_final, reply, problem) == scram_status::failed);

    auto replayed = make_server();
    CHECK(start(replayed, fixture::client_first).status == scram_status::more);
    CHECK(replayed.finish(fixture::client_final, reply, problem) == scram_status::done);
    CHECK(replayed.finish(fixture::client_final, reply, problem) == scram_status::failed);
    CHECK_FALSE(replayed.recovered_secret());
}

TEST_CASE("problems never carry bytes of the client") {
    const auto result = start_fresh("n,,n=,r=evil\x1b[31m");
    CHECK(result.problem == "non-printable characters in SCRAM nonce");
}

TEST_CASE("every SCRAM failure has a name of its own") {
    CHECK(to_string(scram_failure::none) == "none");
    CHECK(to_string(scram_failure::malformed) == "malformed");
    CHECK(to_string(scram_failure::unsupported) == "unsupported");
    CHECK(to_string(scram_failure::channel_binding) == "channel_binding");
    CHECK(to_string(scram_failure::wrong_proof) == "wrong_proof");
    CHECK(to_string(scram_failure::internal) == "internal");
}
