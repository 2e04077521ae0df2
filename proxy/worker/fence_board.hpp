// The fence_list of one pool, for all its workers: whichever has a server free asks about it. Locked; while nothing is pursued,
// which is nearly always, it costs whoever gives a server back one load of a flag that nobody writes. Owned by shared_pool.
#pragma once

#include "proxy/worker/fence_list.hpp"

#include <atomic>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace pgsteady {

class fence_board {
public:
    using time_point = fence_list::time_point;

    fence_board(std::size_t most, fence_list::duration patience) : list_(most, patience) {}

    [[nodiscard]] bool any() const { return any_.load(std::memory_order_relaxed); }

    /// See fence_list, also for the rest.
    void set_rules(std::size_t most, fence_list::duration patience) {
        (void)locked([&] { return list_.set_rules(most, patience), true; });
    }
    bool add(fence_list::entry what, time_point now) {
        return locked([&] { return list_.add(std::move(what), now); });
    }
    [[nodiscard]] bool due_on(std::size_t host, time_point now) {
        return locked([&] { return list_.due_on(host, now); });
    }
    [[nodiscard]] bool may_open(time_point now) {
        return locked([&] { return list_.may_open(now); });
    }
    [[nodiscard]] fence_list::question ask(std::size_t host, std::string_view server_started_at, time_point now) {
        return locked([&] { return list_.ask(host, server_started_at, now); });
    }
    /// `problem`: the SQLSTATE of the refusal; empty: there was none.
    void answered(std::uint64_t number, const std::vector<fence_list::row>& rows, std::string_view problem,
                  time_point now) {
        locked([&] {
            if (problem.empty()) list_.answered(number, rows, now);
            else list_.failed(number, problem, now);
            return true;
        });
    }
    void unanswered(std::uint64_t number, time_point now) {
        (void)locked([&] { return list_.unanswered(number, now), true; });
    }
    [[nodiscard]] std::vector<fence_list::ended> take_ended(time_point now) {
        return locked([&] { return list_.take_ended(now); });
    }

private:
    template <typename Use>
    std::invoke_result_t<Use> locked(Use use) {
        const std::scoped_lock lock(mutex_);
        auto result = use();
        any_.store(!list_.empty(), std::memory_order_relaxed);
        return result;
    }

    std::mutex mutex_;
    fence_list list_;
    std::atomic<bool> any_{false};
};

}  // namespace pgsteady
