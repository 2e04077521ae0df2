// Fuzzes the fields of ErrorResponse. What is accepted must be the same after being written and read again.

#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

using namespace pgsteady;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    error_fields fields;
    const bool accepted = parse_error_fields(body, fields);
    if (fields.others.size() > error_other_fields_max || fields.message.size() > error_field_bytes_max) std::abort();
    if (!accepted) return 0;

    std::string written;
    append_error_response(written, fields);
    const frame_header header = read_frame_header(written);
    if (header.state != frame_header::status::ok || header.total != written.size()) std::abort();
    error_fields again;
    if (!parse_error_fields(std::string_view(written).substr(frame_header_size), again)) std::abort();
    // The writer fills in what must not be missing.
    if (fields.severity.empty()) again.severity.clear();
    if (fields.sqlstate.empty()) again.sqlstate.clear();
    if (again != fields) std::abort();
    return 0;
}
