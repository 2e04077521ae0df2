// A pool's part on one worker, after an outage: who replays an interrupted transaction comes before new work, and waits for the
// others where D30 says so. The order is replay_barrier's; this tells it what happens here, and lets in whom it lets in. Every
// change is told to all workers by letter. While no transaction is interrupted nothing of it is asked. See local_pool.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

/// This worker acts at once, the others when their letter comes.
template <typename Change>
void local_pool::change_barrier(Change&& what) {
    if (!shared->backends_of->replays().change(std::forward<Change>(what))) return;
    for (worker* each : worker_.shared().workers)
        each->post([each, whose = shared->backends_of] { each->follow_barrier(*whose); });
    serve_replays(shared->backends_of->replays().now());
}

void local_pool::serve_replays(const replay_gate::state& now) {
    primaries_.core.serve_replays(now.any, now.closed);
    publish(primaries_);
}

void local_pool::enter_barrier(client_connection& client, bool pauses) {
    if (replay_barrier_time <= pool_duration::zero()) return;
    change_barrier([&](replay_barrier& all) {
        client.barrier_number = all.enter(client.barrier_number, replay_barrier_time, worker_.loop().now());
        if (pauses || primary_withheld(*view_)) all.note_outage();
    });
    client.replays = client.barrier_number != 0;
}

void local_pool::hold_answers() {
    if (replay_barrier_time > pool_duration::zero())
        change_barrier([&](replay_barrier& all) { all.loses_locks(replay_barrier_time, worker_.loop().now()); });
}

void local_pool::claim_rows(const client_connection& client) {
    const pool_time now = worker_.loop().now();
    const server_link& blocked = client.server()->link;
    const auto there = [host = blocked.host](const pooled_server& server, const pool_waiter&) {
        return static_cast<const server_connection&>(server).link.host == host;
    };
    const pool::checkout found = primaries_.core.take_idle_for(pool_waiter{}, there, now);
    if (found.server != nullptr) {
        static_cast<server_connection*>(found.server)->start_search(blocked.backend_pid);
        return publish(primaries_);
    }
    if (may_open_extra(blocked.host) && primaries_.core.may_dial_extra()) open_extra(blocked.host);
}

/// Who it is may be any worker's, and give way by letter, so that nobody does so within an event of another's.
void local_pool::keepers_found(std::size_t host, const std::vector<std::int32_t>& pids) {
    if (pids.empty()) return;
    for (worker* each : worker_.shared().workers)
        each->post([each, whose = shared->backends_of, host, pids] { each->give_way(*whose, host, pids); });
}

void local_pool::give_way(std::size_t host, const std::vector<std::int32_t>& pids) {
    const auto keeps = [&](const server_connection& server) {
        return server.link.host == host && std::find(pids.begin(), pids.end(), server.link.backend_pid) != pids.end();
    };
    for (const auto& each : clients_of_servers(keeps)) each->give_way();
}

/// Of those that have a client.
template <typename Which>
std::vector<std::shared_ptr<client_connection>> local_pool::clients_of_servers(Which which) const {
    std::vector<std::shared_ptr<client_connection>> found;
    for (const auto& [server, owned] : servers_)
        if (server->client() != nullptr && which(*server)) found.push_back(server->client()->shared_from_this());
    return found;
}

void local_pool::restored(client_connection& client) {
    if (client.barrier_number != 0)
        change_barrier([&](replay_barrier& all) { all.restored(client.barrier_number, worker_.loop().now()); });
    if (!client.behind_barrier()) return;
    // A letter, so that whoever it lets go on does not do so within the event at hand.
    at_barrier_.push_back(client.weak_from_this());
    worker_.post([at = &worker_, whose = shared->backends_of] { at->follow_barrier(*whose); });
    worker_.waiting_changed();
}

void local_pool::leave_barrier(client_connection& client) {
    client.replays = false;
    const replay_barrier::number which = std::exchange(client.barrier_number, 0);
    if (which != 0) change_barrier([&](replay_barrier& all) { all.leave(which, worker_.loop().now()); });
}

/// Nobody can be given a primary's server.
void local_pool::note_outage() {
    if (shared->backends_of->replays().any()) change_barrier([](replay_barrier& all) { all.note_outage(); });
}

/// A server is here, and nobody but new work wants it.
void local_pool::work_is_possible() {
    change_barrier([now = worker_.loop().now()](replay_barrier& all) { all.work_is_possible(now); });
}

/// For others, with servers of their own. These may hold what the others need, or be all the servers there may be, so that
/// nothing else would ever start the clock after somebody was interrupted again.
bool local_pool::replays_wait() const {
    return !primary_withheld(*view_) && std::any_of(at_barrier_.begin(), at_barrier_.end(), [](const auto& each) {
        const auto client = each.lock();
        return client != nullptr && client->behind_barrier() && client->server() != nullptr;
    });
}

void local_pool::look_at_barrier(pool_time now) {
    if (!shared->backends_of->replays().any()) return;
    change_barrier([now, possible = replays_wait()](replay_barrier& all) {
        if (possible) all.work_is_possible(now);
        all.look(now);
    });
}

void local_pool::follow_barrier() {
    const replay_gate::state now = shared->backends_of->replays().now();
    serve_replays(now);
    if (now.lets_go_on)
        for (const auto& each : std::exchange(at_barrier_, {}))
            if (const auto client = each.lock()) client->pass_barrier();
    if (now.lets_go_on)
        for (const auto& each :
             clients_of_servers([](const server_connection& server) { return server.client()->holding_answer(); }))
            each->look_at_held_answer();
    if (now.closed) return;
    serve_waiting(primaries_);
    ask_neighbours(primaries_);
}

}  // namespace pgsteady
