// See crash_record.hpp.
#include "proxy/policy/crash_record.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

std::uint64_t statement_fingerprint(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char letter : text) {
        hash ^= static_cast<unsigned char>(letter);
        hash *= 0x100000001b3;
    }
    return hash;
}

std::string fingerprint_name(std::uint64_t fingerprint) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string name;
    for (int shift = 60; shift >= 0; shift -= 4) name += digits[(fingerprint >> shift) & 15U];
    return name;
}

void crash_record::ended_silently(std::uint64_t client, std::span<const std::uint64_t> in_flight, time_point opened,
                                  time_point now) {
    if (!join(opened, now)) return;
    if (client != 0 && current_.silent > 0 && client == current_.client) return;
    ++current_.silent;
    if (current_.silent > 1) return;
    current_.client = client;
    for (const std::uint64_t fingerprint : in_flight) {
        if (current_.in_flight.size() == most_in_flight) break;
        if (std::ranges::find(current_.in_flight, fingerprint) == current_.in_flight.end())
            current_.in_flight.push_back(fingerprint);
    }
}

void crash_record::told_of_crash(time_point opened, time_point now) {
    if (join(opened, now)) ++current_.told;
}

std::uint32_t crash_record::crashes(std::uint64_t fingerprint, time_point now) {
    if (now - current_.began > one_crash) close_inquest();
    forget_old(now);
    // The crash that is still being looked into counts as it looks now: the victim's retry may be decided meanwhile.
    const std::uint32_t ongoing = current_.names(fingerprint) ? 1 : 0;
    const auto found = std::ranges::find(entries_, fingerprint, &entry::fingerprint);
    return ongoing + (found != entries_.end() ? found->crashes : 0);
}

bool crash_record::inquest::names(std::uint64_t fingerprint) const {
    return silent == 1 && told > 0 && std::ranges::find(in_flight, fingerprint) != in_flight.end();
}

/// What ends now belongs to the crash under inquest, or begins the next one. False: to one that is closed, late news.
bool crash_record::join(time_point opened, time_point now) {
    if (last_crash_ && opened <= *last_crash_) return false;
    const bool none_yet = current_.silent == 0 && current_.told == 0;
    if (!none_yet && opened <= current_.began && now - current_.began <= one_crash) return true;
    close_inquest();
    current_.began = now;
    return !last_crash_ || opened > *last_crash_;
}

void crash_record::close_inquest() {
    const inquest closed = std::exchange(current_, {});
    if (closed.told > 0) last_crash_ = closed.began;
    if (closed.silent != 1 || closed.told == 0) return;
    for (const std::uint64_t fingerprint : closed.in_flight) blame(fingerprint, closed.began);
}

void crash_record::blame(std::uint64_t fingerprint, time_point when) {
    forget_old(when);
    auto found = std::ranges::find(entries_, fingerprint, &entry::fingerprint);
    if (found == entries_.end()) {
        if (entries_.size() == most_entries) entries_.erase(std::ranges::min_element(entries_, {}, &entry::last));
        found = entries_.insert(entries_.end(), entry{fingerprint, 0, when});
    }
    ++found->crashes;
    found->last = when;
}

void crash_record::forget_old(time_point now) {
    std::erase_if(entries_, [now](const entry& each) { return now - each.last > memory; });
}

}  // namespace pgsteady
