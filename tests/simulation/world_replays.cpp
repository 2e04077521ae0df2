// A world's barrier of replays (D30): what proxy/worker/local_pool_replays.cpp does, with letters that take a moment. See
// world.hpp.
#include "tests/simulation/world.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace pgsteady::simulation {

namespace {
constexpr micros letter_time = 300;
}  // namespace

template <typename Change>
void world::change_barrier(Change&& what) {
    const auto state = [this] { return std::array{barrier_.any(), barrier_.lets_go_on(), barrier_.closed()}; };
    const auto before = state();
    std::forward<Change>(what)(barrier_);
    if (state() == before) return;
    core_.serve_only_replays(barrier_.closed());
    time.in(chance.between(0, letter_time), [this] { follow_barrier(); });
}

void world::enter_barrier(simulated_client& who) {
    if (!facts.replays_together) return;
    change_barrier([&](replay_barrier& all) {
        who.barrier_number = all.enter(who.barrier_number, barrier_time, clock());
        if (primary().now_is != model_host::state::up) all.note_outage();
    });
    who.replays = who.barrier_number != 0;
    trace(fmt::format("client {} is behind the barrier, one of {}", who.conversation.client_pid(), barrier_.inside()));
}

void world::restored(simulated_client& who, std::function<void()> pass) {
    if (who.barrier_number != 0)
        change_barrier([&](replay_barrier& all) { all.restored(who.barrier_number, clock()); });
    if (!who.conversation.behind_barrier()) return;
    at_barrier_.push_back(std::move(pass));
    time.in(chance.between(0, letter_time), [this] { follow_barrier(); });
}

void world::leave_barrier(simulated_client& who) {
    who.replays = false;
    const replay_barrier::number which = std::exchange(who.barrier_number, 0);
    if (which != 0) change_barrier([&](replay_barrier& all) { all.leave(which, clock()); });
}

void world::note_outage() {
    if (barrier_.any()) change_barrier([](replay_barrier& all) { all.note_outage(); });
}

void world::look_at_barrier() {
    if (!barrier_.any()) return;
    const bool may_work = core_.serves_only_replays() && core_.idle() > 0 && core_.waiting() > 0;
    change_barrier([&](replay_barrier& all) {
        if (may_work) all.work_is_possible(clock());
        all.look(clock());
    });
}

void world::follow_barrier() {
    core_.serve_only_replays(barrier_.closed());
    if (!barrier_.lets_go_on()) return;
    for (const auto& pass : std::exchange(at_barrier_, {})) pass();
}

}  // namespace pgsteady::simulation
