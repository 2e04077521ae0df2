// Bounds and byte order of the wire primitives.

#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace pgsteady;
using namespace std::string_view_literals;

TEST_CASE("integers are big-endian and keep their sign") {
    std::string out;
    put_u8(out, 0xfe);
    put_i16(out, -2);
    put_u16(out, 0xfffe);
    put_i32(out, -3);
    put_u32(out, 0x01020304);
    CHECK(out == "\xfe\xff\xfe\xff\xfe\xff\xff\xff\xfd\x01\x02\x03\x04"sv);

    wire_reader reader(out);
    CHECK(reader.u8() == 0xfe);
    CHECK(reader.i16() == -2);
    CHECK(reader.u16() == 0xfffe);
    CHECK(reader.i32() == -3);
    CHECK(reader.u32() == 0x01020304U);
    CHECK(reader.at_end());
}

TEST_CASE("P8: a read beyond the end fails, moves nothing and stays failed") {
    for (std::size_t size = 0; size < 4; ++size) {
        const std::string bytes(size, 'x');
        wire_reader reader(bytes);
        CHECK_FALSE(reader.i32());
        CHECK_FALSE(reader.ok());
        CHECK_FALSE(reader.u8());
        CHECK_FALSE(reader.bytes(0));
        CHECK(reader.rest().empty());
        CHECK_FALSE(reader.at_end());
    }
}

TEST_CASE("P8: a count near the largest number does not wrap around") {
    wire_reader reader("abc");
    CHECK_FALSE(reader.bytes(static_cast<std::size_t>(-1)));
    CHECK_FALSE(reader.ok());
}

TEST_CASE("strings end at their NUL, and fail without one") {
    wire_reader reader("ab\0\0cd"sv);
    CHECK(reader.cstring() == "ab"sv);
    CHECK(reader.cstring() == ""sv);
    CHECK(reader.remaining() == 2);
    CHECK_FALSE(reader.cstring());
    CHECK_FALSE(reader.ok());
}

TEST_CASE("rest takes what is left, once") {
    wire_reader reader("abcdef");
    CHECK(reader.bytes(2) == "ab"sv);
    CHECK(reader.rest() == "cdef");
    CHECK(reader.rest().empty());
    CHECK(reader.at_end());
}

TEST_CASE("an embedded NUL cannot forge a second field") {
    std::string out;
    put_cstring(out, "good\0Mevil"sv);
    CHECK(out == "good\0"sv);
}

TEST_CASE("a frame's length counts itself and its body, not its type") {
    std::string out = "before";
    {
        const frame_builder frame(out, 'Q');
        put_cstring(out, "select 1");
    }
    CHECK(out == "beforeQ\0\0\0\x0dselect 1\0"sv);

    std::string packet;
    {
        const frame_builder untyped(packet);
        put_u32(packet, 80877103);
    }
    CHECK(packet == "\0\0\0\x08\x04\xd2\x16\x2f"sv);
}

TEST_CASE("a frame longer than 64 KiB has all four length bytes right") {
    std::string out;
    {
        const frame_builder frame(out, 'd');
        out.append(0x01020300, 'x');
    }
    CHECK(out.substr(0, 5) == "d\x01\x02\x03\x04"sv);
}
