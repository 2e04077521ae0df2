// See host_watch.hpp. The verdicts are recovery.md 2.9, the cadences D4.
#include "proxy/policy/host_watch.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

/// One such answer says it all: nobody listens there, or the server says itself that it serves nobody.
bool is_plain_no(verdict_name name) {
    return name == verdict_name::host_refuses || name == verdict_name::server_not_ready ||
           name == verdict_name::server_crashed;
}

/// The host spoke to us and works; we were not let in.
bool is_up_but_closed(verdict_name name) {
    return name == verdict_name::server_full || name == verdict_name::login_refused ||
           name == verdict_name::session_ended || name == verdict_name::database_dropped ||
           name == verdict_name::session_failed;
}

}  // namespace

host_watch::host_watch(const watch_rules& rules, time_point now) : rules_(rules), breaker_(rules.breaker), last_(now) {}

// ------------------------------------------------------------------------------------------ the connection

void host_watch::connecting(const moment& at) {
    link_ = link::connecting;
    begun_ = at.now;
    soon_ = false;
    anew_ = false;
    probing_ = breaker_.state() != breaker_state::closed && breaker_.begin_probe(at.now, true);
}

void host_watch::connected(const moment& at) {
    link_ = link::open;
    blind_ = false;
    proven_ = false;
    sign_ins_refused_ = 0;
    last_ = at.now;
    begun_ = {};
    soon_ = true;  // its first probe goes at once
}

void host_watch::touched(const moment& at) {
    link_ = link::none;
    suspected_ = false;
    last_ = at.now;
    lives();
    redial_ = rules_.monitor.interval;
    end_probe({}, at);
}

void host_watch::without_account(const moment& at) {
    link_ = link::none;
    blind_ = true;
    soon_ = false;
    begun_ = at.now;
    last_ = at.now;
    if (!known_ && pools_role_ != host_role::unknown) {
        lives();
        believe_pools(at);
    }
    redial_ = rules_.monitor.interval;
}

void host_watch::connect_failed(const recovery_verdict& why, std::string words, const moment& at) {
    link_ = link::none;
    const bool refused = why.name == verdict_name::login_refused;
    if (refused) {
        blind_ = true;
        ++sign_ins_refused_;
    }
    failed(why, std::move(words), at);
    if (refused && !known_) believe_pools(at);
}

void host_watch::asked(const moment& at) {
    link_ = link::asking;
    begun_ = at.now;
    soon_ = false;
    if (!probing_) probing_ = breaker_.state() != breaker_state::closed && breaker_.begin_probe(at.now, true);
}

void host_watch::answered(probe_result found, const moment& at) {
    link_ = link::open;
    last_ = at.now;
    found_ = std::move(found);
    found_asked_at_ = begun_;
    known_ = true;
    suspected_ = false;
    last_problem_.clear();
    lives();
    end_probe({}, at);
}

void host_watch::probe_refused(std::string words, const moment& at) {
    link_ = link::open;
    last_ = at.now;
    lives();
    last_problem_ = std::move(words);
    end_probe({}, at);
}

void host_watch::missed(const moment& at) {
    link_ = link::none;
    failed(judge(failure_kind::timed_out, failure_phase::statement), "it did not answer the monitor in time", at);
    soon_ = true;
}

void host_watch::disconnected(const recovery_verdict& why, std::string words, const moment& at) {
    link_ = link::none;
    // One that never answered is as good as none: else a host that lets us in and hangs up would be dialled without end.
    if (!proven_) return failed(why ? why : judge(failure_kind::closed, failure_phase::dialling), std::move(words), at);
    last_ = at.now;
    last_failure_ = why.name;
    last_problem_ = std::move(words);
    redial_ = {};
    soon_ = true;
    if (probing_) breaker_.abandon_probe();  // the next connection tells
    probing_ = false;
}

/// It has said something: nothing in a row has failed any more.
void host_watch::lives() {
    tried_ = true;
    proven_ = true;
    reachable_ = true;
    failures_ = 0;
    misses_ = 0;
    failing_since_ = {};
    redial_ = {};
    last_failure_ = verdict_name::none;
}

void host_watch::failed(const recovery_verdict& why, std::string words, const moment& at) {
    tried_ = true;
    soon_ = false;
    last_ = at.now;
    last_failure_ = why.name;
    last_problem_ = std::move(words);
    if (failing_since_ == time_point{}) failing_since_ = at.now;
    if (is_up_but_closed(why.name)) {
        reachable_ = true;
        failures_ = 0;
        misses_ = 0;
        suspected_ = false;
        // An account that is refused is refused again: the server's log need not say so every second.
        redial_ = rules_.monitor.interval * (1U << std::min<std::size_t>(sign_ins_refused_, 5));
        end_probe(why, at);
        return;
    }
    if (why.host == host_effect::burst) {  // one backend was told to end; a host that goes down refuses the next one
        redial_ = less_fast;
        if (probing_) breaker_.abandon_probe();
        probing_ = false;
        return;
    }
    reachable_ = false;
    if (why.name == verdict_name::no_answer) ++misses_;
    else {
        ++failures_;
        misses_ = 0;  // somebody answers, if only to refuse
    }
    if (down()) {
        known_ = false;
        pools_role_ = host_role::unknown;
    }
    redial_ = pause_after_failure(at);
    end_probe(why, at);
    if (misses_ == misses_of_silence) breaker_.trip(breaker_cause::probes_missed, at.now, at.chance);
}

void host_watch::end_probe(const recovery_verdict& outcome, const moment& at) {
    // Without a probe in progress the breaker takes it as ordinary.
    probing_ = false;
    breaker_.end_probe(outcome, at.now, at.chance);
}

// ------------------------------------------------------------------------------------------ reports

void host_watch::report(const host_report& seen, const moment& at) {
    using what = host_report::what;
    switch (seen.seen) {
        case what::opened:
            // A connection that was opened proves more than a probe that was late.
            misses_ = 0;
            pools_role_ = seen.role;
            pools_timeline_ = seen.timeline;
            if ((blind_ || !known_) && sign_ins_refused_ == 0) soon_ = true;
            // A dial that went well is an attempt, too; what is not closed is closed by probes alone.
            if (!blind_ || breaker_.state() == breaker_state::closed) breaker_.on_success(at.now);
            if (!blind_) break;
            lives();
            suspected_ = false;
            last_problem_.clear();
            if (breaker_.state() != breaker_state::closed) breaker_.reset(at.now);
            believe_pools(at);
            break;
        case what::open_failed:
            breaker_.on_failure(seen.verdict, at.now, at.chance);
            if (is_up_but_closed(seen.verdict.name)) break;
            last_problem_ = seen.words;
            suspected_ = true;
            soon_ = true;
            // While a server shuts down smartly, old connections live and new ones are refused.
            anew_ = anew_ || (seen.verdict.name == verdict_name::server_not_ready && link_ != link::connecting);
            break;
        case what::storage_failing: break;  // of the way for writes
        case what::lost:
            session_lost(seen.verdict, at);
            if (!soon_) listening_until_ = at.now + listens;
            [[fallthrough]];
        case what::not_primary:
            if (seen.seen == what::not_primary) pools_role_ = host_role::unknown;
            if (blind_ && seen.seen == what::not_primary) known_ = false;
            suspected_ = true;
            soon_ = true;
            break;
    }
}

/// One session that ends says little; several within a second say that the host goes down or cannot be reached (2.12).
void host_watch::session_lost(const recovery_verdict& why, const moment& at) {
    if (why.host == host_effect::none) return;
    breaker_.on_failure(why, at.now, at.chance);
    if (losses_.add(at.now)) breaker_.trip(breaker_cause::loss_burst, at.now, at.chance);
}

/// What a pool has found counts where the monitor is not let in, also if that turns out later.
void host_watch::believe_pools(const moment& at) {
    if (pools_role_ == host_role::unknown) return;
    found_ = {};
    found_.role = pools_role_;
    found_.timeline = pools_timeline_;
    found_asked_at_ = at.now;
    known_ = true;
}

void host_watch::recover(const moment& at) {
    soon_ = true;
    redial_ = {};
    failing_since_ = {};
    breaker_.recover(at.now);
}

void host_watch::set_rules(const config::breaker_settings& rules, const config::connect_backoff_settings& backoff,
                           const moment& at) {
    rules_.breaker = rules;
    rules_.backoff = backoff;
    breaker_.set_rules(rules, at.now);
}

// ------------------------------------------------------------------------------------------ cadence

breaker_state host_watch::shown_breaker() const {
    const breaker_state now = breaker_.state();
    return now == breaker_state::half_open && !reachable_ ? breaker_state::open : now;
}

bool host_watch::down() const { return silent() || failures_ >= 2 || (failures_ == 1 && is_plain_no(last_failure_)); }

host_watch::duration host_watch::pause_after_failure(const moment& at) const {
    const bool late = at.now - failing_since_ >= rules_.backoff.late_after;
    const duration ceiling = late ? rules_.backoff.late_max : rules_.backoff.max;
    duration most = rules_.backoff.initial;
    for (std::uint32_t n = 1; n < failures() && most < ceiling; ++n) most *= 2;
    most = std::min(most, ceiling);
    const auto drawn = std::chrono::duration_cast<duration>(std::chrono::duration<double>(most) * at.chance);
    return std::max<duration>(drawn, std::chrono::milliseconds(5));
}

host_watch::duration host_watch::pause(time_point now, std::optional<time_point> urgent_since) const {
    const bool resting = link_ == link::open;
    if (resting && breaker_.state() == breaker_state::half_open) return std::chrono::milliseconds(5);
    const duration usual = resting ? duration(rules_.monitor.interval) : redial_;
    if (!urgent_since || (blind_ && !suspected_)) return usual;
    const duration fast = now - *urgent_since < fast_for ? rules_.monitor.fast_interval
                                                         : std::max(rules_.monitor.fast_interval, less_fast);
    return std::min(usual, fast);
}

host_errand host_watch::next(time_point now, std::optional<time_point> urgent_since) const {
    if (link_ == link::connecting || link_ == link::asking) return {};
    const auto kind = link_ == link::none ? host_errand::what::connect
                      : anew_             ? host_errand::what::reconnect
                                          : host_errand::what::ask;
    const time_point usual = last_ + pause(now, urgent_since);
    if (!soon_) return {kind, usual};
    time_point earliest = begun_ == time_point{} ? time_point{} : begun_ + least_gap;
    if (link_ == link::open) earliest = std::max(earliest, listening_until_);
    // After a failure the pause is kept: reports of a thousand sessions must not make us knock faster (2.11).
    return {kind, link_ == link::none && failures_ > 0 ? std::max(usual, earliest)
                                                       : std::max(std::min(usual, earliest), last_)};
}

}  // namespace pgsteady
