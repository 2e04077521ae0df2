// PROXY protocol, version 2: whole and byte by byte, what is skipped, and what is refused.

#include "protocol/proxy_header.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::string_literals;

namespace {

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string from_4 = "\x0a\0\0\x07"s + "\x7f\0\0\1"s + "\x30\x39\x19\x20"s;  // 10.0.0.7:12345 to 127.0.0.1:6432
const std::string from_6 = std::string(15, '\0') + '\x07' + std::string(15, '\0') + '\1' + "\x30\x39\x19\x20"s;

std::string header(char kind, char family, const std::string& body) {
    return signature + kind + family + static_cast<char>(body.size() >> 8) + static_cast<char>(body.size() & 0xFF) +
           body;
}

struct parsed {
    parse_status status;
    std::size_t consumed = 99;
    proxy_header header;
    std::string problem;

    explicit parsed(const std::string& in) { status = parse_proxy_header(in, consumed, header, problem); }
};

}  // namespace

TEST_CASE("PROXY: who connects, over IPv4 and IPv6, and not a byte more is taken") {
    const parsed four(header('\x21', '\x11', from_4) + "rest");
    CHECK(four.status == parse_status::ok);
    CHECK(four.consumed == 28);
    CHECK(four.header.address == "\x0a\0\0\x07"s);
    CHECK(four.header.port == 12345);
    const parsed six(header('\x21', '\x21', from_6 + "\4\0\1x"s));  // something of the balancer's behind it
    CHECK(six.status == parse_status::ok);
    CHECK(six.consumed == 56);
    CHECK(six.header.address == std::string(15, '\0') + '\x07');
}

TEST_CASE("PROXY: a prefix of a header needs more, at every byte") {
    const std::string whole = header('\x21', '\x21', from_6);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const parsed part(whole.substr(0, size));
        CHECK(part.status == parse_status::need_more);
        CHECK(part.consumed == 0);
    }
}

TEST_CASE("PROXY: the balancer itself, and families that are no stream over IP, keep the address that the socket has") {
    for (const std::string& each :
         {header('\x20', '\x11', from_4), header('\x20', '\0', ""), header('\x21', '\0', "what follows"),
          header('\x21', '\x31', std::string(216, 'x')), header('\x21', '\x12', from_4)}) {
        const parsed skipped(each);
        CHECK(skipped.status == parse_status::ok);
        CHECK(skipped.consumed == each.size());
        CHECK(skipped.header.address.empty());
    }
}

TEST_CASE("PROXY: what is none, or lies about its length, is refused") {
    for (const std::string& each :
         {"\0\0\0\x08\x04\xd2\x16\x2f"s, "PROXY TCP4 10.0.0.7 127.0.0.1 1 2\r\n"s, "\r\n\r\n\0\r\nQUIX\n"s,
          header('\x11', '\x11', from_4), header('\x22', '\x11', from_4), header('\x21', '\x11', from_4.substr(0, 11)),
          header('\x21', '\x21', from_4), signature + "\x21\x11\xff\xff"s}) {
        const parsed refused(each);
        CHECK(refused.status == parse_status::malformed);
        CHECK(refused.consumed == 0);
        CHECK_FALSE(refused.problem.empty());
    }
}
