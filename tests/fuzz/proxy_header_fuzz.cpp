// Fuzzes the PROXY protocol header. What is accepted is no longer than it says, and a prefix of it is never accepted.

#include "protocol/proxy_header.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

using namespace pgsteady;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view in(reinterpret_cast<const char*>(data), size);
    std::size_t consumed = 0;
    proxy_header header;
    std::string problem;
    const parse_status status = parse_proxy_header(in, consumed, header, problem);
    if (consumed > size || (status == parse_status::ok) != (consumed > 0)) std::abort();
    if ((status == parse_status::malformed) == problem.empty()) std::abort();
    if (!header.address.empty() && header.address.size() != 4 && header.address.size() != 16) std::abort();
    if (status == parse_status::ok) {
        std::size_t again = 0;
        if (parse_proxy_header(in.substr(0, consumed - 1), again, header, problem) != parse_status::need_more)
            std::abort();
    }
    return 0;
}
