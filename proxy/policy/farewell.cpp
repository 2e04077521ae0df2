// See farewell.hpp.
#include "proxy/policy/farewell.hpp"

#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"

#include "proxy/policy/recovery_verdict.hpp"

namespace pgsteady {

std::string farewell_in(std::string_view said) {
    std::string last;
    while (true) {
        const frame_header header = read_frame_header(said);
        if (header.state != frame_header::status::ok || header.total > said.size()) return last;
        const std::string_view frame = said.substr(0, header.total);
        said.remove_prefix(header.total);
        if (header.type != backend_message::error_response && header.type != backend_message::notice_response) continue;
        error_fields fields;
        if (parse_error_fields(frame.substr(frame_header_size), fields) &&
            judge(signal_of(fields, failure_phase::transaction)).connection_over)
            last += frame;
    }
}

}  // namespace pgsteady
