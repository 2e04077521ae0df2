// Startup packets: every kind, every truncation, hostile lengths, and the `options` parameter.

#include "protocol/startup.hpp"

#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;
using namespace std::string_view_literals;

namespace {

struct result {
    parse_status status;
    std::size_t consumed = 0;
    startup_packet packet;
    std::string problem;
};

result parse(std::string_view in) {
    result r{};
    r.status = parse_startup(in, r.consumed, r.packet, r.problem);
    return r;
}

std::string raw_packet(std::string_view after_length) {
    std::string out;
    const frame_builder packet(out);
    out.append(after_length);
    return out;
}

/// Every proper prefix wants more, the whole is taken and nothing behind it is touched.
void check_every_cut(const std::string& bytes) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const result r = parse(std::string_view(bytes).substr(0, size));
        CHECK(r.status == parse_status::need_more);
        CHECK(r.consumed == 0);
    }
    CHECK(parse(bytes).status == parse_status::ok);
    CHECK(parse(bytes + "next").consumed == bytes.size());
}

void check_malformed(const std::string& bytes, std::string_view problem) {
    const result r = parse(bytes);
    CHECK(r.status == parse_status::malformed);
    CHECK(r.consumed == 0);
    CHECK(r.problem == problem);
}

const parameter_list two_parameters{{"user", "alice"}, {"database", "shop"}};

}  // namespace

TEST_CASE("P42: a StartupMessage may come in pieces") {
    std::string bytes;
    append_startup(bytes, two_parameters);
    check_every_cut(bytes);
    const result r = parse(bytes);
    CHECK(r.packet.kind == startup_kind::startup);
    CHECK(r.packet.major == 3);
    CHECK(r.packet.minor == 0);
    CHECK(r.packet.parameters == two_parameters);
    CHECK(r.packet.parameter("user") == "alice");
    CHECK(r.packet.parameter("none") == "");
}

TEST_CASE("P38: newer minor versions and other majors are decoded, not judged") {
    std::string newer;
    append_startup(newer, two_parameters, 2);
    CHECK(parse(newer).packet.minor == 2);

    const result old = parse(raw_packet("\0\2\0\0whatever"sv));
    CHECK(old.status == parse_status::ok);
    CHECK(old.packet.major == 2);
    CHECK(old.packet.parameters.empty());
}

TEST_CASE("the requests before a StartupMessage are told apart") {
    std::string ssl;
    append_ssl_request(ssl);
    CHECK(ssl == "\0\0\0\x08\x04\xd2\x16\x2f"sv);
    check_every_cut(ssl);
    CHECK(parse(ssl).packet.kind == startup_kind::ssl_request);

    std::string gssenc;
    append_gssenc_request(gssenc);
    CHECK(gssenc == "\0\0\0\x08\x04\xd2\x16\x30"sv);
    check_every_cut(gssenc);
    CHECK(parse(gssenc).packet.kind == startup_kind::gssenc_request);
}

TEST_CASE("P39: cancel keys of 4 to 256 bytes are read") {
    for (const std::size_t size : {std::size_t{4}, std::size_t{32}, std::size_t{256}}) {
        const std::string key(size, '\x80');
        std::string bytes;
        append_cancel_request(bytes, 0x7fffffff, key);
        check_every_cut(bytes);
        const result r = parse(bytes);
        CHECK(r.packet.kind == startup_kind::cancel_request);
        CHECK(r.packet.cancel_pid == 0x7fffffff);
        CHECK(r.packet.cancel_key == key);
    }
    const std::string code_and_pid("\x04\xd2\x16\x2e\0\0\0\1"sv);
    const std::string_view problem = "invalid length of cancel request packet";
    check_malformed(raw_packet(code_and_pid.substr(0, 4)), problem);
    check_malformed(raw_packet(code_and_pid), problem);
    check_malformed(raw_packet(code_and_pid + std::string(3, 'k')), problem);
    check_malformed(raw_packet(code_and_pid + std::string(257, 'k')), problem);
}

TEST_CASE("P8: a hostile length is refused from its four bytes") {
    for (const auto length :
         {"\0\0\0\0"sv, "\0\0\0\7"sv, "\0\0\x27\x15"sv, "\x7f\xff\xff\xff"sv, "\x80\0\0\0"sv, "\xff\xff\xff\xff"sv}) {
        check_malformed(std::string(length), "invalid length of startup packet");
    }
    check_malformed("GET / HTTP/1.1\r\n", "invalid length of startup packet");
    check_malformed("\x16\x03\x01\x02", "TLS handshake without SSLRequest is not supported");
}

TEST_CASE("P42: the largest packet that PostgreSQL takes is taken") {
    // version, "user", "u", "x", value, terminator: 10,000 bytes after the length
    const std::string value(startup_body_bytes_max - 4 - 5 - 2 - 2 - 1 - 1, 'v');
    std::string bytes;
    append_startup(bytes, {{"user", "u"}, {"x", value}});
    REQUIRE(bytes.size() == startup_body_bytes_max + 4);
    CHECK(parse(bytes).status == parse_status::ok);
    CHECK(parse(bytes).packet.parameter("x") == value);

    std::string too_long;
    append_startup(too_long, {{"user", "u"}, {"x", value + "v"}});
    CHECK(parse(too_long).status == parse_status::malformed);
}

TEST_CASE("a parameter list without a proper end is malformed") {
    const std::string_view problem = "invalid startup packet layout: expected terminator as last byte";
    check_malformed(raw_packet("\0\3\0\0"sv), problem);
    check_malformed(raw_packet("\0\3\0\0user\0alice\0"sv), problem);
    check_malformed(raw_packet("\0\3\0\0user\0alice"sv), problem);
    check_malformed(raw_packet("\0\3\0\0user\0"sv), problem);
    check_malformed(raw_packet("\0\3\0\0user\0alice\0\0junk"sv), problem);
    check_malformed(raw_packet("\0\3\0\0user\0alice\0\0\0"sv), problem);
    check_malformed(raw_packet("\x04\xd2\x16\x2f\0"sv), "invalid length of encryption request");
}

TEST_CASE("of a parameter given twice the last value counts, as in PostgreSQL") {
    std::string bytes;
    append_startup(bytes, {{"user", "alice"}, {"user", "bob"}});
    CHECK(parse(bytes).packet.parameter("user") == "bob");
    CHECK(parse(bytes).packet.parameters.size() == 2);
}

TEST_CASE("an earlier packet leaves nothing in the next result") {
    result r{};
    std::string bytes;
    append_startup(bytes, two_parameters);
    REQUIRE(parse_startup(bytes, r.consumed, r.packet, r.problem) == parse_status::ok);
    std::string cancel;
    append_cancel_request(cancel, 7, "key!");
    REQUIRE(parse_startup(cancel, r.consumed, r.packet, r.problem) == parse_status::ok);
    CHECK(r.packet.parameters.empty());
    CHECK(r.packet.major == 0);
}

TEST_CASE("an empty parameter name is not written: it would end the list") {
    std::string bytes;
    append_startup(bytes, {{"", "x"}, {"user", "alice"}});
    CHECK(parse(bytes).packet.parameters == parameter_list{{"user", "alice"}});
}

TEST_CASE("options: all three ways of writing a setting") {
    CHECK(parse_options("-c a=b --c-d=e -cx=y") == parameter_list{{"a", "b"}, {"c_d", "e"}, {"x", "y"}});
    CHECK(parse_options("  -c   search_path=a,b\t-c\nstatement_timeout=5s ") ==
          parameter_list{{"search_path", "a,b"}, {"statement_timeout", "5s"}});
    CHECK(parse_options("").empty());
    CHECK(parse_options("   ").empty());
    CHECK(parse_options("-c a=") == parameter_list{{"a", ""}});
    CHECK(parse_options("-c a=b=c") == parameter_list{{"a", "b=c"}});
    CHECK(parse_options("-c my-ext.a-b=v-w") == parameter_list{{"my_ext.a_b", "v-w"}});
}

TEST_CASE("options: a backslash takes the next character as it is") {
    CHECK(parse_options(R"(-c a=b\ c)") == parameter_list{{"a", "b c"}});
    CHECK(parse_options(R"(-c a=b\\c)") == parameter_list{{"a", R"(b\c)"}});
    CHECK(parse_options(R"(-c a=\b)") == parameter_list{{"a", "b"}});
    CHECK(parse_options("-c a=b\\") == parameter_list{{"a", "b"}});
    CHECK(parse_options(R"(-c a=b\ \ -c)") == parameter_list{{"a", "b  -c"}});
}

TEST_CASE("options: what is not a setting is reported and does not stop the rest") {
    std::vector<std::string> unknown;
    CHECK(parse_options("-e -S 1000 -c a=b --x -c novalue -c =v -- -c", &unknown) == parameter_list{{"a", "b"}});
    CHECK(unknown == std::vector<std::string>{"-e", "-S", "1000", "--x", "-c", "novalue", "-c", "=v", "--", "-c"});
    CHECK(parse_options("-e -c a=b") == parameter_list{{"a", "b"}});
}
