// tls_context: every problem of a configuration is named, and none of them prompts.
#include "proxy/net/tls_context.hpp"

#include "tests/support/tls_fixture.hpp"

#include <doctest/doctest.h>

#include <fstream>

using namespace pgsteady::net;
using pgsteady::test::tls_fixture;

namespace {

bool mentions(const std::vector<std::string>& problems, const std::string& text) {
    for (const std::string& problem : problems) {
        if (problem.find(text) != std::string::npos) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("a good configuration has a context and no problem") {
    tls_fixture files;
    const auto leaf = files.issue();
    const auto server = tls_context::server({.certificate_file = leaf.certificate_file,
                                             .key_file = leaf.key_file,
                                             .ca_file = files.ca_file(),
                                             .clients = tls_server_settings::client_certificate::required});
    REQUIRE(server.context);
    CHECK(server.problems.empty());
    CHECK(server.context->is_server());
    CHECK(server.context->verifies_peer());
    const auto client =
        tls_context::client({.verify = tls_client_settings::verification::full, .ca_file = files.ca_file()});
    REQUIRE(client.context);
    CHECK(client.context->verifies_host());
    CHECK_FALSE(client.context->is_server());
}

TEST_CASE("every problem is listed, with its file and reason") {
    const auto made = tls_context::server(
        {.certificate_file = "/nowhere/cert.pem", .key_file = "/nowhere/key.pem", .ca_file = "/nowhere/ca.pem"});
    CHECK(made.context == nullptr);
    CHECK(made.problems.size() == 3);
    CHECK(mentions(made.problems, "certificate file \"/nowhere/cert.pem\": No such file or directory"));
    CHECK(mentions(made.problems, "private key file \"/nowhere/key.pem\": No such file or directory"));
    CHECK(mentions(made.problems, "CA file \"/nowhere/ca.pem\": "));
}

TEST_CASE("missing files are named") {
    const auto server = tls_context::server({.clients = tls_server_settings::client_certificate::optional});
    CHECK(mentions(server.problems, "no certificate file"));
    CHECK(mentions(server.problems, "no private key file"));
    CHECK(mentions(server.problems, "no CA file"));
    CHECK(mentions(tls_context::client({.certificate_file = "x.pem"}).problems, "without its private key"));
    CHECK(mentions(tls_context::client({.key_file = "x.key"}).problems, "without its certificate"));
}

TEST_CASE("a key of another certificate is refused") {
    tls_fixture files;
    const auto one = files.issue();
    const auto two = files.issue();
    const auto made = tls_context::server({.certificate_file = one.certificate_file, .key_file = two.key_file});
    CHECK(mentions(made.problems, "key values mismatch"));
}

TEST_CASE("an encrypted key is a problem, not a prompt") {
    tls_fixture files;
    const auto leaf = files.issue();
    const auto made =
        tls_context::server({.certificate_file = leaf.certificate_file, .key_file = files.encrypted_key(leaf)});
    CHECK(mentions(made.problems, "is encrypted"));
}

TEST_CASE("a file that is no PEM is refused") {
    tls_fixture files;
    const auto leaf = files.issue();
    std::ofstream(files.path("garbage.pem")) << "not a certificate\n";
    const auto made = tls_context::server({.certificate_file = files.path("garbage.pem"), .key_file = leaf.key_file});
    CHECK(mentions(made.problems, "garbage.pem"));
}
