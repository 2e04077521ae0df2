// See in_doubt.hpp. The argument, in the words used there:
// - The commit record of x lies behind L0 in the WAL of the server that ran it. Who has that record says "committed", for
//   ever, and gives x to nobody else: so "aborted" or "in the future" prove that it is not in this server's history.
// - A server whose recovery ended at or before L0 has no commit record of x, whatever happened before that.
// - A server that is known to have the WAL up to behind L0 has a record that bears x, so x was not given again: its
//   "committed" is the truth. Without that knowledge it may speak of another transaction with the same number (T4).
#include "proxy/policy/in_doubt.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace pgsteady {

namespace {

using outcome = in_doubt_outcome;
using path = in_doubt_path;

/// The server has every WAL record of the one that ran the transaction.
in_doubt_judgement by_state(xact_state state, path why) {
    switch (state) {
        case xact_state::committed: return {outcome::committed, why};
        case xact_state::aborted: return {outcome::not_committed, why};
        case xact_state::in_progress: return {outcome::ask_again, path::waits};
        case xact_state::in_future: return {outcome::unknown, path::contradiction};
        default: return {outcome::unknown, path::no_answer};
    }
}

bool restarted_cleanly(const commit_capture& captured, const in_doubt_facts& facts) {
    return facts.host == captured.host && !facts.server.recovered_to &&
           facts.server.timeline == captured.server.timeline && facts.server.statistics_since != 0 &&
           facts.server.statistics_since == captured.server.statistics_since;
}

/// Another life, perhaps of another server.
in_doubt_judgement judge_successor(const commit_capture& captured, const in_doubt_facts& facts) {
    const bool promoted = facts.host != captured.host || facts.server.timeline != captured.server.timeline;
    const path before = promoted ? path::promoted_before_marker : path::crash_before_marker;
    const path after = promoted ? path::promoted_after_marker : path::crash_after_marker;
    if (facts.server.recovered_to && *facts.server.recovered_to <= captured.marker)
        return {outcome::not_committed, before};
    const bool has_marker = facts.inherited.upto && *facts.inherited.upto > captured.marker;
    switch (facts.state) {
        case xact_state::aborted: return {outcome::not_committed, has_marker ? after : path::never_committed};
        case xact_state::in_future:
            if (has_marker) return {outcome::unknown, path::contradiction};
            return {outcome::not_committed, path::never_committed};
        case xact_state::in_progress: return {outcome::ask_again, path::waits};
        case xact_state::committed: break;
        default: return {outcome::unknown, path::no_answer};
    }
    if (has_marker) return {outcome::committed, after};
    if (!facts.inherited.observed) return {outcome::ask_again, path::not_observed};
    return {outcome::unknown, path::more_than_one_step};
}

}  // namespace

std::string_view to_string(in_doubt_outcome what) {
    switch (what) {
        case outcome::committed: return "committed";
        case outcome::not_committed: return "not_committed";
        case outcome::ask_again: return "ask_again";
        case outcome::unknown: break;
    }
    return "unknown";
}

std::string_view to_string(in_doubt_path which) {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(path::count)> names = {
        "same_incarnation",
        "clean_restart",
        "crash_before_marker",
        "crash_after_marker",
        "promoted_before_marker",
        "promoted_after_marker",
        "never_committed",
        "waits",
        "not_observed",
        "more_than_one_step",
        "two_primaries",
        "other_system",
        "contradiction",
        "no_answer",
        "timeout"};
    return names[static_cast<std::size_t>(which)];
}

in_doubt_judgement judge_in_doubt(const commit_capture& captured, const in_doubt_facts& facts) {
    if (!captured.known() || captured.server.started_at == 0 || facts.server.started_at == 0)
        return {outcome::unknown, path::no_answer};
    if (facts.two_primaries) return {outcome::unknown, path::two_primaries};
    if (facts.state == xact_state::failed || facts.state == xact_state::forgotten)
        return {outcome::unknown, path::no_answer};
    if (facts.host == captured.host && facts.server.is(captured.server))
        return by_state(facts.state, path::same_incarnation);
    if (restarted_cleanly(captured, facts)) return by_state(facts.state, path::clean_restart);
    if (facts.server.system.empty() || facts.server.system != captured.server.system)
        return {outcome::unknown, path::other_system};
    return judge_successor(captured, facts);
}

std::chrono::milliseconds in_doubt_pause(std::uint32_t times) {
    constexpr std::chrono::milliseconds first{20};
    constexpr std::chrono::milliseconds longest{200};
    return std::min(longest, first * (1U << std::min<std::uint32_t>(times, 4)));
}

std::optional<std::uint64_t> read_wal_position(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto half = [](std::string_view digits) -> std::optional<std::uint64_t> {
        std::uint32_t value = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
        return value;
    };
    const auto high = half(text.substr(0, slash));
    const auto low = half(text.substr(slash + 1));
    if (!high || !low) return std::nullopt;
    return (*high << 32U) | *low;
}

std::string wal_position_text(std::uint64_t position) {
    std::array<char, 20> out{};
    const int size = std::snprintf(out.data(), out.size(), "%X/%X", static_cast<unsigned>(position >> 32U),
                                   static_cast<unsigned>(position & 0xFFFFFFFFU));
    return {out.data(), static_cast<std::size_t>(size)};
}

xact_state read_xact_state(std::optional<std::string_view> value) {
    if (!value) return xact_state::forgotten;
    if (*value == "committed") return xact_state::committed;
    if (*value == "aborted") return xact_state::aborted;
    if (*value == "in progress") return xact_state::in_progress;
    return xact_state::failed;
}

}  // namespace pgsteady
