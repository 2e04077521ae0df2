// See pool.hpp.
#include "proxy/pool/pool.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

pool_duration redial_pause(const redial_rules& rules, std::uint32_t failures, pool_duration failing_for,
                           double chance) {
    const pool_duration cap = failing_for > rules.late_after ? rules.late_max : rules.max;
    const std::uint32_t doublings = std::min<std::uint32_t>(failures > 0 ? failures - 1 : 0, 16);
    const pool_duration ceiling = std::min(cap, rules.initial * (1 << doublings));
    return std::max<pool_duration>(1ms, std::chrono::duration_cast<pool_duration>(ceiling * chance));
}

pool::pool(const pool_rules& rules, permit_counter& permits, permit_counter& process)
    : rules_(rules), permits_(permits), process_(process) {}

pool::checkout pool::take_idle(pool_time now) {
    if (idle_.empty()) return {};
    pooled_server* server = idle_.back();
    idle_.pop_back();
    return {server, is_stale(*server, now)};
}

pool::checkout pool::take_idle_for(const pool_waiter& waiter, const pool_match& match, pool_time now) {
    const auto found =
        std::find_if(idle_.rbegin(), idle_.rend(), [&](const auto* each) { return match(*each, waiter); });
    if (found == idle_.rend()) return {};
    pooled_server* server = *found;
    idle_.erase(std::next(found).base());
    return {server, is_stale(*server, now)};
}

bool pool::is_stale(const pooled_server& server, pool_time now) const {
    return rules_.probe_after_idle.count() > 0 && now - server.idle_since > rules_.probe_after_idle;
}

void pool::enqueue(pool_waiter& waiter, pool_time since) {
    waiter.waits_since = since;
    const pool_duration patience = waiter.waits_at_most.count() > 0 ? waiter.waits_at_most : rules_.hold_timeout;
    waiter.deadline = patience.count() > 0 ? since + patience : pool_time::max();
    waiter.noticed = false;
    insert(waiter);
}

/// By the beginning of the wait, which is nearly always at the end.
void pool::insert(pool_waiter& waiter) {
    auto place = waiters_.end();
    while (place != waiters_.begin() && (*std::prev(place))->waits_since > waiter.waits_since) --place;
    any_impatient_ |= waiter.waits_at_most.count() > 0;
    waiter.queued = true;
    waiter.queue = &waiters_;
    waiter.place = waiters_.insert(place, &waiter);
}

void pool::leave(pool_waiter& waiter) {
    if (!waiter.queued) return;
    waiter.queue->erase(waiter.place);
    waiter.queued = false;
}

pool_waiter* pool::next_in_turn() const {
    pool_waiter* const first = waiters_.empty() ? nullptr : waiters_.front();
    if (!replays_first_) return first;
    const auto found = std::find_if(waiters_.begin(), waiters_.end(), [](const auto* each) { return each->replays; });
    if (found != waiters_.end()) return *found;
    return only_replays_ ? nullptr : first;
}

pool_waiter* pool::next_waiter() {
    pool_waiter* const first = next_in_turn();
    if (first != nullptr) leave(*first);
    return first;
}

std::vector<pool_waiter*> pool::expired(pool_time now) {
    std::vector<pool_waiter*> late;
    while (!waiters_.empty() && waiters_.front()->deadline <= now) {
        late.push_back(waiters_.front());
        leave(*late.back());
    }
    if (!any_impatient_) return late;
    const std::vector<pool_waiter*> others = dismiss([now](const pool_waiter& each) { return each.deadline <= now; });
    late.insert(late.end(), others.begin(), others.end());
    any_impatient_ =
        std::any_of(waiters_.begin(), waiters_.end(), [](const auto* each) { return each->waits_at_most.count() > 0; });
    return late;
}

pool_waiter* pool::next_waiter_for(const pooled_server& server, const pool_match& match) {
    const auto found =
        std::find_if(waiters_.begin(), waiters_.end(), [&](const auto* each) { return match(server, *each); });
    if (found == waiters_.end()) return nullptr;
    pool_waiter* first = *found;
    leave(*first);
    return first;
}

std::vector<pool_waiter*> pool::dismiss(const std::function<bool(const pool_waiter&)>& which) {
    std::vector<pool_waiter*> all;
    for (pool_waiter* each : waiters_)
        if (which(*each)) all.push_back(each);
    for (pool_waiter* each : all) leave(*each);
    return all;
}

void pool::move_waiters(pool& to, const std::function<bool(const pool_waiter&)>& which) {
    for (pool_waiter* each : dismiss(which)) to.insert(*each);
}

std::vector<pool_waiter*> pool::to_notice(pool_time now, pool_duration after) {
    std::vector<pool_waiter*> patient;
    for (pool_waiter* each : waiters_) {
        if (now - each->waits_since < after) break;
        if (!std::exchange(each->noticed, true)) patient.push_back(each);
    }
    return patient;
}

void pool::mark_held() {
    for (pool_waiter* each : waiters_) each->held = true;
}

pool::dial_answer pool::may_dial(pool_time now, bool keep_warm) {
    const std::uint32_t everywhere = permits_.used();  // dials in progress included
    const bool for_waiter = waiters_.size() > dialling_ + (only_replays_ ? idle_.size() : 0);
    const bool for_later = keep_warm && everywhere < rules_.min_size;
    if ((!for_waiter && !for_later) || now < next_dial_) return dial_answer::no;
    // A backend that does not answer is tried by one dial at a time, so that an outage is no stampede (recovery.md 2.11).
    if (dialling_ >= (failures_ > 0 ? 1 : rules_.dial_limit)) return dial_answer::no;
    if (!permits_.try_take()) return dial_answer::no;
    if (!process_.try_take()) {
        permits_.give_back();
        return for_waiter ? dial_answer::process_full : dial_answer::no;
    }
    ++dialling_;
    return dial_answer::yes;
}

bool pool::may_dial_extra() {
    if (!take_both(permits_, process_)) return false;
    ++dialling_;
    return true;
}

void pool::dial_abandoned() {
    --dialling_;
    permits_.give_back();
    process_.give_back();
}

void pool::dial_ended(bool succeeded, pool_time now, double chance) {
    if (succeeded) {
        --dialling_;
        failures_ = 0;
        next_dial_ = {};
        return;
    }
    dial_abandoned();
    failed_elsewhere(now, chance);
}

void pool::failed_elsewhere(pool_time now, double chance) {
    if (failures_++ == 0) failing_since_ = now;
    next_dial_ = now + redial_pause(rules_.redial, failures_, now - failing_since_, chance);
}

void pool::dial_crowded_out(pool_time now, pool_duration pause) {
    dial_abandoned();
    failures_ = 0;
    next_dial_ = now + pause;
}

void pool::dial_now() {
    failures_ = 0;
    next_dial_ = {};
}

void pool::adopt(pooled_server& server, pool_time now, double chance) {
    ++open_;
    server.opened = now;
    server.generation = generation_;
    if (rules_.lifetime.count() == 0) return;
    const double share = 1.0 - rules_.lifetime_jitter * chance;  // spread, so that a cohort does not die together (P51)
    server.retire_at = now + std::chrono::duration_cast<pool_duration>(rules_.lifetime * share);
}

bool pool::is_spent(const pooled_server& server, pool_time now) const {
    if (server.condemned || server.generation != generation_) return true;
    return server.retire_at != pool_time{} && now >= server.retire_at;
}

bool pool::put_idle(pooled_server& server, pool_time now) {
    if (is_spent(server, now)) return false;
    server.idle_since = now;
    idle_.push_back(&server);
    return true;
}

void pool::closed(const pooled_server& server) {
    --open_;
    if (!server.permit_returned) permits_.give_back();
    process_.give_back();
}

bool pool::remove_idle(pooled_server& server) { return std::erase(idle_, &server) != 0; }

std::vector<pooled_server*> pool::to_close(pool_time now) {
    std::vector<pooled_server*> old;
    // Front: longest idle. What exceeds the pool's size goes soon, the rest after idle_timeout, never below min_size. The
    // pool's permit is given back right here, so that the parts on several workers do not all close the last ones.
    std::erase_if(idle_, [&](pooled_server* server) {
        const pool_duration idle_for = now - server->idle_since;
        const bool unused = rules_.idle_timeout.count() > 0 && idle_for >= rules_.idle_timeout;
        const bool over = idle_for >= rules_.overflow_idle_timeout;
        const bool spare = (over && permits_.try_give_back_above(rules_.size)) ||
                           (unused && permits_.try_give_back_above(rules_.min_size));
        server->permit_returned = spare;
        if (!spare && !is_spent(*server, now)) return false;
        old.push_back(server);
        return true;
    });
    return old;
}

std::vector<pooled_server*> pool::take_all_idle() {
    std::vector<pooled_server*> all;
    all.swap(idle_);
    return all;
}

}  // namespace pgsteady
