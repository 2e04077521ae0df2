// Both halves of SCRAM against each other, with every combination of channel binding.
#include "tests/protocol/scram_fixture.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;
namespace fixture = pgsteady::scram_fixture;

namespace {

/// How an exchange ended on each side.
struct exchange_result {
    bool server_accepted = false;
    bool client_accepted = false;
    scram_failure server_failure = scram_failure::none;
};

exchange_result exchange(scram_client& client, scram_server& server) {
    exchange_result result;
    std::string problem;
    std::string server_first;
    std::string client_final;
    std::string server_final;
    if (server.start(client.mechanism(), client.first(), server_first, problem) == scram_status::more &&
        client.challenge(server_first, client_final, problem) == scram_status::more) {
        result.server_accepted = server.finish(client_final, server_final, problem) == scram_status::done;
        result.client_accepted = result.server_accepted && client.finish(server_final, problem) == scram_status::done;
    }
    result.server_failure = server.failure();
    return result;
}

bool signs_in(scram_client client, const scram_verifier& verifier) {
    scram_server server(verifier, fixture::server_settings());
    const auto result = exchange(client, server);
    CHECK(result.server_accepted == result.client_accepted);
    return result.client_accepted;
}

}  // namespace

TEST_CASE("a password signs in against its verifier, and no other does") {
    const std::string passwords[] = {"pencil", "", " ", "p\u00e4ss\u2168", "caf\xe9", std::string(5000, 'x'), "a,b=c"};
    for (const auto& right : passwords) {
        const auto verifier = make_scram_verifier(right, "some salt", 2);
        for (const auto& tried : passwords) {
            CAPTURE(right);
            CAPTURE(tried);
            CHECK(signs_in(scram_client(tried, fixture::client_settings()), verifier) == (tried == right));
        }
    }
}

TEST_CASE("equivalent spellings of a password sign in alike") {
    const auto verifier = make_scram_verifier("I\u00adX", "some salt", 2);
    CHECK(signs_in(scram_client("\u2168", fixture::client_settings()), verifier));
}

TEST_CASE("keys recovered from a client sign in to a server with the same verifier, and to no other") {
    scram_server front(fixture::verifier(), fixture::server_settings());
    scram_client application("pencil", fixture::client_settings());
    REQUIRE(exchange(application, front).client_accepted);
    REQUIRE(front.recovered_secret());

    auto settings = fixture::client_settings();
    settings.nonce = std::string(18, '\x01');
    CHECK(signs_in(scram_client(*front.recovered_secret(), settings), fixture::verifier()));
    CHECK_FALSE(signs_in(scram_client(*front.recovered_secret(), settings),
                         make_scram_verifier("pencil", "another salt", 4096)));
}

TEST_CASE("keys kept after one sign-in serve the next without the password") {
    const auto verifier = make_scram_verifier("pencil", "some salt", 2);
    scram_server server(verifier, fixture::server_settings());
    scram_client client("pencil", fixture::client_settings());
    REQUIRE(exchange(client, server).client_accepted);
    REQUIRE(client.secret());
    CHECK(signs_in(scram_client(*client.secret(), fixture::client_settings()), verifier));
}

TEST_CASE("P13: an unknown user's exchange is as long as a known one's and fails") {
    scram_server server(mock_scram_verifier("nobody", "server secret", 2), fixture::server_settings());
    scram_client client("pencil", fixture::client_settings());
    const auto result = exchange(client, server);
    CHECK_FALSE(result.server_accepted);
    CHECK(result.server_failure == scram_failure::wrong_proof);
}

TEST_CASE("P14: channel binding holds between equal ends and breaks between different ones") {
    auto server_settings = fixture::server_settings();
    server_settings.tls_active = true;
    server_settings.plus_advertised = true;
    server_settings.channel_binding_data = std::string("hash\0of certificate", 19);
    auto client_settings = fixture::client_settings();
    client_settings.tls_active = true;
    client_settings.use_plus = true;
    client_settings.server_offered_plus = true;
    client_settings.channel_binding_data = server_settings.channel_binding_data;

    SUBCASE("same certificate") {
        scram_server server(fixture::verifier(), server_settings);
        scram_client client(fixture::secret(), client_settings);
        CHECK(client.mechanism() == "SCRAM-SHA-256-PLUS");
        CHECK(exchange(client, server).client_accepted);
    }
    SUBCASE("another certificate: someone is in between") {
        client_settings.channel_binding_data[0] = 'H';
        scram_server server(fixture::verifier(), server_settings);
        scram_client client(fixture::secret(), client_settings);
        CHECK(exchange(client, server).server_failure == scram_failure::channel_binding);
    }
    SUBCASE("the offer was removed on its way") {
        client_settings.server_offered_plus = false;
        scram_server server(fixture::verifier(), server_settings);
        scram_client client(fixture::secret(), client_settings);
        CHECK(exchange(client, server).server_failure == scram_failure::channel_binding);
    }
    SUBCASE("a client that does not bind is served") {
        client_settings.use_plus = false;
        scram_server server(fixture::verifier(), server_settings);
        scram_client client(fixture::secret(), client_settings);
        CHECK(exchange(client, server).client_accepted);
    }
    SUBCASE("a server that does not offer it is content with y") {
        server_settings.plus_advertised = false;
        client_settings.server_offered_plus = false;
        scram_server server(fixture::verifier(), server_settings);
        scram_client client(fixture::secret(), client_settings);
        CHECK(exchange(client, server).client_accepted);
    }
}
