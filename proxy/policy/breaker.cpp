// See breaker.hpp. The numbers are recovery.md 2.12 with D5.
#include "proxy/policy/breaker.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

// A share of the interval to both sides, so that many proxies do not knock at once.
constexpr double jitter = 0.2;

// What a probe has found out. A host that answers with anything but "not yet" is up, even if it refuses this login.
enum class probe_answer : std::uint8_t { up, not_yet, down };

probe_answer answer_of(const recovery_verdict& outcome) {
    // Whatever it is, it is no PostgreSQL.
    if (outcome.name == verdict_name::server_violation || outcome.name == verdict_name::client_violation)
        return probe_answer::down;
    switch (outcome.host) {
        case host_effect::none: return probe_answer::up;
        case host_effect::counted: return probe_answer::down;
        case host_effect::burst:
        case host_effect::held: return probe_answer::not_yet;
    }
    return probe_answer::down;
}

/// A host that says itself that it serves nobody.
breaker_cause cause_of(verdict_name said) {
    if (said == verdict_name::server_crashed) return breaker_cause::server_crashed;
    return said == verdict_name::server_stopping ? breaker_cause::server_stopping : breaker_cause::not_ready;
}

}  // namespace

std::string_view to_string(breaker_force how) {
    switch (how) {
        case breaker_force::automatic: return "automatic";
        case breaker_force::open: return "open";
        case breaker_force::closed: return "closed";
    }
    return "unknown";
}

std::string_view to_string(breaker_cause cause) {
    switch (cause) {
        case breaker_cause::none: return "none";
        case breaker_cause::consecutive: return "consecutive";
        case breaker_cause::failure_rate: return "failure_rate";
        case breaker_cause::loss_burst: return "loss_burst";
        case breaker_cause::not_ready: return "not_ready";
        case breaker_cause::server_stopping: return "server_stopping";
        case breaker_cause::server_crashed: return "server_crashed";
        case breaker_cause::probes_missed: return "probes_missed";
        case breaker_cause::no_writable_host: return "no_writable_host";
        case breaker_cause::storage_failing: return "storage_failing";
        case breaker_cause::two_primaries: return "two_primaries";
        case breaker_cause::login_refused: return "login_refused";
        case breaker_cause::forced: return "forced";
    }
    return "unknown";
}

breaker::breaker(const config::breaker_settings& rules) : rules_(rules), good_(rules.window), bad_(rules.window) {}

breaker_state breaker::state() const {
    if (force_ == breaker_force::open) return breaker_state::open;
    if (force_ == breaker_force::closed) return breaker_state::closed;
    return state_;
}

void breaker::on_success(time_point now, std::uint64_t events) {
    // While open, this is a late answer on an old connection: only probes close it.
    if (state_ != breaker_state::closed || events == 0) return;
    consecutive_ = 0;
    good_.add(now, events);
}

void breaker::on_failure(const recovery_verdict& why, time_point now, double chance) {
    if (why.host == host_effect::held) {
        last_failure_ = why.name;
        if (state_ == breaker_state::open) next_probe_ = std::min(next_probe_, now + held_interval);  // it speaks again
        trip(cause_of(why.name), now, chance);
        return;
    }
    if (why.host != host_effect::counted) return;
    count_failure(why.name);
    if (state_ != breaker_state::closed) return;
    bad_.add(now, 1);
    if (consecutive_ >= rules_.failure_threshold) trip(breaker_cause::consecutive, now, chance);
    else if (window_is_bad(now)) trip(breaker_cause::failure_rate, now, chance);
}

void breaker::trip(breaker_cause cause, time_point now, double chance) {
    if (!rules_.enabled || force_ != breaker_force::automatic || state_ == breaker_state::open) return;
    const bool held = cause == breaker_cause::not_ready || cause == breaker_cause::server_stopping ||
                      cause == breaker_cause::server_crashed;
    open(cause, held ? wait::held : wait::growing, now, chance);
}

bool breaker::may_probe(time_point now, bool urgent) const {
    // A forced one is not moved by a probe, but the monitor may want to know.
    if (force_ != breaker_force::automatic || state_ == breaker_state::closed) return true;
    return probe_ == probe::none && (urgent || now >= next_probe_);
}

bool breaker::begin_probe(time_point now, bool urgent) {
    if (!may_probe(now, urgent)) return false;
    if (force_ != breaker_force::automatic || state_ == breaker_state::closed) return true;
    probe_ = now >= next_probe_ ? probe::due : probe::urgent;
    state_ = breaker_state::half_open;
    return true;
}

void breaker::end_probe(const recovery_verdict& outcome, time_point now, double chance) {
    const probe_answer answer = answer_of(outcome);
    if (probe_ == probe::none) {
        if (answer == probe_answer::up) on_success(now);
        else on_failure(outcome, now, chance);
        return;
    }
    const bool was_due = probe_ == probe::due;
    probe_ = probe::none;
    if (answer == probe_answer::up) {
        probe_went_well(now);
        return;
    }
    probe_successes_ = 0;
    state_ = breaker_state::open;
    if (answer == probe_answer::not_yet) {
        last_failure_ = outcome.name;
        wait_again(wait::held, now, chance);
    } else {
        count_failure(outcome.name);
        if (was_due) wait_again(wait::growing, now, chance);
    }
}

void breaker::abandon_probe() {
    if (probe_ == probe::none) return;
    probe_ = probe::none;
    if (probe_successes_ == 0) state_ = breaker_state::open;
}

std::optional<breaker::time_point> breaker::next_probe() const {
    if (force_ != breaker_force::automatic || state_ == breaker_state::closed || probe_ != probe::none)
        return std::nullopt;
    return next_probe_;
}

void breaker::force(breaker_force how, time_point now) {
    if (how == force_) return;
    const breaker_force before = force_;
    force_ = how;
    switch (how) {
        case breaker_force::open:
            if (state_ == breaker_state::closed) since_ = now;
            state_ = breaker_state::open;
            cause_ = breaker_cause::forced;
            probe_ = probe::none;
            break;
        case breaker_force::closed: close(now); break;
        case breaker_force::automatic:
            if (before == breaker_force::open && rules_.enabled) recover(now);
            else close(now);
            break;
    }
}

void breaker::recover(time_point now) {
    openings_ = 0;
    next_probe_ = now;
}

void breaker::reset(time_point now) {
    if (force_ == breaker_force::open) return;
    close(now);
    openings_ = 0;
}

void breaker::set_rules(const config::breaker_settings& rules, time_point now) {
    if (rules == rules_) return;
    if (rules.window != rules_.window) {
        good_ = sliding_count(rules.window);
        bad_ = sliding_count(rules.window);
    }
    rules_ = rules;
    if (!rules_.enabled && force_ == breaker_force::automatic) close(now);
}

void breaker::open(breaker_cause cause, wait how, time_point now, double chance) {
    if (state_ == breaker_state::closed) {
        if (now - since_ >= calm) openings_ = 0;
        ++trips_;
        since_ = now;
    }
    state_ = breaker_state::open;
    cause_ = cause;
    probe_ = probe::none;
    probe_successes_ = 0;
    wait_again(how, now, chance);
}

void breaker::wait_again(wait how, time_point now, double chance) {
    if (how == wait::held) {
        next_probe_ = now + held_interval;
        return;
    }
    next_probe_ = now + interval(chance);
    ++openings_;
}

void breaker::close(time_point now) {
    if (state_ != breaker_state::closed) since_ = now;
    state_ = breaker_state::closed;
    probe_ = probe::none;
    probe_successes_ = 0;
    consecutive_ = 0;
    good_.clear();
    bad_.clear();
}

void breaker::count_failure(verdict_name name) {
    last_failure_ = name;
    ++failures_;
    if (consecutive_ < UINT32_MAX) ++consecutive_;
}

void breaker::probe_went_well(time_point now) {
    ++probe_successes_;
    consecutive_ = 0;
    if (probe_successes_ >= rules_.success_threshold) close(now);
    else next_probe_ = now;
}

bool breaker::window_is_bad(time_point now) {
    if (rules_.failure_rate <= 0 || rules_.window.count() <= 0) return false;  // P51: 0 is off
    const std::uint64_t bad = bad_.sum(now);
    const std::uint64_t all = bad + good_.sum(now);
    return all >= rules_.window_volume && static_cast<double>(bad) >= rules_.failure_rate * static_cast<double>(all);
}

breaker::duration breaker::interval(double chance) const {
    using seconds = std::chrono::duration<double>;
    const double share = 1 - jitter + 2 * jitter * std::clamp(chance, 0.0, 1.0);
    seconds length = seconds{first_interval} * static_cast<double>(1U << std::min(openings_, 20U));
    // The cap holds for the jittered interval, too. P51: 0 is no cap.
    if (rules_.timeout.count() > 0) length = std::min(length, seconds{rules_.timeout} / (1 + jitter));
    return std::chrono::duration_cast<duration>(length * share);
}

}  // namespace pgsteady
