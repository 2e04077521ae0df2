// The frame: one type byte, a big-endian length that counts itself, a body.
// Names of the message types in both directions, and the only header parser.
// Never looks into bodies. Source: PostgreSQL documentation, "Message Formats".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgsteady {

/// Bytes of type and length that precede every body after sign-in.
inline constexpr std::size_t frame_header_size = 5;

/// Largest frame PostgreSQL accepts or sends (1 GiB); anything longer is a protocol violation.
inline constexpr std::uint32_t frame_length_limit = 0x40000000;

/// Messages that a client sends.
namespace frontend {
inline constexpr char bind = 'B';
inline constexpr char close = 'C';
inline constexpr char copy_data = 'd';
inline constexpr char copy_done = 'c';
inline constexpr char copy_fail = 'f';
inline constexpr char describe = 'D';
inline constexpr char execute = 'E';
inline constexpr char flush = 'H';
inline constexpr char function_call = 'F';
inline constexpr char parse = 'P';
inline constexpr char password = 'p';
inline constexpr char query = 'Q';
inline constexpr char sync = 'S';
inline constexpr char terminate = 'X';
}  // namespace frontend

/// Messages that a server sends.
namespace backend_message {
inline constexpr char authentication = 'R';
inline constexpr char backend_key_data = 'K';
inline constexpr char bind_complete = '2';
inline constexpr char close_complete = '3';
inline constexpr char command_complete = 'C';
inline constexpr char copy_both_response = 'W';
inline constexpr char copy_data = 'd';
inline constexpr char copy_done = 'c';
inline constexpr char copy_in_response = 'G';
inline constexpr char copy_out_response = 'H';
inline constexpr char data_row = 'D';
inline constexpr char empty_query_response = 'I';
inline constexpr char error_response = 'E';
inline constexpr char function_call_response = 'V';
inline constexpr char no_data = 'n';
inline constexpr char notice_response = 'N';
inline constexpr char notification_response = 'A';
inline constexpr char parameter_description = 't';
inline constexpr char parameter_status = 'S';
inline constexpr char parse_complete = '1';
inline constexpr char portal_suspended = 's';
inline constexpr char ready_for_query = 'Z';
inline constexpr char row_description = 'T';
}  // namespace backend_message

/// What a server may say at any time: it is no part of an answer.
constexpr bool is_asynchronous(char type) {
    return type == backend_message::notice_response || type == backend_message::parameter_status ||
           type == backend_message::notification_response;
}

/// A big-endian 32-bit number at `at`; the caller has checked that four bytes are there.
[[nodiscard]] inline std::uint32_t load_u32(const char* at) {
    const auto byte = [at](int index) { return static_cast<std::uint32_t>(static_cast<unsigned char>(at[index])); };
    return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

/// Writes it there, where four bytes have room; returns what lies behind.
inline char* store_u32(char* at, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<char>(value >> shift);
    return at;
}

/// Type and size of the frame at the start of `in`, as far as it is known.
struct frame_header {
    enum class status { ok, need_more, malformed };
    status state = status::need_more;
    char type = 0;
    std::size_t total = 0;  ///< bytes of the whole frame, header included
};

/// Reads the header at the start of `in`. Malformed: a length below 4 or beyond `limit`.
[[nodiscard]] inline frame_header read_frame_header(std::string_view in, std::uint32_t limit = frame_length_limit) {
    if (in.size() < frame_header_size) return {};
    const std::uint32_t length = load_u32(in.data() + 1);
    if (length < 4 || length > limit) return {frame_header::status::malformed, in[0], 0};
    return {frame_header::status::ok, in[0], static_cast<std::size_t>(length) + 1};
}

/// Whole frames of one type, side by side.
struct frame_run {
    std::size_t bytes = 0;
    std::size_t count = 0;
};

/// Those that `in` begins with: up to what is of another type, incomplete or malformed. One look per header, since
/// results are hardly anything else.
[[nodiscard]] inline frame_run read_frame_run(char type, std::string_view in) {
    frame_run run;
    while (in.size() - run.bytes >= frame_header_size && in[run.bytes] == type) {
        const std::size_t length = load_u32(in.data() + run.bytes + 1);
        if (length < 4 || length >= in.size() - run.bytes) break;
        run.bytes += length + 1;
        ++run.count;
    }
    return run;
}

}  // namespace pgsteady
