// The replay barrier of one cluster (D30), as the sessions of all workers see it: a replay_barrier behind one lock. While all
// is well nobody comes here, but for one look at an atomic. It tells nobody: who changes it posts the letters. Thread-safe;
// owned by its cluster.
#pragma once

#include "proxy/policy/replay_barrier.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>

namespace pgsteady {

class replay_gate {
public:
    using time_point = replay_barrier::time_point;
    using number = replay_barrier::number;

    struct state {
        bool any = false;
        bool lets_go_on = true;
        bool closed = false;
        bool operator==(const state&) const = default;
    };
    /// Thread-safe, and of now.
    [[nodiscard]] state now() const {
        const std::scoped_lock lock(mutex_);
        return state_of();
    }
    /// There is anything that time could change. One atomic load.
    [[nodiscard]] bool any() const { return any_.load(std::memory_order_relaxed); }

    /// In the past, mostly. One atomic load.
    [[nodiscard]] time_point answers_held_until() const {
        return time_point(time_point::duration(answers_held_until_.load(std::memory_order_relaxed)));
    }

    /// Does `what` with the barrier. True: who waits because of it has to look again.
    template <typename Change>
    bool change(Change&& what) {
        const std::scoped_lock lock(mutex_);
        const state before = state_of();
        std::forward<Change>(what)(barrier_);
        const state after = state_of();
        any_.store(after.any, std::memory_order_relaxed);
        answers_held_until_.store(barrier_.answers_held_until().time_since_epoch().count(), std::memory_order_relaxed);
        return !(before == after);
    }

    struct totals {
        std::uint64_t completed = 0;
        std::uint64_t expired = 0;
    };
    [[nodiscard]] totals counted() const {
        const std::scoped_lock lock(mutex_);
        return {barrier_.completed(), barrier_.expired()};
    }

private:
    [[nodiscard]] state state_of() const { return {barrier_.any(), barrier_.lets_go_on(), barrier_.closed()}; }

    mutable std::mutex mutex_;
    replay_barrier barrier_;  // guarded by mutex_
    std::atomic<bool> any_{false};
    std::atomic<time_point::rep> answers_held_until_{0};
};

}  // namespace pgsteady
