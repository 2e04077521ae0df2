#include "proxy/worker/live_policies.hpp"

namespace pgsteady {
namespace {

template <class field>
void set_if(field& to, const std::optional<field>& from) {
    if (from) to = *from;
}

template <class field>
void take_later(std::optional<field>& to, const std::optional<field>& later) {
    if (later) to = later;
}

}  // namespace

void policy_change::apply_to(config::policies& to) const {
    set_if(to.retry.max_retries, max_retries);
    set_if(to.retry.initial_delay, initial_delay);
    set_if(to.retry.max_delay, max_delay);
    set_if(to.retry.multiplier, multiplier);
    set_if(to.retry.strategy, strategy);
    set_if(to.retry.jitter, jitter);
    set_if(to.pool.hold_timeout, timeout);
    set_if(to.recovery.enabled, recovery);
    set_if(to.breaker.enabled, breaker);
    set_if(to.read_only.enabled, read_only);
    set_if(to.replay.enabled, replay);
    set_if(to.guard.enabled, guard);
}

void policy_change::add(const policy_change& later) {
    take_later(max_retries, later.max_retries);
    take_later(initial_delay, later.initial_delay);
    take_later(max_delay, later.max_delay);
    take_later(multiplier, later.multiplier);
    take_later(strategy, later.strategy);
    take_later(jitter, later.jitter);
    take_later(timeout, later.timeout);
    take_later(recovery, later.recovery);
    take_later(breaker, later.breaker);
    take_later(read_only, later.read_only);
    take_later(replay, later.replay);
    take_later(guard, later.guard);
}

}  // namespace pgsteady
