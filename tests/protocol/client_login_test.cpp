// Sign-in of clients: each conversation whole and byte by byte, every refusal with its text and SQLSTATE.

#include "protocol/client_login.hpp"

#include "protocol/frame.hpp"
#include "protocol/md5_auth.hpp"
#include "protocol/scram_client.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace pgsteady;
using namespace std::string_literals;
using namespace std::string_view_literals;
using step = client_login::step;
using auth_method = client_login::auth_method;

namespace {

const std::string random_bytes = "0123456789abcdefghijklmnopqrstuv";  // 32 of them
const std::string salt4 = random_bytes.substr(0, 4);
constexpr int few_iterations = 16;  // the number is the client's and the verifier's business, not the login's

std::string startup_bytes(const parameter_list& parameters, std::uint16_t minor = 0) {
    std::string out;
    append_startup(out, parameters, minor);
    return out;
}

std::string startup_of(std::string user) { return startup_bytes({{"user", std::move(user)}}); }

std::string ssl_request() {
    std::string out;
    append_ssl_request(out);
    return out;
}

std::string gssenc_request() {
    std::string out;
    append_gssenc_request(out);
    return out;
}

std::string raw_startup(std::string_view after_length) {
    std::string out;
    const frame_builder packet(out);
    out.append(after_length);
    return out;
}

std::string frame(char type, std::string_view body) {
    std::string out;
    const frame_builder builder(out, type);
    out.append(body);
    return out;
}

std::string password_message(std::string_view text) { return frame('p', std::string(text) + '\0'); }

std::string sasl_initial(std::string_view mechanism, std::string_view data) {
    std::string body;
    put_cstring(body, mechanism);
    put_i32(body, static_cast<std::int32_t>(data.size()));
    body += data;
    return frame('p', body);
}

std::string authentication(std::int32_t code, std::string_view data = {}) {
    std::string body;
    put_i32(body, code);
    body += data;
    return frame('R', body);
}

const std::string auth_ok = authentication(0);
const std::string auth_cleartext = authentication(3);
const std::string auth_md5 = authentication(5, salt4);

client_login::settings over_loopback() {
    client_login::settings settings;
    settings.is_loopback_or_unix = true;
    settings.mock_secret = "mock secret of this process";
    settings.mock_iterations = few_iterations;
    return settings;
}

client_login::settings with_tls() {
    auto settings = over_loopback();
    settings.is_loopback_or_unix = false;
    settings.tls_available = true;
    return settings;
}

scram_verifier verifier_of(std::string_view password) {
    return make_scram_verifier(password, "sixteen byte salt", few_iterations);
}

client_login::credentials trusted() { return {auth_method::trust, {}, {}, true}; }
client_login::credentials by_md5(std::string hash) { return {auth_method::md5, {}, std::move(hash), true}; }
client_login::credentials by_scram(std::string_view password) {
    return {auth_method::scram, verifier_of(password), {}, true};
}
client_login::credentials by_passthrough() { return {auth_method::passthrough, {}, {}, false}; }

/// A client's end of one conversation: keeps unread bytes as a session does and collects what is written.
class conversation {
public:
    conversation(client_login::settings settings, bool by_byte) : login(std::move(settings)), by_byte_(by_byte) {}

    /// Everything at once, or byte by byte until a step other than need_more.
    step send(std::string_view bytes) {
        const std::size_t piece = by_byte_ ? 1 : bytes.size();
        step last = step::need_more;
        for (std::size_t at = 0; at < bytes.size() && last == step::need_more; at += piece) {
            unread += bytes.substr(at, piece);
            last = read();
        }
        return last;
    }

    step answer(client_login::credentials found) {
        return login.provide_credentials(std::move(found), random_bytes, out);
    }

    std::string written() { return std::exchange(out, {}); }

    client_login login;
    std::string unread;
    std::string out;

private:
    step read() {
        for (;;) {
            std::size_t consumed = 0;
            const step next = login.feed(unread, consumed, out);
            REQUIRE(consumed <= unread.size());
            unread.erase(0, consumed);
            if (next != step::need_more || consumed == 0 || unread.empty()) return next;
        }
    }

    bool by_byte_;
};

template <typename Script>
void both_ways(const client_login::settings& settings, Script script) {
    for (const bool by_byte : {false, true}) {
        CAPTURE(by_byte);
        conversation client(settings, by_byte);
        script(client);
    }
}

/// The conversation ended with exactly this FATAL and nothing else was written.
void check_fatal(conversation& client, std::string_view code, std::string_view message) {
    const std::string written = client.written();
    REQUIRE(written.starts_with("E"));
    REQUIRE(read_frame_header(written).total == written.size());
    error_fields fields;
    REQUIRE(parse_error_fields(std::string_view(written).substr(frame_header_size), fields));
    CHECK(fields.severity == "FATAL");
    CHECK(fields.sqlstate == code);
    CHECK(fields.message == message);
    CHECK(client.login.failure() == fields);
    CHECK_FALSE(client.login.failure_cause().empty());
    CHECK_FALSE(client.login.recovered_secret());
    CHECK(client.send("anything") == step::failed);
    CHECK(client.written().empty());
}

constexpr std::string_view wrong_alice = "password authentication failed for user \"alice\"";

/// Runs SCRAM up to the server's verdict; the client's half is ours.
step sign_in_by_scram(conversation& client, client_login::credentials found, const std::string& password,
                      scram_client::settings options = {}) {
    REQUIRE(client.send(startup_of("alice")) == step::lookup_user);
    REQUIRE(client.answer(std::move(found)) == step::need_more);
    (void)client.written();
    options.nonce = "client nonce of 18";
    scram_client scram(password, std::move(options));
    const std::string client_first = scram.first();
    REQUIRE(client.send(sasl_initial(scram.mechanism(), client_first)) == step::need_more);
    const std::string challenge = client.written();
    REQUIRE(challenge.starts_with("R"));
    std::string client_final;
    std::string problem;
    REQUIRE(scram.challenge(std::string_view(challenge).substr(9), client_final, problem) == scram_status::more);
    const step verdict = client.send(frame('p', client_final));
    if (verdict == step::authenticated) {
        const std::string written = client.written();
        const std::size_t final_size = read_frame_header(written).total;
        CHECK(written.substr(final_size) == auth_ok);
        CHECK(written.substr(5, 4) == "\0\0\0\x0c"sv);
        CHECK(scram.finish(std::string_view(written).substr(9, final_size - 9), problem) == scram_status::done);
    }
    return verdict;
}

}  // namespace

// ---- startup ---------------------------------------------------------------------------------------------------

TEST_CASE("trust: AuthenticationOk at once, and the rest is left to the session") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_bytes({{"user", "alice"}, {"application_name", "x"}})) == step::lookup_user);
        CHECK(client.login.user() == "alice");
        CHECK(client.login.database() == "alice");
        CHECK(client.login.startup().parameter("application_name") == "x");
        CHECK(client.written().empty());
        CHECK(client.answer(trusted()) == step::authenticated);
        CHECK(client.written() == auth_ok);
        CHECK(client.send("Q....") == step::authenticated);
        CHECK(client.written().empty());
        CHECK(client.login.take_password().empty());
    });
}

TEST_CASE("the database is the one named, or the user's") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_bytes({{"database", "shop"}, {"user", "alice"}})) == step::lookup_user);
        CHECK(client.login.database() == "shop");
    });
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_bytes({{"database", ""}, {"user", "alice"}})) == step::lookup_user);
        CHECK(client.login.database() == "alice");
    });
}

TEST_CASE("while the caller looks something up, further bytes wait") {
    conversation client(over_loopback(), false);
    CHECK(client.send(startup_of("alice") + "more") == step::lookup_user);
    CHECK(client.send("and more") == step::lookup_user);
    CHECK(client.unread == "moreand more");
}

TEST_CASE("a startup packet cut anywhere asks for more and says nothing") {
    const std::string whole = startup_of("alice");
    for (std::size_t size = 0; size < whole.size(); ++size) {
        conversation client(over_loopback(), false);
        CHECK(client.send(whole.substr(0, size)) == step::need_more);
        CHECK(client.unread.size() == size);
        CHECK(client.out.empty());
    }
}

TEST_CASE("what cannot be a startup packet is refused with FATAL") {
    struct row {
        std::string bytes;
        std::string_view code;
        std::string_view message;
    };
    const row rows[] = {
        {"\0\0\0\7"s, "08P01", "invalid length of startup packet"},
        {"\x7f\xff\xff\xff"s, "08P01", "invalid length of startup packet"},
        {"\x16\x03\x01\x02"s, "08P01", "TLS handshake without SSLRequest is not supported"},
        {raw_startup("\0\3\0\0user\0alice\0"sv), "08P01",
         "invalid startup packet layout: expected terminator as last byte"},
        {raw_startup("\x04\xd2\x16\x2e\0\0\0\1key"sv), "08P01", "invalid length of cancel request packet"},
        {raw_startup("\x04\xd2\x16\x2fx"sv), "08P01", "invalid length of encryption request"},
        {raw_startup("\0\2\0\0"sv), "0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"},
        {raw_startup("\0\4\0\1"sv), "0A000", "unsupported frontend protocol 4.1: server supports 3.0 to 3.2"},
        {raw_startup("\x04\xd2\x16\x31"sv), "0A000",
         "unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2"},
        {startup_bytes({}), "28000", "no PostgreSQL user name specified in startup packet"},
        {startup_bytes({{"user", ""}}), "28000", "no PostgreSQL user name specified in startup packet"},
    };
    for (const auto& [bytes, code, message] : rows) {
        CAPTURE(message);
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(client.send(bytes) == step::failed);
            check_fatal(client, code, message);
        });
    }
}

TEST_CASE("replication switched off is an ordinary session") {
    for (const char* value : {"false", "off", "0", "no", "F", "FALSE", "of", ""}) {
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(client.send(startup_bytes({{"user", "a"}, {"replication", value}})) == step::lookup_user);
            CHECK_FALSE(client.login.wants_replication());
        });
    }
}

TEST_CASE("P39: protocol 3.2 has long keys for cancel requests, and nothing else that is new") {
    for (const auto minor : std::initializer_list<std::uint16_t>{0, 1, 2}) {
        both_ways(over_loopback(), [minor](conversation& client) {
            CHECK(client.send(startup_bytes({{"user", "alice"}}, minor)) == step::lookup_user);
            CHECK(client.written().empty());
            CHECK(client.login.protocol_minor() == minor);
            CHECK(client.login.cancel_key_bytes() == (minor == 2 ? 32 : 4));
        });
    }
}

TEST_CASE("P38: a newer minor or a _pq_ option is negotiated exactly once") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_bytes({{"user", "alice"}}, 3)) == step::lookup_user);
        CHECK(client.written() == frame('v', "\0\3\0\2\0\0\0\0"sv));
        CHECK(client.login.startup().minor == 3);
        CHECK(client.login.protocol_minor() == 2);
        CHECK(client.answer(trusted()) == step::authenticated);
        CHECK(client.written() == auth_ok);
    });
    both_ways(over_loopback(), [](conversation& client) {
        const parameter_list asked{{"_pq_.one", "1"}, {"user", "alice"}, {"_pq_.two", "2"}, {"datestyle", "iso"}};
        CHECK(client.send(startup_bytes(asked, 9999)) == step::lookup_user);
        CHECK(client.written() == frame('v', "\0\3\0\2\0\0\0\2_pq_.one\0_pq_.two\0"sv));
        CHECK(client.login.startup().parameters == parameter_list{{"user", "alice"}, {"datestyle", "iso"}});
    });
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_bytes({{"user", "alice"}, {"_pq_.x", ""}})) == step::lookup_user);
        CHECK(client.written() == frame('v', "\0\3\0\0\0\0\0\1_pq_.x\0"sv));
    });
}

TEST_CASE("P39: a cancel request is handed over, in clear or after TLS, and gets no answer") {
    const std::string key(200, '\x81');
    std::string bytes;
    append_cancel_request(bytes, 4711, key);
    both_ways(with_tls(), [&](conversation& client) {
        CHECK(client.send(bytes) == step::cancel_request);
        CHECK(client.login.startup().cancel_pid == 4711);
        CHECK(client.login.startup().cancel_key == key);
        CHECK(client.send("X\0\0\0\4"sv) == step::cancel_request);  // P44
        CHECK(client.written().empty());
    });
    both_ways(with_tls(), [&](conversation& client) {
        CHECK(client.send(ssl_request()) == step::start_tls);
        client.login.tls_established({});
        CHECK(client.send(bytes) == step::cancel_request);
        CHECK(client.written() == "S");
    });
}

// ---- encryption ------------------------------------------------------------------------------------------------

TEST_CASE("TLS may begin without being asked for, as the first thing only, and nothing of it is consumed") {
    const std::string hello = "\x16\x03\x01\x02\0\1\0"s;
    const auto first = [&](client_login& login, std::string_view in) {
        std::size_t consumed = 99;
        std::string out;
        const step answer = login.feed(in, consumed, out);
        CHECK(out.empty());
        CHECK(consumed == 0);
        return answer;
    };
    client_login login(with_tls());
    CHECK(first(login, hello.substr(0, 1)) == step::start_tls);
    CHECK(login.direct_tls());
    CHECK(first(login, hello) == step::start_tls);
    login.tls_established({});
    std::size_t consumed = 0;
    std::string out;
    CHECK(login.feed(startup_of("alice"), consumed, out) == step::lookup_user);
    CHECK(login.tls_in_use());

    client_login in_tls(with_tls());  // not once more within it
    CHECK(first(in_tls, hello) == step::start_tls);
    in_tls.tls_established({});
    CHECK(in_tls.feed(hello, consumed, out) == step::failed);
    conversation asked(with_tls(), false);
    CHECK(asked.send(gssenc_request()) == step::need_more);
    CHECK(asked.send(hello) == step::failed);
    conversation without(over_loopback(), false);
    CHECK(without.send(hello) == step::failed);
    CHECK_FALSE(without.login.direct_tls());
}

TEST_CASE("SSLRequest and GSSENCRequest are answered once each, in either order") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(gssenc_request()) == step::need_more);
        CHECK(client.written() == "N");
        CHECK(client.send(ssl_request()) == step::need_more);
        CHECK(client.written() == "N");
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.written().empty());
        CHECK_FALSE(client.login.tls_in_use());
    });
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(ssl_request()) == step::need_more);
        CHECK(client.send(gssenc_request()) == step::need_more);
        CHECK(client.written() == "NN");
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
    });
    both_ways(with_tls(), [](conversation& client) {
        CHECK(client.send(gssenc_request()) == step::need_more);
        CHECK(client.written() == "N");
        CHECK(client.send(ssl_request()) == step::start_tls);
        CHECK(client.written() == "S");
        client.login.tls_established({});
        CHECK(client.login.tls_in_use());
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
    });
}

TEST_CASE("a second request for encryption is refused") {
    const std::string_view twice_ssl = "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2";
    const std::string_view twice_gss = "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2";
    both_ways(over_loopback(), [&](conversation& client) {
        CHECK(client.send(ssl_request()) == step::need_more);
        CHECK(client.written() == "N");
        CHECK(client.send(ssl_request()) == step::failed);
        check_fatal(client, "0A000", twice_ssl);
    });
    both_ways(over_loopback(), [&](conversation& client) {
        CHECK(client.send(gssenc_request()) == step::need_more);
        CHECK(client.written() == "N");
        CHECK(client.send(gssenc_request()) == step::failed);
        check_fatal(client, "0A000", twice_gss);
    });
    for (const auto& request : {ssl_request(), gssenc_request()}) {
        both_ways(with_tls(), [&](conversation& client) {
            CHECK(client.send(ssl_request()) == step::start_tls);
            client.login.tls_established({});
            CHECK(client.written() == "S");
            CHECK(client.send(request) == step::failed);
            check_fatal(client, "0A000", request == ssl_request() ? twice_ssl : twice_gss);
        });
    }
}

TEST_CASE("P1: no byte may follow a request for encryption before its answer") {
    const std::string_view after_ssl = "received unencrypted data after SSL request";
    for (const auto& settings : {over_loopback(), with_tls()}) {
        conversation one_byte(settings, false);
        CHECK(one_byte.send(ssl_request() + "x") == step::failed);
        check_fatal(one_byte, "08P01", after_ssl);
        conversation whole_packet(settings, false);
        CHECK(whole_packet.send(ssl_request() + startup_of("alice")) == step::failed);
        check_fatal(whole_packet, "08P01", after_ssl);
        conversation gss(settings, false);
        CHECK(gss.send(gssenc_request() + ssl_request()) == step::failed);
        check_fatal(gss, "08P01", "received unencrypted data after GSSAPI encryption request");
    }
}

TEST_CASE("P1: bytes in clear between S and the handshake end the login without another byte in clear") {
    both_ways(with_tls(), [](conversation& client) {
        CHECK(client.send(ssl_request()) == step::start_tls);
        CHECK(client.written() == "S");
        CHECK(client.send(startup_of("alice")) == step::failed);
        CHECK(client.written().empty());
        CHECK(client.login.failure().sqlstate == "08P01");
        CHECK(client.login.failure().message == "received unencrypted data after SSL request");
        client.login.tls_established({});
        CHECK_FALSE(client.login.tls_in_use());
        CHECK(client.send(startup_of("alice")) == step::failed);
    });
}

TEST_CASE("waiting for the handshake without new bytes is no error") {
    conversation client(with_tls(), false);
    CHECK(client.send(ssl_request()) == step::start_tls);
    std::size_t consumed = 1;
    CHECK(client.login.feed({}, consumed, client.out) == step::start_tls);
    CHECK(consumed == 0);
}

TEST_CASE("tls_established means nothing unless it was asked for") {
    conversation client(with_tls(), false);
    client.login.tls_established("hash");
    CHECK_FALSE(client.login.tls_in_use());
}

TEST_CASE("TLS can be required") {
    auto settings = with_tls();
    settings.tls_required = true;
    both_ways(settings, [](conversation& client) {
        CHECK(client.send(startup_bytes({{"user", "alice"}, {"database", "shop"}})) == step::failed);
        check_fatal(client, "28000", "connection requires TLS for user \"alice\", database \"shop\", no encryption");
        CHECK(client.login.failure().hint == "Connect with sslmode=require or stronger.");
    });
    both_ways(settings, [](conversation& client) {
        CHECK(client.send(ssl_request()) == step::start_tls);
        client.login.tls_established({});
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
    });
}

// ---- methods ---------------------------------------------------------------------------------------------------

TEST_CASE("P6: an unknown user does not get in by trust") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer({auth_method::trust, {}, {}, false}) == step::failed);
        check_fatal(client, "28000", "role \"alice\" does not exist");
    });
}

TEST_CASE("reject names user, database and encryption") {
    both_ways(with_tls(), [](conversation& client) {
        CHECK(client.send(ssl_request()) == step::start_tls);
        client.login.tls_established({});
        (void)client.written();
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer({}) == step::failed);
        check_fatal(client, "28000", "connection rejected for user \"alice\", database \"alice\", SSL encryption");
    });
}

TEST_CASE("md5: the right answer signs in") {
    const std::string hash = md5_password_hash("alice", "secret");
    both_ways(over_loopback(), [&](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_md5(hash)) == step::need_more);
        CHECK(client.written() == auth_md5);
        CHECK(client.send(password_message(md5_response(hash, salt4))) == step::authenticated);
        CHECK(client.written() == auth_ok);
        CHECK(client.login.failure_cause().empty());
    });
}

TEST_CASE("P13: md5: wrong password, unknown user and absent hash look the same") {
    const std::string hash = md5_password_hash("alice", "secret");
    const std::string right = md5_response(hash, salt4);
    const std::string stand_in = md5_response("md5" + std::string(32, '0'), salt4);
    struct row {
        client_login::credentials found;
        std::string answer;
        std::string_view cause;
    };
    const row rows[] = {
        {by_md5(hash), md5_response(md5_password_hash("alice", "wrong"), salt4), "wrong password"},
        {by_md5(hash), right.substr(0, right.size() - 1), "wrong password"},
        {by_md5(hash), "secret", "wrong password"},
        {{auth_method::md5, {}, hash, false}, right, "unknown user, or one without an md5 hash"},
        {{auth_method::md5, {}, {}, false}, stand_in, "unknown user, or one without an md5 hash"},
        {by_md5({}), stand_in, "unknown user, or one without an md5 hash"},
        {by_md5("secret"), stand_in, "unknown user, or one without an md5 hash"},
    };
    for (const auto& [found, answer, cause] : rows) {
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(client.send(startup_of("alice")) == step::lookup_user);
            CHECK(client.answer(found) == step::need_more);
            CHECK(client.written() == auth_md5);
            CHECK(client.send(password_message(answer)) == step::failed);
            check_fatal(client, "28P01", wrong_alice);
            CHECK(client.login.failure_cause() == cause);
        });
    }
}

TEST_CASE("scram: the right password signs in and leaves keys for the server") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(sign_in_by_scram(client, by_scram("secret"), "secret") == step::authenticated);
        const auto& keys = client.login.recovered_secret();
        REQUIRE(keys);
        CHECK(*keys == *derive_scram_secret("secret", "sixteen byte salt", few_iterations));
    });
}

TEST_CASE("scram: the mechanisms offered depend on the channel") {
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_scram("secret")) == step::need_more);
        CHECK(client.written() == authentication(10, "SCRAM-SHA-256\0\0"sv));
    });
    for (const std::string hash : {"", "certificate hash"}) {
        both_ways(with_tls(), [&](conversation& client) {
            CHECK(client.send(ssl_request()) == step::start_tls);
            client.login.tls_established(hash);
            CHECK(client.send(startup_of("alice")) == step::lookup_user);
            (void)client.written();
            CHECK(client.answer(by_scram("secret")) == step::need_more);
            CHECK(client.written() ==
                  authentication(10, hash.empty() ? "SCRAM-SHA-256\0\0"sv : "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv));
        });
    }
}

TEST_CASE("P14: scram under TLS, bound to the channel or not, and the downgrade that is caught") {
    const auto start = [](conversation& client) {
        REQUIRE(client.send(ssl_request()) == step::start_tls);
        client.login.tls_established("certificate hash");
        (void)client.written();
    };
    scram_client::settings bound;
    bound.use_plus = true;
    bound.tls_active = true;
    bound.server_offered_plus = true;
    bound.channel_binding_data = "certificate hash";
    both_ways(with_tls(), [&](conversation& client) {
        start(client);
        CHECK(sign_in_by_scram(client, by_scram("secret"), "secret", bound) == step::authenticated);
    });
    both_ways(with_tls(), [&](conversation& client) {
        start(client);
        CHECK(sign_in_by_scram(client, by_scram("secret"), "secret") == step::authenticated);
    });
    both_ways(with_tls(), [&](conversation& client) {
        start(client);
        auto elsewhere = bound;
        elsewhere.channel_binding_data = "hash of another certificate";
        CHECK(sign_in_by_scram(client, by_scram("secret"), "secret", elsewhere) == step::failed);
        check_fatal(client, "28000", "SCRAM channel binding check failed");
    });
    both_ways(with_tls(), [&](conversation& client) {
        start(client);
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_scram("secret")) == step::need_more);
        (void)client.written();
        CHECK(client.send(sasl_initial("SCRAM-SHA-256", "y,,n=,r=clientnonceof18bytes")) == step::failed);
        check_fatal(client, "28000", "SCRAM channel binding negotiation error");
    });
}

TEST_CASE("P13: scram runs to its end for unknown users and fails like a wrong password") {
    struct row {
        client_login::credentials found;
        std::string_view cause;
    };
    const row rows[] = {
        {by_scram("another"), "wrong password"},
        {{auth_method::scram, {}, {}, true}, "user has no SCRAM verifier"},
        {{auth_method::scram, {}, {}, false}, "unknown user"},
        {{auth_method::scram, verifier_of("secret"), {}, false}, "unknown user"},
    };
    for (const auto& [found, cause] : rows) {
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(sign_in_by_scram(client, found, "secret") == step::failed);
            check_fatal(client, "28P01", wrong_alice);
            CHECK(client.login.failure_cause() == cause);
        });
    }
}

TEST_CASE("P13: an unknown user sees the same salt each time, and another one sees another") {
    const auto challenge_for = [](const std::string& user) {
        conversation client(over_loopback(), false);
        CHECK(client.send(startup_of(user)) == step::lookup_user);
        CHECK(client.answer({auth_method::scram, {}, {}, false}) == step::need_more);
        (void)client.written();
        CHECK(client.send(sasl_initial("SCRAM-SHA-256", "n,,n=,r=clientnonceof18bytes")) == step::need_more);
        return client.written();
    };
    CHECK(challenge_for("mallory") == challenge_for("mallory"));
    CHECK(challenge_for("mallory") != challenge_for("mallet"));
}

TEST_CASE("malformed SASL messages are refused, at every length") {
    struct row {
        std::string bytes;
        std::string_view code;
        std::string_view message;
    };
    const std::string_view first = "n,,n=,r=clientnonceof18bytes";
    const row rows[] = {
        {frame('p', ""), "08P01", "malformed SASLInitialResponse"},
        {frame('p', "SCRAM-SHA-256"), "08P01", "malformed SASLInitialResponse"},
        {frame('p', "SCRAM-SHA-256\0\0\0"sv), "08P01", "malformed SASLInitialResponse"},
        {frame('p', "SCRAM-SHA-256\0\xff\xff\xff\xff"sv), "08P01", "malformed SASLInitialResponse"},
        {frame('p', "SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"sv), "08P01", "malformed SASLInitialResponse"},
        {frame('p', "SCRAM-SHA-256\0\0\0\0\1n,,"sv), "08P01", "malformed SASLInitialResponse"},
        {sasl_initial("SCRAM-SHA-1", first), "08P01", "client selected an invalid SASL authentication mechanism"},
        {sasl_initial("SCRAM-SHA-256-PLUS", first), "08P01",
         "client selected an invalid SASL authentication mechanism"},
        {sasl_initial("SCRAM-SHA-256", "n,a=bob,n=,r=clientnonceof18bytes"), "0A000",
         "client uses authorization identity, but it is not supported"},
        {password_message("secret"), "08P01", "malformed SASLInitialResponse"},
    };
    for (const auto& [bytes, code, message] : rows) {
        CAPTURE(message);
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(client.send(startup_of("alice")) == step::lookup_user);
            CHECK(client.answer(by_scram("secret")) == step::need_more);
            (void)client.written();
            CHECK(client.send(bytes) == step::failed);
            check_fatal(client, code, message);
        });
    }
}

TEST_CASE("P42: passthrough asks in clear, hands the password to the caller once, and takes long tokens") {
    for (const std::string& password : {std::string("secret"), std::string(5'000, 't'), std::string(65'535, 't')}) {
        conversation client(over_loopback(), false);
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_passthrough()) == step::need_more);
        CHECK(client.written() == auth_cleartext);
        CHECK(client.send(password_message(password)) == step::check_password);
        CHECK(client.send("early query") == step::check_password);
        CHECK(client.login.take_password() == password);
        CHECK(client.login.take_password().empty());
        CHECK(client.login.password_checked(true, nullptr, client.out) == step::authenticated);
        CHECK(client.written() == auth_ok);
        CHECK(client.unread == "early query");
    }
}

TEST_CASE("passthrough by byte, and over TLS from afar") {
    both_ways(with_tls(), [](conversation& client) {
        CHECK(client.send(ssl_request()) == step::start_tls);
        client.login.tls_established({});
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        (void)client.written();
        CHECK(client.answer(by_passthrough()) == step::need_more);
        CHECK(client.send(password_message("secret")) == step::check_password);
        CHECK(client.login.take_password() == "secret");
    });
}

TEST_CASE("D7: passthrough in clear from afar is refused before the password is asked for") {
    both_ways(with_tls(), [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_passthrough()) == step::failed);
        check_fatal(client, "28000",
                    "password sign-in requires TLS for user \"alice\", database \"alice\", no encryption");
        CHECK(client.login.failure().hint == "Connect with sslmode=require or stronger.");
    });
}

TEST_CASE("P13: what the client hears when the server refuses its password") {
    struct row {
        error_fields why;
        std::string_view code;
        std::string_view message;
    };
    const row rows[] = {
        {fatal_error("28P01", "password authentication failed for user \"alice\""), "28P01", wrong_alice},
        {fatal_error("28000", "no pg_hba.conf entry for host \"10.0.0.7\""), "28P01", wrong_alice},
        {fatal_error("", "no code at all"), "28P01", wrong_alice},
        {fatal_error("3D000", "database \"shop\" does not exist"), "3D000", "database \"shop\" does not exist"},
        {plain_error("53300", "sorry, too many clients already"), "53300", "sorry, too many clients already"},
    };
    for (const auto& [why, code, message] : rows) {
        both_ways(over_loopback(), [&](conversation& client) {
            CHECK(client.send(startup_of("alice")) == step::lookup_user);
            CHECK(client.answer(by_passthrough()) == step::need_more);
            CHECK(client.send(password_message("guess")) == step::check_password);
            (void)client.written();
            error_fields with_position = why;
            with_position.others = {{'F', "auth.c"}, {'L', "334"}};
            CHECK(client.login.password_checked(false, &with_position, client.out) == step::failed);
            check_fatal(client, code, message);
            CHECK(client.login.take_password().empty());
        });
    }
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_passthrough()) == step::need_more);
        CHECK(client.send(password_message("guess")) == step::check_password);
        (void)client.written();
        CHECK(client.login.password_checked(false, nullptr, client.out) == step::failed);
        check_fatal(client, "28P01", wrong_alice);
    });
}

// ---- the password message --------------------------------------------------------------------------------------

TEST_CASE("what cannot be a password message is refused") {
    struct row {
        std::string bytes;
        std::string_view code;
        std::string_view message;
    };
    const row rows[] = {
        {frame('Q', "select 1\0"sv), "08P01", "expected password response, got message type 81"},
        {frame('X', ""), "08P01", "expected password response, got message type 88"},
        {"\xff", "08P01", "expected password response, got message type 255"},
        {"p\0\0\0\3"s, "08P01", "invalid message length"},
        {"p\xff\xff\xff\xff", "08P01", "invalid message length"},
        {"p\x7f\xff\xff\xff", "08P01", "invalid message length"},
        {"p\0\1\0\5"s, "08P01", "invalid message length"},
        {frame('p', ""), "08P01", "invalid password packet size"},
        {frame('p', "secret"), "08P01", "invalid password packet size"},
        {frame('p', "secret\0\0"sv), "08P01", "invalid password packet size"},
        {password_message(""), "28P01", "empty password returned by client"},
    };
    for (const auto& [bytes, code, message] : rows) {
        for (const auto& found : {by_passthrough(), by_md5(md5_password_hash("alice", ""))}) {
            CAPTURE(message);
            both_ways(over_loopback(), [&](conversation& client) {
                CHECK(client.send(startup_of("alice")) == step::lookup_user);
                CHECK(client.answer(found) == step::need_more);
                (void)client.written();
                CHECK(client.send(bytes) == step::failed);
                check_fatal(client, code, message);
            });
        }
    }
    both_ways(over_loopback(), [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_scram("secret")) == step::need_more);
        (void)client.written();
        CHECK(client.send(frame('Q', "select 1\0"sv)) == step::failed);
        check_fatal(client, "08P01", "expected SASL response, got message type 81");
    });
}

TEST_CASE("the limit of a password message is the configured one") {
    auto settings = over_loopback();
    settings.max_password_bytes = 10;
    both_ways(settings, [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_passthrough()) == step::need_more);
        CHECK(client.send(password_message("123456789")) == step::check_password);
    });
    both_ways(settings, [](conversation& client) {
        CHECK(client.send(startup_of("alice")) == step::lookup_user);
        CHECK(client.answer(by_passthrough()) == step::need_more);
        (void)client.written();
        CHECK(client.send(password_message("1234567890")) == step::failed);
        check_fatal(client, "08P01", "invalid message length");
    });
}

// ---- the caller ------------------------------------------------------------------------------------------------

TEST_CASE("the caller can refuse at any step, always with FATAL") {
    const error_fields too_many = plain_error("53300", "sorry, too many clients already");
    conversation at_once(over_loopback(), false);
    CHECK(at_once.login.refuse(too_many, at_once.out) == step::failed);
    check_fatal(at_once, "53300", "sorry, too many clients already");
    conversation later(over_loopback(), false);
    CHECK(later.send(startup_of("alice")) == step::lookup_user);
    CHECK(later.login.refuse(too_many, later.out) == step::failed);
    check_fatal(later, "53300", "sorry, too many clients already");
    CHECK(later.login.refuse(too_many, later.out) == step::failed);
    CHECK(later.written().empty());
    conversation too_late(over_loopback(), false);
    CHECK(too_late.send(startup_of("alice")) == step::lookup_user);
    CHECK(too_late.answer(trusted()) == step::authenticated);
    CHECK(too_late.login.refuse(too_many, too_late.out) == step::authenticated);
}

TEST_CASE("the caller's own mistakes fail closed") {
    conversation no_chance(over_loopback(), false);
    CHECK(no_chance.send(startup_of("alice")) == step::lookup_user);
    CHECK(no_chance.login.provide_credentials(trusted(), random_bytes.substr(1), no_chance.out) == step::failed);
    check_fatal(no_chance, "XX000", "could not generate random salt");

    conversation too_early(over_loopback(), false);
    CHECK(too_early.answer(trusted()) == step::failed);
    check_fatal(too_early, "XX000", "sign-in out of order");

    conversation nothing_asked(over_loopback(), false);
    CHECK(nothing_asked.send(startup_of("alice")) == step::lookup_user);
    CHECK(nothing_asked.login.password_checked(true, nullptr, nothing_asked.out) == step::failed);
    check_fatal(nothing_asked, "XX000", "sign-in out of order");
}

TEST_CASE("every step and method has a name") {
    CHECK(to_string(step::cancel_request) == "cancel_request");
    CHECK(to_string(auth_method::passthrough) == "passthrough");
}
