// Permission to hold a server connection: one counter per pool for all workers together, and one for
// the whole process (D41). Lock-free; a permit is taken before a dial and returned after the close.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace pgsteady {

/// A counter with a limit. 0 means no limit.
class permit_counter {
public:
    explicit permit_counter(std::uint32_t limit) : limit_(limit) {}

    [[nodiscard]] bool try_take() {
        std::uint32_t used = used_.load(std::memory_order_relaxed);
        do {
            const std::uint32_t limit = limit_.load(std::memory_order_relaxed);
            if (limit != 0 && used >= limit) return false;
        } while (!used_.compare_exchange_weak(used, used + 1, std::memory_order_relaxed));
        return true;
    }
    /// Gives one back unless that would leave fewer than `floor`: of several who want to, only as many do.
    [[nodiscard]] bool try_give_back_above(std::uint32_t floor) {
        std::uint32_t used = used_.load(std::memory_order_relaxed);
        do {
            if (used <= floor) return false;
        } while (!used_.compare_exchange_weak(used, used - 1, std::memory_order_relaxed));
        return true;
    }
    void give_back() { used_.fetch_sub(1, std::memory_order_relaxed); }

    [[nodiscard]] std::uint32_t used() const { return used_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }
    void set_limit(std::uint32_t limit) { limit_.store(limit, std::memory_order_relaxed); }
    /// The servers have no room for as many as are in use (53300): a tenth fewer is the new limit, at least one.
    void shrink() {
        const std::uint32_t held = used();
        const std::uint32_t fewer = held > 1 ? held - std::max(held / 10, std::uint32_t{1}) : 1;
        const std::uint32_t now = limit();
        set_limit(now == 0 ? fewer : std::min(now, fewer));
    }
    /// One more may be tried where all that there may be are in use; never more than `most`.
    void grow(std::uint32_t most) {
        const std::uint32_t now = limit();
        if (now != 0 && used() >= now && now < most) set_limit(now + 1);
    }

private:
    std::atomic<std::uint32_t> used_{0};
    std::atomic<std::uint32_t> limit_;
};

/// Takes from both or from neither.
[[nodiscard]] inline bool take_both(permit_counter& pool, permit_counter& process) {
    if (!pool.try_take()) return false;
    if (process.try_take()) return true;
    pool.give_back();
    return false;
}

}  // namespace pgsteady
