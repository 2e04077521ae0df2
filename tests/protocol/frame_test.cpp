// The frame header: sizes at every boundary, and nothing read beyond what is there.
#include "protocol/frame.hpp"

#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;
using status = frame_header::status;

namespace {

std::string header_with(std::uint32_t length) {
    std::string bytes(1, 'D');
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(length >> shift & 0xff);
    return bytes;
}

}  // namespace

TEST_CASE("a frame's size is known once five bytes are there, and not before") {
    const std::string bytes = testing::client::query("SELECT 1");
    for (std::size_t have = 0; have < frame_header_size; ++have)
        CHECK(read_frame_header(std::string_view(bytes).substr(0, have)).state == status::need_more);
    for (std::size_t have = frame_header_size; have <= bytes.size(); ++have) {
        const frame_header header = read_frame_header(std::string_view(bytes).substr(0, have));
        CHECK(header.state == status::ok);
        CHECK(header.type == 'Q');
        CHECK(header.total == bytes.size());
    }
}

TEST_CASE("P8: lengths that no frame can have are malformed") {
    for (const std::uint32_t length : {0U, 1U, 3U, frame_length_limit + 1, 0x7fffffffU, 0x80000000U, 0xffffffffU})
        CHECK_MESSAGE(read_frame_header(header_with(length)).state == status::malformed, length);
    CHECK(read_frame_header(header_with(4)).total == 5);
    CHECK(read_frame_header(header_with(frame_length_limit)).total == std::size_t{frame_length_limit} + 1);
}

TEST_CASE("a lower limit of the caller's holds") {
    CHECK(read_frame_header(header_with(1000), 1000).state == status::ok);
    CHECK(read_frame_header(header_with(1001), 1000).state == status::malformed);
}

TEST_CASE("a run ends before what is of another type, incomplete or malformed, wherever it is cut") {
    const std::string row = header_with(4 + 3) + "abc";
    const std::string empty = header_with(4);
    const std::string rows = row + empty + row;
    for (std::size_t have = 0; have <= rows.size(); ++have) {
        const frame_run run = read_frame_run('D', std::string_view(rows).substr(0, have));
        const std::size_t whole = have < row.size()                  ? 0
                                  : have < row.size() + empty.size() ? 1
                                  : have < rows.size()               ? 2
                                                                     : 3;
        CHECK(run.count == whole);
        CHECK(run.bytes == (whole == 0 ? 0 : whole == 1 ? row.size() : whole == 2 ? row.size() + 5 : rows.size()));
    }
    for (const std::uint32_t length : {0U, 3U, 0x80000000U, 0xfffffffeU, 0xffffffffU})
        CHECK(read_frame_run('D', row + header_with(length) + rows).count == 1);
    CHECK(read_frame_run('D', row + "C" + row).count == 1);
    CHECK(read_frame_run('d', row).count == 0);
}
