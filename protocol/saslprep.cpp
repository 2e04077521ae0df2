#include "protocol/saslprep.hpp"

#include "protocol/constant_time.hpp"

#include <stringprep.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

namespace pgsteady {

namespace {

struct free_memory {
    void operator()(void* memory) const { std::free(memory); }
};

/// The most code points that one becomes under NFKC (U+FDFA).
constexpr std::size_t nfkc_growth = 18;

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// SASLprep of `text`, or nothing if it is not allowed or not UTF-8. Calls the UCS-4 layer of
/// libidn with room enough from the start: its simpler functions begin again and again with a
/// slightly larger buffer, which lets a short hostile text burn much time.
std::optional<std::string> saslprep(const std::string& text) {
    std::size_t length = 0;
    const std::unique_ptr<std::uint32_t, free_memory> code_points(
        stringprep_utf8_to_ucs4(text.c_str(), static_cast<ssize_t>(text.size()), &length));
    if (!code_points) return std::nullopt;

    std::vector<std::uint32_t> prepared(length * nfkc_growth + 1);
    std::copy_n(code_points.get(), length, prepared.begin());
    // A password that is stored must not hold unassigned code points (RFC 4013, 2.5).
    const int result =
        stringprep_4i(prepared.data(), &length, prepared.size(), STRINGPREP_NO_UNASSIGNED, stringprep_saslprep);
    if (result != STRINGPREP_OK || length == 0) return std::nullopt;

    std::size_t bytes = 0;
    const std::unique_ptr<char, free_memory> utf8(
        stringprep_ucs4_to_utf8(prepared.data(), static_cast<ssize_t>(length), nullptr, &bytes));
    if (!utf8) return std::nullopt;
    return std::string(utf8.get(), bytes);
}

}  // namespace

std::string saslprep_or_raw(std::string_view password) {
    std::string raw(password);
    const bool can_be_prepared = raw.size() <= max_prepared_password_bytes && raw.find('\0') == std::string::npos;
    if (is_ascii(raw) || !can_be_prepared) return raw;
    auto prepared = saslprep(raw);
    if (!prepared) return raw;
    wipe(raw);
    return *std::move(prepared);
}

}  // namespace pgsteady
