// Hostile text on its way into answers: names, problems, queries, JSON.
#include "admin/printable.hpp"

#include "admin/http_message.hpp"
#include "admin/json_text.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <limits>

using namespace pgsteady::admin;

TEST_CASE("Printable text stays as it is; the rest is replaced") {
    CHECK(printable("plain, grün, 漢字, 🐘") == "plain, grün, 漢字, 🐘");
    CHECK(printable("a\nb\x7F") == "a\uFFFDb\uFFFD");
    CHECK(printable("\xC2\x85") == "\uFFFD");
    CHECK(printable(std::string_view("\0", 1)) == "\uFFFD");
    CHECK(printable("\xFF") == "\uFFFD");
    CHECK(printable("\xE2\x82") == "\uFFFD\uFFFD");
    CHECK(printable("\xC0\xAF") == "\uFFFD\uFFFD");            // overlong
    CHECK(printable("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");  // surrogate
    CHECK(printable("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("Printable text is cut between characters") {
    CHECK(printable("abcdef", 3) == "abc");
    CHECK(printable("abü", 3) == "ab");
}

TEST_CASE("Names of different pools differ, whatever the names of databases and users are") {
    CHECK(pool_name("app", "alice") == "app/alice");
    CHECK(pool_name("größe", "ü") == "größe/ü");
    CHECK(pool_name("a/b", "c") == "a%2Fb/c");
    CHECK(pool_name("a", "b/c") == "a/b%2Fc");
    CHECK(pool_name("a%2Fb", "c") == "a%252Fb/c");
    CHECK(pool_name("\xFF", "\n") == "%FF/%0A");
}

TEST_CASE("A query is decoded, and not at all when it is malformed") {
    CHECK(url_decoded("a%2Fb+c") == "a/b c");
    CHECK(url_decoded("%41%6a%6A") == "Ajj");
    for (const char* bad : {"%", "%4", "%4g", "x%"}) CHECK_MESSAGE(!url_decoded(bad), bad);
}

TEST_CASE("A parameter is found among others") {
    request from;
    from.target = "/path?x=1&pool=a%2Fb&pool=second&flag&=empty";
    CHECK(from.path() == "/path");
    CHECK(from.parameter("pool") == "a/b");
    CHECK(from.parameter("flag") == "");
    CHECK_FALSE(from.parameter("poo"));
    from.target = "/path";
    CHECK_FALSE(from.parameter("pool"));
    from.target = "/path?";
    CHECK_FALSE(from.parameter(""));
}

TEST_CASE("JSON is written the way people write it") {
    const boost::json::value document{{"rate", 99.5}, {"whole", 20.0}, {"count", 7}, {"none", nullptr}};
    CHECK(json_text(document) == "{\n  \"rate\": 99.5,\n  \"whole\": 20,\n  \"count\": 7,\n  \"none\": null\n}\n");
    CHECK(json_text(boost::json::array{}) == "[]\n");
    CHECK(json_text(std::numeric_limits<double>::infinity()) == "null\n");
    CHECK(boost::json::parse(json_text(json_string("q\"\\\n\xFF"))) == boost::json::value("q\"\\\uFFFD\uFFFD"));
    CHECK(rounded(2.4567, 2) == 2.46);
}

TEST_CASE("A problem is a document of RFC 9457") {
    const response refused = problem_answer(404, "no such path");
    CHECK(refused.content_type == "application/problem+json");
    const boost::json::value expected{
        {"type", "about:blank"}, {"title", "Not Found"}, {"status", 404}, {"detail", "no such path"}};
    CHECK(boost::json::parse(refused.body) == expected);
}
