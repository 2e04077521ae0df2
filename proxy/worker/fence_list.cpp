// See fence_list.hpp.
#include "proxy/worker/fence_list.hpp"

#include "protocol/sqlstate.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_at_once = 64;  // backends in one question
constexpr auto first_pause = 10ms;        // between being told to end and being looked for
constexpr auto longest_pause = 200ms;
constexpr auto lost_question = 500ms;       // without an answer for so long, it is asked again
constexpr auto first_opening_pause = 20ms;  // a server may come free by itself; doubles with every opening
constexpr auto longest_opening_pause = 500ms;

// Told to end and looked at in one go: nothing may happen in between. The parallel workers of a backend end with it.
constexpr std::string_view question_head =
    "SELECT a.pid, CASE WHEN a.wait_event = 'SyncRep' THEN 'waits' "
    "WHEN pg_catalog.pg_terminate_backend(a.pid) THEN 'told' ELSE 'gone' END "
    "FROM pg_catalog.pg_stat_activity AS a "
    "WHERE (a.pid, pg_catalog.round(extract(epoch FROM a.backend_start) * 1000000)::pg_catalog.int8) IN (";

/// Nobody has said that it ends: the way to the server broke, or we closed it.
bool may_go_on(verdict_name how) {
    switch (how) {
        case verdict_name::none:
        case verdict_name::connection_lost:
        case verdict_name::host_refuses:
        case verdict_name::no_answer:
        case verdict_name::host_unreachable:
        case verdict_name::tls_failed:
        case verdict_name::server_violation: return true;
        default: return false;
    }
}

}  // namespace

fence_need need_of(const fence_facts& what) {
    if (!what.working || !may_go_on(what.how)) return fence_need::none;
    if (what.only_reads) return fence_need::cancel;
    return what.may_commit ? fence_need::terminate : fence_need::both;
}

std::string_view to_string(fence_outcome outcome) {
    switch (outcome) {
        case fence_outcome::confirmed: return "confirmed";
        case fence_outcome::gone: return "gone";
        case fence_outcome::spared: return "spared";
        case fence_outcome::denied: return "denied";
        case fence_outcome::unfinished: return "unfinished";
        case fence_outcome::unreachable: return "unreachable";
    }
    return "unknown";
}

bool fence_list::add(entry what, time_point now) {
    const auto same = [&what](const pursued& each) {
        const lost_backend& one = each.what.whom;
        return one.host == what.whom.host && one.pid == what.whom.pid && one.started == what.whom.started;
    };
    if (std::any_of(entries_.begin(), entries_.end(), same)) return false;
    if (entries_.empty()) {
        opening_pause_ = first_opening_pause;
        next_opening_ = now + opening_pause_;
    }
    pursued one{std::move(what), now, now};
    if (one.what.whom.started == 0) end(one, fence_outcome::denied, now);
    else if (entries_.size() >= most_) end(one, fence_outcome::unreachable, now);
    else entries_.push_back(std::move(one));
    return true;
}

bool fence_list::due_on(std::size_t host, time_point now) const {
    return std::any_of(entries_.begin(), entries_.end(),
                       [&](const pursued& each) { return each.what.whom.host == host && each.next <= now; });
}

bool fence_list::may_open(time_point now) {
    if (now < next_opening_) return false;
    opening_pause_ = std::min<duration>(2 * opening_pause_, longest_opening_pause);
    next_opening_ = now + opening_pause_;
    return true;
}

fence_list::question fence_list::ask(std::size_t host, std::string_view server_started_at, time_point now) {
    std::string backends;
    std::size_t count = 0;
    ++questions_;
    for (pursued& each : entries_) {
        const lost_backend& whom = each.what.whom;
        if (whom.host != host || each.next > now || count == most_at_once) continue;
        if (whom.server_started_at != server_started_at) {  // of another run of the server: nothing of that one is left
            end(each, fence_outcome::gone, now);
            continue;
        }
        each.asked = questions_;
        each.next = now + lost_question;
        ++count;
        backends += backends.empty() ? "(" : ", (";
        backends += std::to_string(whom.pid) + ", " + std::to_string(whom.started) + ')';
    }
    remove_ended();
    if (backends.empty()) return {};
    return {std::string(question_head) + backends + ')', questions_};
}

void fence_list::answered(std::uint64_t number, const std::vector<row>& rows, time_point now) {
    for (pursued& each : entries_) {
        if (each.asked != number) continue;
        each.asked = 0;
        const auto found =
            std::find_if(rows.begin(), rows.end(), [&each](const row& one) { return one.pid == each.what.whom.pid; });
        if (found == rows.end()) {
            end(each, each.told ? fence_outcome::confirmed : fence_outcome::gone, now);
            continue;
        }
        each.told |= found->state == "told";
        each.waits = found->state == "waits";
        each.pause =
            each.pause == duration::zero() ? duration(first_pause) : std::min<duration>(2 * each.pause, longest_pause);
        each.next = now + each.pause;
    }
    remove_ended();
}

void fence_list::failed(std::uint64_t number, std::string_view sqlstate, time_point now) {
    for (pursued& each : entries_) {
        if (each.asked != number) continue;
        each.asked = 0;
        if (sqlstate == sqlstate::insufficient_privilege) end(each, fence_outcome::denied, now);
        else each.next = now + longest_pause;
    }
    remove_ended();
}

void fence_list::unanswered(std::uint64_t number, time_point now) {
    for (pursued& each : entries_) {
        if (each.asked != number) continue;
        each.asked = 0;
        each.next = now;
    }
}

std::vector<fence_list::ended> fence_list::take_ended(time_point now) {
    for (pursued& each : entries_) {
        if (now - each.since < patience_) continue;
        end(each,
            each.waits  ? fence_outcome::spared
            : each.told ? fence_outcome::unfinished
                        : fence_outcome::unreachable,
            now);
    }
    remove_ended();
    return std::exchange(ended_, {});
}

/// Marked by its pid, which no backend has as 0; removed by remove_ended().
void fence_list::end(pursued& one, fence_outcome outcome, time_point now) {
    ended_.push_back({std::move(one.what), outcome, now - one.since});
    one.what.whom.pid = 0;
}

void fence_list::remove_ended() {
    std::erase_if(entries_, [](const pursued& each) { return each.what.whom.pid == 0; });
}

}  // namespace pgsteady
