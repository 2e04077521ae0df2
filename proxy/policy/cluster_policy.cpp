// See cluster_policy.hpp.
#include "proxy/policy/cluster_policy.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

cluster_policy::cluster_policy(const std::vector<std::string>& addresses, const cluster_rules& rules, const moment& at)
    : rules_(rules),
      addresses_(addresses),
      standing_(addresses.size()),
      lineage_(addresses.size(), rules.monitor.interval),
      storage_(rules.breaker),
      begun_(at.now),
      lost_since_(at.now) {
    for (std::size_t i = 0; i < addresses.size(); ++i)
        hosts_.emplace_back(watch_rules{rules.monitor, rules.backoff, rules.breaker}, at.now);
    view_.since = at.now;
    fill_view();
}

// ------------------------------------------------------------------------------------------ what comes in

void cluster_policy::asked(std::size_t index, const moment& at) {
    if (primary_ == index) {
        samples_.asked();
        view_.sample = samples_.newest();
    }
    hosts_[index].asked(at);
}

void cluster_policy::answered(std::size_t index, probe_result found, const moment& at) {
    const bool is_primary = primary_ == index && found.role == host_role::primary;
    if (is_primary && found.written) {
        samples_.answered(*found.written);
        written_ = without_page_header(*found.written);
    }
    if (is_primary) {
        replicas_ = found.replicas;
        synchronous_names_ = found.synchronous_names;
    }
    if (found.streaming) {
        standing_[index].receiver = {found.receiver_name, found.receiver_slot};
        standing_[index].streamed_at = at.now;
    }
    lineage_.answered(index, found, at.now);
    hosts_[index].answered(std::move(found), at);
}

void cluster_policy::disconnected(std::size_t index, const recovery_verdict& why, std::string words, const moment& at) {
    lineage_.disconnected(index, at.now);
    hosts_[index].disconnected(why, std::move(words), at);
}

void cluster_policy::connect_failed(std::size_t index, const recovery_verdict& why, std::string words,
                                    const moment& at) {
    if (why.name == verdict_name::host_refuses || why.name == verdict_name::server_not_ready)
        lineage_.nobody(index, at.now);
    hosts_[index].connect_failed(why, std::move(words), at);
}

void cluster_policy::report(const host_report& seen, const moment& at) {
    if (seen.host >= hosts_.size()) return;
    if (seen.seen != host_report::what::storage_failing) hosts_[seen.host].report(seen, at);
    else if (primary_ == seen.host) storage_.strike(at.now, at.chance);
}

void cluster_policy::trying_to_write(std::size_t index, const moment& at) {
    (void)storage_.begin_attempt(at.now);
    hosts_[index].asked(at);
}

void cluster_policy::tried_to_write(std::size_t index, write_attempt how, const moment& at) {
    if (primary_ == index) storage_.end_attempt(how, at.now, at.chance);
}

void cluster_policy::waiting(unsigned worker, std::size_t statements, const moment& at) {
    if (statements == 0) waiting_.erase(worker);
    else waiting_[worker] = statements;
    judge_urgency(at);
}

void cluster_policy::hold(bool on) { held_ = on; }

void cluster_policy::recover(const moment& at) {
    for (host_watch& each : hosts_) each.recover(at);
    storage_.recover(at.now);
    if (primary_) return;
    const auto carries = [this](const host_watch& each) {
        return each.known() && same_system(each) && (each.found().timeline == 0 || each.found().timeline >= timeline_);
    };
    if (system_.empty() || std::any_of(hosts_.begin(), hosts_.end(), carries)) return;
    tell("identity_forgotten", "by command; the next primary is adopted whatever its system and timeline are", true);
    system_.clear();
    timeline_ = 0;
    for (standing& each : standing_) each = {};
}

bool cluster_policy::force(std::string_view scope, breaker_force how, const moment& at) {
    if (scope == "write") {
        write_force_ = how;
        return true;
    }
    const auto named = std::find(addresses_.begin(), addresses_.end(), scope);
    if (named == addresses_.end()) return false;
    hosts_[static_cast<std::size_t>(named - addresses_.begin())].fuse().force(how, at.now);
    return true;
}

void cluster_policy::set_values(const config::cluster_values& values, const moment& at) {
    rules_.breaker = values.breaker;
    rules_.read_only = values.read_only;
    rules_.hold_timeout = values.hold_timeout;
    rules_.backoff = values.backoff;
    storage_.set_rules(rules_.breaker, at.now);
    for (host_watch& each : hosts_) each.set_rules(rules_.breaker, rules_.backoff, at);
}

// ------------------------------------------------------------------------------------------ roles

bool cluster_policy::same_system(const host_watch& host) const {
    const std::string& its = host.found().system_identifier;
    return system_.empty() || its.empty() || its == system_;
}

/// It says that it is a primary, and nothing that is known speaks against it.
bool cluster_policy::is_candidate(std::size_t index) const {
    const host_watch& host = hosts_[index];
    if (!host.known() || !host.reachable() || host.down() || host.found().role != host_role::primary) return false;
    return same_system(host) && (host.found().timeline == 0 || host.found().timeline >= timeline_);
}

/// Ordinary work may go there as far as operators are concerned.
bool cluster_policy::is_usable(std::size_t index) const { return hosts_[index].fuse().forced() != breaker_force::open; }

/// Why the adopted primary is not the primary any more; nothing: it is.
std::optional<std::string> cluster_policy::why_lost(std::size_t index) const {
    const host_watch& host = hosts_[index];
    if (host.silent()) return "it does not answer";
    if (host.down()) return host.last_problem();
    if (!host.known()) return "a server there is not a primary";  // as a pool has seen
    if (host.found().role == host_role::standby) return "it is a standby now";
    if (!same_system(host)) return "another database system runs there";
    if (host.found().timeline != 0 && host.found().timeline < timeline_) return "its timeline is older";
    return std::nullopt;
}

bool cluster_policy::settled(const moment& at) const {
    const auto has_spoken = [](const host_watch& each) { return each.known() || each.failures() > 0; };
    return last_primary_ || at.now - begun_ >= settle_for || std::all_of(hosts_.begin(), hosts_.end(), has_spoken);
}

std::vector<std::size_t> cluster_policy::candidates(const moment& at) {
    std::vector<std::size_t> result;
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        time_point& since = standing_[i].candidate_since;
        if (!is_candidate(i)) since = {};
        else if (since == time_point{}) since = at.now;
        if (since != time_point{}) result.push_back(i);
    }
    return result;
}

/// Another host accepts writes, and the primary has confirmed after that was found that it does so, too. Until then it
/// may simply be dead, which takes longer to find out than that its successor is there.
bool cluster_policy::is_rival(std::size_t index) {
    if (index == *primary_) return false;
    host_watch& primary = hosts_[*primary_];
    if (primary.found_asked_at() >= standing_[index].candidate_since) return true;
    primary.ask_soon();
    return false;
}

void cluster_policy::watch_roles(const moment& at) {
    if (primary_)
        if (const std::optional<std::string> why = why_lost(*primary_)) lose_primary(*why, at);
    const std::vector<std::size_t> able = candidates(at);
    const bool had_two = std::exchange(two_primaries_, false);
    if (primary_)  // it was not lost first, so writes are moved nowhere (D27)
        for (const std::size_t each : able) two_primaries_ = is_rival(each) || two_primaries_;
    else if (!able.empty()) choose(able, at);
    if (two_primaries_ && !had_two) {
        std::string names;
        for (const std::size_t each : able) names += (names.empty() ? "" : " and ") + addresses_[each];
        tell("two_primaries", names + " both accept writes; no write is sent until one of them is gone", true);
    }
    if (had_two && !two_primaries_) tell("one_primary", "only one host accepts writes again", false);
}

/// The highest timeline is the newest history; two hosts on one timeline are two histories.
void cluster_policy::choose(const std::vector<std::size_t>& able, const moment& at) {
    if (!settled(at)) return;
    const auto timeline = [this](std::size_t i) { return hosts_[i].found().timeline; };
    const std::size_t best = *std::max_element(able.begin(), able.end(),
                                               [&](std::size_t a, std::size_t b) { return timeline(a) < timeline(b); });
    const auto equal = std::count_if(able.begin(), able.end(), [&](std::size_t each) {
        return timeline(each) == timeline(best) || timeline(each) == 0;
    });
    two_primaries_ = equal > 1;
    if (!two_primaries_) adopt(best, at);
}

void cluster_policy::lose_primary(const std::string& why, const moment& at) {
    const std::size_t lost = *primary_;
    primary_.reset();
    lost_since_ = at.now;
    why_lost_ = why;
    note_synchronous(at);
    tell("primary_lost", addresses_[lost] + ": " + why, true);
    for (host_watch& each : hosts_) each.ask_soon();
}

void cluster_policy::adopt(std::size_t index, const moment& at) {
    const host_watch& host = hosts_[index];
    const bool moved = last_primary_ && last_primary_ != index;
    const std::uint32_t its_timeline = host.found().timeline;
    if (moved || its_timeline != timeline_) {
        samples_.forget();
        for (standing& each : standing_) each.replayed_sample = 0;
    }
    std::string sentence = addresses_[index];
    if (its_timeline != 0) sentence += " on timeline " + std::to_string(its_timeline);
    if (moved) sentence += "; it was " + addresses_[*last_primary_];
    primary_ = index;
    last_primary_ = index;
    written_.reset();
    storage_.forget(at.now);
    if (host.found().written) written_ = without_page_header(*host.found().written);
    if (!host.found().system_identifier.empty()) system_ = host.found().system_identifier;
    if (its_timeline != 0) timeline_ = its_timeline;
    for (standing& each : standing_) each.was_synchronous = false;
    replicas_ = host.found().replicas;
    synchronous_names_ = host.found().synchronous_names;
    why_lost_.clear();
    lost_since_ = at.now;
    tell(moved ? "primary_moved" : "primary_found", std::move(sentence), moved);
}

/// Which standbys every commit had waited for, as of the last answers before the loss (D28). A standby whose receiver has
/// just lost the same primary may have said so already.
void cluster_policy::note_synchronous(const moment& at) {
    const auto fresh = 3 * rules_.monitor.interval + 3 * rules_.monitor.timeout;
    for (standing& each : standing_)
        each.was_synchronous = each.streamed_at != time_point{} && at.now - each.streamed_at <= fresh &&
                               is_synchronous(replicas_, synchronous_names_, each.receiver);
}

/// Tells what is worth telling of single hosts.
void cluster_policy::note_hosts() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        const host_watch& host = hosts_[i];
        standing& was = standing_[i];
        const bool down = host.tried() && host.down();
        if (down && !was.was_down)
            tell("host_lost", addresses_[i] + ": " + (host.silent() ? "it does not answer" : host.last_problem()),
                 true);
        if (was.was_down && host.reachable()) tell("host_found", addresses_[i] + " answers again", false);
        was.was_down = was.was_down ? !host.reachable() : down;
        const bool open = host.fuse().state() != breaker_state::closed;
        if (open && !was.breaker_open)
            tell("breaker_opened", addresses_[i] + ": " + std::string(to_string(host.fuse().cause())), true);
        if (!open && was.breaker_open) tell("breaker_closed", addresses_[i], false);
        was.breaker_open = open;
        if (host.known()) note_role(i);
    }
}

void cluster_policy::note_role(std::size_t index) {
    const host_watch& host = hosts_[index];
    const probe_result& found = host.found();
    standing& was = standing_[index];
    const auto once = [this](bool& told, bool now, const char* name, auto sentence) {
        if (now && !told) tell(name, sentence(), true);
        told = now;
    };
    const bool primary = found.role == host_role::primary;
    once(was.old_primary_told, primary && same_system(host) && found.timeline != 0 && found.timeline < timeline_,
         "old_primary", [&] {
             return addresses_[index] + " accepts writes on timeline " + std::to_string(found.timeline) +
                    ", which timeline " + std::to_string(timeline_) + " has replaced; nothing is sent to it";
         });
    once(was.other_system_told, !same_system(host), "other_system", [&] {
        return addresses_[index] + " belongs to another database system (" + found.system_identifier + " instead of " +
               system_ + "); nothing is sent to it";
    });
    once(was.read_only_told, primary && found.read_only_by_default, "read_only_by_default",
         [&] { return addresses_[index] + " is a primary with default_transaction_read_only = on"; });
    if (!was.started_at.empty() && !found.started_at.empty() && was.started_at != found.started_at)
        tell("host_restarted", addresses_[index] + " was started at " + found.started_at, false);
    was.started_at = found.started_at;
}

// ------------------------------------------------------------------------------------------ conclusions

/// Roles are known from the monitor: it is let in, and where it is not, there is nothing that it would have to find (D10).
void cluster_policy::judge_informed(const moment& at) {
    const bool was = informed_;
    const bool sees =
        std::any_of(hosts_.begin(), hosts_.end(), [](const host_watch& each) { return each.tried() && !each.blind(); });
    const bool misses = std::any_of(hosts_.begin(), hosts_.end(),
                                    [](const host_watch& each) { return each.blind() && each.reachable(); });
    informed_ = sees && (primary_ || (!misses && settled(at)));
    if (was && !informed_)
        tell("monitor_blind", "the monitor is not let in; roles come from pool connections alone", true);
    if (!was && informed_) tell("monitor_informed", "roles come from the monitor's own connections", false);
}

void cluster_policy::judge_urgency(const moment& at) {
    const bool urgent = !waiting_.empty() || (!primary_ && at.now - lost_since_ < urgent_at_most);
    if (!urgent) urgent_since_.reset();
    else if (!urgent_since_) urgent_since_ = at.now;
}

std::string cluster_policy::cause_of_loss() const {
    if (!last_primary_) return "no primary has been found";
    return "the primary " + addresses_[*last_primary_] + " was lost" + (why_lost_.empty() ? "" : ": " + why_lost_);
}

void cluster_policy::enter(service_mode mode, std::string cause, const moment& at) {
    if (mode != view_.mode) {
        std::string sentence = std::string(to_string(view_.mode)) + " -> " + std::string(to_string(mode));
        if (!cause.empty()) sentence += ": " + cause;
        tell("mode_changed", std::move(sentence), mode != service_mode::normal);
        view_.mode = mode;
        view_.since = at.now;
    }
    view_.cause = std::move(cause);
}

/// `cause` is what the mode will be explained with.
write_way cluster_policy::judge_writes(std::string& cause) const {
    const auto because = [&cause](std::string why, write_way way) {
        cause = std::move(why);
        return way;
    };
    if (held_) return because("held by an operator", write_way::held);
    if (write_force_ == breaker_force::open)
        return because("an operator has closed the way for writes", write_way::off);
    if (two_primaries_ && !(write_force_ == breaker_force::closed && primary_))
        return because("two hosts accept writes", write_way::off);
    if (primary_ && is_usable(*primary_) && storage_.failing() && write_force_ != breaker_force::closed)
        return because("the storage of the primary " + addresses_[*primary_] + " fails (53100 or 58030)",
                       write_way::failing);
    if (primary_ && is_usable(*primary_)) return write_way::flow;
    if (primary_) return because("an operator has closed the way to the primary", write_way::held);
    if (!informed_ && !view_.deaf_since) return write_way::flow;
    return because(cause_of_loss(), write_way::missing);
}

void cluster_policy::judge_mode(const moment& at) {
    const bool any_reachable = std::any_of(hosts_.begin(), hosts_.end(), [](const host_watch& each) {
        return !each.tried() || (each.reachable() && !each.down());
    });
    if (any_reachable) view_.deaf_since.reset();
    else if (!view_.deaf_since) view_.deaf_since = at.now;
    std::string cause;
    view_.writes = judge_writes(cause);
    view_.lost_since = lost_since_;
    view_.lone_standby = hosts_.size() == 1 && !last_primary_;
    enter(judge_service(view_, waiting_rules(), at.now), std::move(cause), at);
}

void cluster_policy::judge_write() {
    const bool open = view_.mode == service_mode::read_only || view_.mode == service_mode::offline ||
                      (view_.mode == service_mode::holding && !view_.primary);
    if (open && view_.write == breaker_state::closed) {
        ++view_.write_trips_total;
        view_.write_opened_by = to_string(why_no_writes());
    }
    const bool probed = view_.writes == write_way::failing && storage_.state() == breaker_state::half_open;
    view_.write = !open ? breaker_state::closed : probed ? breaker_state::half_open : breaker_state::open;
}

breaker_cause cluster_policy::why_no_writes() const {
    if (write_force_ == breaker_force::open || view_.writes == write_way::held) return breaker_cause::forced;
    if (two_primaries_) return breaker_cause::two_primaries;
    return view_.writes == write_way::failing ? breaker_cause::storage_failing : breaker_cause::no_writable_host;
}

/// Without an account that could try, time alone opens the way again.
void cluster_policy::judge_storage(const moment& at) {
    const auto due = storage_.next_attempt();
    if (due && at.now >= *due && primary_ && hosts_[*primary_].blind()) storage_.forget(at.now);
    const bool failing = primary_ && storage_.failing();
    if (failing && !storage_told_)
        tell("storage_failing", addresses_[*primary_] + ": statements meet a full or failing disk", true);
    if (!failing && storage_told_) tell("storage_works", "writes work again, as far as is known", false);
    storage_told_ = failing;
}

bool cluster_policy::conclude(const moment& at) {
    const cluster_view before = view_;
    watch_roles(at);
    judge_storage(at);
    note_hosts();
    judge_informed(at);
    judge_urgency(at);
    fill_view();
    judge_mode(at);
    judge_write();
    // Without replication numbers that only tell the latest figures, is it still the same to a pool?
    const auto same_host = [this](const host_view& a, const host_view& b) {
        return a.role == b.role && a.reachable == b.reachable && a.silent == b.silent && a.breaker == b.breaker &&
               a.timeline == b.timeline && a.complete == b.complete && a.started_at == b.started_at &&
               (view_.mode == service_mode::normal || a.replayed_sample == b.replayed_sample);
    };
    std::vector<std::size_t> readable_before = before.readable;
    std::vector<std::size_t> readable_now = view_.readable;
    std::sort(readable_before.begin(), readable_before.end());
    std::sort(readable_now.begin(), readable_now.end());
    const bool same =
        before.mode == view_.mode && before.writes == view_.writes && before.deaf_since == view_.deaf_since &&
        before.primary == view_.primary && before.informed == view_.informed && before.timeline == view_.timeline &&
        before.two_primaries == view_.two_primaries && before.standbys_only == view_.standbys_only &&
        before.held_by_operator == view_.held_by_operator && readable_before == readable_now &&
        std::equal(before.hosts.begin(), before.hosts.end(), view_.hosts.begin(), view_.hosts.end(), same_host);
    ++view_.version;
    return !same;
}

std::vector<cluster_event> cluster_policy::take_events() { return std::exchange(events_, {}); }

void cluster_policy::tell(std::string name, std::string sentence, bool warning) {
    events_.push_back({{}, std::move(name), std::move(sentence), warning});
}

host_errand cluster_policy::next_errand(std::size_t index, time_point now) const {
    const host_errand next = hosts_[index].next(now, urgent_since_);
    const auto attempt = storage_.next_attempt();
    const bool may_try = next.kind == host_errand::what::ask && primary_ == index && attempt;
    // What the host is goes before what it can, and is due again after it.
    return may_try && *attempt <= now && next.due > now ? host_errand{host_errand::what::try_to_write, now} : next;
}

std::optional<cluster_policy::time_point> cluster_policy::next_conclusion(time_point now) const {
    std::optional<time_point> soonest;
    const auto at = [&](time_point when) {
        if (when > now) soonest = soonest ? std::min(*soonest, when) : when;
    };
    if (!last_primary_ && !informed_) at(begun_ + settle_for);
    if (const auto change = next_service_change(view_, waiting_rules(), now)) at(*change);
    if (const auto attempt = storage_.next_attempt(); attempt && primary_) at(*attempt);
    return soonest;
}

// ------------------------------------------------------------------------------------------ the view

std::optional<std::uint64_t> cluster_policy::lag_bytes(std::size_t index) const {
    const std::optional<std::uint64_t>& replayed = hosts_[index].found().replayed;
    if (!written_ || !replayed) return std::nullopt;
    return *written_ - std::min(*written_, *replayed);
}

/// Time says something only while something is missing: an idle primary commits nothing for hours.
std::optional<std::chrono::milliseconds> cluster_policy::lag_time(std::size_t index) const {
    const probe_result& found = hosts_[index].found();
    if (lag_bytes(index) == std::uint64_t{0}) return 0ms;
    const bool has_all = found.received && found.replayed && *found.replayed >= *found.received;
    if (has_all && (!primary_ || found.streaming)) return 0ms;
    return found.since_replayed;
}

void cluster_policy::fill_host(std::size_t index, host_view& to) const {
    const host_watch& host = hosts_[index];
    const probe_result& found = host.found();
    to.address = addresses_[index];
    to.role = host.known() ? found.role : host_role::unknown;
    to.tried = host.tried();
    to.reachable = host.reachable();
    to.silent = host.silent();
    to.breaker = host.shown_breaker();
    to.failures = host.failures();
    to.failures_total = host.fuse().failures_total();
    to.trips_total = host.fuse().trips_total();
    if (host.fuse().cause() != breaker_cause::none) to.opened_by = to_string(host.fuse().cause());
    if (host.fuse().last_failure() != verdict_name::none) to.last_failure = to_string(host.fuse().last_failure());
    to.timeline = found.timeline;
    to.asked_at = host.found_asked_at();
    to.system_identifier = found.system_identifier;
    to.started_at = found.started_at;
    to.wal_position = found.role == host_role::standby ? found.replayed.value_or(0) : found.written.value_or(0);
    to.last_problem = host.last_problem();
    to.life = lineage_.seen(index);
    to.inherited = lineage_.of(index);
    to.latency = host.known() ? std::optional(found.latency) : std::nullopt;
    if (to.role != host_role::standby) return;
    to.lag_bytes = lag_bytes(index);
    to.lag_time = lag_time(index);
    to.replayed_sample = standing_[index].replayed_sample;
    to.complete = !primary_ && standing_[index].was_synchronous && host.known() &&
                  host.found_asked_at() >= lost_since_ && found.received && found.replayed &&
                  *found.replayed >= *found.received;
}

bool cluster_policy::is_readable(std::size_t index, const host_view& seen) const {
    const host_watch& host = hosts_[index];
    if (!host.known() || !host.reachable() || host.down() || seen.role != host_role::standby) return false;
    if (!is_usable(index) || !same_system(host)) return false;
    if (host.found().streaming && seen.timeline != 0 && seen.timeline < timeline_)
        return false;     // follows the old primary
    if (system_.empty())  // nothing was adopted yet: of several systems the first that is configured
        for (std::size_t i = 0; i < index; ++i)
            if (hosts_[i].known() && hosts_[i].found().system_identifier != seen.system_identifier) return false;
    const config::read_only_settings& limits = rules_.read_only;
    if (!limits.enabled && view_.standbys_only) return true;  // there is nothing better, and nobody wanted it judged
    if (!seen.lag_bytes && !seen.lag_time) return hosts_.size() == 1;
    if (limits.max_lag_bytes != 0 && seen.lag_bytes && *seen.lag_bytes > limits.max_lag_bytes) return false;
    return limits.max_lag.count() == 0 || !seen.lag_time || *seen.lag_time <= limits.max_lag;
}

/// Best first: nothing missing, then little missing, then near. In steps, so that the order does not change all the time.
std::vector<std::size_t> cluster_policy::readable_hosts() const {
    std::vector<std::size_t> result;
    if (!rules_.read_only.enabled && !view_.standbys_only) return result;
    for (std::size_t i = 0; i < hosts_.size(); ++i)
        if (is_readable(i, view_.hosts[i])) result.push_back(i);
    const auto open = [this](std::size_t i) { return view_.hosts[i].breaker == breaker_state::open; };
    // One bad standby is left out; all of them are not (2.12).
    if (!std::all_of(result.begin(), result.end(), open)) std::erase_if(result, open);
    const auto rank = [this](std::size_t i) {
        const host_view& host = view_.hosts[i];
        const auto latency = host.latency ? static_cast<std::uint64_t>(host.latency->count()) / 1000 : 0;
        return std::tuple(!host.complete, std::bit_width(host.lag_bytes.value_or(0) / config::mib),
                          std::bit_width(latency), i);
    };
    std::sort(result.begin(), result.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
    return result;
}

void cluster_policy::fill_view() {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        const host_watch& host = hosts_[i];
        if (host.known() && host.found().role == host_role::standby && host.found().replayed && same_system(host))
            standing_[i].replayed_sample =
                std::max(standing_[i].replayed_sample, samples_.newest_replayed(*host.found().replayed));
    }
    view_.informed = informed_;
    view_.timeline = timeline_;
    view_.two_primaries = two_primaries_;
    view_.held_by_operator = held_;
    view_.sample = samples_.newest();
    view_.primary = primary_ && is_usable(*primary_) ? primary_ : std::nullopt;
    view_.hosts.resize(hosts_.size());
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        view_.hosts[i] = {};
        fill_host(i, view_.hosts[i]);
    }
    // Once that is found it stays so while one of them is away.
    const auto is = [](host_role role) {
        return [role](const host_watch& each) { return each.known() && each.found().role == role; };
    };
    view_.standbys_only = !last_primary_ && std::none_of(hosts_.begin(), hosts_.end(), is(host_role::primary)) &&
                          (view_.standbys_only || std::all_of(hosts_.begin(), hosts_.end(), is(host_role::standby)));
    view_.readable = readable_hosts();
    if (!primary_ || !view_.readable.empty() || !storage_.failing()) return;
    view_.readable = {*primary_};  // better than nothing: it shows everything
    view_.hosts[*primary_].complete = true;
}

}  // namespace pgsteady
