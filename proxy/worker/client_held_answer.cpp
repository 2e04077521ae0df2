// When a transaction is interrupted, others may be given its locks before their own server is gone, too: in an outage servers
// end one after another. Whoever was then told of a row that somebody else's interrupted transaction had locked could not
// be replayed beside it: one of the two would have to hear 40001. So for a moment what servers say within transactions is
// left with them (D30). If that server ends as well, its answer was never given, and the statement is one that was under
// way. A server says that it ends before it lets go of its locks, so on one worker no such answer comes too early; on two it
// may, by as much as one is late. While nothing is lost it costs an atomic load. A COMMIT's answer is the truth whoever
// dies, and is never held. See client_connection.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

/// True: what its server says is not taken now. Its socket is left alone until end_answer_hold(), or until it has ended.
bool client_connection::hold_answer() {
    if (answer_hold_.on()) return true;
    const bool undisturbed = barrier_number == 0 && server_->serves() == server_need::primary;
    if (!answer_hold_.begin(undisturbed && session_->may_hold_answer())) return false;
    const pool_time until = pool_->answers_held_until();
    hold_timer_ = worker_.loop().add_timer(until, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr || !alive->answer_hold_.on()) return;
        alive->end_answer_hold();
        alive->server_->offer_again();
        alive->worker_.settle();
    });
    return true;
}

void client_connection::end_answer_hold() {
    answer_hold_.end();
    worker_.loop().cancel_timer(hold_timer_);
}

}  // namespace pgsteady
