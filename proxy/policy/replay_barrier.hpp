// In which order an outage is made good (D30): first all interrupted transactions replay what had been answered, since they
// held those locks together and so cannot conflict; then each goes on with what was under way; then new work is let in. A
// replay that takes long, or waits for one that waits for it, must not stop the others: each of the two steps ends after a
// while. Counted from when work is possible, since an outage itself takes as long as it takes. Pure: time is an argument.
// Owned by replay_gate, one per cluster.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>

namespace pgsteady {

class replay_barrier {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;
    using number = std::uint64_t;  ///< of one interrupted transaction; 0: of none

    /// A transaction was interrupted; `again`: what it got when that happened before, if that was never left: then all begins
    /// anew.
    [[nodiscard]] number enter(number again, duration limit, time_point now);
    /// What had been answered in it is done again.
    void restored(number which, time_point now);
    /// What was under way in it is answered, or it is given up, or its client has left.
    void leave(number which, time_point now);
    /// Nobody can be served now, or who was interrupted waits before it tries again: new work is not let in before the replays, however few there are. Begins anew, too.
    void note_outage();
    /// There is a server for new work, or a replay has one and waits for others: time counts from now on, if it does not yet.
    void work_is_possible(time_point now);
    /// A step may be over by time alone.
    void look(time_point now);

    /// A server says that it ends, within a transaction: others may be given its locks now.
    void loses_locks(duration limit, time_point now);
    /// Until then what servers say within other transactions is left with them: they may have been given what a replay needs
    /// (client_held_answer.cpp). For a while from each loss on, since servers of one host end one after another, and as long
    /// as what had been answered is done again. In the past, mostly.
    [[nodiscard]] time_point answers_held_until() const;

    /// What was under way in interrupted transactions may be sent.
    [[nodiscard]] bool lets_go_on() const { return step_ != step::restoring; }
    /// No new work is let in.
    [[nodiscard]] bool closed() const { return step_ != step::none && (outage_ || most_ > 1); }
    [[nodiscard]] bool any() const { return step_ != step::none; }
    [[nodiscard]] std::size_t inside() const { return inside_.size(); }
    [[nodiscard]] std::uint64_t completed() const { return completed_; }  ///< barriers that all have left, since start
    [[nodiscard]] std::uint64_t expired() const { return expired_; }      ///< and that time has opened

private:
    enum class step : unsigned char { none, restoring, going_on };
    void settle(time_point now);
    void begin_restoring();
    void begin_going_on(time_point now);
    static constexpr int leaving_share = 16;  // of `limit`: servers that end together do so within a few milliseconds

    step step_ = step::none;
    bool outage_ = false;
    std::size_t most_ = 0;
    number last_ = 0;
    std::map<number, bool> inside_;  // true: what had been answered is done again
    duration limit_{};
    time_point leaving_until_{};
    time_point restoring_until_{};
    time_point since_{};  // of the step, once work was possible in it; the epoch: it was not
    std::uint64_t completed_ = 0;
    std::uint64_t expired_ = 0;
};

}  // namespace pgsteady
