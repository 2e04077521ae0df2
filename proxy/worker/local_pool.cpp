// See local_pool.hpp.
#include "proxy/worker/local_pool.hpp"

#include "protocol/frame.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

pool_facts facts_of(const config::settings& all, const pool_plan& plan) {
    pool_facts facts;
    facts.mode = plan.mode;
    facts.keep_bytes = all.limits.request_keep;
    facts.session_bytes = all.limits.session_memory;
    facts.max_channels = all.limits.max_channels;
    facts.max_message = static_cast<std::uint32_t>(std::min<std::uint64_t>(all.limits.max_message, frame_length_limit));
    return facts;
}

}  // namespace

local_pool::local_pool(worker& at, std::shared_ptr<shared_pool> from)
    : shared(std::move(from)),
      facts(facts_of(at.shared().settings(), shared->plan)),
      counts(*shared->counts[at.index()]),
      worker_(at),
      replays_(shared->backends_of->replays()),
      seen_(shared->backends_of->view()),
      rules_(shared->live.get()),
      primaries_(server_need::primary, shared->primaries,
                 rules_of(shared->live.get()->pool, at.shared().settings().connect.backoff), at.shared().servers),
      standbys_(server_need::read_only, shared->standbys,
                rules_of(shared->live.get()->pool, at.shared().settings().connect.backoff), at.shared().servers),
      listener_(at, *this) {
    view_ = own_view();
    settle_service();
    facts.schema_version = [this] { return shared->schema_version.load(std::memory_order_relaxed); };
    facts.crashes_of = [this](std::span<const std::uint64_t> statements) {
        return shared->backends_of->crashes().crashes(statements, worker_.loop().now());
    };
    begin_observing();
    primaries_.core.set_generation(shared->generation);
    standbys_.core.set_generation(shared->generation);
    take_settings();
}

local_pool::~local_pool() = default;

/// What an operator has changed since counts for whoever begins to wait now.
void local_pool::follow_live_policies() {
    const live_policies::value now = shared->live.get();
    const pool_duration patience = now->pool.hold_timeout;
    facts.recovers = now->recovery.enabled;
    facts.strict_sync = now->recovery.strict_sync;
    facts.guards = now->guard.enabled;
    facts.replays = now->replay.enabled;
    facts.replay_attempts = now->replay.attempts;
    replay_timeout = now->replay.timeout;
    replay_barrier_time = now->replay.barrier;
    facts.replays_together = replay_barrier_time > pool_duration::zero();
    facts.catalogue.set_limits(now->guard.cache, now->guard.cache_age);
    facts.retry = now->retry;
    facts.resolves = now->recovery.enabled && now->replay.enabled && now->replay.in_doubt;
    facts.in_doubt_timeout = now->replay.indoubt_timeout;
    facts.guards_autocommit = facts.resolves ? now->replay.guard_autocommit : config::autocommit_guard::off;
    facts.hold_timeout = now->pool.hold_timeout;
    primaries_.core.set_hold_timeout(patience);
    standbys_.core.set_hold_timeout(patience);
}

local_pool::server_counts local_pool::count_servers() const {
    using phase = server_connection::phase;
    server_counts sum;
    for (const auto& [server, owned] : servers_) {
        const phase now = server->now();
        if (server->client() != nullptr) sum.attached += worker_.loop().now() - server->client()->attached_since();
        if (now == phase::serving) ++sum.active;
        else if (now == phase::resetting || now == phase::probing) ++sum.testing;
        else if (now == phase::cooling || now == phase::barrier || now == phase::abandoned) ++sum.cancelling;
    }
    return sum;
}

std::string local_pool::waits_for() const {
    if (shared->paused) return "the pool is paused";
    if (facts.service == service_mode::holding) return "statements are held: there is no primary";
    return last_problem.empty() ? "all server connections are busy" : last_problem;
}

const pool_waiter* local_pool::first_waiter() const {
    const pool_waiter* writes = primaries_.core.first_waiter();
    const pool_waiter* reads = standbys_.core.first_waiter();
    if (writes == nullptr || reads == nullptr) return writes != nullptr ? writes : reads;
    return writes->waits_since <= reads->waits_since ? writes : reads;
}

pooled_server* local_pool::longest_idle() const {
    pooled_server* one = primaries_.core.longest_idle();
    pooled_server* other = standbys_.core.longest_idle();
    if (one == nullptr || other == nullptr) return one != nullptr ? one : other;
    return one->idle_since <= other->idle_since ? one : other;
}

void local_pool::publish() {
    publish(primaries_);
    publish(standbys_);
}

/// As workers compare it: a replay has waited for longer than any new work (D30).
std::int64_t local_pool::waits_since(const pool_waiter& waiter) {
    constexpr std::int64_t for_ever = 1;
    return waiter.replays ? for_ever : waiter.waits_since.time_since_epoch().count();
}

/// Sequentially consistent, and before the neighbours are looked at: of a waiter here and a server that comes to rest
/// there, at least one sees the other.
void local_pool::publish(const group& of) {
    if (of.shared.parts.size() == 1) return;
    server_group::part_state& mine = of.shared.parts[worker_.index()];
    const auto idle_now = static_cast<std::uint32_t>(of.core.idle());
    const pool_waiter* first = of.core.first_to_serve();
    const std::int64_t since = first != nullptr ? waits_since(*first) : 0;
    if (mine.idle.load(std::memory_order_relaxed) != idle_now) mine.idle.store(idle_now);
    if (mine.waiting_since.load(std::memory_order_relaxed) != since) mine.waiting_since.store(since);
}

// ------------------------------------------------------------------------------- who gets which server

/// Nobody is given a server of this group now.
bool local_pool::withheld(const group& of) const {
    if (shared->paused.load(std::memory_order_relaxed)) return true;
    return of.serves == server_need::primary ? primary_withheld(*view_) : !reads_on_standbys(*view_);
}

/// What is waited for here is not a server that is in use.
bool local_pool::blocked(const group& of) const { return withheld(of) || of.core.consecutive_failures() > 0; }

bool local_pool::shows_all(const server_connection& server, const pool_waiter& waiter) const {
    return server.link.host < view_->hosts.size() && view_->shows_all(view_->hosts[server.link.host], waiter.wrote_at);
}

pool::checkout local_pool::take_idle(group& from, const pool_waiter& waiter) {
    const pool_time now = worker_.loop().now();
    if (from.serves == server_need::primary) return from.core.take_idle(now);
    return from.core.take_idle_for(
        waiter,
        [this](const pooled_server& server, const pool_waiter& who) {
            return shows_all(static_cast<const server_connection&>(server), who);
        },
        now);
}

pool_waiter* local_pool::next_waiter(group& of, const server_connection& server) {
    if (of.serves == server_need::primary) return of.core.next_waiter();
    return of.core.next_waiter_for(server, [this](const pooled_server& one, const pool_waiter& who) {
        return shows_all(static_cast<const server_connection&>(one), who);
    });
}

server_connection* local_pool::request(client_connection& client, server_need need, pool_time since) {
    const pool_time now = worker_.loop().now();
    worker_.counters().checkouts.add();
    ++checkouts;
    client.need = need;
    group& from = group_of(group_for(*view_, need, client.wrote_at));
    server_connection* server = nullptr;
    const bool behind = from.core.serves_only_replays() && !client.replays;
    if (behind && from.core.idle() > 0) work_is_possible();
    if (!behind && !withheld(from)) {
        const pool::checkout found = take_idle(from, client);
        server = static_cast<server_connection*>(found.server);
        if (server != nullptr && !found.probe_first) {
            publish(from);
            return server;
        }
    }
    worker_.counters().waits.add();
    ++waits;
    follow_live_policies();
    client.held = blocked(from);
    if (admit_waiter(client)) from.core.enqueue(client, since == pool_time{} ? now : since);
    if (server != nullptr) server->start_probe();
    publish(from);
    if (!client.queued) return nullptr;
    start_dials(from);
    ask_neighbours(from);
    worker_.waiting_changed();
    return nullptr;
}

/// False: it is refused, at the end of this event, since writes are off or the queue is full.
bool local_pool::admit_waiter(client_connection& client) {
    proxy_state& all = worker_.shared();
    client.ahead_bytes = 0;
    if (client.need == server_need::primary && view_->mode == service_mode::read_only) {
        const std::string incident =
            worker_.tell_incident("client {} needs a primary: {}", client.serial(), what_is_missing());
        worker_.refuse_later(client, client_errors::read_only("the statement", incident));
        return false;
    }
    if (all.waiting.try_take()) return true;
    refuse_for_want_of_room(client, "hold.max_clients");
    return false;
}

void local_pool::refuse_for_want_of_room(client_connection& client, std::string_view limit) {
    const std::string incident = worker_.tell_incident("client {} cannot wait for a server of {}: {} is reached",
                                                       client.serial(), shared->plan.label(), limit);
    worker_.refuse_later(client, client_errors::queue_full(incident));
}

void local_pool::sent_ahead(client_connection& client, std::size_t bytes) {
    if (!client.queued || bytes == client.ahead_bytes) return;
    proxy_state& all = worker_.shared();
    const std::uint64_t limit = all.settings().hold.max_bytes;
    const std::uint64_t added =
        static_cast<std::uint64_t>(bytes) - client.ahead_bytes;  // wraps when it is less: so does the sum
    const std::uint64_t sum = all.waiting_bytes.fetch_add(added, std::memory_order_relaxed) + added;
    const bool more = bytes > client.ahead_bytes;
    client.ahead_bytes = bytes;
    if (limit == 0 || !more || sum <= limit) return;
    leave_queue(client);
    refuse_for_want_of_room(client, "hold.max_bytes");
}

/// Whoever left the queue, in whatever way, is not counted any more.
void local_pool::stopped_waiting(pool_waiter& waiter, hold_outcome how) {
    if (std::exchange(waiter.held, false)) worker_.counters().holds[static_cast<std::size_t>(how)].add();
    worker_.shared().waiting.give_back();
    worker_.shared().waiting_bytes.fetch_sub(waiter.ahead_bytes, std::memory_order_relaxed);
    waiter.ahead_bytes = 0;
}

void local_pool::leave_queue(client_connection& client) {
    if (!client.queued) return;
    pool::leave(client);
    stopped_waiting(client, hold_outcome::ended);
    publish();
}

void local_pool::give_back(server_connection& server, session_actions::release how) {
    worker_.counters().checkins.add();
    ++checkins;
    server.detach();
    if (how == session_actions::release::discard) return lost_idle(server);
    if (server.link.verdict) return server.end_as_told();  // behind its ReadyForQuery: nobody is to get it
    if (server.has_cancel()) {
        if (how == session_actions::release::reset) return lost_idle(server);
        return server.cool_down();
    }
    if (how == session_actions::release::reset) return server.start_reset();
    put_idle(server);
}

void local_pool::abandon(server_connection& server, bool may_commit) {
    worker_.counters().checkins.add();
    ++checkins;
    server.detach();
    if (may_commit && server.serves() == server_need::primary) return fence_abandoned(server);
    if (!server.has_cancel()) worker_.cancel_on_server(server);
    if (!server.has_cancel()) return lost_idle(server);
    server.wait_for_cancel();
}

/// The worker with a waiter who has waited notably longer than `ours` (null: than nobody), if there is one.
worker* local_pool::longer_waiting_neighbour(const group& of, const pool_waiter* ours) const {
    constexpr std::int64_t notably = std::chrono::duration_cast<pool_duration>(1ms).count();
    std::int64_t oldest = ours != nullptr ? std::max<std::int64_t>(waits_since(*ours) - notably, 1) : 0;
    worker* found = nullptr;
    for (std::size_t other = 0; other < of.shared.parts.size(); ++other) {
        if (other == worker_.index()) continue;
        const std::int64_t since = of.shared.parts[other].waiting_since.load();
        if (since == 0 || (oldest != 0 && since >= oldest)) continue;
        oldest = since;
        found = worker_.shared().workers[other];
    }
    return found;
}

/// Clean and at rest: to whoever waits longest, here or (notably longer) at a neighbour, or to rest (D41).
void local_pool::put_idle(server_connection& server) {
    const pool_time now = worker_.loop().now();
    group& of = group_of(server);
    if (of.core.is_spent(server, now) || shared->paused.load(std::memory_order_relaxed)) return lost_idle(server);
    if (shared->fences.any() && ask_about_lost(server)) return;
    if (server.wants_settling(now)) return server.start_settling();
    const bool given = !withheld(of);
    if (given) {
        if (worker* neighbour = longer_waiting_neighbour(of, of.core.first_to_serve()))
            return send_to(*neighbour, server);
        if (pool_waiter* waiter = next_waiter(of, server)) {
            const pool_duration wait = now - waiter->waits_since;
            const std::size_t bucket = duration_histogram::bucket_of(wait);
            worker_.counters().wait_seconds.add(bucket, wait, 1);
            counts.queue_wait.add(bucket, wait, 1);
            waited += wait;
            stopped_waiting(*waiter, hold_outcome::served);
            worker_.grant_later(*static_cast<client_connection*>(waiter), server);
            return publish(of);
        }
    }
    if (!of.core.put_idle(server, now)) return lost_idle(server);
    publish(of);
    if (!given) return;
    if (of.core.serves_only_replays() && of.core.waiting() > 0) work_is_possible();
    if (worker* neighbour = longer_waiting_neighbour(of, nullptr)) give_to(*neighbour, of.serves);
}

/// Idle servers that were withheld go to those who wait.
void local_pool::serve_waiting(group& of) {
    if (withheld(of)) return;
    for (std::size_t left = of.core.idle(); left > 0 && of.core.waiting() > 0; --left) {
        const pool::checkout found = of.core.take_idle(worker_.loop().now());
        if (found.server == nullptr) return;
        auto& server = *static_cast<server_connection*>(found.server);
        if (found.probe_first) server.start_probe();
        else put_idle(server);
    }
}

void local_pool::opened(server_connection& server) {
    const pool_time now = worker_.loop().now();
    group& of = group_of(server);
    of.core.dial_ended(true, now, random_share());
    shared->fuse.let_in(now);
    of.core.adopt(server, now, random_share());
    last_problem.clear();
    if (facts.resolves && !server.link.capture_problem.empty()) note_capture_problem(server.link.capture_problem);
    warming_refused_ = false;
    client_connection* client = end_trial(server).client;
    put_idle(server);
    if (client != nullptr) client->password_verdict(true, nullptr);
    try_waiting_passwords();
}

void local_pool::open_failed(server_connection& server, const open_failure& why) {
    if (verifying_.contains(&server)) return trial_failed(server, why);
    group& of = group_of(server);
    dial_failed(of, why, true);
    if (why.from_server && speaks_for_pool(of)) warming_refused_ = why.verdict.strikes_pool;
    if (why.verdict.strikes_pool && refuses_credentials(why)) credentials_refused();
    if (why.verdict.strikes_pool && speaks_for_pool(of)) {
        of.core.dial_now();
        refuse_all(of.core.dismiss_all(), why.why);
    }
    forget(server, false);
    publish();
}

void local_pool::refuse_all(const std::vector<pool_waiter*>& whom, const error_fields& why) {
    for (pool_waiter* waiter : whom) {
        stopped_waiting(*waiter, hold_outcome::ended);
        worker_.refuse_later(*static_cast<client_connection*>(waiter), why);
    }
}

void local_pool::errand_finished(server_connection& server) { put_idle(server); }

void local_pool::lost_idle(server_connection& server) {
    group& of = group_of(server);
    (void)of.core.remove_idle(server);
    server.close();
    worker_.counters().servers_closed.add();
    forget(server, true);
    if (of.core.waiting() > 0) start_dials(of);
    publish(of);
}

void local_pool::forget(server_connection& server, bool counted) {
    if (counted) group_of(server).core.closed(server);
    // The object may be on the call stack: it is freed at the end of the turn.
    if (std::shared_ptr<server_connection> gone = release(server)) worker_.loop().defer([gone] { (void)gone; });
}

std::shared_ptr<server_connection> local_pool::release(server_connection& server) {
    const auto at = servers_.find(&server);
    if (at == servers_.end()) return nullptr;
    std::shared_ptr<server_connection> owned = std::move(at->second);
    servers_.erase(at);
    return owned;
}

server_connection& local_pool::add_server(server_need serves) {
    auto made = std::make_shared<server_connection>(worker_, *this, serves);
    server_connection& server = *made;
    servers_.emplace(&server, std::move(made));
    return server;
}

// ------------------------------------------------------------------------------------------- upkeep

void local_pool::client_added() {
    ++clients_here_;
    ++shared->clients;
}

void local_pool::client_removed() {
    --shared->clients;
    if (--clients_here_ == 0) unused_since_ = worker_.loop().now();
}

bool local_pool::unused() const {
    return !shared->plan.named && clients_here_ == 0 && servers_.empty() && untried_.empty() && !shared->fences.any() &&
           waiting() == 0;
}

/// Why nothing can be had, for errors and notices.
std::string local_pool::what_is_missing() const {
    if (shared->paused) return "the pool is paused";
    if (!view_->cause.empty()) return view_->cause;
    return last_problem.empty() ? "no answer from the server" : last_problem;
}

bool local_pool::tick(pool_time now) {
    facts.catalogue.set_time(now);
    const bool changed = follow_time();
    for (group* each : {&primaries_, &standbys_}) {
        make_room_again(*each, now);
        refuse_late(*each, now);
        notify_patient(*each, now);
        for (pooled_server* server : each->core.to_close(now)) lost_idle(*static_cast<server_connection*>(server));
    }
    give_up_tries(now);
    try_waiting_passwords();
    pursue_lost();
    end_what_is_unacknowledged(now);
    look_at_barrier(now);
    forget_role(now);
    publish();
    asking_for_room_ = false;
    start_dials();
    ask_neighbours(primaries_);
    ask_neighbours(standbys_);
    return changed;
}

void local_pool::refuse_late(group& of, pool_time now) {
    for (pool_waiter* waiter : of.core.expired(now)) {
        auto* client = static_cast<client_connection*>(waiter);
        stopped_waiting(*waiter, hold_outcome::timed_out);
        worker_.counters().wait_timeouts.add();
        const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(now - waiter->waits_since);
        const bool crowded = of.shared.crowded_until != 0;
        const bool outage = view_->since > waiter->waits_since;  // in the meantime; it may be over just now
        const bool busy = !withheld(of) && !outage && (of.core.open() > 0 || last_problem.empty());
        const std::string incident = worker_.tell_incident("client {} waited {} ms in vain for a server of {}: {}",
                                                           client->serial(), wait.count(), shared->plan.label(),
                                                           busy && !crowded ? "all busy" : what_is_missing());
        client->refuse(crowded ? client_errors::pool_exhausted(wait, incident, "server reports too many connections")
                       : busy  ? client_errors::pool_exhausted(wait, incident)
                       : client->signs_in()
                           ? client_errors::unavailable(fmt::format("no server within {} ms", wait.count()), incident,
                                                        what_is_missing())
                           : client_errors::no_server("the statement", wait, what_is_missing(), incident));
    }
}

/// Once, to those who have waited for hold.notice_after.
void local_pool::notify_patient(group& of, pool_time now) {
    const pool_duration after = worker_.shared().settings().hold.notice_after;
    if (after.count() == 0) return;
    for (pool_waiter* waiter : of.core.to_notice(now, after)) {
        const auto so_far = std::chrono::duration_cast<std::chrono::milliseconds>(now - waiter->waits_since);
        const std::string_view for_what = shared->paused ? "the pool, which is paused"
                                          : blocked(of)  ? "a primary"
                                                         : "a free server connection";
        static_cast<client_connection*>(waiter)->notice(client_errors::still_waiting(for_what, so_far));
    }
}

void local_pool::close_idle() {
    for (group* each : {&primaries_, &standbys_})
        for (pooled_server* server : each->core.take_all_idle()) lost_idle(*static_cast<server_connection*>(server));
}

void local_pool::recover() {
    for (group* each : {&primaries_, &standbys_}) {
        each->core.dial_now();
        for (pooled_server* server : each->core.take_all_idle()) static_cast<server_connection*>(server)->start_probe();
        publish(*each);
        start_dials(*each);
    }
}

void local_pool::close_longest_idle() {
    auto* server = static_cast<server_connection*>(longest_idle());
    if (server == nullptr) return;
    (void)group_of(*server).core.remove_idle(*server);
    server->leave();
    publish();
}

void local_pool::left(server_connection& server) {
    lost_idle(server);
    for (worker* each : worker_.shared().workers) each->post([each] { each->room_made(); });
}

void local_pool::close_idle_if_unused() {
    if (!shared->plan.named && clients_here_ == 0) close_idle();
}

/// Waiters here, idle servers there: one is asked to come over.
void local_pool::ask_neighbours(const group& of) {
    if (of.core.waiting() == 0 || withheld(of)) return;
    for (std::size_t other = 0; other < of.shared.parts.size(); ++other) {
        if (other == worker_.index() || of.shared.parts[other].idle.load() == 0) continue;
        worker* neighbour = worker_.shared().workers[other];
        neighbour->post([neighbour, pool = shared, to = &worker_, which = of.serves] {
            neighbour->part_of(pool).give_to(*to, which);
        });
        return;
    }
}

void local_pool::give_to(worker& other, server_need which) {
    group& of = group_of(which);
    if (of.shared.parts[other.index()].waiting_since.load() == 0) return;  // served meanwhile
    const pool::checkout found = of.core.take_idle(worker_.loop().now());
    if (found.server != nullptr) send_to(other, *static_cast<server_connection*>(found.server));
}

/// Its bytes are perhaps being read further up this stack, so it belongs to this worker until the turn has ended.
void local_pool::send_to(worker& other, server_connection& server) {
    group& of = group_of(server);
    server.begin_travel();
    of.core.moved_away();
    std::shared_ptr<server_connection> traveller = release(server);
    publish(of);
    worker_.loop().defer([&other, pool = shared, traveller] {
        traveller->leave_worker();
        other.post([&other, pool, traveller] { other.part_of(pool).take_migrant(traveller); });
    });
}

void local_pool::take_migrant(const std::shared_ptr<server_connection>& server) {
    group_of(*server).core.moved_here();
    servers_.emplace(server.get(), server);
    server->move_to(worker_, *this);
    if (misplaced(*server)) server->condemned = true;  // the view has changed while it travelled
    if (server->now() != server_connection::phase::closed) put_idle(*server);
    worker_.settle();
}

}  // namespace pgsteady
