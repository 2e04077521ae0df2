// See local_pool.hpp.
#include "proxy/worker/local_pool.hpp"

#include "protocol/frame.hpp"
#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>

namespace pgsteady {

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
      core_(rules_of(shared->plan, at.shared().settings().connect.backoff), shared->permits, at.shared().servers) {}

local_pool::~local_pool() = default;

std::size_t local_pool::active() const {
    return static_cast<std::size_t>(std::count_if(servers_.begin(), servers_.end(), [](const auto& each) {
        return each.first->now() == server_connection::phase::serving;
    }));
}

void local_pool::publish() {
    shared->idle[worker_.index()].store(static_cast<std::uint32_t>(core_.idle()), std::memory_order_relaxed);
    shared->waiting[worker_.index()].store(static_cast<std::uint32_t>(core_.waiting()), std::memory_order_relaxed);
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
    start_dials();
    ask_neighbours();
    publish();
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

/// Clean and at rest: to whoever waits longest here, to a neighbour's waiter, or to rest.
void local_pool::put_idle(server_connection& server) {
    const pool_time now = worker_.loop().now();
    if (core_.is_spent(server, now)) return lost_idle(server);
    if (pool_waiter* waiter = core_.next_waiter()) {
        worker_.counters().wait_seconds.observe(now - waiter->waits_since);
        waited += now - waiter->waits_since;
        worker_.grant_later(*static_cast<client_connection*>(waiter), server);
        return publish();
    }
    if (!core_.put_idle(server, now)) return lost_idle(server);
    for (std::size_t other = 0; other < shared->waiting.size(); ++other) {
        if (other == worker_.index() || shared->waiting[other].load(std::memory_order_relaxed) == 0) continue;
        give_to(*worker_.shared().workers[other]);
        break;
    }
    publish();
}

void local_pool::opened(server_connection& server) {
    const pool_time now = worker_.loop().now();
    core_.dial_ended(true, now, random_share());
    core_.adopt(server, now, random_share());
    last_problem.clear();
    if (const auto at = verifying_.find(&server); at != verifying_.end()) {
        client_connection* client = at->second;
        verifying_.erase(at);
        put_idle(server);
        if (client != nullptr) client->password_verdict(true, nullptr);
        return;
    }
    put_idle(server);
}

void local_pool::open_failed(server_connection& server, const open_failure& why) {
    const pool_time now = worker_.loop().now();
    core_.dial_ended(false, now, random_share());
    last_problem = why.why.sqlstate + ' ' + why.why.message;
    if (core_.consecutive_failures() <= 3)
        log::warning("pool {}: cannot open a server connection: {}", shared->plan.label(), last_problem);
    if (why.refuses_login) {
        shared->forget_secrets();
        core_.dial_now();
    }
    if (const auto at = verifying_.find(&server); at != verifying_.end()) {
        client_connection* client = at->second;
        verifying_.erase(at);
        core_.dial_now();  // a wrong password says nothing about the backend
        if (client != nullptr) client->password_verdict(false, &why.why);
    } else if (why.refuses_login) {
        for (pool_waiter* waiter : core_.dismiss_all()) static_cast<client_connection*>(waiter)->refuse(why.why);
    }
    forget(server, false);
    publish();
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
    if (counted) core_.closed();
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

void local_pool::start_dials() {
    while (core_.may_dial(worker_.loop().now())) add_server().open(std::nullopt);
}

void local_pool::verify_password(client_connection& client, std::string password) {
    if (!core_.may_dial_extra(worker_.loop().now())) {
        const error_fields why = client_errors::unavailable("no server connection left to verify the password", "-");
        return client.password_verdict(false, &why);
    }
    server_connection& server = add_server();
    verifying_.emplace(&server, &client);
    server.open(std::move(password));
}

void local_pool::abandon_verification(client_connection& client) {
    for (auto& [server, waiting] : verifying_)
        if (waiting == &client) waiting = nullptr;
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
    start_dials();
    ask_neighbours();
    publish();
}

void local_pool::close_idle() {
    for (pooled_server* server : core_.take_all_idle()) lost_idle(*static_cast<server_connection*>(server));
}

/// Waiters here, idle servers there: one is asked to come over.
void local_pool::ask_neighbours() {
    if (core_.waiting() == 0) return;
    for (std::size_t other = 0; other < shared->idle.size(); ++other) {
        if (other == worker_.index() || shared->idle[other].load(std::memory_order_relaxed) == 0) continue;
        worker* neighbour = worker_.shared().workers[other];
        neighbour->post([neighbour, pool = shared, to = &worker_] { neighbour->part_of(pool).give_to(*to); });
        return;
    }
}

void local_pool::give_to(worker& other) {
    if (core_.waiting() > 0) return;
    const pool::checkout found = core_.take_idle(worker_.loop().now());
    auto* server = static_cast<server_connection*>(found.server);
    if (server == nullptr) return;
    server->leave_worker();
    core_.moved_away();
    std::shared_ptr<server_connection> traveller = release(*server);
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
