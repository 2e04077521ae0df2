// See local_pool.hpp.
#include "proxy/worker/local_pool.hpp"

#include "protocol/frame.hpp"
#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

pool_facts facts_of(const config::settings& all, const pool_plan& plan) {
    pool_facts facts;
    facts.mode = plan.mode;
    facts.prepared_bytes = plan.policies.pool.prepared_statements;
    facts.keep_bytes = all.limits.request_keep;
    facts.session_bytes = all.limits.session_memory;
    facts.max_message = static_cast<std::uint32_t>(std::min<std::uint64_t>(all.limits.max_message, frame_length_limit));
    facts.pin_opaque = plan.policies.pool.opaque_functions_are == config::opaque_functions::pin;
    return facts;
}

}  // namespace

local_pool::local_pool(worker& at, std::shared_ptr<shared_pool> from)
    : shared(std::move(from)),
      facts(facts_of(at.shared().settings(), shared->plan)),
      worker_(at),
      core_(rules_of(shared->plan, at.shared().settings().connect.backoff), shared->permits, at.shared().servers) {
    core_.set_hold_timeout(shared->live.get()->pool.hold_timeout);
}

local_pool::~local_pool() = default;

std::size_t local_pool::active() const {
    return static_cast<std::size_t>(std::count_if(servers_.begin(), servers_.end(), [](const auto& each) {
        return each.first->now() == server_connection::phase::serving;
    }));
}

/// Sequentially consistent, and before the neighbours are looked at: of a waiter here and a server that comes to rest
/// there, at least one sees the other.
void local_pool::publish() {
    if (shared->parts.size() == 1) return;
    shared_pool::part_state& mine = shared->parts[worker_.index()];
    const auto idle = static_cast<std::uint32_t>(core_.idle());
    const pool_waiter* first = core_.first_waiter();
    const std::int64_t since = first != nullptr ? first->waits_since.time_since_epoch().count() : 0;
    if (mine.idle.load(std::memory_order_relaxed) != idle) mine.idle.store(idle);
    if (mine.waiting_since.load(std::memory_order_relaxed) != since) mine.waiting_since.store(since);
}

server_connection* local_pool::request(client_connection& client) {
    const pool_time now = worker_.loop().now();
    worker_.counters().checkouts.add();
    ++checkouts;
    const pool::checkout found = core_.take_idle(now);
    auto* server = static_cast<server_connection*>(found.server);
    if (server != nullptr && !found.probe_first) {
        publish();
        return server;
    }
    worker_.counters().waits.add();
    ++waits;
    core_.enqueue(client, now);
    if (server != nullptr) server->start_probe();
    publish();
    start_dials();
    ask_neighbours();
    worker_.tick_soon();
    return nullptr;
}

void local_pool::leave_queue(client_connection& client) {
    core_.leave(client);
    publish();
}

void local_pool::give_back(server_connection& server, session_actions::release how) {
    worker_.counters().checkins.add();
    ++checkins;
    server.detach();
    if (how == session_actions::release::discard) return lost_idle(server);
    if (server.has_cancel()) {
        if (how == session_actions::release::reset) return lost_idle(server);
        return server.cool_down();
    }
    if (how == session_actions::release::reset) return server.start_reset();
    put_idle(server);
}

void local_pool::abandon(server_connection& server) {
    worker_.counters().checkins.add();
    ++checkins;
    server.detach();
    if (!server.has_cancel()) worker_.cancel_on_server(server);
    if (!server.has_cancel()) return lost_idle(server);
    server.wait_for_cancel();
}

/// The worker with a waiter who has waited notably longer than `ours` (null: than nobody), if there is one.
worker* local_pool::longer_waiting_neighbour(const pool_waiter* ours) const {
    constexpr std::int64_t notably = std::chrono::duration_cast<pool_duration>(1ms).count();
    std::int64_t oldest = ours != nullptr ? ours->waits_since.time_since_epoch().count() - notably : 0;
    worker* found = nullptr;
    for (std::size_t other = 0; other < shared->parts.size(); ++other) {
        if (other == worker_.index()) continue;
        const std::int64_t since = shared->parts[other].waiting_since.load();
        if (since == 0 || (oldest != 0 && since >= oldest)) continue;
        oldest = since;
        found = worker_.shared().workers[other];
    }
    return found;
}

/// Clean and at rest: to whoever waits longest, here or (notably longer) at a neighbour, or to rest (D41).
void local_pool::put_idle(server_connection& server) {
    const pool_time now = worker_.loop().now();
    if (core_.is_spent(server, now)) return lost_idle(server);
    if (worker* neighbour = longer_waiting_neighbour(core_.first_waiter())) return send_to(*neighbour, server);
    if (pool_waiter* waiter = core_.next_waiter()) {
        worker_.counters().wait_seconds.observe(now - waiter->waits_since);
        waited += now - waiter->waits_since;
        worker_.grant_later(*static_cast<client_connection*>(waiter), server);
        return publish();
    }
    if (!core_.put_idle(server, now)) return lost_idle(server);
    publish();
    if (worker* neighbour = longer_waiting_neighbour(nullptr)) give_to(*neighbour);
}

void local_pool::opened(server_connection& server) {
    const pool_time now = worker_.loop().now();
    core_.dial_ended(true, now, random_share());
    core_.adopt(server, now, random_share());
    last_problem.clear();
    warming_refused_ = false;
    client_connection* client = end_trial(server);
    put_idle(server);
    if (client != nullptr) client->password_verdict(true, nullptr);
}

void local_pool::open_failed(server_connection& server, const open_failure& why) {
    if (verifying_.contains(&server)) return trial_failed(server, why);
    core_.dial_ended(false, worker_.loop().now(), random_share());
    last_problem = why.why.sqlstate + ' ' + why.why.message;
    if (core_.consecutive_failures() <= 3)
        log::warning("pool {}: cannot open a server connection: {}", shared->plan.label(), last_problem);
    if (why.from_server) warming_refused_ = true;
    if (why.refuses_login) {
        credentials_refused();
        core_.dial_now();
        for (pool_waiter* waiter : core_.dismiss_all()) static_cast<client_connection*>(waiter)->refuse(why.why);
    }
    forget(server, false);
    publish();
}

/// What servers were signed in to with is refused: the pool begins anew when a client brings something better (D38).
void local_pool::credentials_refused() {
    shared->forget_secrets();
    if (!shared->plan.password_from_client) return;
    for (worker* each : worker_.shared().workers)
        each->post([each, pool = shared] { each->part_of(pool).retire_servers(); });
}

void local_pool::retire_servers() {
    core_.new_generation();
    close_idle();
    worker_.settle();
}

void local_pool::errand_finished(server_connection& server) { put_idle(server); }

void local_pool::lost_idle(server_connection& server) {
    (void)core_.remove_idle(server);
    server.close();
    worker_.counters().servers_closed.add();
    forget(server, true);
    if (core_.waiting() > 0) start_dials();
    publish();
}

void local_pool::forget(server_connection& server, bool counted) {
    if (counted) core_.closed(server);
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

server_connection& local_pool::add_server() {
    auto made = std::make_shared<server_connection>(worker_, *this);
    server_connection& server = *made;
    servers_.emplace(&server, std::move(made));
    return server;
}

// -------------------------------------------------------------------------------------------- dials

bool local_pool::keeps_warm() const {
    if (core_.permits().used() >= core_.rules().min_size || warming_refused_ || !shared->has_credentials()) return false;
    int nobody = -1;
    const int mine = static_cast<int>(worker_.index());
    return shared->warmer.load() == mine || shared->warmer.compare_exchange_strong(nobody, mine);
}

void local_pool::start_dials() {
    const bool warm = keeps_warm();
    while (true) {
        const pool::dial_answer answer = core_.may_dial(worker_.loop().now(), warm);
        if (answer == pool::dial_answer::no) return;
        if (answer == pool::dial_answer::yes) add_server().open(std::nullopt);
        else return ask_for_room();
    }
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
    if (core_.backing_off(worker_.loop().now())) {
        const error_fields why = client_errors::unavailable(last_problem, worker_.new_incident());
        return client.password_verdict(false, &why);
    }
    const bool serves_later = shared->plan.server_user == shared->plan.user;
    if (!serves_later || !core_.may_dial_extra()) return try_outside(client, std::move(password));
    server_connection& server = add_server();
    verifying_.emplace(&server, &client);
    server.open(server_connection::trial{std::move(password), true});
}

void local_pool::try_outside(client_connection& client, std::string password) {
    if (!worker_.shared().checks.try_take()) {
        untried_.push_back({&client, std::move(password)});
        return worker_.tick_soon();
    }
    server_connection& server = add_server();
    verifying_.emplace(&server, &client);
    server.open(server_connection::trial{std::move(password), false});
}

void local_pool::try_waiting_passwords() {
    while (!untried_.empty() && worker_.shared().checks.used() < worker_.shared().checks.limit()) {
        untried_password next = std::move(untried_.front());
        untried_.pop_front();
        try_outside(*next.client, std::move(next.password));
    }
}

/// The client whose password this connection was to try; null: it has left, or there is none.
client_connection* local_pool::end_trial(server_connection& server) {
    const auto at = verifying_.find(&server);
    if (at == verifying_.end()) return nullptr;
    client_connection* client = at->second;
    verifying_.erase(at);
    if (!server.tried().pooled) worker_.shared().checks.give_back();
    if (server.now() != server_connection::phase::closed && shared->plan.password_from_client)
        shared->learn_password(server.tried().password);
    return client;
}

void local_pool::trial_passed(server_connection& server) {
    client_connection* client = end_trial(server);
    server.close();
    forget(server, false);
    warming_refused_ = false;
    if (client != nullptr) client->password_verdict(true, nullptr);
}

/// A wrong password says nothing about the backend, nor about the password that the pool uses, unless it is the same.
void local_pool::trial_failed(server_connection& server, const open_failure& why) {
    if (server.tried().pooled) {
        if (why.from_server) core_.dial_abandoned();
        else core_.dial_ended(false, worker_.loop().now(), random_share());
    }
    if (!why.from_server) last_problem = why.why.sqlstate + ' ' + why.why.message;
    if (why.refuses_login && server.tried().password == shared->current_secrets().password) credentials_refused();
    client_connection* client = end_trial(server);
    forget(server, false);
    if (client != nullptr) client->password_verdict(false, &why.why);
    publish();
}

void local_pool::abandon_verification(client_connection& client) {
    for (auto& [server, waiting] : verifying_)
        if (waiting == &client) waiting = nullptr;
    std::erase_if(untried_, [&client](const untried_password& each) { return each.client == &client; });
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
    return !shared->plan.named && clients_here_ == 0 && servers_.empty() && untried_.empty() && core_.waiting() == 0;
}

void local_pool::tick(pool_time now) {
    for (pool_waiter* waiter : core_.expired(now)) {
        auto* client = static_cast<client_connection*>(waiter);
        worker_.counters().wait_timeouts.add();
        const std::string incident = worker_.new_incident();
        const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(now - waiter->waits_since);
        log::warning("incident {}: client {} waited {} ms in vain for a server of {}: {}", incident, client->serial(),
                     wait.count(), shared->plan.label(), last_problem.empty() ? "all busy" : last_problem);
        client->refuse(core_.open() > 0 || last_problem.empty()
                           ? client_errors::pool_exhausted(wait, incident)
                           : client_errors::no_server("the statement", wait, last_problem, incident));
    }
    for (pooled_server* server : core_.to_close(now)) lost_idle(*static_cast<server_connection*>(server));
    try_waiting_passwords();
    publish();
    asking_for_room_ = false;
    start_dials();
    ask_neighbours();
}

void local_pool::close_idle() {
    for (pooled_server* server : core_.take_all_idle()) lost_idle(*static_cast<server_connection*>(server));
}

void local_pool::close_longest_idle() {
    pooled_server* server = core_.longest_idle();
    if (server == nullptr) return;
    (void)core_.remove_idle(*server);
    static_cast<server_connection*>(server)->leave();
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
void local_pool::ask_neighbours() {
    if (core_.waiting() == 0) return;
    for (std::size_t other = 0; other < shared->parts.size(); ++other) {
        if (other == worker_.index() || shared->parts[other].idle.load() == 0) continue;
        worker* neighbour = worker_.shared().workers[other];
        neighbour->post([neighbour, pool = shared, to = &worker_] { neighbour->part_of(pool).give_to(*to); });
        return;
    }
}

void local_pool::give_to(worker& other) {
    if (shared->parts[other.index()].waiting_since.load() == 0) return;  // served meanwhile
    const pool::checkout found = core_.take_idle(worker_.loop().now());
    if (found.server != nullptr) send_to(other, *static_cast<server_connection*>(found.server));
}

void local_pool::send_to(worker& other, server_connection& server) {
    server.leave_worker();
    core_.moved_away();
    std::shared_ptr<server_connection> traveller = release(server);
    publish();
    other.post([&other, pool = shared, traveller] { other.part_of(pool).take_migrant(traveller); });
}

void local_pool::take_migrant(const std::shared_ptr<server_connection>& server) {
    core_.moved_here();
    servers_.emplace(server.get(), server);
    server->move_to(worker_, *this);
    if (server->now() != server_connection::phase::closed) put_idle(*server);
    worker_.settle();
}

}  // namespace pgsteady
