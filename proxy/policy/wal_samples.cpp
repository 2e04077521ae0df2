// See wal_samples.hpp.
#include "proxy/policy/wal_samples.hpp"

#include <algorithm>
#include <charconv>

namespace pgsteady {

namespace {

constexpr std::uint64_t page = 8192;
constexpr std::uint64_t least_segment = 1024 * 1024;
constexpr std::uint64_t page_header = 24;
constexpr std::uint64_t segment_header = 40;

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\n");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

bool starts_with_any(std::string_view text) {
    return text.size() > 3 && (text[0] | 0x20) == 'a' && (text[1] | 0x20) == 'n' && (text[2] | 0x20) == 'y' &&
           text[3] == ' ';
}

}  // namespace

std::uint64_t without_page_header(std::uint64_t inserted) {
    if (inserted % least_segment == segment_header) return inserted - segment_header;
    return inserted % page == page_header ? inserted - page_header : inserted;
}

void wal_samples::answered(std::uint64_t inserted) {
    const std::uint64_t position = without_page_header(inserted);
    if (!samples_.empty() && samples_.back().second > position) samples_.clear();  // another history
    if (!samples_.empty() && samples_.back().second == position) {
        samples_.back().first = newest_;  // nothing was written in between
        return;
    }
    if (samples_.size() >= most) samples_.pop_front();
    samples_.emplace_back(newest_, position);
}

std::uint64_t wal_samples::newest_replayed(std::uint64_t replayed) const {
    const auto beyond = std::upper_bound(samples_.begin(), samples_.end(), replayed,
                                         [](std::uint64_t at, const auto& sample) { return at < sample.second; });
    return beyond == samples_.begin() ? 0 : std::prev(beyond)->first;
}

bool quorum_is_everybody(std::string_view synchronous_names) {
    const std::string_view text = trimmed(synchronous_names);
    if (!starts_with_any(text)) return false;
    const auto open = text.find('(');
    if (open == std::string_view::npos || text.back() != ')' || text.find_first_of("*\"") != std::string_view::npos)
        return false;
    const std::string_view number = trimmed(text.substr(4, open - 4));
    std::size_t wanted = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), wanted).ec != std::errc{}) return false;
    const std::string_view names = text.substr(open + 1, text.size() - open - 2);
    return wanted >= static_cast<std::size_t>(std::count(names.begin(), names.end(), ',')) + 1;
}

bool is_synchronous(const std::vector<replica_row>& primary_saw, std::string_view synchronous_names,
                    const receiver_name& standby) {
    const replica_row* own = nullptr;
    for (const replica_row& row : primary_saw) {
        const bool same_slot = !standby.slot.empty() && row.slot == standby.slot;
        const bool same_name = !standby.application_name.empty() && row.application_name == standby.application_name;
        if (!same_slot && !same_name) continue;
        if (own != nullptr && !same_slot) return false;  // two of that name
        own = &row;
        if (same_slot) break;
    }
    if (own == nullptr) return false;
    return own->sync_state == "sync" || (own->sync_state == "quorum" && quorum_is_everybody(synchronous_names));
}

}  // namespace pgsteady
