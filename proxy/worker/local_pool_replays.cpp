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
    primaries_.core.serve_only_replays(shared->backends_of->replays().now().closed);
}

void local_pool::enter_barrier(client_connection& client) {
    if (replay_barrier_time <= pool_duration::zero()) return;
    hold_answers();  // first: others are answered meanwhile
    change_barrier([&](replay_barrier& all) {
        client.barrier_number = all.enter(client.barrier_number, replay_barrier_time, worker_.loop().now());
        if (primary_withheld(*view_)) all.note_outage();
    });
    client.replays = client.barrier_number != 0;
}

void local_pool::hold_answers() {
    if (replay_barrier_time > pool_duration::zero())
        replays_.hold_answers(worker_.loop().now() + answer_hold::length(replay_barrier_time));
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
    primaries_.core.serve_only_replays(now.closed);
    publish(primaries_);
    if (now.lets_go_on)
        for (const auto& each : std::exchange(at_barrier_, {}))
            if (const auto client = each.lock()) client->pass_barrier();
    if (now.closed) return;
    serve_waiting(primaries_);
    ask_neighbours(primaries_);
}

}  // namespace pgsteady
