// Host, Origin and tokens: who may do what.
#include "admin/access.hpp"

#include "admin/router.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::admin;

namespace {

config::admin_settings with_tokens(std::string read, std::string operate, std::string host = "127.0.0.1") {
    config::admin_settings result;
    result.host = std::move(host);
    result.read_token = std::move(read);
    result.operate_token = std::move(operate);
    return result;
}

request asking(std::string_view host, std::string_view authorization = {}) {
    request result;
    result.method = "GET";
    result.target = "/";
    result.hosts = {host};
    result.authorization = authorization;
    return result;
}

role role_with(const config::admin_settings& settings, std::string_view authorization) {
    return access_rules(settings).caller_of(asking("localhost", authorization)).has;
}

reply done(const request&, const route_context&) { return text_answer(200, "done"); }

constexpr route small_table[] = {
    {"GET", "/thing", role::read, done, ""},
    {"PUT", "/thing", role::operate, done, ""},
    {"POST", "/act", role::operate, done, ""},
};

struct small_router {
    explicit small_router(const config::admin_settings& settings)
        : rules(small_table, access_rules(settings), {watch, alarm, past, feed, run, configuration}) {}
    unsigned status(std::string_view method, std::string_view target, std::string_view authorization = {},
                    std::string_view origin = {}) const {
        request from = asking("localhost:6433", authorization);
        from.method = method;
        from.target = target;
        from.origin = origin;
        const auto refused = rules.refusal(from);
        std::string problem;
        return refused ? refused->status : std::get<response>(rules.answer(from, problem)).status;
    }
    observer watch{[] { return snapshot{}; }, [] { return readiness{}; }, std::chrono::milliseconds(0)};
    alerts alarm;
    chronicle past;
    event_feed feed{{}};
    commands run;
    std::function<std::vector<config::effective_value>()> configuration;
    router rules;
};

}  // namespace

TEST_CASE("Secrets are equal only when every byte and the length are") {
    CHECK(same_secret("abc", "abc"));
    CHECK_FALSE(same_secret("abc", "abd"));
    CHECK_FALSE(same_secret("abc", "ab"));
    CHECK_FALSE(same_secret("abc", "abcabc"));
    CHECK_FALSE(same_secret("abc", ""));
    CHECK_FALSE(same_secret("", ""));
    CHECK_FALSE(same_secret("", "abc"));
}

TEST_CASE("Reading is open on loopback as long as there is no read token") {
    CHECK(role_with(with_tokens("", ""), "") == role::read);
    CHECK(role_with(with_tokens("", "op"), "") == role::read);
    CHECK(role_with(with_tokens("rd", ""), "") == role::nobody);
    CHECK(role_with(with_tokens("", "op", "0.0.0.0"), "") == role::nobody);
}

TEST_CASE("A token gives its role, whatever the case of the scheme; anything else gives none") {
    const auto settings = with_tokens("rd", "op");
    CHECK(role_with(settings, "Bearer rd") == role::read);
    CHECK(role_with(settings, "bearer op") == role::operate);
    CHECK(role_with(settings, "BEARER  op") == role::operate);
    for (const char* wrong : {"Bearer", "Bearer ", "Bearer o", "Bearer opx", "Bearer OP", "Basic op", "op", "Bearerop"})
        CHECK_MESSAGE(role_with(settings, wrong) == role::nobody, wrong);
}

TEST_CASE("D36: without an operate token nobody operates, with an empty one neither") {
    CHECK(role_with(with_tokens("", ""), "Bearer ") == role::read);
    CHECK(small_router(with_tokens("", "")).status("POST", "/act") == 403);
    CHECK(small_router(with_tokens("", "")).status("POST", "/act", "Bearer x") == 403);
}

TEST_CASE("D36: changing something needs the operate token on loopback too") {
    const small_router open(with_tokens("", "op"));
    CHECK(open.status("GET", "/thing") == 200);
    CHECK(open.status("PUT", "/thing") == 401);
    CHECK(open.status("PUT", "/thing", "Bearer wrong") == 401);
    CHECK(open.status("PUT", "/thing", "Bearer op") == 200);
    const small_router closed(with_tokens("rd", "op"));
    CHECK(closed.status("GET", "/thing") == 401);
    CHECK(closed.status("HEAD", "/thing") == 401);
    CHECK(closed.status("GET", "/thing", "Bearer rd") == 200);
    CHECK(closed.status("GET", "/thing", "Bearer op") == 200);
    CHECK(closed.status("PUT", "/thing", "Bearer rd") == 403);
}

TEST_CASE("Paths and methods are told apart before tokens are asked for") {
    const small_router rules(with_tokens("rd", "op"));
    CHECK(rules.status("GET", "/nothing") == 404);
    CHECK(rules.status("DELETE", "/thing") == 405);
    CHECK(rules.status("GET", "/act") == 405);
    CHECK(rules.status("HEAD", "/act") == 405);
    request from = asking("localhost");
    from.method = "PATCH";
    from.target = "/thing?x=1";
    const auto refused = rules.rules.refusal(from);
    REQUIRE(refused);
    CHECK(refused->headers == std::vector<std::pair<std::string, std::string>>{{"Allow", "GET, HEAD, PUT"}});
}

TEST_CASE("A page of another origin changes nothing, even with the token") {
    const small_router rules(with_tokens("", "op"));
    CHECK(rules.status("POST", "/act", "Bearer op", "http://localhost:6433") == 200);
    CHECK(rules.status("POST", "/act", "Bearer op", "HTTPS://LocalHost:6433") == 200);
    for (const char* other : {"http://evil.example", "null", "http://localhost", "http://localhost:6433.evil.example",
                              "file://localhost:6433"})
        CHECK_MESSAGE(rules.status("POST", "/act", "Bearer op", other) == 403, other);
    CHECK(rules.status("GET", "/thing", "", "http://evil.example") == 200);
    request from = asking("localhost");
    from.fetch_site = "cross-site";
    CHECK_FALSE(access_rules::origin_allowed(from));
    from.fetch_site = "same-origin";
    CHECK(access_rules::origin_allowed(from));
}

TEST_CASE("On loopback only loopback's names are answered to") {
    const access_rules rules(with_tokens("", ""));
    for (const char* good :
         {"localhost", "LOCALHOST:6433", "127.0.0.1", "127.0.0.1:1", "127.1.2.3:6433", "[::1]", "[::1]:6433"})
        CHECK_MESSAGE(rules.host_allowed(asking(good)), good);
    for (const char* bad : {"", "evil.example", "evil.example:6433", "127.0.0.1.evil.example", "localhost.evil.example",
                            "localhost:64x", "localhost:6433:1", "[::1", "[::1]x", "[]", "::1", "/", "/tmp", "a b",
                            "localhost@evil.example", "10.0.0.1", "0.0.0.0"})
        CHECK_MESSAGE(!rules.host_allowed(asking(bad)), bad);
}

TEST_CASE("Two Host headers are refused; none is for HTTP/1.0 alone") {
    const access_rules rules(with_tokens("", ""));
    request from = asking("localhost");
    from.hosts.push_back("localhost");
    CHECK_FALSE(rules.host_allowed(from));
    from.hosts.clear();
    CHECK_FALSE(rules.host_allowed(from));
    from.http_1_0 = true;
    CHECK(rules.host_allowed(from));
}

TEST_CASE("A port open to other machines answers to any name, but needs a token to be opened") {
    const access_rules rules(with_tokens("", "op", "0.0.0.0"));
    CHECK(rules.host_allowed(asking("db-proxy.internal:6433")));
    CHECK_FALSE(rules.host_allowed(asking("a b")));
    CHECK(rules.refusal_to_open().empty());
    CHECK_FALSE(access_rules(with_tokens("", "", "0.0.0.0")).refusal_to_open().empty());
    CHECK(access_rules(with_tokens("", "")).refusal_to_open().empty());
}
