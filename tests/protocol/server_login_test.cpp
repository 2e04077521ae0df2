// Sign-in to servers: each conversation whole and byte by byte, hostile servers, every failure with its text.

#include "protocol/server_login.hpp"

#include "protocol/client_login.hpp"
#include "protocol/frame.hpp"
#include "protocol/md5_auth.hpp"
#include "protocol/scram_server.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace pgsteady;
using namespace std::string_literals;
using namespace std::string_view_literals;
using step = server_login::step;
using tls_mode = server_login::tls_mode;

namespace {

constexpr int few_iterations = 16;
const std::string server_salt = "sixteen byte salt";

std::string frame(char type, std::string_view body) {
    std::string out;
    const frame_builder builder(out, type);
    out.append(body);
    return out;
}

std::string authentication(std::int32_t code, std::string_view data = {}) {
    std::string body;
    put_i32(body, code);
    body += data;
    return frame('R', body);
}

std::string parameter_status(std::string_view name, std::string_view value) {
    std::string body;
    put_cstring(body, name);
    put_cstring(body, value);
    return frame('S', body);
}

std::string key_data(std::int32_t pid, std::string_view key) {
    std::string body;
    put_i32(body, pid);
    body += key;
    return frame('K', body);
}

std::string error_response(const error_fields& error) {
    std::string out;
    append_error_response(out, error);
    return out;
}

const std::string auth_ok = authentication(0);
const std::string ask_cleartext = authentication(3);
const std::string ask_md5 = authentication(5, "salt");
const std::string ask_scram = authentication(10, "SCRAM-SHA-256\0\0"sv);
const std::string ready_idle = frame('Z', "I");
const std::string notice = frame('N', "SNOTICE\0Mhello\0\0"sv);
const std::string greeting = parameter_status("server_version", "15.20") + parameter_status("TimeZone", "UTC") +
                             key_data(4711, "\x80key") + ready_idle;

std::string startup_bytes(const parameter_list& extra = {}) {
    parameter_list parameters{{"user", "alice"}, {"database", "shop"}};
    parameters.insert(parameters.end(), extra.begin(), extra.end());
    std::string out;
    append_startup(out, parameters);
    return out;
}

const std::string ssl_request = "\0\0\0\x08\x04\xd2\x16\x2f"s;

server_login::settings plain() {
    server_login::settings settings;
    settings.user = "alice";
    settings.database = "shop";
    settings.tls = tls_mode::disable;
    settings.peer_is_loopback_or_unix = true;
    settings.password = "secret";
    settings.nonce_material = "our nonce, 18 bytes";
    return settings;
}

server_login::settings with_tls(tls_mode mode) {
    auto settings = plain();
    settings.tls = mode;
    settings.peer_is_loopback_or_unix = false;
    return settings;
}

/// Our end of one conversation: keeps unread bytes as a dialer does and collects what is written.
class conversation {
public:
    conversation(server_login::settings settings, bool by_byte) : login(std::move(settings)), by_byte_(by_byte) {
        first = login.begin(out);
    }

    /// Everything at once, or byte by byte until a step other than need_more.
    step receive(std::string_view bytes) {
        const std::size_t piece = by_byte_ ? 1 : bytes.size();
        step last = step::need_more;
        for (std::size_t at = 0; at < bytes.size() && last == step::need_more; at += piece) {
            unread += bytes.substr(at, piece);
            std::size_t consumed = 0;
            last = login.feed(unread, consumed, out);
            REQUIRE(consumed <= unread.size());
            unread.erase(0, consumed);
        }
        return last;
    }

    std::string written() { return std::exchange(out, {}); }

    server_login login;
    step first = step::need_more;
    std::string unread;
    std::string out;

private:
    bool by_byte_;
};

template <typename Script>
void both_ways(const server_login::settings& settings, Script script) {
    for (const bool by_byte : {false, true}) {
        CAPTURE(by_byte);
        conversation server(settings, by_byte);
        script(server);
    }
}

/// The attempt ended with an error of ours, and stays ended.
void check_failure(conversation& server, std::string_view code, std::string_view message) {
    CHECK(server.login.failure().severity == "FATAL");
    CHECK(server.login.failure().sqlstate == code);
    CHECK(server.login.failure().message == message);
    CHECK_FALSE(server.login.failure_is_from_server());
    CHECK_FALSE(server.login.scram_secret_for_cache());
    (void)server.written();
    CHECK(server.receive(auth_ok + greeting) == step::failed);
    CHECK(server.written().empty());
}

/// A conversation that has signed in by trust.
void check_ready(conversation& server) {
    CHECK(server.login.backend_pid() == 4711);
    CHECK(server.login.cancel_key() == "\x80key");
    CHECK(server.login.parameters() == parameter_list{{"server_version", "15.20"}, {"TimeZone", "UTC"}});
}

/// Answers SCRAM as a server would. `tamper` may change AuthenticationSASLFinal's data.
step scram_as_server(
    conversation& server, const scram_verifier& verifier,
    std::string (*tamper)(std::string) = [](std::string text) { return text; }) {
    const std::string initial = server.written();
    wire_reader body(std::string_view(initial).substr(frame_header_size));
    const auto mechanism = body.cstring();
    const auto length = body.i32();
    REQUIRE(mechanism == "SCRAM-SHA-256"sv);
    const std::string_view client_first = body.rest();
    REQUIRE(static_cast<std::size_t>(*length) == client_first.size());

    scram_server::settings options;
    options.nonce = "the server's nonce, raw";
    scram_server scram(verifier, options);
    std::string server_first;
    std::string server_final;
    std::string problem;
    REQUIRE(scram.start(*mechanism, client_first, server_first, problem) == scram_status::more);
    if (server.receive(authentication(11, server_first)) == step::failed) return step::failed;
    const std::string client_final = server.written();
    REQUIRE(client_final.starts_with("p"));
    const auto verdict = scram.finish(std::string_view(client_final).substr(frame_header_size), server_final, problem);
    if (verdict != scram_status::done) {
        return server.receive(error_response(fatal_error("28P01", "password authentication failed")));
    }
    return server.receive(authentication(12, tamper(server_final)));
}

scram_verifier verifier() { return make_scram_verifier("secret", server_salt, few_iterations); }
scram_secret secret() { return *derive_scram_secret("secret", server_salt, few_iterations); }

/// Both sides of ours, to the end. `seen`: the hash of the certificate that the one signing in was shown.
step sign_in(server_login& ours, client_login& theirs, const client_login::credentials& known,
             const std::string& seen = "hash") {
    const std::string random(32, 'r');
    std::string to_them;
    std::string to_us;
    REQUIRE(ours.begin(to_them) == step::need_more);
    for (int turn = 0; turn < 20; ++turn) {
        std::size_t consumed = 0;
        auto next = theirs.feed(to_them, consumed, to_us);
        to_them.erase(0, consumed);
        if (next == client_login::step::lookup_user) next = theirs.provide_credentials(known, random, to_us);
        if (next == client_login::step::start_tls) theirs.tls_established("hash");
        if (next == client_login::step::check_password) {
            next = theirs.password_checked(theirs.take_password() == "secret", nullptr, to_us);
        }
        if (next == client_login::step::authenticated) to_us += greeting;
        const auto answer = ours.feed(to_us, consumed, to_them);
        to_us.erase(0, consumed);
        if (answer == step::start_tls) REQUIRE(ours.tls_established(seen, {}, to_them) == step::need_more);
        if (answer == step::ready || answer == step::failed) return answer;
    }
    return step::need_more;
}

}  // namespace

// ---- start and end ---------------------------------------------------------------------------------------------

TEST_CASE("trust: from StartupMessage to the first ReadyForQuery") {
    both_ways(plain(), [](conversation& server) {
        CHECK(server.written() == startup_bytes());
        CHECK(server.receive(auth_ok + notice + greeting + "rest") == step::ready);
        check_ready(server);
        CHECK(server.written().empty());
        CHECK_FALSE(server.login.scram_secret_for_cache());
        CHECK_FALSE(server.login.tls_in_use());
    });
    conversation server(plain(), false);
    CHECK(server.receive(auth_ok + greeting + "rest") == step::ready);
    CHECK(server.unread == "rest");
}

TEST_CASE("a conversation cut anywhere asks for more") {
    const std::string whole = auth_ok + greeting;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        conversation server(plain(), false);
        const step last = server.receive(whole.substr(0, size));
        CHECK(last == step::need_more);
    }
}

TEST_CASE("P37: only what was asked for goes into the startup packet") {
    auto settings = plain();
    settings.extra_startup = {{"replication", "database"}};
    conversation server(settings, false);
    CHECK(server.written() == startup_bytes({{"replication", "database"}}));
}

TEST_CASE("P39: cancel keys of 4 to 256 bytes, or none") {
    for (const std::size_t size : {std::size_t{4}, std::size_t{32}, std::size_t{256}}) {
        both_ways(plain(), [&](conversation& server) {
            CHECK(server.receive(auth_ok + key_data(7, std::string(size, 'k')) + ready_idle) == step::ready);
            CHECK(server.login.cancel_key() == std::string(size, 'k'));
        });
    }
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(auth_ok + ready_idle) == step::ready);
        CHECK(server.login.backend_pid() == 0);
        CHECK(server.login.cancel_key().empty());
    });
}

TEST_CASE("of a parameter reported twice the last value counts") {
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(auth_ok + parameter_status("TimeZone", "CET") + greeting) == step::ready);
        CHECK(server.login.parameters() == parameter_list{{"TimeZone", "UTC"}, {"server_version", "15.20"}});
    });
}

TEST_CASE("P38: NegotiateProtocolVersion changes nothing, and may not offer what was not asked for") {
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(frame('v', "\0\3\0\0\0\0\0\0"sv) + auth_ok + greeting) == step::ready);
    });
    for (const auto wrong : {"\0\3\0\2\0\0\0\0"sv, "\0\4\0\0\0\0\0\0"sv, "\0\3\0\0\0\0\0\1_pq_.x\0"sv, "\0\3"sv}) {
        both_ways(plain(), [&](conversation& server) { CHECK(server.receive(frame('v', wrong)) == step::failed); });
    }
}

TEST_CASE("P39: with protocol 3.2 a server may give a key of 256 bytes, or answer with 3.0 and give four") {
    auto settings = plain();
    settings.newest_minor = 2;
    both_ways(settings, [](conversation& server) {
        CHECK(server.written().substr(4, 4) == "\0\3\0\2"sv);
        const std::string key(256, 'k');
        CHECK(server.receive(auth_ok + key_data(7, key) + frame('Z', "I")) == step::ready);
        CHECK(server.login.cancel_key() == key);
    });
    for (const auto answer : {"\0\3\0\0\0\0\0\0"sv, "\0\0\0\0\0\0\0\0"sv, "\0\3\0\2\0\0\0\0"sv}) {
        both_ways(settings, [&](conversation& server) {
            CHECK(server.receive(frame('v', answer) + auth_ok + key_data(7, "four") + frame('Z', "I")) == step::ready);
            CHECK(server.login.cancel_key() == "four");
        });
    }
}

TEST_CASE("direct TLS: a handshake that comes first is named postgresql by both sides, or nothing is said") {
    using negotiation = server_login::tls_negotiation;
    for (const tls_mode mode : {tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full}) {
        auto settings = with_tls(mode);
        settings.negotiation = negotiation::direct;
        both_ways(settings, [](conversation& server) {
            CHECK(server.first == step::start_tls);
            CHECK(server.written().empty());
            CHECK(server.login.tls_established("hash", "postgresql", server.out) == step::need_more);
            CHECK(server.login.tls_in_use());
            CHECK(server.receive(auth_ok + greeting) == step::ready);
        });
        for (const auto other : {""sv, "h2"sv, "postgresqlx"sv}) {
            conversation server(settings, false);
            CHECK(server.login.tls_established("hash", other, server.out) == step::failed);
            CHECK(server.out.empty());
            CHECK(server.login.failure().sqlstate == "08001");
            CHECK_FALSE(server.login.failure_is_from_server());
        }
    }
    for (const tls_mode mode : {tls_mode::disable, tls_mode::allow, tls_mode::prefer}) {
        auto settings = with_tls(mode);
        settings.negotiation = negotiation::direct;
        conversation server(settings, false);
        CHECK(server.first == step::need_more);  // who may go on in clear asks
        CHECK_FALSE(server.out.empty());
    }
}

TEST_CASE("the server's own error is handed on, at every phase, with missing fields too") {
    const error_fields starting = fatal_error("57P03", "the database system is starting up");
    for (const std::string& before : {""s, ask_cleartext, ask_scram, auth_ok, auth_ok + greeting.substr(0, 20)}) {
        if (before.size() == auth_ok.size() + 20) continue;  // inside a message
        both_ways(plain(), [&](conversation& server) {
            CHECK(server.receive(before + error_response(starting)) == step::failed);
            CHECK(server.login.failure() == starting);
            CHECK(server.login.failure_is_from_server());
        });
    }
    both_ways(plain(), [](conversation& server) {  // P9
        CHECK(server.receive(frame('E', "Mno code\0\0"sv)) == step::failed);
        CHECK(server.login.failure().sqlstate.empty());
        CHECK(server.login.failure().message == "no code");
        CHECK(server.login.failure_is_from_server());
    });
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(frame('E', "garbage")) == step::failed);
        check_failure(server, "08P01", "protocol error from the server during sign-in");
    });
}

TEST_CASE("a server that cannot fork answers without a length") {
    conversation server(plain(), false);
    CHECK(server.receive("Ecould not fork new process for connection: \x1b[1m\n\0"sv) == step::failed);
    CHECK(server.login.failure().detail == "could not fork new process for connection: ?[1m?");
    check_failure(server, "08004", "server refused the connection before sign-in");
}

TEST_CASE("P14 to P16: SCRAM is tied to the TLS connection where both sides can; a certificate in between is noticed") {
    using method = client_login::auth_method;
    using binding = server_login::channel_binding;
    const client_login::credentials scram{method::scram, verifier(), {}, true};
    const auto try_with = [&](binding wanted, const client_login::credentials& known, bool tls,
                              const std::string& seen) {
        client_login theirs({.tls_available = tls, .is_loopback_or_unix = true});
        auto settings = with_tls(tls ? tls_mode::require : tls_mode::prefer);
        settings.peer_is_loopback_or_unix = true;
        settings.binding = wanted;
        server_login ours(settings);
        const step last = sign_in(ours, theirs, known, seen);
        return last == step::failed ? ours.failure().sqlstate + ' ' + ours.failure().message
                                    : std::string(to_string(last));
    };
    for (const binding wanted : {binding::prefer, binding::require}) {
        CHECK(try_with(wanted, scram, true, "hash") == "ready");
        CHECK(try_with(wanted, scram, true, "another hash").starts_with("28000 SCRAM channel binding check failed"));
    }
    CHECK(try_with(binding::disable, scram, true, "another hash") == "ready");
    // We see no hash, so we claim nothing; and what is required and not to be had is refused before the password is used.
    CHECK(try_with(binding::prefer, scram, true, "") == "ready");
    CHECK(try_with(binding::require, scram, true, "").ends_with("the server's certificate has no hash to bind to"));
    CHECK(try_with(binding::prefer, scram, false, "") == "ready");
    CHECK(try_with(binding::require, scram, false, "").ends_with("the connection is not encrypted"));
    CHECK(try_with(binding::require, {method::trust, {}, {}, true}, true, "hash")
              .ends_with("the server did not ask for it"));
    CHECK(try_with(binding::require, {method::md5, {}, md5_password_hash("alice", "secret"), true}, true, "hash")
              .ends_with("the server asks for another kind of password"));
    CHECK(try_with(binding::require, {method::passthrough, {}, {}, false}, true, "hash")
              .ends_with("the server asks for another kind of password"));

    // The offer is taken out of the list on its way: the server, which did make it, notices (P14).
    conversation stripped(with_tls(tls_mode::require), false);
    CHECK(stripped.receive("S") == step::start_tls);
    CHECK(stripped.login.tls_established("hash", {}, stripped.out) == step::need_more);
    (void)stripped.written();
    CHECK(stripped.receive(ask_scram) == step::need_more);
    CHECK(stripped.written().find("y,,n=") != std::string::npos);
}

// ---- TLS -------------------------------------------------------------------------------------------------------

TEST_CASE("the first packet depends on sslmode") {
    for (const auto mode : {tls_mode::disable, tls_mode::allow}) {
        conversation server(with_tls(mode), false);
        CHECK(server.written() == startup_bytes());
    }
    for (const auto mode : {tls_mode::prefer, tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full}) {
        both_ways(with_tls(mode), [](conversation& server) {
            CHECK(server.written() == ssl_request);
            CHECK(server.receive("S") == step::start_tls);
            CHECK(server.written().empty());
            CHECK_FALSE(server.login.tls_in_use());
            CHECK(server.login.tls_established({}, {}, server.out) == step::need_more);
            CHECK(server.login.tls_in_use());
            CHECK(server.written() == startup_bytes());
            CHECK(server.receive(auth_ok + greeting) == step::ready);
            check_ready(server);
        });
    }
}

TEST_CASE("N is enough for prefer and for no other mode") {
    both_ways(with_tls(tls_mode::prefer), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive("N") == step::need_more);
        CHECK(server.written() == startup_bytes());
        CHECK(server.receive(auth_ok + greeting) == step::ready);
        CHECK_FALSE(server.login.tls_in_use());
    });
    for (const auto mode : {tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full}) {
        both_ways(with_tls(mode), [&](conversation& server) {
            CHECK(server.receive("N") == step::failed);
            check_failure(server, "08001",
                          "server does not support TLS, but sslmode " + std::string(to_string(mode)) + " needs it");
        });
    }
}

TEST_CASE("P2: bytes in clear behind the answer to SSLRequest end the attempt") {
    const std::string_view message = "received unencrypted data after the answer to the TLS request";
    for (const std::string answer : {"S", "N"}) {
        for (const std::string& more : {"x"s, auth_ok + greeting}) {
            conversation server(with_tls(tls_mode::prefer), false);
            CHECK(server.receive(answer + more) == step::failed);
            check_failure(server, "08P01", message);
        }
    }
    both_ways(with_tls(tls_mode::prefer), [](conversation& server) {
        CHECK(server.receive("S") == step::start_tls);
        CHECK(server.receive(auth_ok) == step::failed);
        check_failure(server, "08P01", "received unencrypted data before the TLS handshake");
        CHECK(server.login.tls_established({}, {}, server.out) == step::failed);
        CHECK(server.written().empty());
        CHECK_FALSE(server.login.tls_in_use());
    });
}

TEST_CASE("P3: an error in place of the answer to SSLRequest is not relayed") {
    for (const auto mode : {tls_mode::prefer, tls_mode::require, tls_mode::verify_full}) {
        both_ways(with_tls(mode), [](conversation& server) {
            CHECK(server.receive(error_response(fatal_error("28000", "call 555-1234 for help"))) == step::failed);
            check_failure(server, "08001", "server sent an error instead of an answer to the TLS request");
            CHECK(server.login.failure().detail.empty());
        });
    }
    both_ways(with_tls(tls_mode::prefer), [](conversation& server) {
        CHECK(server.receive("H") == step::failed);
        check_failure(server, "08001", "invalid answer to the TLS request");
    });
}

// ---- passwords -------------------------------------------------------------------------------------------------

TEST_CASE("cleartext and md5 passwords are sent over loopback") {
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_cleartext) == step::need_more);
        CHECK(server.written() == frame('p', "secret\0"sv));
        CHECK(server.receive(auth_ok + greeting) == step::ready);
    });
    const std::string answer = md5_response(md5_password_hash("alice", "secret"), "salt") + '\0';
    both_ways(plain(), [&](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_md5) == step::need_more);
        CHECK(server.written() == frame('p', answer));
        CHECK(server.receive(auth_ok + greeting) == step::ready);
    });
    auto by_hash = plain();
    by_hash.password.clear();
    by_hash.md5_hash = md5_password_hash("alice", "secret");
    both_ways(by_hash, [&](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_md5) == step::need_more);
        CHECK(server.written() == frame('p', answer));
    });
}

TEST_CASE("D9: cleartext and md5 passwords go beyond loopback only to a verified peer") {
    for (const std::string& question : {ask_cleartext, ask_md5}) {
        const std::string what = question == ask_md5 ? "an md5" : "a cleartext";
        const std::string message = "refused to send " + what + " password to an unverified server";
        for (const auto mode : {tls_mode::verify_ca, tls_mode::verify_full}) {
            both_ways(with_tls(mode), [&](conversation& server) {
                CHECK(server.receive("S") == step::start_tls);
                CHECK(server.login.tls_established({}, {}, server.out) == step::need_more);
                (void)server.written();
                CHECK(server.receive(question) == step::need_more);
                CHECK(server.written().starts_with("p"));
            });
        }
        for (const auto mode : {tls_mode::prefer, tls_mode::require}) {
            both_ways(with_tls(mode), [&](conversation& server) {
                CHECK(server.receive("S") == step::start_tls);
                CHECK(server.login.tls_established({}, {}, server.out) == step::need_more);
                (void)server.written();
                CHECK(server.receive(question) == step::failed);
                CHECK(server.out.empty());
                CHECK(server.login.failure().hint ==
                      "Use sslmode verify-full with a CA, or scram-sha-256 on the server.");
                check_failure(server, "28000", message);
            });
        }
        for (const auto mode : {tls_mode::disable, tls_mode::allow}) {
            both_ways(with_tls(mode), [&](conversation& server) {
                (void)server.written();
                CHECK(server.receive(question) == step::failed);
                CHECK(server.out.empty());
                check_failure(server, "28000", message);
            });
        }
        both_ways(with_tls(tls_mode::prefer), [&](conversation& server) {  // N: the downgrade
            CHECK(server.receive("N") == step::need_more);
            (void)server.written();
            CHECK(server.receive(question) == step::failed);
            CHECK(server.out.empty());
            check_failure(server, "28000", message);
        });
    }
}

TEST_CASE("a password that is not there is named as such") {
    auto settings = plain();
    settings.password.clear();
    const std::string tail = " authentication, but no password is known for user \"alice\"";
    const std::pair<std::string, std::string> rows[] = {
        {ask_cleartext, "cleartext password"}, {ask_md5, "md5 password"}, {ask_scram, "SCRAM-SHA-256"}};
    for (const auto& [question, method] : rows) {
        both_ways(settings, [&](conversation& server) {
            CHECK(server.receive(question) == step::failed);
            check_failure(server, "28P01", "server asks for " + method + tail);
        });
    }
    settings.md5_hash = "not a hash";
    both_ways(settings, [&](conversation& server) {
        CHECK(server.receive(ask_md5) == step::failed);
        check_failure(server, "XX000", "could not compute the answer to an md5 password request");
    });
}

TEST_CASE("methods that are not supported are named") {
    const std::pair<std::int32_t, std::string> rows[] = {{2, "Kerberos V5"}, {6, "SCM credentials"}, {7, "GSSAPI"},
                                                         {9, "SSPI"},        {99, "code 99"},        {-1, "code -1"}};
    for (const auto& [code, name] : rows) {
        both_ways(plain(), [&](conversation& server) {
            CHECK(server.receive(authentication(code)) == step::failed);
            check_failure(server, "0A000", "authentication method of the server is not supported: " + name);
        });
    }
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(authentication(10, "SCRAM-SHA-256-PLUS\0OAUTH\x1b\0\0"sv)) == step::failed);
        check_failure(server, "0A000", "SASL mechanisms of the server are not supported: SCRAM-SHA-256-PLUS, OAUTH?");
    });
}

// ---- SCRAM -----------------------------------------------------------------------------------------------------

TEST_CASE("scram with a password, and the keys it leaves for the next time") {
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        CHECK(scram_as_server(server, verifier()) == step::need_more);
        CHECK_FALSE(server.login.scram_secret_for_cache());
        CHECK(server.receive(auth_ok + greeting) == step::ready);
        REQUIRE(server.login.scram_secret_for_cache());
        CHECK(*server.login.scram_secret_for_cache() == secret());
    });
}

TEST_CASE("scram with keys instead of a password") {
    auto settings = with_tls(tls_mode::disable);  // SCRAM needs no verified peer
    settings.password.clear();
    settings.secret = secret();
    both_ways(settings, [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        CHECK(scram_as_server(server, verifier()) == step::need_more);
        CHECK(server.receive(auth_ok + greeting) == step::ready);
    });
    both_ways(settings, [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        const auto changed = make_scram_verifier("secret", "another salt", few_iterations);
        CHECK(scram_as_server(server, changed) == step::failed);
        check_failure(server, "28000", "SCRAM sign-in to the server failed");
    });
}

TEST_CASE("scram falls back to the password when the cached keys no longer fit") {
    auto settings = plain();
    settings.secret = secret();
    both_ways(settings, [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        const auto changed = make_scram_verifier("secret", "another salt", few_iterations);
        CHECK(scram_as_server(server, changed) == step::need_more);
        CHECK(server.receive(auth_ok + greeting) == step::ready);
        CHECK(server.login.scram_secret_for_cache()->salt == "another salt");
    });
}

TEST_CASE("D40: the challenge that costs a PBKDF2 is announced, also behind a notice") {
    const auto challenge = [](conversation& server) {
        const std::string first = server.written();
        const std::string nonce = first.substr(first.find("r=") + 2);
        return authentication(11, "r=" + nonce + "more,s=c2l4dGVlbiBieXRlIHNhbHQ=,i=16");
    };
    conversation by_password(plain(), false);
    (void)by_password.written();
    CHECK_FALSE(by_password.login.next_feed_derives_key(ask_scram));
    CHECK(by_password.receive(ask_scram) == step::need_more);
    const std::string bytes = challenge(by_password);
    CHECK(by_password.login.next_feed_derives_key(bytes));
    CHECK(by_password.login.next_feed_derives_key(notice + bytes));
    CHECK_FALSE(by_password.login.next_feed_derives_key(bytes.substr(0, bytes.size() - 1)));
    CHECK_FALSE(by_password.login.next_feed_derives_key(auth_ok));
    CHECK_FALSE(by_password.login.next_feed_derives_key({}));

    auto cached = plain();
    cached.secret = secret();
    conversation by_keys(cached, false);
    (void)by_keys.written();
    CHECK(by_keys.receive(ask_scram) == step::need_more);
    CHECK_FALSE(by_keys.login.next_feed_derives_key(challenge(by_keys)));
}

TEST_CASE("scram with a wrong password hands on the server's answer") {
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        CHECK(scram_as_server(server, make_scram_verifier("other", server_salt, few_iterations)) == step::failed);
        CHECK(server.login.failure_is_from_server());
        CHECK(server.login.failure().sqlstate == "28P01");
    });
}

TEST_CASE("P16: PLUS in the server's list is no obstacle and is not used") {
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(authentication(10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv)) == step::need_more);
        CHECK(scram_as_server(server, verifier()) == step::need_more);
        CHECK(server.receive(auth_ok + greeting) == step::ready);
    });
}

TEST_CASE("P17: a server that does not know the password is not believed") {
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        const auto tamper = [](std::string text) {
            text[5] = text[5] == 'A' ? 'B' : 'A';
            return text;
        };
        CHECK(scram_as_server(server, verifier(), tamper) == step::failed);
        check_failure(server, "28000", "server failed to prove that it knows the password");
    });
    // AuthenticationOk in place of the challenge, and in place of the proof
    both_ways(plain(), [](conversation& server) {
        CHECK(server.receive(ask_scram + auth_ok) == step::failed);
        check_failure(server, "28000", "server ended SCRAM without proving that it knows the password");
    });
    both_ways(plain(), [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        const std::string first = server.written();
        const std::string nonce = first.substr(first.find("r=") + 2);
        CHECK(server.receive(authentication(11, "r=" + nonce + "more,s=c2FsdA==,i=16")) == step::need_more);
        CHECK(server.receive(auth_ok) == step::failed);
        check_failure(server, "28000", "server ended SCRAM without proving that it knows the password");
    });
}

TEST_CASE("P17: too many iterations are refused") {
    auto settings = plain();
    settings.max_scram_iterations = 15;
    both_ways(settings, [](conversation& server) {
        (void)server.written();
        CHECK(server.receive(ask_scram) == step::need_more);
        CHECK(scram_as_server(server, verifier()) == step::failed);
        check_failure(server, "28000", "SCRAM sign-in to the server failed");
    });
}

// ---- hostile servers -------------------------------------------------------------------------------------------

TEST_CASE("P9: malformed and misplaced messages fail with the reason in the detail") {
    const std::pair<std::string, std::string> rows[] = {
        {"R\0\0\0\3"s, "message type \"R\" with length 3"},
        {"R\0\1\0\1"s, "message type \"R\" with length 65537"},
        {"S\xff\xff\xff\xff", "message type \"S\" with length 4294967295"},
        {"\x01\0\0\0\0"s, "message type \"?\" with length 0"},
        {frame('R', ""), "malformed authentication request"},
        {frame('R', "\0\0\0"sv), "malformed authentication request"},
        {authentication(0, "x"), "malformed authentication request"},
        {authentication(3, "x"), "malformed AuthenticationCleartextPassword"},
        {authentication(5, "abc"), "malformed AuthenticationMD5Password"},
        {authentication(5, "abcde"), "malformed AuthenticationMD5Password"},
        {authentication(10), "malformed AuthenticationSASL"},
        {authentication(10, "SCRAM-SHA-256"), "malformed AuthenticationSASL"},
        {authentication(10, "SCRAM-SHA-256\0"sv), "malformed AuthenticationSASL"},
        {authentication(10, "SCRAM-SHA-256\0\0x"sv), "malformed AuthenticationSASL"},
        {ask_cleartext + ask_cleartext, "authentication request 3 out of order"},
        {ask_md5 + ask_cleartext, "authentication request 3 out of order"},
        {ask_scram + ask_cleartext, "authentication request 3 out of order"},
        {ask_scram + authentication(12, "v="), "authentication request 12 out of order"},
        {greeting, "unexpected message type \"S\""},
        {key_data(1, "1234"), "unexpected message type \"K\""},
        {ready_idle, "unexpected message type \"Z\""},
        {frame('D', ""), "unexpected message type \"D\""},
        {frame('\x07', ""), "unexpected message type \"?\""},
        {auth_ok + auth_ok, "unexpected message type \"R\""},
        {auth_ok + frame('v', "\0\3\0\0\0\0\0\0"sv), "unexpected message type \"v\""},
        {auth_ok + frame('A', "\0\0\0\1x\0y\0"sv), "unexpected message type \"A\""},
        {auth_ok + frame('S', ""), "malformed ParameterStatus"},
        {auth_ok + frame('S', "name\0value"sv), "malformed ParameterStatus"},
        {auth_ok + frame('S', "name\0value\0x"sv), "malformed ParameterStatus"},
        {auth_ok + key_data(1, "123"), "malformed BackendKeyData"},
        {auth_ok + key_data(1, std::string(257, 'k')), "malformed BackendKeyData"},
        {auth_ok + frame('K', "12"), "malformed BackendKeyData"},
        {auth_ok + frame('Z', ""), "malformed ReadyForQuery"},
        {auth_ok + frame('Z', "T"), "malformed ReadyForQuery"},
        {auth_ok + frame('Z', "II"), "malformed ReadyForQuery"},
    };
    for (const auto& [bytes, detail] : rows) {
        CAPTURE(detail);
        both_ways(plain(), [&](conversation& server) {
            CHECK(server.receive(bytes) == step::failed);
            CHECK(server.login.failure().detail == detail);
            check_failure(server, "08P01", "protocol error from the server during sign-in");
        });
    }
}

TEST_CASE("P9: neither messages nor parameters may go on for ever") {
    conversation notices(plain(), false);
    step last = step::need_more;
    int sent = 0;
    const std::string long_notice = frame('N', std::string(60'000, 'x'));
    for (; last == step::need_more && sent < 100; ++sent) last = notices.receive(long_notice);
    CHECK(last == step::failed);
    CHECK(sent == 18);
    CHECK(notices.login.failure().detail == "more than 1 MiB during sign-in");

    conversation parameters(plain(), false);
    CHECK(parameters.receive(auth_ok) == step::need_more);
    for (int i = 0; i < 256; ++i) {
        CHECK(parameters.receive(parameter_status("p" + std::to_string(i), "x")) == step::need_more);
    }
    CHECK(parameters.receive(parameter_status("p0", "again")) == step::need_more);
    CHECK(parameters.receive(parameter_status("one more", "x")) == step::failed);
    CHECK(parameters.login.failure().detail == "too many ParameterStatus messages");
}

TEST_CASE("a login that was not begun fails; beginning twice says nothing twice") {
    server_login unbegun(plain());
    std::size_t consumed = 0;
    std::string out;
    CHECK(unbegun.feed(auth_ok, consumed, out) == step::failed);
    CHECK(unbegun.failure().sqlstate == "XX000");
    conversation twice(plain(), false);
    CHECK(twice.login.begin(twice.out) == step::failed);
    CHECK(twice.written() == startup_bytes());
}

// ---- both sides of ours ----------------------------------------------------------------------------------------

TEST_CASE("server_login signs in to client_login, by every method, and recovered keys open the next door") {
    using method = client_login::auth_method;
    const client_login::credentials all_known[] = {
        {method::trust, {}, {}, true},
        {method::md5, {}, md5_password_hash("alice", "secret"), true},
        {method::scram, verifier(), {}, true},
        {method::passthrough, {}, {}, false},
    };
    for (const auto& known : all_known) {
        for (const bool tls : {false, true}) {
            CAPTURE(to_string(known.method));
            client_login theirs({.tls_available = tls, .is_loopback_or_unix = true});
            auto settings = with_tls(tls ? tls_mode::verify_full : tls_mode::prefer);
            settings.peer_is_loopback_or_unix = !tls;
            server_login ours(settings);
            CHECK(sign_in(ours, theirs, known) == step::ready);
            CHECK(ours.tls_in_use() == tls);
            CHECK(theirs.tls_in_use() == tls);

            client_login strict({.tls_available = tls, .is_loopback_or_unix = true});
            settings.password = "wrong";
            server_login guess(settings);
            const auto verdict = sign_in(guess, strict, known);
            CHECK(verdict == (known.method == method::trust ? step::ready : step::failed));

            if (!theirs.recovered_secret()) continue;
            settings.password.clear();
            settings.secret = theirs.recovered_secret();
            client_login next_door({.tls_available = tls, .is_loopback_or_unix = true});
            server_login passed_on(settings);
            CHECK(sign_in(passed_on, next_door, known) == step::ready);
        }
    }
}
