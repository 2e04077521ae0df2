// What operators ask of a worker (worker.hpp): answered on its own thread, between two events.
#include "protocol/sqlstate.hpp"

#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <future>
#include <memory>

namespace pgsteady {

std::future<worker_snapshot> worker::ask_snapshot() {
    auto promise = std::make_shared<std::promise<worker_snapshot>>();
    std::future<worker_snapshot> answer = promise->get_future();
    post([this, promise] { promise->set_value(take_snapshot()); });
    return answer;
}

/// Goes through pools and their servers, never through the clients: there may be thousands, and scrapes are frequent.
worker_snapshot worker::take_snapshot() {
    worker_snapshot mine;
    mine.index = index_;
    mine.clients = clients_.size();
    mine.cancels = cancels_.size();
    mine.incidents = incidents_.latest();
    mine.statement_cache_bytes = tables_.effects.bytes();
    mine.pools.reserve(pools_.size());
    for (const auto& [key, each] : pools_) {
        pool_snapshot& row = mine.pools.emplace_back();
        row.pool = each->shared;
        row.clients = static_cast<std::uint32_t>(each->clients_here());
        row.open = static_cast<std::uint32_t>(each->open());
        row.idle = static_cast<std::uint32_t>(each->idle());
        const local_pool::server_counts busy = each->count_servers();
        row.active = static_cast<std::uint32_t>(busy.active);
        row.testing = static_cast<std::uint32_t>(busy.testing);
        row.cancelling = static_cast<std::uint32_t>(busy.cancelling);
        row.dialling = static_cast<std::uint32_t>(each->dialling());
        row.waiting = static_cast<std::uint32_t>(each->waiting());
        if (const pool_waiter* first = each->first_waiter())
            row.oldest_wait_seconds = std::chrono::duration<double>(loop_.now() - first->waits_since).count();
        row.checkouts = each->checkouts;
        row.checkins = each->checkins;
        row.waits = each->waits;
        row.wait_seconds = std::chrono::duration<double>(each->waited).count();
        row.consecutive_failures = each->consecutive_failures();
        row.last_problem = each->last_problem;
        if (row.waiting > 0) row.waits_for = each->waits_for();
        row.requests = each->served.requests;
        row.transactions = each->served.transactions;
        row.bytes_in = each->served.bytes_in;
        row.bytes_out = each->served.bytes_out;
        row.executing_seconds = std::chrono::duration<double>(each->served.executing).count();
        row.attached_seconds = std::chrono::duration<double>(each->served.attached + busy.attached).count();
        row.proof_cache_bytes = each->facts.catalogue.bytes();
        each->describe_sessions(row, mine.pinned);
    }
    return mine;
}

void local_pool::describe_sessions(pool_snapshot& to,
                                   std::vector<std::pair<const shared_pool*, session_snapshot>>& pinned) const {
    constexpr std::size_t most_pinned = 1000;
    for (const auto& [server, owned] : servers_) {
        client_connection* client = server->client();
        const session* talk = client != nullptr ? client->conversation() : nullptr;
        if (talk == nullptr) continue;
        if (talk->in_transaction()) {
            ++to.in_transaction;
            if (!talk->busy()) ++to.idle_in_transaction;
            const pool_time since = client->transaction_since();
            const double age =
                since == pool_time{} ? 0 : std::chrono::duration<double>(worker_.loop().now() - since).count();
            to.oldest_transaction_seconds = std::max(to.oldest_transaction_seconds, age);
        }
        if (talk->pins() == 0) continue;
        ++to.pins[talk->pins()];
        if (pinned.size() < most_pinned) pinned.emplace_back(shared.get(), worker_.describe(*client));
    }
}

std::future<std::size_t> worker::ask_open_work(const cluster* of) {
    auto promise = std::make_shared<std::promise<std::size_t>>();
    std::future<std::size_t> answer = promise->get_future();
    post([this, of, promise] { promise->set_value(open_work(of)); });
    return answer;
}

std::size_t worker::open_work(const cluster* of) const {
    std::size_t sum = 0;
    for (const auto& [serial, client] : clients_) {
        if (client->server() == nullptr || client->pool() == nullptr || client->conversation() == nullptr) continue;
        const session& talk = *client->conversation();
        if (client->pool()->shared->backends_of.get() == of && (talk.busy() || talk.in_transaction())) ++sum;
    }
    return sum;
}

std::future<std::vector<session_snapshot>> worker::ask_sessions(std::size_t most) {
    auto promise = std::make_shared<std::promise<std::vector<session_snapshot>>>();
    auto answer = promise->get_future();
    post([this, most, promise] {
        std::vector<session_snapshot> all;
        for (const auto& [serial, client] : clients_) {
            if (all.size() >= most) break;
            all.push_back(describe(*client));
        }
        promise->set_value(std::move(all));
    });
    return answer;
}

session_snapshot worker::describe(client_connection& client) const {
    session_snapshot row;
    row.id = client.serial();
    row.user = client.user();
    row.database = client.database();
    row.peer = client.peer();
    row.age_seconds = std::chrono::duration<double>(loop_.now() - client.connected_at()).count();
    const pool_time active = std::max(client.last_activity(), client.connected_at());
    row.silent_seconds = std::chrono::duration<double>(loop_.now() - active).count();
    row.tls = client.tls();
    const session* talk = client.conversation();
    if (talk == nullptr) {
        row.state = client.relays() ? "replication" : "signing_in";
        if (client.relays()) row.server = client.server()->link.backend_name;
        if (client.relays()) row.server_pid = client.server()->link.backend_pid;
        return row;
    }
    const bool waits = client.queued;
    row.state = waits ? "waiting" : talk->busy() ? "active" : talk->in_transaction() ? "in_transaction" : "idle";
    if (talk->pins() != 0) row.pins = describe_pins(talk->pins());
    if (talk->desired() != nullptr)
        if (const std::string* name = talk->desired()->find("application_name")) row.application_name = *name;
    if (client.server() != nullptr) {
        row.server = client.server()->link.backend_name;
        row.server_pid = client.server()->link.backend_pid;
    }
    if (!waits) return row;
    row.wait_seconds = std::chrono::duration<double>(loop_.now() - client.waits_since).count();
    row.waits_for = client.pool()->waits_for();
    return row;
}

std::future<std::vector<server_snapshot>> worker::ask_servers(std::size_t most) {
    auto promise = std::make_shared<std::promise<std::vector<server_snapshot>>>();
    auto answer = promise->get_future();
    post([this, most, promise] {
        std::vector<server_snapshot> all;
        for (const auto& [key, pool] : pools_)
            for (const std::shared_ptr<server_connection>& each : pool->all_servers())
                if (all.size() < most && each->now() != server_connection::phase::closed)
                    all.push_back(describe(*each));
        promise->set_value(std::move(all));
    });
    return answer;
}

server_snapshot worker::describe(const server_connection& server) const {
    const auto seconds_since = [this](pool_time then) {
        return then == pool_time{} ? 0.0 : std::chrono::duration<double>(loop_.now() - then).count();
    };
    const local_pool& pool = server.pool();
    server_snapshot row;
    row.user = pool.shared->plan.server_user;
    row.database = pool.shared->plan.database;
    row.pool_user = pool.shared->plan.user;
    row.state = to_string(server.now());
    row.host = server.host().host;
    row.port = server.host().port;
    row.pid = server.link.backend_pid;
    row.standby = server.link.standby;
    row.tls = server.uses_tls();
    row.condemned = server.condemned || server.generation != pool.generation();
    row.age_seconds = seconds_since(server.opened);
    if (server.now() == server_connection::phase::idle) row.idle_seconds = seconds_since(server.idle_since);
    if (server.client() != nullptr) row.client = server.client()->serial();
    row.prepared = server.link.prepared.size();
    return row;
}

std::future<std::size_t> worker::end_sessions_of(std::string database) {
    auto promise = std::make_shared<std::promise<std::size_t>>();
    auto answer = promise->get_future();
    post([this, database = std::move(database), promise] {
        std::vector<std::uint64_t> found;
        for (const auto& [serial, client] : clients_)
            if (client->database() == database) found.push_back(serial);
        for (const std::uint64_t each : found) (void)end_here(each);
        promise->set_value(found.size());
    });
    return answer;
}

std::future<std::string> worker::end_session(std::uint64_t serial) {
    auto promise = std::make_shared<std::promise<std::string>>();
    std::future<std::string> answer = promise->get_future();
    post([this, serial, promise] { promise->set_value(end_here(serial)); });
    return answer;
}

std::string worker::end_here(std::uint64_t serial) {
    const auto at = clients_.find(serial);
    if (at == clients_.end()) return {};
    const std::shared_ptr<client_connection> client = at->second;
    std::string who = client->user() + '/' + client->database();
    client->kill(fatal_error(sqlstate::admin_shutdown, "terminating connection due to administrator command"),
                 end_reason::killed);
    settle();
    return who;
}

}  // namespace pgsteady
