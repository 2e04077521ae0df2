// See pool_fuse.hpp.
#include "proxy/worker/pool_fuse.hpp"

#include "protocol/sqlstate.hpp"

#include <algorithm>

namespace pgsteady {

config::breaker_settings pool_fuse::limited(config::breaker_settings rules) {
    const config::milliseconds longest{longest_pause};
    rules.timeout = rules.timeout.count() > 0 ? std::min(rules.timeout, longest) : longest;
    rules.success_threshold = 1;  // one that is let in proves it
    return rules;
}

bool pool_fuse::may_dial(time_point now) {
    const std::scoped_lock lock(mutex_);
    if (fuse_.allow()) return true;
    return fuse_.forced() == breaker_force::automatic && fuse_.begin_probe(now);
}

std::optional<error_fields> pool_fuse::refusal() const {
    const std::scoped_lock lock(mutex_);
    if (fuse_.state() != breaker_state::open) return std::nullopt;
    if (!last_words_.sqlstate.empty()) return last_words_;
    return plain_error(sqlstate::cannot_connect_now, "an operator has closed this pool");
}

void pool_fuse::let_in(time_point now) {
    const std::scoped_lock lock(mutex_);
    if (fuse_.state() != breaker_state::closed) fuse_.reset(now);
    else fuse_.on_success(now);
}

void pool_fuse::refused(const error_fields& why, time_point now, double chance) {
    const std::scoped_lock lock(mutex_);
    last_words_ = why;
    recovery_verdict counted;
    counted.name = verdict_name::login_refused;
    counted.host = host_effect::counted;  // against the pool, that is
    if (fuse_.state() == breaker_state::half_open) fuse_.end_probe(counted, now, chance);
    else fuse_.on_failure(counted, now, chance);
}

void pool_fuse::told_nothing() {
    const std::scoped_lock lock(mutex_);
    fuse_.abandon_probe();
}

void pool_fuse::force(breaker_force how, time_point now) {
    const std::scoped_lock lock(mutex_);
    if (how == breaker_force::open) last_words_ = {};
    fuse_.force(how, now);
}

void pool_fuse::set_rules(const config::breaker_settings& rules, time_point now) {
    const std::scoped_lock lock(mutex_);
    fuse_.set_rules(limited(rules), now);
}

pool_fuse::status pool_fuse::now() const {
    const std::scoped_lock lock(mutex_);
    status result{fuse_.state(), fuse_.consecutive_failures(), fuse_.failures_total(), fuse_.trips_total()};
    if (fuse_.cause() == breaker_cause::none) return result;
    const bool forced = fuse_.cause() == breaker_cause::forced;
    result.opened_by = to_string(forced ? breaker_cause::forced : breaker_cause::login_refused);
    if (!last_words_.sqlstate.empty()) result.last_failure = last_words_.sqlstate + ": " + last_words_.message;
    return result;
}

}  // namespace pgsteady
