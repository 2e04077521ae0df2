// Frames by hand, for tests: messages of a client and of a server, splitting a stream into frames, and
// frames as readable text. Must depend on nothing but protocol/wire: what builds the input of a test
// must not be what the test is about. Plain functions; nobody owns anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::testing {

/// One message: its type and what stands behind the length.
struct frame {
    char type = 0;
    std::string body;
    bool operator==(const frame&) const = default;
};

[[nodiscard]] std::string frame_of(char type, std::string_view body = {});
/// The whole frames of `stream`; a piece of one at the end is left out, and `rest`, if given, says how long it is.
[[nodiscard]] std::vector<frame> split_frames(std::string_view stream, std::size_t* rest = nullptr);
/// One line per frame: the type, then strings and numbers as far as they can be read.
[[nodiscard]] std::string describe(const frame& each);
[[nodiscard]] std::string describe(std::string_view stream);
/// The type letters of all frames, as "12DCZ".
[[nodiscard]] std::string types_of(std::string_view stream);
/// A field of an ErrorResponse or NoticeResponse; empty if it is not there.
[[nodiscard]] std::string field_of(const frame& error, char code);
/// SQLSTATE of the first ErrorResponse; empty: there is none.
[[nodiscard]] std::string sqlstate_of(std::string_view stream);

/// Messages of a client.
namespace client {
[[nodiscard]] std::string query(std::string_view sql);
[[nodiscard]] std::string parse(std::string_view name, std::string_view sql,
                                const std::vector<std::uint32_t>& types = {});
[[nodiscard]] std::string bind(std::string_view portal, std::string_view statement,
                               const std::vector<std::optional<std::string>>& values = {});
[[nodiscard]] std::string describe_statement(std::string_view name);
[[nodiscard]] std::string describe_portal(std::string_view name);
[[nodiscard]] std::string execute(std::string_view portal, std::uint32_t max_rows = 0);
[[nodiscard]] std::string close_statement(std::string_view name);
[[nodiscard]] std::string close_portal(std::string_view name);
[[nodiscard]] std::string sync();
[[nodiscard]] std::string flush();
[[nodiscard]] std::string terminate();
[[nodiscard]] std::string copy_data(std::string_view data);
[[nodiscard]] std::string copy_done();
[[nodiscard]] std::string copy_fail(std::string_view why);
[[nodiscard]] std::string function_call(std::uint32_t oid);
}  // namespace client

/// Messages of a server.
namespace server {
[[nodiscard]] std::string ready(char status = 'I');
[[nodiscard]] std::string complete(std::string_view tag);
[[nodiscard]] std::string row_description(const std::vector<std::string>& columns);
[[nodiscard]] std::string row(const std::vector<std::optional<std::string>>& values);
[[nodiscard]] std::string error(std::string_view sqlstate, std::string_view message,
                                std::string_view severity = "ERROR");
[[nodiscard]] std::string notice(std::string_view sqlstate, std::string_view message,
                                 std::string_view severity = "NOTICE");
[[nodiscard]] std::string parameter(std::string_view name, std::string_view value);
}  // namespace server

}  // namespace pgsteady::testing
