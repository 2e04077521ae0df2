// Time that passes only when nothing else can happen, and byte streams in it that split, join and delay what is sent, lose
// it, or fall silent. What is due at the same moment comes in an order that the seed decides. For tests.
#pragma once

#include "tests/simulation/dice.hpp"
#include "tests/simulation/model_backend.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::simulation {

class virtual_time {
public:
    explicit virtual_time(dice& chance) : chance_(chance) {}

    void at(micros when, std::function<void()> what);
    void in(micros pause, std::function<void()> what) { at(now + pause, std::move(what)); }
    /// Runs what is due next. False: nothing is.
    bool step();

    micros now = 0;
    std::uint64_t steps = 0;

private:
    struct event {
        micros when;
        std::uint64_t order;
        std::function<void()> what;
        bool operator<(const event& other) const {
            return when != other.when ? when > other.when : order > other.order;
        }
    };

    dice& chance_;
    std::priority_queue<event> events_;
};

/// One direction of a connection. What is sent arrives in order, in pieces of any size, some time later; behind it the end.
class byte_line {
public:
    byte_line(virtual_time& time, dice& chance, std::function<void(std::string_view)> arrives,
              std::function<void(bool reset)> ends);
    ~byte_line() { *alive_ = false; }
    byte_line(const byte_line&) = delete;
    byte_line& operator=(const byte_line&) = delete;

    void send(std::string_view bytes);
    /// FIN: after everything sent. RST: at once, and what is under way is lost.
    void end(bool reset);
    /// Nothing arrives any more, and nobody is told.
    void fall_silent() { silent_ = true; }
    [[nodiscard]] bool silent() const { return silent_; }

    /// After so many bytes in all, `cut` is called, and nothing that comes later arrives by itself.
    std::size_t cut_after = SIZE_MAX;
    std::function<void()> cut;
    std::size_t passed = 0;
    bool calm = false;  ///< in one piece, at once

private:
    void deliver(const std::string& piece);

    virtual_time& time_;
    dice& chance_;
    std::function<void(std::string_view)> arrives_;
    std::function<void(bool)> ends_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::shared_ptr<std::uint64_t> generation_ = std::make_shared<std::uint64_t>(0);
    micros last_due_ = 0;
    bool ended_ = false;
    bool is_cut_ = false;
    bool silent_ = false;
};

}  // namespace pgsteady::simulation
