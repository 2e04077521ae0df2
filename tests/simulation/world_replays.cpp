// A world's barrier of replays (D30): what proxy/worker/local_pool_replays.cpp does, with letters that take a moment. See
// world.hpp.
#include "tests/simulation/world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace pgsteady::simulation {

/// The worker at work acts at once, the others when their letter comes.
template <typename Change>
void world::change_barrier(std::size_t worker, Change&& what) {
    const auto state = [this] { return std::array{barrier_.any(), barrier_.lets_go_on(), barrier_.closed()}; };
    const auto before = state();
    std::forward<Change>(what)(barrier_);
    if (state() == before) return;
    core_of(worker).serve_replays(barrier_.any(), barrier_.closed());
    for (std::size_t each = 0; each < workers_.size(); ++each)
        time.in(chance.between(0, letter_time), [this, each] { follow_barrier(each); });
}

void world::enter_barrier(simulated_client& who, bool pauses) {
    if (!facts.replays_together) return;
    change_barrier(who.worker, [&](replay_barrier& all) {
        who.barrier_number = all.enter(who.barrier_number, barrier_time, clock());
        if (pauses || primary().now_is != model_host::state::up) all.note_outage();
    });
    who.replays = who.barrier_number != 0;
    trace(fmt::format("client {} is behind the barrier, one of {}", who.conversation.client_pid(), barrier_.inside()));
}

void world::restored(simulated_client& who) {
    if (who.barrier_number != 0)
        change_barrier(who.worker, [&](replay_barrier& all) { all.restored(who.barrier_number, clock()); });
    if (!who.conversation.behind_barrier()) return;
    workers_[who.worker].at_barrier.push_back({&who, who.life()});
    time.in(chance.between(0, letter_time), [this, worker = who.worker] { follow_barrier(worker); });
}

void world::leave_barrier(simulated_client& who) {
    who.replays = false;
    const replay_barrier::number which = std::exchange(who.barrier_number, 0);
    if (which != 0) change_barrier(who.worker, [&](replay_barrier& all) { all.leave(which, clock()); });
}

void world::note_outage() {
    if (barrier_.any()) change_barrier(0, [](replay_barrier& all) { all.note_outage(); });
}

void world::hold_answers() {
    if (facts.replays_together) barrier_.loses_locks(barrier_time, clock());
}

/// By letters, as from any worker to all.
void world::claim_rows(const simulated_client& who) {
    std::set<std::int32_t> keepers;
    for (const model_backend* next = who.server->backend->waits_for(); next != nullptr; next = next->waits_for())
        if (!keepers.insert(next->pid).second) break;
    for (std::size_t worker = 0; worker < workers_.size() && !keepers.empty(); ++worker)
        time.in(chance.between(0, letter_time), [this, worker, keepers, host = who.server->host] {
            for (simulated_client* const each : clients_of_servers(worker))
                if (each->server != nullptr && each->server->host == host &&
                    keepers.contains(each->server->link.backend_pid))
                    each->give_way();
        });
}

std::vector<simulated_client*> world::clients_of_servers(std::size_t worker) const {
    std::vector<simulated_client*> found;
    for (const auto& server : servers)
        if (!server->closed && server->worker == worker && server->client != nullptr) found.push_back(server->client);
    return found;
}

/// For others, with servers of their own.
bool world::replays_wait(std::size_t worker) const {
    const auto& waiting = workers_[worker].at_barrier;
    return primary().now_is == model_host::state::up &&
           std::any_of(waiting.begin(), waiting.end(), [](const auto& each) {
               return *each.alive && each.who->conversation.behind_barrier() && each.who->server != nullptr;
           });
}

void world::look_at_barrier(std::size_t worker) {
    if (!barrier_.any()) return;
    const pool& core = core_of(worker);
    const bool may_work = (core.serves_only_replays() && core.idle() > 0 && core.waiting() > 0) || replays_wait(worker);
    change_barrier(worker, [&](replay_barrier& all) {
        if (may_work) all.work_is_possible(clock());
        all.look(clock());
    });
}

void world::follow_barrier(std::size_t worker) {
    core_of(worker).serve_replays(barrier_.any(), barrier_.closed());
    if (!barrier_.lets_go_on()) return;
    for (const auto& each : std::exchange(workers_[worker].at_barrier, {}))
        if (*each.alive) each.who->pass_barrier();
    for (simulated_client* const each : clients_of_servers(worker)) each->look_at_held_answer();
}

}  // namespace pgsteady::simulation
