// The packets without a type byte that open a connection: StartupMessage, SSLRequest, GSSENCRequest
// and CancelRequest, read as a server and written as a client. Must never trust a length (P8) nor
// assume a key size (P39). Pure functions; nothing here keeps state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady {

/// Name and value pairs in the order in which they came; with duplicates the last one counts.
using parameter_list = std::vector<std::pair<std::string, std::string>>;

/// PostgreSQL's MAX_STARTUP_PACKET_LENGTH: bytes after the length field.
inline constexpr std::size_t startup_body_bytes_max = 10'000;
inline constexpr std::size_t cancel_key_bytes_min = 4;
inline constexpr std::size_t cancel_key_bytes_max = 256;  // protocol 3.2, P39

enum class startup_kind {
    startup,         ///< StartupMessage of any protocol version
    ssl_request,     ///< asks for TLS
    gssenc_request,  ///< asks for GSSAPI encryption
    cancel_request,  ///< asks to cancel another connection's query
};

/// One packet, decoded. The fields below a kind are only set for that kind.
struct startup_packet {
    startup_kind kind = startup_kind::startup;
    // startup
    std::uint16_t major = 0;
    std::uint16_t minor = 0;
    parameter_list parameters;  ///< filled for major version 3 only
    // cancel_request
    std::int32_t cancel_pid = 0;
    std::string cancel_key;  ///< 4 to 256 raw bytes

    /// The last value given for `name`, or an empty view.
    [[nodiscard]] std::string_view parameter(std::string_view name) const noexcept;
};

enum class parse_status {
    need_more,  ///< a prefix of a valid packet; call again with more bytes
    ok,         ///< one packet decoded
    malformed,  ///< can never become valid; the connection must end
};

/// Reads one packet from the start of `in`. Sets `consumed` to its size when ok, else to 0; says why
/// in `problem` when malformed. A bad length is refused from its four bytes alone; so at most 10,004 bytes
/// are ever needed (P8, P42).
[[nodiscard]] parse_status parse_startup(std::string_view in, std::size_t& consumed, startup_packet& out,
                                         std::string& problem);

/// Settings of the `options` startup parameter: "-c a=b", "-ca=b", "--a=b", with backslash escapes and
/// '-' in names turned into '_', as PostgreSQL's pg_split_opts and ParseLongOption do.
/// Every other switch goes to `unknown`, if given, as it was written.
[[nodiscard]] parameter_list parse_options(std::string_view text, std::vector<std::string>* unknown = nullptr);

/// Appends a StartupMessage for protocol 3.`minor`.
void append_startup(std::string& out, const parameter_list& parameters, std::uint16_t minor = 0);
void append_ssl_request(std::string& out);
void append_gssenc_request(std::string& out);
/// `key` must be 4 to 256 bytes.
void append_cancel_request(std::string& out, std::int32_t pid, std::string_view key);

}  // namespace pgsteady
