// See worker.hpp.
#include "proxy/worker/worker.hpp"

#include "protocol/constant_time.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/worker/cancel_dial.hpp"
#include "proxy/worker/log.hpp"

#include <fmt/format.h>

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t scratch_size = 192 * 1024;
constexpr auto shortest_tick = 20ms;

}  // namespace

worker::worker(proxy_state& shared, unsigned index)
    : shared_(shared),
      index_(index),
      loop_(shared.io_engine),
      tables_(index),
      budget_(shared.settings().retry, loop_.now()),
      incidents_(index) {
    scratch_.resize(scratch_size);
    tables_.incident = [this](std::int32_t client_pid, std::string_view why) {
        return tell_incident("client process {}: {}", client_pid, why);
    };
    tables_.may_retry = [this] { return budget_.take(loop_.now(), counters_.statements.get()); };
    log_statements(shared.settings().log.statements);
}

worker::~worker() {
    join();
    clients_.clear();
    pools_.clear();
    listeners_.clear();
}

std::string worker::listen(const config::listen_settings& settings, net::inherited_sockets* inherited) {
    const auto open = [&](net::listen_settings where) {
        where.backlog = static_cast<int>(settings.backlog);
        where.inherited = inherited;
        net::listener::callbacks to;
        to.accepted = [this](int fd, std::string peer) { accept(fd, std::move(peer)); };
        to.exhausted = [](int number) { log::error("cannot accept clients: {}", std::strerror(number)); };
        auto opened = net::listener::open(loop_, where, std::move(to));
        if (opened.listening != nullptr) listeners_.push_back(std::move(opened.listening));
        return opened.problem;
    };
    net::listen_settings local;
    local.host = settings.unix_socket_dir;
    local.port = settings.port;
    // First, where the port is known: whoever finds the TCP port open finds the socket as well.
    const bool early = !settings.unix_socket_dir.empty() && settings.port != 0;
    if (early)
        if (std::string problem = open(local); !problem.empty()) return problem;
    net::listen_settings tcp;
    tcp.host = settings.host;
    tcp.port = settings.port;
    tcp.keepalive = keepalive_of(settings.keepalive);
    if (std::string problem = open(tcp); !problem.empty()) return problem;
    if (early || settings.unix_socket_dir.empty()) return {};
    local.port = port();
    return open(local);
}

std::vector<net::unique_fd> worker::listening_sockets() const {
    std::vector<net::unique_fd> all;
    for (const auto& each : listeners_)
        for (net::unique_fd& copy : each->copies()) all.push_back(std::move(copy));
    return all;
}

void worker::hand_over_listening() {
    post([this] {
        for (const auto& each : listeners_) each->hand_over();
    });
}

std::uint16_t worker::port() const {
    for (const auto& each : listeners_)
        if (each->port() != 0) return each->port();
    return 0;
}

void worker::start() {
    thread_ = std::thread([this] {
        arm_tick();
        if (index_ == 0) warm_up();
        loop_.run();
    });
}

void worker::stop() { loop_.stop(); }

void worker::join() {
    if (thread_.joinable()) thread_.join();
}

void worker::stop_listening() {
    post([this] {
        for (const auto& each : listeners_) each->close();
    });
}

void worker::drain(bool by_force) {
    post([this, by_force] {
        draining_ = true;
        forcing_ = by_force;
        std::vector<std::shared_ptr<client_connection>> all;
        for (const auto& [serial, client] : clients_) all.push_back(client);
        for (const auto& client : all) client->drain(by_force);
        settle();
    });
}

const std::string& worker::farewell_incident() {
    if (farewell_incident_.empty()) farewell_incident_ = tell_incident("pgsteady shuts down and sends clients away");
    return farewell_incident_;
}

void worker::accept(int fd, std::string peer) {
    counters_.clients_accepted.add();
    std::string cap;
    if (!shared_.clients.try_take()) cap = "limits.max_clients";
    else if (!shared_.unauthenticated.try_take()) cap = "limits.max_unauthenticated", shared_.clients.give_back();
    if (cap.empty() && !draining_) return hand_out(fd, std::move(peer));
    counters_.clients_refused.add();
    std::string farewell;
    append_error_response(farewell,
                          draining_ ? client_errors::shutting_down(statement_outcome::not_executed, farewell_incident())
                                    : client_errors::too_many_clients(cap));
    (void)!::write(fd, farewell.data(), farewell.size());
    ::close(fd);
    if (cap.empty()) shared_.unauthenticated.give_back(), shared_.clients.give_back();
}

/// To the worker with the fewest clients; among equals they take turns.
void worker::hand_out(int fd, std::string peer) {
    const std::vector<worker*>& all = shared_.workers;
    worker* chosen = all[next_worker_++ % all.size()];
    for (worker* each : all)
        if (each->load() < chosen->load()) chosen = each;
    chosen->load_.fetch_add(1, std::memory_order_relaxed);
    if (chosen == this) return adopt(fd, std::move(peer));
    chosen->post([chosen, owned = std::make_shared<net::unique_fd>(fd), peer = std::move(peer)]() mutable {
        chosen->adopt(owned->release(), std::move(peer));
    });
}

void worker::adopt(int fd, std::string peer) {
    const std::uint64_t serial = next_client_++ * shared_.workers.size() + index_;
    const auto client = std::make_shared<client_connection>(*this, serial, std::move(peer));
    if (!client->begin(fd)) {
        load_.fetch_sub(1, std::memory_order_relaxed);
        return;
    }
    clients_.emplace(serial, client);
    if (draining_) client->drain(forcing_);  // the order to drain overtook it
}

void worker::remove_client(client_connection& client) {
    const auto at = clients_.find(client.serial());
    if (at == clients_.end()) return;
    loop_.defer([gone = at->second] { (void)gone; });  // it may be on the call stack
    clients_.erase(at);
    load_.fetch_sub(1, std::memory_order_relaxed);
}

local_pool* worker::pool_for(const std::string& database, const std::string& user, bool& crowded) {
    const proxy_state::pool_answer found = shared_.pool_for(database, user);
    crowded = found.crowded;
    if (crowded)  // too late for this client; the next one finds room if any can be made
        for (worker* each : shared_.workers) each->post([each] { each->drop_unused_pools(true); });
    return found.pool != nullptr ? &part_of(found.pool) : nullptr;
}

local_pool& worker::part_of(const std::shared_ptr<shared_pool>& shared) {
    std::unique_ptr<local_pool>& slot = pools_[shared->plan.key()];
    if (slot == nullptr) slot = std::make_unique<local_pool>(*this, shared);
    return *slot;
}

std::size_t worker::incidents_to_keep() const { return shared_.settings().admin.incidents; }

// -------------------------------------------------------------------------------------------- pools

/// Pools of listed databases and users with known credentials have min_size servers before anybody asks (D7).
void worker::warm_up() {
    const config::settings& all = shared_.settings();
    std::set<std::string> users;
    for (const auto& [name, entry] : all.users)
        if (entry.listed) users.insert(name);
    if (!all.backends.user.empty()) users.insert(all.backends.user);
    for (const auto& [database, entry] : all.databases) {
        if (entry.pool.min_size == 0) continue;
        for (const std::string& user : users) {
            const std::shared_ptr<shared_pool> pool = shared_.pool_for(database, user).pool;
            if (pool != nullptr && pool->has_credentials()) part_of(pool).start_dials();
        }
    }
}

bool worker::close_longest_idle(const local_pool* except) {
    local_pool* owner = nullptr;
    const pooled_server* longest = nullptr;
    for (const auto& [key, pool] : pools_) {
        const pooled_server* candidate = pool.get() != except ? pool->longest_idle() : nullptr;
        if (candidate == nullptr || (longest != nullptr && candidate->idle_since >= longest->idle_since)) continue;
        longest = candidate;
        owner = pool.get();
    }
    if (owner == nullptr) return false;
    owner->close_longest_idle();
    return true;
}

void worker::find_room(const std::shared_ptr<shared_pool>& pool, unsigned asking) {
    const auto next = static_cast<unsigned>((index_ + 1) % shared_.workers.size());
    worker* other = shared_.workers[next];
    other->post([other, pool, asking] {
        if (other->index() == asking || other->close_longest_idle(&other->part_of(pool))) return;
        other->find_room(pool, asking);
    });
}

void worker::room_made() {
    for (const auto& [key, pool] : pools_)
        if (pool->waiting() > 0) pool->room_made();
    settle();
}

void worker::drop_unused_pools(bool at_once) {
    const auto limit = shared_.settings().auto_pools.idle_timeout;
    if (limit.count() == 0 && !at_once) return;
    std::erase_if(pools_, [&](const auto& each) {
        local_pool& pool = *each.second;
        if (!at_once && loop_.now() - pool.unused_since() < limit) return false;
        pool.close_idle_if_unused();
        return pool.unused();
    });
}

// ------------------------------------------------------------------------------------------- grants

void worker::grant_later(client_connection& client, server_connection& server) {
    granted_.emplace_back(&client, &server);
}

void worker::withdraw_grant(client_connection& client) {
    for (auto& [waiter, server] : granted_)
        if (waiter == &client) waiter = nullptr;
    for (auto& [waiter, why] : refused_)
        if (waiter == &client) waiter = nullptr;
}

void worker::refuse_later(client_connection& client, error_fields why) {
    if (refused_.empty()) loop_.defer([this] { settle(); });
    refused_.emplace_back(&client, std::move(why));
}

void worker::settle() {
    if (settling_) return;
    settling_ = true;
    for (std::size_t i = 0; i < granted_.size(); ++i) {  // a grant may lead to further ones
        const auto [client, server] = granted_[i];
        if (client != nullptr) client->grant(*server);
        else if (server->now() != server_connection::phase::closed)
            server->pool().give_back(*server, session_actions::release::reuse);
    }
    granted_.clear();
    for (std::size_t i = 0; i < refused_.size(); ++i) {
        const auto [client, why] = refused_[i];
        if (client != nullptr) client->refuse(why);
    }
    refused_.clear();
    settling_ = false;
    if (!granted_.empty()) settle();
}

// --------------------------------------------------------------------------------------------- time

std::chrono::milliseconds worker::tick_interval() const {
    for (const auto& [key, pool] : pools_)
        if (pool->needs_attention()) return shortest_tick;
    const auto precise = [](const config::timeout_settings& limits) {
        return limits.statement.count() > 0 || limits.idle_in_transaction.count() > 0 ||
               limits.transaction.count() > 0 || limits.client_idle.count() > 0;
    };
    for (const auto& [key, pool] : pools_)
        if (precise(pool->timeouts)) return 100ms;
    return 500ms;
}

void worker::arm_tick() {
    tick_timer_ = loop_.add_timer(loop_.now() + tick_interval(), [this] { tick(); });
}

void worker::tick_soon() {
    if (tick_timer_.due <= loop_.now() + shortest_tick) return;
    loop_.cancel_timer(tick_timer_);
    tick_timer_ = loop_.add_timer(loop_.now() + shortest_tick, [this] { tick(); });
}

void worker::waiting_changed() {
    tick_soon();
    if (reported_waiting_.empty()) report_waiting();  // the first one; the count follows with the ticks
}

/// How many wait for each cluster, where that has changed.
void worker::report_waiting() {
    std::unordered_map<cluster*, std::size_t> sums;
    for (const auto& [key, pool] : pools_)
        if (cluster* behind = pool->shared->backends_of.get(); behind != nullptr)
            if (const std::size_t count = pool->waiting_for_cluster(); count > 0) sums[behind] += count;
    for (const auto& [behind, count] : reported_waiting_)
        if (!sums.contains(behind)) behind->waiting(index_, 0);
    for (const auto& [behind, count] : sums) {
        const auto told = reported_waiting_.find(behind);
        if (told == reported_waiting_.end() || told->second != count) behind->waiting(index_, count);
    }
    reported_waiting_ = std::move(sums);
}

/// Each worker has its part of the first step, so that together they do not exceed it by more than their number.
ramp& worker::ramp_of(cluster* behind) {
    const std::uint32_t first = shared_.settings().hold.ramp;
    const auto parts = static_cast<std::uint32_t>(shared_.workers.size());
    return ramps_.try_emplace(behind, first == 0 ? 0 : std::max(first / parts, 1U)).first->second;
}

void worker::on_view(const cluster& whose, const cluster::view_ptr& now) {
    for (const auto& [key, pool] : pools_)
        if (pool->shared->backends_of.get() == &whose) pool->on_view(now);
    reconsider_waiting();
    settle();
    report_waiting();
}

void worker::follow_barrier(const cluster& whose) {
    for (const auto& [key, pool] : pools_)
        if (pool->shared->backends_of.get() == &whose) pool->follow_barrier();
    settle();
}

void worker::give_way(const cluster& whose, std::size_t host, const std::vector<std::int32_t>& pids) {
    for (const auto& [key, pool] : pools_)
        if (pool->shared->backends_of.get() == &whose) pool->give_way(host, pids);
    settle();
}

/// The mode of some pool has changed: what its clients wait for may be had elsewhere now.
void worker::reconsider_waiting() {
    std::vector<std::shared_ptr<client_connection>> waiting;
    for (const auto& [serial, client] : clients_)
        if (client->queued && client->pool()->facts.service != service_mode::normal) waiting.push_back(client);
    for (const auto& client : waiting) client->reconsider();
    for (const auto& [key, pool] : pools_) pool->refuse_writes();
}

void worker::tick() {
    const pool_time now = loop_.now();
    bool changed = false;
    for (const auto& [key, pool] : pools_) changed |= pool->tick(now);
    if (changed) reconsider_waiting();
    cancel_next_lost();
    settle();
    report_waiting();
    std::vector<std::shared_ptr<client_connection>> timed;
    for (const auto& [serial, client] : clients_)
        if (client->has_timeouts()) timed.push_back(client);
    for (const auto& client : timed) client->check_timeouts(now);
    settle();
    drop_unused_pools(false);
    // Off this thread: pages are given back one by one.
    if (crowd_.has_left(clients_.size(), now)) shared_.helper.run([] { ::malloc_trim(0); });
    arm_tick();
}

}  // namespace pgsteady
