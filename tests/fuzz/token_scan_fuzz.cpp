// Token scan: any bytes, split anywhere, give one answer; and the widest reading never sees less than another.
#include "protocol/token_scan.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace pgsteady;

namespace {

token_hits scan_in_pieces(std::string_view text, scan_mode mode, std::uint32_t seed) {
    token_scanner scanner(mode);
    while (!text.empty()) {
        seed = seed * 1664525U + 1013904223U;
        const std::string_view piece = text.substr(0, 1 + (seed >> 28));
        scanner.feed(piece);
        text.remove_prefix(piece.size());
    }
    return scanner.finish();
}

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const token_hits widest = scan_tokens(text, scan_mode::raw) | token_hits(token_hit::ambiguous);
    for (const scan_mode mode : {scan_mode::sql, scan_mode::sql_standard, scan_mode::plpgsql, scan_mode::raw}) {
        const token_hits whole = scan_tokens(text, mode);
        require(whole == scan_in_pieces(text, mode, static_cast<std::uint32_t>(size)));
        require((whole | widest) == widest);
    }
    return 0;
}
