// Which answers are left with their servers for a moment, since others are losing theirs (D30; why: worker/client_held_answer.cpp).
// An answer is held once, however many servers end one after another, and never that of a transaction which has been interrupted
// itself. Pure: time is an argument. Owned by the client's connection.
#pragma once

#include <chrono>
#include <utility>

namespace pgsteady {

class answer_hold {
public:
    using duration = std::chrono::steady_clock::duration;

    /// Its server has said something while answers are held. `may`: it is within a transaction that could be replayed, and
    /// what has been shown of the answer could be continued. True: what was said is not taken now.
    [[nodiscard]] bool begin(bool may) {
        if (on_) return true;
        if (held_ || !may) return false;
        on_ = held_ = true;
        return true;
    }
    /// An answer that was waited for so long may have waited for locks, which somebody's end has let go of: whether another
    /// worker has yet to read of one is found out first. Statements that wait for nothing are through by then, mostly.
    static constexpr duration worth_asking = std::chrono::microseconds(250);

    /// Whether that is to be found out; once for each answer.
    [[nodiscard]] bool asks(bool may) { return !on_ && !held_ && may && !std::exchange(asked_, true); }
    /// As begin(), until others have answered.
    void await_others() { on_ = true; }
    /// Time is up, others have answered, its server has ended, or it has no server any more.
    void end() { on_ = false; }
    /// What comes next is another request's.
    void answered() { held_ = asked_ = false; }

    [[nodiscard]] bool on() const { return on_; }
    /// Since others' transactions are interrupted, and not until other workers have answered.
    [[nodiscard]] bool for_replays() const { return on_ && held_; }

private:
    bool on_ = false;
    bool held_ = false;   // this request's answer is, or has been
    bool asked_ = false;  // others, about this request's answer
};

}  // namespace pgsteady
