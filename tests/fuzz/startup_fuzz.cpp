// Fuzzes the startup packet and the `options` string. What is accepted must survive being written and read again.

#include "protocol/startup.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

using namespace pgsteady;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view in(reinterpret_cast<const char*>(data), size);
    std::size_t consumed = 0;
    startup_packet packet;
    std::string problem;
    const parse_status status = parse_startup(in, consumed, packet, problem);
    if (consumed > size || (status == parse_status::ok) != (consumed > 0)) std::abort();
    if ((status == parse_status::malformed) == problem.empty()) std::abort();

    if (status == parse_status::ok && packet.kind == startup_kind::startup && packet.major == 3) {
        std::string again;
        append_startup(again, packet.parameters, packet.minor);
        if (again != in.substr(0, consumed)) std::abort();
    }
    if (status == parse_status::ok && packet.kind == startup_kind::cancel_request) {
        std::string again;
        append_cancel_request(again, packet.cancel_pid, packet.cancel_key);
        if (again != in.substr(0, consumed)) std::abort();
    }

    std::vector<std::string> unknown;
    for (const auto& [name, value] : parse_options(in, &unknown)) {
        if (name.empty() || name.find('=') != std::string::npos) std::abort();
    }
    return 0;
}
