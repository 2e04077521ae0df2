// The page as it is served: one document that needs nothing else, under a policy that lets nothing else in.
#include "admin/page.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;

TEST_CASE("Browsers get the page, others the list of paths") {
    running_server at;
    const http_reply page = at.get("/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n");
    CHECK(page.status == 200);
    CHECK(page.header("content-type") == "text/html; charset=utf-8");
    CHECK(page.body == page_html());
    CHECK(page.header("vary") == "Accept");
    for (const char* accept : {"", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: text/html-not\r\n"})
        CHECK_MESSAGE(at.get("/", accept).header("content-type") == "text/plain; charset=utf-8", accept);
    CHECK(at.get("/", "Accept: TEXT/HTML ;q=1\r\n").body == page_html());
}

TEST_CASE("The page is whole: scripts and style are in it, and nothing is asked from elsewhere") {
    const std::string page(page_html());
    CHECK(page.find("@script@") == std::string::npos);
    CHECK(page.find("@style@") == std::string::npos);
    CHECK(page.find("class Live") != std::string::npos);
    CHECK(page.find("live.run()") != std::string::npos);
    for (const char* elsewhere : {"src=\"http", "href=\"http", "@import", "url(http", "innerHTML", "insertAdjacentHTML",
                                  "document.write", "eval("})
        CHECK_MESSAGE(page.find(elsewhere) == std::string::npos, elsewhere);
}

TEST_CASE("The policy names exactly the script and the style by their digests") {
    // echo -n 'alert(1)' | openssl dgst -sha256 -binary | base64, and the same for 'b{}'
    const std::string policy = page_policy("<style>b{}</style><script type=\"module\">alert(1)</script>");
    CHECK(policy.find("script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='") != std::string::npos);
    CHECK(policy.find("style-src 'sha256-7yqHVAesot11p6HczDsgKRipvI5UPgs97z80zNXlans='") != std::string::npos);
    CHECK(policy.find("unsafe") == std::string::npos);
    CHECK(policy.find("default-src 'none'") == 0);
    running_server at;
    const http_reply page = at.get("/", "Accept: text/html\r\n");
    CHECK(page.header("content-security-policy") == page_policy(page_html()));
    CHECK(page.header("cross-origin-opener-policy") == "same-origin");
    CHECK(page.header("referrer-policy") == "no-referrer");
    CHECK(page.header("x-content-type-options") == "nosniff");
}

TEST_CASE("The page needs no token, and says nothing that one protects") {
    config::admin_settings settings;
    settings.operate_token = "operate";
    settings.read_token = "read";
    running_server at(settings);
    CHECK(at.get("/", "Accept: text/html\r\n").status == 200);
    CHECK(at.get("/openapi.json").status == 200);
    CHECK(at.get("/api/v1/config").status == 401);
    CHECK(at.get("/api/v1/monitoring/dashboard").status == 401);
}

TEST_CASE("The configuration is shown with the source of each value") {
    running_server at;
    const boost::json::value shown = at.get("/api/v1/config").json();
    REQUIRE(shown.at("values").as_array().size() == 2);
    CHECK(shown.at_pointer("/values/0/key") == "pool.size");
    CHECK(shown.at_pointer("/values/0/source") == "proxy.yaml:3");
    CHECK(shown.at_pointer("/values/1/value") == "(set)");
}
