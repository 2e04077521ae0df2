// Nesting is bounded before the parser runs: no text can exhaust a worker's stack.
#include "proxy/sql/parse_tree.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;

namespace {

constexpr std::size_t limit = 256U * 1024U;

std::string repeat(std::string_view text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
}

struct shape {
    std::string_view before, opening, middle, closing;
};

/// Every way we know to make a tree deep; some with siblings and resets between the levels.
const std::vector<shape> deep_shapes = {
    {"SELECT ", "1+", "1", ""},
    {"SELECT ", "- ", "a", ""},
    {"SELECT ", "not ", "a", ""},
    {"SELECT ", "(", "1", ")"},
    {"SELECT ", "(1, 2, (", "1", "), 3)"},
    {"SELECT ", "(select ", "1", ")"},
    {"SELECT ", "f(a, ", "1", ", b) + 1 + 1 + 1"},
    {"SELECT ", "case when a and ", "b", " then 1 end"},
    {"SELECT ", "case a when 1 then 2 else ", "b", " end"},
    {"SELECT ", "a[", "1", "]"},
    {"SELECT ARRAY", "[", "1", "]"},
    {"SELECT 1", "::int", "", ""},
    {"SELECT 1", " is null", "", ""},
    {"SELECT 1", " between 1 and 2 is null", "", ""},
    {"SELECT a", " collate x", "", ""},
    {"SELECT a", " at time zone 'x'", "", ""},
    {"SELECT 1, 2 ", "union select 1, 2 ", "", ""},
    {"SELECT * FROM ", "(select a, b from ", "t", ") x"},
    {"SELECT * FROM a ", "join a on a and b ", "", ""},
    {"", "with x as (", "select 1", ") select 1"},
    {"SELECT ", "f() over (order by a, ", "1", ")"},
};

}  // namespace

TEST_CASE("P63: no shape of nesting gets past the bound") {
    for (const shape& each : deep_shapes) {
        CAPTURE(each.opening);
        const std::size_t times = limit / (each.opening.size() + each.closing.size() + 1);
        const std::string sql = std::string(each.before) + repeat(each.opening, times) + std::string(each.middle) +
                                repeat(each.closing, times);
        CHECK(parse_tree::parse(sql, limit).status() == parse_status::too_large);
    }
}

TEST_CASE("P63: nesting just under the bound is parsed") {
    for (const shape& each : deep_shapes) {
        CAPTURE(each.opening);
        const std::string sql =
            std::string(each.before) + repeat(each.opening, 25) + std::string(each.middle) + repeat(each.closing, 25);
        CHECK(parse_tree::parse(sql, limit).status() == parse_status::ok);
    }
}

TEST_CASE("long flat texts are not deep") {
    const std::vector<std::string> flat = {
        "INSERT INTO t VALUES (1, 'a', now())" + repeat(", (2, 'b', f(1 + 2))", 5000),
        "SELECT * FROM t WHERE a = 1" + repeat(" AND b = 2 OR c = 3", 5000),
        "SELECT * FROM t WHERE a IN (1" + repeat(", 2", 20000) + ")",
        "SELECT 1" + repeat("; SELECT a, b FROM t WHERE c = 'x'", 3000),
        "UPDATE t SET a = CASE id" + repeat(" WHEN 1 THEN 'a'", 5000) + " END",
        "SELECT $$" + repeat("word ( [ ", 10000) + "$$",
    };
    for (const std::string& sql : flat) {
        CAPTURE(sql.substr(0, 60));
        CHECK(parse_tree::parse(sql, limit).status() == parse_status::ok);
    }
}

TEST_CASE("statements keep their own text") {
    const std::string sql = " SELECT 1 ; /* x */ SELECT 'a;b';";
    const parse_tree tree = parse_tree::parse(sql, limit);
    REQUIRE(tree.size() == 2);
    CHECK(tree.statement_text(sql, 0) == "SELECT 1");
    CHECK(tree.statement_text(sql, 1) == "/* x */ SELECT 'a;b'");
}

TEST_CASE("names are quoted where PostgreSQL would") {
    CHECK(quote_identifier("abc_1") == "abc_1");
    CHECK(quote_identifier("Abc") == "\"Abc\"");
    CHECK(quote_identifier("1a") == "\"1a\"");
    CHECK(quote_identifier("") == "\"\"");
    CHECK(quote_identifier("a\"b") == "\"a\"\"b\"");
    CHECK(quote_identifier("select") == "\"select\"");
    CHECK(quote_identifier("between") == "\"between\"");
    CHECK(quote_identifier("name") == "name");
    CHECK(quote_identifier("a$") == "\"a$\"");
}
