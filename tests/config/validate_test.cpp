// The rules between settings, each as one row: what is changed, which key is blamed.

#include "config/validate.hpp"

#include <doctest/doctest.h>

#include <functional>

using namespace pgsteady::config;
using namespace std::chrono_literals;

namespace {

settings good() {
    settings all;
    all.backends.hosts = {{"127.0.0.1", 5432}};
    all.backends.tls.sslmode = server_tls_mode::prefer;
    all.auth.method = auth_method::passthrough;
    return all;
}

std::string everything_readable(const std::string& /*path*/) { return {}; }

struct blame {
    std::string_view what;
    std::function<void(settings&)> change;
    std::string_view key;
    severity level = severity::error;
};

const blame table[]{
    {"no server", [](auto& s) { s.backends.hosts.clear(); }, "backends.hosts"},
    {"the same server twice", [](auto& s) { s.backends.hosts.push_back(s.backends.hosts[0]); }, "backends.hosts"},
    {"ourselves as server",
     [](auto& s) {
         s.backends.hosts = {{"localhost", 6432}};
     },
     "backends.hosts"},
    {"a password without user", [](auto& s) { s.backends.password = "x"; }, "backends.user"},
    {"a certificate without key", [](auto& s) { s.listen.tls.cert_file = "c"; }, "listen.tls.key_file"},
    {"a key without certificate", [](auto& s) { s.listen.tls.key_file = "k"; }, "listen.tls.cert_file"},
    {"TLS demanded without certificate", [](auto& s) { s.listen.tls.mode = client_tls_mode::require; },
     "listen.tls.mode"},
    {"client certificates without CA",
     [](auto& s) {
         s.listen.tls = {client_tls_mode::verify_full, "c", "k", "", tls_version::tls_1_2};
     },
     "listen.tls.mode"},
    {"a relative socket folder", [](auto& s) { s.listen.unix_socket_dir = "run"; }, "listen.unix_socket_dir"},
    {"a socket path beyond sun_path", [](auto& s) { s.listen.unix_socket_dir = '/' + std::string(100, 'x'); },
     "listen.unix_socket_dir"},
    {"D7: trust beyond loopback",
     [](auto& s) {
         s.listen.host = "0.0.0.0";
         s.auth.method = auth_method::trust;
     },
     "auth.method"},
    {"D7: passthrough beyond loopback without TLS", [](auto& s) { s.listen.host = "10.0.0.1"; }, "listen.tls.cert_file",
     severity::warning},
    {"SCRAM without users", [](auto& s) { s.auth.method = auth_method::scram_sha_256; }, "auth.method"},
    {"passthrough with users", [](auto& s) { s.users["a"].password = "x"; }, "auth.method", severity::warning},
    {"D37: a console user who is not among the users", [](auto& s) { s.admin.admin_users = {"nobody"}; },
     "admin.admin_users", severity::warning},
    {"a user without password",
     [](auto& s) {
         s.auth.method = auth_method::scram_sha_256;
         s.users["a"] = {};
     },
     "users.a"},
    {"an open admin port without token",
     [](auto& s) {
         s.admin.host = "0.0.0.0";
         s.admin.tls = {"c", "k"};
     },
     "admin.host"},
    {"an open admin port without TLS",
     [](auto& s) {
         s.admin.host = "0.0.0.0";
         s.admin.operate_token = "t";
     },
     "admin.host", severity::warning},
    {"one token for both roles", [](auto& s) { s.admin.operate_token = s.admin.read_token = "t"; }, "admin.read_token"},
    {"both listeners on one port", [](auto& s) { s.admin.port = s.listen.port; }, "admin.port"},
    {"channel binding without TLS", [](auto& s) { s.backends.tls.binding = channel_binding::require; },
     "backends.tls.channel_binding"},
    {"direct TLS that may go on in clear", [](auto& s) { s.backends.tls.negotiation = tls_negotiation::direct; },
     "backends.tls.negotiation"},
    {"verification without CA", [](auto& s) { s.backends.tls.sslmode = server_tls_mode::verify_full; },
     "backends.tls.sslmode"},
    {"D9: unverified servers elsewhere",
     [](auto& s) {
         s.backends.hosts = {{"db", 5432}};
     },
     "backends.tls.sslmode", severity::warning},
    {"a minimum above the size", [](auto& s) { s.pool.min_size = 21; }, "pool.min_size"},
    {"P51: idle timeout beyond lifetime", [](auto& s) { s.pool.idle_timeout = 2h; }, "pool.idle_timeout",
     severity::warning},
    {"first pause above the longest", [](auto& s) { s.retry.initial_delay = 6s; }, "retry.initial_delay"},
    {"backoff upside down", [](auto& s) { s.connect.backoff.initial = 2s; }, "connect.backoff.initial"},
    {"late backoff below the early", [](auto& s) { s.connect.backoff.late_max = 500ms; }, "connect.backoff.late_max"},
    {"more kept than a session may hold", [](auto& s) { s.limits.session_memory = 32 * kib; }, "limits.request_keep"},
    {"fewer connections than a pool", [](auto& s) { s.limits.max_server_connections = 5; },
     "limits.max_server_connections", severity::warning},
    {"a health check longer than its period", [](auto& s) { s.health.timeout = 31s; }, "health.timeout"},
    {"a monitor password without user", [](auto& s) { s.monitor.password = "x"; }, "monitor.user"},
    {"a database minimum above its size", [](auto& s) { s.databases["app"].pool.min_size = 99; },
     "databases.app.pool.min_size"},
    {"a database password without user", [](auto& s) { s.databases["my.db"].password = "x"; },
     "databases.\"my.db\".user"},
};

}  // namespace

TEST_CASE("good settings have no problems") { CHECK(validate(good(), everything_readable).empty()); }

TEST_CASE("each rule blames the key to change") {
    for (const auto& row : table) {
        CAPTURE(row.what);
        settings all = good();
        row.change(all);
        const auto found = validate(all, everything_readable);
        REQUIRE(found.size() == 1);
        CHECK(found[0].key == row.key);
        CHECK(found[0].level == row.level);
    }
}

TEST_CASE("files that cannot be read are all reported") {
    settings all = good();
    all.listen.tls.cert_file = "/a";
    all.listen.tls.key_file = "/b";
    all.listen.unix_socket_dir = "/c";
    all.backends.tls.ca_file = "/d";
    all.admin.tls = {"/e", "/f"};
    CHECK(validate(all, [](const std::string& path) { return "no " + path; }).size() == 6);
}

TEST_CASE("P51: 0 is off and never below or above something") {
    settings all = good();
    all.pool.lifetime = 0s;
    all.health.interval = 0s;
    CHECK(validate(all, everything_readable).empty());
}

TEST_CASE("trust is allowed on loopback, and elsewhere only by its own key") {
    settings all = good();
    all.auth.method = auth_method::trust;
    CHECK(validate(all, everything_readable).empty());
    all.listen.host = "0.0.0.0";
    all.auth.allow_remote_trust = true;
    CHECK(validate(all, everything_readable).empty());
}

TEST_CASE("D37: with passthrough, users of the console are not useless") {
    settings all = good();
    all.users["operator"].password = "x";
    all.admin.stats_users = {"operator"};
    CHECK(validate(all, everything_readable).empty());
}

TEST_CASE("only addresses of this machine count as loopback") {
    for (const auto* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "/run/postgresql"}) CHECK(is_loopback(host));
    for (const auto* host : {"0.0.0.0", "::", "127.example.org", "10.0.0.1", "", "localhost.evil"})
        CHECK_FALSE(is_loopback(host));
}

TEST_CASE("verifiers are checked by shape") {
    const std::string key(43, 'A');
    const auto count = [&](const std::string& verifier) {
        settings all = good();
        all.auth.method = auth_method::md5;
        all.users["a"].verifier = verifier;
        return validate(all, everything_readable).size();
    };
    CHECK(count("SCRAM-SHA-256$4096:c2FsdA==$" + key + "=:" + key + "=") == 0);
    CHECK(count("md5" + std::string(32, 'a')) == 0);
    for (const std::string bad : {"SCRAM-SHA-256$", "SCRAM-SHA-256$x:c2FsdA==$a:b", "md5abc", "plain",
                                  "SCRAM-SHA-256$4096:$:", "SCRAM-SHA-1$4096:a$b:c"}) {
        CAPTURE(bad);
        CHECK(count(bad) == 1);
    }
}
