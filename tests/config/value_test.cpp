// Single values: every kind, its spellings, its limits and what is said about bad ones.

#include "config/value.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace pgsteady::config;

namespace {

constexpr value_rule duration_rule{.kind = value_kind::duration, .min = 1, .max = 2'592'000'000.0};
constexpr value_rule size_rule{.kind = value_kind::size, .min = 0, .max = double(gib)};

struct outcome {
    std::string text;     // as format writes it; empty on a problem
    std::string problem;  // message; suggestion
};

template <class T>
outcome read(const value_rule& rule, std::string_view text, bare_number numbers = bare_number::refused) {
    T value{};
    if (const auto bad = assign(&value, rule, text, numbers)) return {"", bad->message + "; " + bad->suggestion};
    return {format(&value, rule), ""};
}

}  // namespace

TEST_CASE("durations carry their unit") {
    struct row {
        std::string_view text;
        std::string_view canonical;
    };
    for (const auto& [text, canonical] : std::initializer_list<row>{{"30s", "30s"},
                                                                    {"250ms", "250ms"},
                                                                    {"1h", "1h"},
                                                                    {"3600s", "1h"},
                                                                    {"10min", "10min"},
                                                                    {"10m", "10min"},
                                                                    {"90s", "90s"},
                                                                    {"1.5s", "1500ms"},
                                                                    {"7d", "7d"},
                                                                    {" 5 s ", "5s"},
                                                                    {"0", "0"},
                                                                    {"0s", "0"}}) {
        CAPTURE(text);
        CHECK(read<milliseconds>(duration_rule, text).text == canonical);
    }
}

TEST_CASE("a bare number is a duration only where seconds are agreed") {
    CHECK(read<milliseconds>(duration_rule, "30").problem == "a duration needs a unit; did you mean 30s?");
    CHECK(read<milliseconds>(duration_rule, "30", bare_number::seconds).text == "30s");
    CHECK(read<milliseconds>(duration_rule, "0.05", bare_number::seconds).text == "50ms");
    CHECK(read<milliseconds>(duration_rule, "250ms", bare_number::seconds).text == "250ms");
}

TEST_CASE("bad durations are refused, whatever their shape") {
    for (const auto* text : {"", "s", "-1s", "nan", "inf", "infs", "1e9s", "5 parsecs", "1h30", "1..5s", "0x10s",
                             "99999999999999999999999999s", "40d", "0.1ms", ".s", "1s2s"}) {
        CAPTURE(text);
        CHECK_FALSE(read<milliseconds>(duration_rule, text).problem.empty());
    }
    CHECK(read<milliseconds>(duration_rule, "40d").problem == "out of range; allowed: 1ms to 30d, or 0 for off");
}

TEST_CASE("sizes are binary and carry their unit") {
    CHECK(read<std::uint64_t>(size_rule, "64KiB").text == "64KiB");
    CHECK(read<std::uint64_t>(size_rule, "1024KiB").text == "1MiB");
    CHECK(read<std::uint64_t>(size_rule, "1.5MiB").text == "1536KiB");
    CHECK(read<std::uint64_t>(size_rule, "1000B").text == "1000B");
    CHECK(read<std::uint64_t>(size_rule, "0").text == "0");
    CHECK(read<std::uint64_t>(size_rule, "64KB").problem == "unknown unit of size; did you mean 64KiB?");
    CHECK(read<std::uint64_t>(size_rule, "64k").problem == "unknown unit of size; did you mean 64KiB?");
    CHECK(read<std::uint64_t>(size_rule, "65536").problem == "a size needs a unit; did you mean 65536B (bytes)?");
    CHECK(read<std::uint64_t>(size_rule, "2GiB").problem == "out of range; allowed: 0 to 1GiB");
}

TEST_CASE("counts are whole and in range") {
    constexpr value_rule rule{.kind = value_kind::count, .min = 1, .max = 100'000};
    CHECK(read<std::uint32_t>(rule, "20").text == "20");
    CHECK(read<std::uint32_t>(rule, "0").problem == "out of range; allowed: 1 to 100000");
    for (const auto* text : {"-1", "1.5", "ten", "1 2", "4294967297", "", "+3", "1e3"}) {
        CAPTURE(text);
        CHECK_FALSE(read<std::uint32_t>(rule, text).problem.empty());
    }
}

TEST_CASE("percentages are shares, factors are factors") {
    constexpr value_rule percent{.kind = value_kind::percent, .min = 0, .max = 90};
    double share = 0;
    REQUIRE_FALSE(assign(&share, percent, "10%"));
    CHECK(share == doctest::Approx(0.1));
    CHECK(format(&share, percent) == "10%");
    CHECK(read<double>(percent, "10").problem == "not a percentage; write it as 10%");
    CHECK_FALSE(read<double>(percent, "91%").problem.empty());
    constexpr value_rule factor{.kind = value_kind::factor, .min = 1, .max = 100};
    CHECK(read<double>(factor, "2").text == "2.0");
    CHECK(read<double>(factor, "1.5").text == "1.5");
    CHECK_FALSE(read<double>(factor, "0.5").problem.empty());
}

TEST_CASE("flags have the usual spellings") {
    constexpr value_rule rule{.kind = value_kind::flag};
    for (const auto* text : {"true", "True", "yes", "on", "1"}) CHECK(read<bool>(rule, text).text == "true");
    for (const auto* text : {"false", "FALSE", "no", "off", "0"}) CHECK(read<bool>(rule, text).text == "false");
    CHECK(read<bool>(rule, "maybe").problem == "neither true nor false; ");
}

TEST_CASE("a wrong choice is answered with the right ones") {
    constexpr std::array<std::string_view, 3> modes{"session", "transaction", "statement"};
    const value_rule rule{.kind = value_kind::choice, .choices = modes};
    pool_mode mode = pool_mode::session;
    const choice_slot where{reinterpret_cast<std::uint8_t*>(&mode)};
    CHECK_FALSE(assign(where, rule, "statement"));
    CHECK(mode == pool_mode::statement);
    const auto bad = assign(where, rule, "transactions");
    REQUIRE(bad);
    CHECK(bad->suggestion == "one of: session, transaction, statement");
    CHECK(mode == pool_mode::statement);
}

TEST_CASE("hosts: names, addresses, sockets, with and without a port") {
    constexpr value_rule rule{.kind = value_kind::hosts};
    CHECK(read<std::vector<host_port>>(rule, "db1, db2:5433,10.0.0.1").text == "db1,db2:5433,10.0.0.1");
    CHECK(read<std::vector<host_port>>(rule, "[::1]:5433,::1").text == "[::1]:5433,[::1]");
    CHECK(read<std::vector<host_port>>(rule, "/run/postgresql:5433").text == "/run/postgresql:5433");
    for (const auto* text :
         {"db:", "db:0", "db:65536", "db:x", ":5432", "a,,b", "[::1", "[::1]x", "u:p@db", "db/x", "a b"}) {
        CAPTURE(text);
        CHECK_FALSE(read<std::vector<host_port>>(rule, text).problem.empty());
    }
}

TEST_CASE("text cannot smuggle control characters into startup packets or logs") {
    constexpr value_rule rule{.kind = value_kind::text, .min = 1};
    using namespace std::string_view_literals;
    for (const auto text : {""sv, "a\0b"sv, "a\nb"sv, "\x7f"sv})
        CHECK_FALSE(read<std::string>(rule, text).problem.empty());
    CHECK_FALSE(read<std::string>(rule, std::string(9000, 'x')).problem.empty());
    CHECK(read<std::string>(rule, "grün").text == "grün");
}

TEST_CASE("text is quoted in YAML only where it must be") {
    CHECK(quote_yaml("db1.example.org") == "db1.example.org");
    CHECK(quote_yaml("") == "\"\"");
    CHECK(quote_yaml("yes") == "\"yes\"");
    CHECK(quote_yaml("a b") == "\"a b\"");
    CHECK(quote_yaml("say \"x\\\"") == "\"say \\\"x\\\\\\\"\"");
    CHECK(quote_yaml("a: b #c") == "\"a: b #c\"");
    CHECK(quote_yaml("\x01") == "\"\\x01\"");
}
