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

template <typename T>
using owned = std::unique_ptr<T, free_memory>;

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// libidn's SASLprep without its normalisation, which PostgreSQL does apart from the rest.
const std::vector<Stringprep_profile>& checks_of_saslprep() {
    static const std::vector<Stringprep_profile> profile = [] {
        std::vector<Stringprep_profile> steps;
        for (const auto* step = stringprep_saslprep; step->operation != 0; ++step)
            if (step->operation != STRINGPREP_NFKC) steps.push_back(*step);
        steps.push_back({});  // ends the list
        return steps;
    }();
    return profile;
}

/// SASLprep of `text` as PostgreSQL does it, or nothing if that prohibits it or it is not UTF-8.
/// PostgreSQL looks for prohibited characters before it normalises, RFC 3454 after.
std::optional<std::string> saslprep(const std::string& text) {
    std::size_t length = 0;
    const owned<std::uint32_t> mapped(stringprep_utf8_to_ucs4(text.data(), static_cast<ssize_t>(text.size()), &length));
    if (!mapped) return std::nullopt;
    // Mapping only shortens. A password that is stored must not hold unassigned code points (RFC 4013, 2.5).
    const int result =
        stringprep_4i(mapped.get(), &length, length + 1, STRINGPREP_NO_UNASSIGNED, checks_of_saslprep().data());
    if (result != STRINGPREP_OK || length == 0) return std::nullopt;

    const owned<std::uint32_t> normalised(stringprep_ucs4_nfkc_normalize(mapped.get(), static_cast<ssize_t>(length)));
    if (!normalised) return std::nullopt;
    const owned<char> utf8(stringprep_ucs4_to_utf8(normalised.get(), -1, nullptr, nullptr));
    if (!utf8) return std::nullopt;
    return std::string(utf8.get());
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
