// How much happened in the last while: a sum that forgets, in ten slots of equal length, so that memory and cost do not
// depend on the traffic. What it says is exact to a tenth of the span. Not thread-safe: its owner's thread alone.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pgsteady {

class sliding_count {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    /// What was added longer ago than `span` is forgotten.
    explicit sliding_count(duration span) : slot_length_(std::max(duration{1}, span / slot_count)) {}

    /// A time before that of an earlier call counts as the time of that call.
    void add(time_point now, std::uint64_t count) {
        advance(now);
        add_to(newest_, count);
    }

    /// Something was counted from `since` until now, and nobody knows when: as if it had come evenly.
    void add_spread(time_point since, time_point now, std::uint64_t count) {
        advance(now);
        const std::int64_t first = std::clamp<std::int64_t>(since.time_since_epoch() / slot_length_, 0, newest_);
        const std::int64_t first_kept = std::max(first, newest_ - slot_count + 1);
        const auto slots_between = static_cast<std::uint64_t>(newest_ - first) + 1;
        const auto slots_kept = static_cast<std::uint64_t>(newest_ - first_kept) + 1;
        const std::uint64_t each = count / slots_between;
        for (std::int64_t number = first_kept; number <= newest_; ++number) add_to(number, each);
        // What does not divide evenly; less than one per slot.
        add_to(newest_, count % slots_between * slots_kept / slots_between);
    }

    [[nodiscard]] std::uint64_t sum(time_point now) {
        advance(now);
        return total_;
    }

    void clear() {
        slots_ = {};
        total_ = 0;
    }

private:
    static constexpr std::int64_t slot_count = 10;

    static std::size_t index_of(std::int64_t number) { return static_cast<std::size_t>(number % slot_count); }

    void add_to(std::int64_t number, std::uint64_t count) {
        count = std::min(count, UINT64_MAX - total_);
        slots_[index_of(number)] += count;
        total_ += count;
    }

    void advance(time_point now) {
        const std::int64_t number = now.time_since_epoch() / slot_length_;
        const std::int64_t passed = std::clamp<std::int64_t>(number - newest_, 0, slot_count);
        for (std::int64_t back = 0; back < passed; ++back) {
            std::uint64_t& outdated = slots_[index_of(number - back)];
            total_ -= outdated;
            outdated = 0;
        }
        newest_ = std::max(newest_, number);
    }

    duration slot_length_;
    std::array<std::uint64_t, slot_count> slots_{};
    std::int64_t newest_ = slot_count;  // number of the newest slot, counted from the clock's epoch
    std::uint64_t total_ = 0;
};

}  // namespace pgsteady
