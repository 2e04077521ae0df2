// Tells one terminated backend from a server that goes down: several losses within a moment (recovery.md 2.9: 57P01,
// 57P02 or EOF on three sessions within a second). Also counts failures of storage for the write path (three in ten
// seconds, 2.12). Decides nothing about what follows. Not thread-safe: its owner's thread alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace pgsteady {

class loss_burst {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    explicit loss_burst(std::uint32_t threshold = 3, duration span = std::chrono::seconds{1})
        : threshold_(threshold), span_(span) {}

    /// One more session was lost. True when it completes a burst; then counting begins anew, so a burst is told once
    /// per `threshold` losses. Each connection is lost once, so connections need no names here.
    [[nodiscard]] bool add(time_point now) {
        while (!losses_.empty() && now - losses_.front() > span_) losses_.pop_front();
        losses_.push_back(now);
        if (losses_.size() < threshold_) return false;
        losses_.clear();
        return true;
    }

    void clear() { losses_.clear(); }

private:
    std::uint32_t threshold_;
    duration span_;
    std::deque<time_point> losses_;  // oldest first; never more than the threshold
};

}  // namespace pgsteady
