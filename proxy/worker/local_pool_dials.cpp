// A pool's part on one worker: when and where servers are dialled, and passwords that are tried on servers. See local_pool.hpp.
#include "protocol/sqlstate.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

/// The backend is not to be had at the moment, which says nothing about the password that was tried on it.
bool says_try_again(const open_failure& why) {
    switch (why.verdict.name) {
        case verdict_name::connection_lost:
        case verdict_name::host_refuses:
        case verdict_name::no_answer:
        case verdict_name::host_unreachable:
        case verdict_name::backend_terminated:
        case verdict_name::server_stopping:
        case verdict_name::server_crashed:
        case verdict_name::server_not_ready:
        case verdict_name::server_full: return true;
        default: return false;
    }
}

// After 53300 (recovery.md 2.9).
constexpr auto crowded_pause = 1s;
constexpr auto crowded_for = 10s;

}  // namespace

bool local_pool::keeps_warm() const {
    if (shared->primaries.permits.used() >= primaries_.core.rules().min_size || warming_refused_ ||
        !shared->has_credentials())
        return false;
    int nobody = -1;
    const int mine = static_cast<int>(worker_.index());
    return shared->warmer.load() == mine || shared->warmer.compare_exchange_strong(nobody, mine);
}

/// Where a server of this group would be dialled; none: nowhere now.
std::optional<dial_target> local_pool::target(const group& of) const {
    if (of.serves == server_need::primary) return primary_to_dial(*view_, shared->preferred_host);
    const pool_waiter* first = of.core.first_waiter();
    const std::optional<std::size_t> host = standby_for(*view_, first != nullptr ? first->wrote_at : 0);
    return host ? std::optional(dial_target{*host, true}) : std::nullopt;
}

void local_pool::start_dials() {
    start_dials(primaries_);
    start_dials(standbys_);
}

void local_pool::start_dials(group& of) {
    if (shared->paused) return;
    const std::optional<dial_target> where = target(of);
    if (!where) return;
    const bool warm = of.serves == server_need::primary && keeps_warm();
    ramp& pace = worker_.ramp_of(shared->backends_of.get());
    const pool_time now = worker_.loop().now();
    while (pace.may_start(now) > 0) {
        const pool::dial_answer answer = of.core.may_dial(now, warm);
        if (answer == pool::dial_answer::no) return;
        if (answer != pool::dial_answer::yes) return ask_for_room();
        if (!shared->fuse.may_dial(now)) {
            of.core.dial_abandoned();
            return turn_away(of);
        }
        pace.started(now);
        add_server(of.serves).open(std::nullopt, *where);
    }
}

/// Nobody of this pool is let in, as servers have said: whoever waits and could only be served by a new connection hears
/// it from us, without another sign-in.
void local_pool::turn_away(group& of) {
    if (of.core.open() > 0 || of.core.dialling() > 0) return;
    if (const std::optional<error_fields> why = shared->fuse.refusal()) refuse_all(of.core.dismiss_all(), *why);
}

/// Whom a standby does not let in may be welcome on the primary, and waits for it; to a pool of standbys it is all there is.
bool local_pool::speaks_for_pool(const group& of) const {
    return of.serves == server_need::primary || facts.only_standbys;
}

/// `counted`: the dial had its permits.
void local_pool::dial_failed(group& of, const open_failure& why, bool counted) {
    const pool_time now = worker_.loop().now();
    const bool strikes = why.verdict.strikes_pool && speaks_for_pool(of);
    if (counted && !strikes) shared->fuse.told_nothing();
    if (why.superseded) {
        if (counted) of.core.dial_abandoned();
        return;
    }
    if (counted && strikes) shared->fuse.refused(why.why, now, random_share());
    last_problem = why.why.sqlstate + ' ' + why.why.message;
    if (why.verdict.name == verdict_name::server_full) {
        if (counted) of.core.dial_crowded_out(now, crowded_pause);
        return crowded_out(of);
    }
    if (counted) of.core.dial_ended(false, now, random_share());
    else of.core.failed_elsewhere(now, random_share());
    if (why.verdict.host == host_effect::counted) worker_.ramp_of(shared->backends_of.get()).failed(now);
    if (of.core.consecutive_failures() <= 3)
        log::warning("pool {}: cannot open a server connection: {}", shared->plan.label(), last_problem);
}

/// 53300: the server is up and full. Fewer of us for a while; it says nothing about the host (T23).
void local_pool::crowded_out(group& of) {
    of.shared.permits.shrink();
    const pool_time now = worker_.loop().now();
    of.shared.crowded_until = (now + crowded_for).time_since_epoch().count();
    of.shared.next_room = (now + crowded_pause).time_since_epoch().count();
    log::warning("pool {}: {}; {} server connections at most for now", shared->plan.label(), last_problem,
                 of.shared.permits.limit());
}

/// At once when it has been quiet for long enough; before that one by one, for those who wait: a server that was full for a
/// moment, when the pool held nothing yet, must not leave it with a single connection.
void local_pool::make_room_again(group& of, pool_time now) {
    std::int64_t until = of.shared.crowded_until;
    if (until == 0) return;
    if (now.time_since_epoch().count() < until) {
        std::int64_t next = of.shared.next_room;
        const std::int64_t later = (now + crowded_pause).time_since_epoch().count();
        if (of.core.waiting() > 0 && now.time_since_epoch().count() >= next &&
            of.shared.next_room.compare_exchange_strong(next, later))
            of.shared.permits.grow(of.shared.full_size);
        return;
    }
    if (of.shared.crowded_until.compare_exchange_strong(until, 0)) of.shared.permits.set_limit(of.shared.full_size);
}

/// The process may open no more: an idle server of another pool must go, here or on another worker.
void local_pool::ask_for_room() {
    if (asking_for_room_) return;
    asking_for_room_ = true;
    if (!worker_.close_longest_idle(this)) worker_.find_room(shared, worker_.index());
}

void local_pool::room_made() {
    asking_for_room_ = false;
    start_dials();
}

// ------------------------------------------------------------------------------------ trying passwords

void local_pool::verify_password(client_connection& client, std::string password) {
    follow_live_policies();
    untried_.push_back({&client, std::move(password), worker_.loop().now()});
    try_waiting_passwords();
    if (!untried_.empty()) worker_.waiting_changed();
}

void local_pool::try_waiting_passwords() {
    while (!untried_.empty() && start_try(untried_.front())) untried_.pop_front();
}

/// False: it cannot be tried now, for want of a server or of limits.max_handshakes, and neither can those behind it.
bool local_pool::start_try(password_try& next) {
    if (shared->paused) return false;
    std::optional<dial_target> where = target(primaries_);
    const std::optional<std::size_t> standby = where ? std::nullopt : standby_for(*view_, 0);
    if (standby) where = dial_target{*standby, true};  // roles are the same there
    if (!where) return false;
    group& of = standby ? standbys_ : primaries_;
    if (of.core.backing_off(worker_.loop().now())) return false;
    if (of.core.consecutive_failures() > 0 && !verifying_.empty()) return false;  // one at a time finds out
    ramp& pace = worker_.ramp_of(shared->backends_of.get());
    if (pace.may_start(worker_.loop().now()) == 0) return false;
    const bool serves_later = !standby && shared->plan.server_user == shared->plan.user;
    const bool pooled = serves_later && next.replication == nullptr && of.core.may_dial_extra();
    if (!pooled && !worker_.shared().checks.try_take()) return false;
    pace.started(worker_.loop().now());
    server_connection& server = add_server(of.serves);
    server_connection::trial trying{next.password, pooled, next.replication, {}};
    verifying_.emplace(&server, std::move(next));
    server.open(std::move(trying), *where);
    return true;
}

/// Those who have waited for hold_timeout: R16.
void local_pool::give_up_tries(pool_time now) {
    const pool_duration patience = primaries_.core.rules().hold_timeout;
    if (patience.count() == 0) return;
    std::vector<client_connection*> late;
    std::erase_if(untried_, [&](const password_try& each) {
        if (now - each.since < patience) return false;
        late.push_back(each.client);
        return true;
    });
    for (client_connection* client : late) {
        worker_.counters().wait_timeouts.add();
        const std::string missing = what_is_missing();
        const error_fields why = client_errors::unavailable(
            missing, worker_.tell_incident("client {} waited in vain for a server connection of its own to {}: {}",
                                           client->serial(), shared->plan.label(), missing));
        client->password_verdict(false, &why);
    }
}

/// The try that this connection was made for; no client: it has left, or the connection is no try.
local_pool::password_try local_pool::end_trial(server_connection& server) {
    const auto at = verifying_.find(&server);
    if (at == verifying_.end()) return {};
    password_try ended = std::move(at->second);
    verifying_.erase(at);
    if (!server.tried().pooled) worker_.shared().checks.give_back();
    if (server.now() != server_connection::phase::closed && shared->plan.password_from_client &&
        ended.replication == nullptr)
        shared->learn_password(server.tried().password);
    return ended;
}

void local_pool::trial_passed(server_connection& server) {
    group_of(server).core.dial_now();
    if (shared->plan.server_user == shared->plan.user) shared->fuse.let_in(worker_.loop().now());
    client_connection* client = end_trial(server).client;
    if (server.tried().listens) return listener_.opened(server);
    if (server.tried().replication != nullptr) return replication_ready(server, client);
    server.close();
    forget(server, false);
    warming_refused_ = false;
    if (client != nullptr) client->password_verdict(true, nullptr);
    try_waiting_passwords();
}

/// A wrong password says nothing about the backend, nor about the password that the pool uses, unless it is the same.
/// A backend that is down says nothing about the password: it is tried again.
void local_pool::trial_failed(server_connection& server, const open_failure& why) {
    group& of = group_of(server);
    const bool again = why.superseded || says_try_again(why);
    const bool listens = server.tried().listens;
    if (again) dial_failed(of, why, server.tried().pooled);
    else if (server.tried().pooled) of.core.dial_abandoned();
    if (!why.from_server && !why.superseded) last_problem = why.why.sqlstate + ' ' + why.why.message;
    if (refuses_credentials(why) && server.tried().password == shared->current_secrets().password)
        credentials_refused();
    password_try tried = end_trial(server);
    forget(server, false);
    if (tried.client != nullptr && again) {
        untried_.push_front(std::move(tried));
        worker_.waiting_changed();
    } else if (tried.client != nullptr) {
        tried.client->password_verdict(false, &why.why);
    }
    if (listens) listener_failed();
    publish();
}

void local_pool::abandon_verification(client_connection& client) {
    for (auto& [server, waiting_try] : verifying_)
        if (waiting_try.client == &client) waiting_try.client = nullptr;
    std::erase_if(untried_, [&client](const password_try& each) { return each.client == &client; });
}

/// It is what it was signed in with that is refused, not this database to this user.
bool local_pool::refuses_credentials(const open_failure& why) {
    return why.verdict.strikes_pool && sqlstate::is_class(why.why.sqlstate, "28");
}

/// What servers were signed in to with is refused: the pool begins anew when a client brings something better (D38).
void local_pool::credentials_refused() {
    shared->forget_secrets();
    if (!shared->plan.password_from_client) return;
    ++shared->generation;
    for (worker* each : worker_.shared().workers)
        each->post([each, pool = shared] { each->part_of(pool).on_orders(); });
}

}  // namespace pgsteady
