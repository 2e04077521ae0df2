// See replay_barrier.hpp.
#include "proxy/policy/replay_barrier.hpp"

#include <algorithm>

namespace pgsteady {

replay_barrier::number replay_barrier::enter(number again, duration limit, time_point now) {
    if (limit <= duration::zero()) return 0;
    look(now);
    const number which = again != 0 ? again : ++last_;
    if (step_ == step::none) {
        outage_ = false;
        most_ = 0;
        begin_restoring();
    } else if (inside_.contains(which)) {
        begin_restoring();
    }
    limit_ = limit;
    loses_locks(limit, now);
    restoring_until_ = now + limit;
    inside_.insert_or_assign(which, false);
    most_ = std::max(most_, inside_.size());
    return which;
}

void replay_barrier::loses_locks(duration limit, time_point now) { leaving_until_ = now + limit / leaving_share; }

replay_barrier::time_point replay_barrier::answers_held_until() const {
    return step_ == step::restoring ? std::max(leaving_until_, restoring_until_) : leaving_until_;
}

void replay_barrier::note_outage() {
    if (step_ == step::none) return;
    outage_ = true;
    begin_restoring();
}

/// The time of what was interrupted by another outage is none of this one's.
void replay_barrier::begin_restoring() {
    step_ = step::restoring;
    since_ = {};
}

void replay_barrier::restored(number which, time_point now) {
    const auto at = inside_.find(which);
    if (at == inside_.end()) return;
    at->second = true;
    work_is_possible(now);
    settle(now);
}

void replay_barrier::leave(number which, time_point now) {
    if (inside_.erase(which) > 0) settle(now);
}

void replay_barrier::work_is_possible(time_point now) {
    if (step_ != step::none && since_ == time_point{}) since_ = now;
}

void replay_barrier::look(time_point now) {
    if (step_ == step::none || since_ == time_point{} || now - since_ < limit_) return;
    if (step_ == step::restoring) return begin_going_on(now);
    ++expired_;
    inside_.clear();  // they go on by themselves; the next outage has a barrier of its own
    step_ = step::none;
}

void replay_barrier::settle(time_point now) {
    if (step_ == step::none) return;
    if (inside_.empty()) {
        ++completed_;
        step_ = step::none;
    } else if (step_ == step::restoring &&
               std::all_of(inside_.begin(), inside_.end(), [](const auto& each) { return each.second; })) {
        begin_going_on(now);
    }
}

void replay_barrier::begin_going_on(time_point now) {
    step_ = step::going_on;
    since_ = now;
}

}  // namespace pgsteady
