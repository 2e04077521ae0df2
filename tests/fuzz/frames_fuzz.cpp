// Fuzzes the frame header and the reply tracker. The first byte chooses: bytes as a stream of frames, whose sizes
// must add up, or as a conversation: what is sent and what comes back, in any order. Nothing may grow beyond it.

#include "protocol/frame.hpp"
#include "protocol/reply_tracker.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace pgsteady;

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

void split(std::string_view in) {
    while (true) {
        const frame_header header = read_frame_header(in, 1 << 20);
        if (header.state != frame_header::status::ok) {
            check(header.state == frame_header::status::malformed || in.size() < frame_header_size);
            return;
        }
        check(header.total >= frame_header_size && header.total <= (1 << 20) + 1 && header.type == in[0]);
        if (header.total > in.size()) return;
        in.remove_prefix(header.total);
    }
}

void converse(std::string_view in) {
    reply_tracker tracker;
    std::size_t pushed = 0;
    std::size_t settled = 0;
    for (const char byte : in) {
        const auto bits = static_cast<std::uint8_t>(byte);
        if ((bits & 0x80) != 0) {
            ++pushed;
            if ((bits & 0x0f) == static_cast<int>(owed::local_reply)) tracker.push_local();
            else tracker.push(static_cast<owed>((bits & 0x0f) % 10), (bits & 0x10) != 0, (bits & 0x20) != 0);
        } else if (tracker.react(byte).what == reply_meaning::verdict::unexpected) {
            return;
        }
        settled += tracker.settled().size();
        tracker.clear_settled();
        check(tracker.size() + settled <= pushed);
        check(tracker.client_readies_owed() <= tracker.size());
        check(tracker.empty() || tracker.front().kind != owed::local_reply || tracker.skipping());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view in(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] % 2 == 0) split(in);
    else converse(in);
    return 0;
}
