// Addresses as operators write them, and what is none.
#include "config/http_url.hpp"

#include <doctest/doctest.h>

using namespace pgsteady::config;

TEST_CASE("Addresses are taken apart") {
    CHECK(parse_http_url("http://alerts.example") == http_url{false, "alerts.example", 80, "/"});
    CHECK(parse_http_url("https://hooks.example/services/T0/B0?x=1#part") ==
          http_url{true, "hooks.example", 443, "/services/T0/B0?x=1"});
    CHECK(parse_http_url("http://127.0.0.1:9093/api") == http_url{false, "127.0.0.1", 9093, "/api"});
    CHECK(parse_http_url("https://[::1]:8443?a") == http_url{true, "::1", 8443, "/?a"});
}

TEST_CASE("Everything else is refused") {
    for (const char* text :
         {"", "alerts.example", "ftp://x", "http://", "http://user:secret@x/", "http://x:0/", "http://x:99999/",
          "http://x:/", "http://x:80x/", "http://a b/", "http://x/\r\nHost: y", "https://[::1", "https://[::1]x/"})
        CHECK_MESSAGE(!parse_http_url(text), text);
}
