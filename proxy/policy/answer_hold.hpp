// Which answers are left with their servers for a moment, since others are losing theirs (D30; why: worker/client_held_answer.cpp).
// An answer is held once, however many servers end one after another, and never that of a transaction which has been interrupted
// itself. Pure: time is an argument. Owned by the client's connection.
#pragma once

#include <chrono>

namespace pgsteady {

class answer_hold {
public:
    using duration = std::chrono::steady_clock::duration;

    /// For how long from a loss on, of what a step of the barrier may last (replay.barrier).
    [[nodiscard]] static constexpr duration length(duration barrier) { return barrier / 16; }

    /// Its server has said something while answers are held. `may`: it is within a transaction that could be replayed, and
    /// nothing of the answer has been shown. True: what was said is not taken now.
    [[nodiscard]] bool begin(bool may) {
        if (on_) return true;
        if (held_ || !may) return false;
        on_ = held_ = true;
        return true;
    }
    /// Time is up, its server has ended, or it has no server any more.
    void end() { on_ = false; }
    /// What comes next is another request's.
    void answered() { held_ = false; }

    [[nodiscard]] bool on() const { return on_; }

private:
    bool on_ = false;
    bool held_ = false;  // this request's answer is, or has been
};

}  // namespace pgsteady
