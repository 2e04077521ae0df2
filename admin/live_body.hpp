// live_body: an answer without an end, between whoever has something to tell and the connection that sends it.
// What waits to be sent is bounded: a reader that is too slow for that loses its answer, never the teller its time.
// One thread; shared by the two.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace pgsteady::admin {

class live_body {
public:
    using chunk = std::shared_ptr<const std::string>;  ///< one text for all readers

    /// `most_bytes`: as much may wait, beside the newest picture.
    explicit live_body(std::size_t most_bytes) : most_bytes_(most_bytes) {}

    /// Every chunk arrives, in order; or the body ends.
    void put(chunk next);
    /// Only the newest one is of interest; one that was not sent yet is replaced.
    void show(chunk picture);
    void end();

    [[nodiscard]] bool ended() const { return ended_; }
    /// What is to be sent next; null: nothing yet.
    [[nodiscard]] chunk take();
    /// Called whenever there may be something to take, or the end has come.
    void on_change(std::function<void()> wake) { wake_ = std::move(wake); }

private:
    void changed() const {
        if (wake_) wake_();
    }

    std::size_t most_bytes_;
    std::deque<chunk> waiting_;
    std::size_t bytes_ = 0;
    chunk picture_;
    bool ended_ = false;
    std::function<void()> wake_;
};

}  // namespace pgsteady::admin
