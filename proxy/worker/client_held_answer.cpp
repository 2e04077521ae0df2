// When a transaction is interrupted, others may be given its locks before their own server is gone, too: in an outage servers
// end one after another. Whoever was then told of a row that somebody else's interrupted transaction had locked could not
// be replayed beside it: one of the two would have to hear 40001. So for a moment what servers say within transactions is
// left with them (D30). If that server ends as well, its answer was never given, and the statement is one that was under
// way. A server says that it ends before it lets go of its locks, so on one worker no such answer comes too early. With
// several, an answer that may have waited for locks is taken once the others have said that they have read so far. While
// nothing is lost and nobody waits it costs an atomic load. A COMMIT's answer is the truth whoever dies, and is never held.
// See client_connection.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

namespace {
// A worker that is busy for longer is not waited for.
constexpr std::chrono::milliseconds patience_with_workers{10};
}  // namespace

/// True: what its server says is not taken now. Its socket is left alone until end_answer_hold(), or until it has ended.
bool client_connection::hold_answer() {
    if (answer_hold_.on()) return true;
    if (!answer_hold_.begin(may_hold_answer())) return false;
    take_answer_at(pool_->answers_held_until());
    return true;
}

bool client_connection::may_hold_answer() const {
    return barrier_number == 0 && server_->serves() == server_need::primary && session_->may_hold_answer();
}

void client_connection::take_answer_at(pool_time when) {
    hold_timer_ = worker_.loop().add_timer(when, [self = weak_from_this()] {
        if (const auto alive = self.lock()) alive->take_held_answer();
    });
}

void client_connection::take_held_answer() {
    if (!answer_hold_.on()) return;
    end_answer_hold();
    server_->offer_again();
    worker_.settle();
}

/// True: what its server says is not taken before the other workers have read what was in their sockets by now. One of
/// them may have a server there whose end has let this one go on; then answers are held from there on. A worker that is
/// asked may be in the middle of a turn, so it answers in the next one.
bool client_connection::ask_other_workers() {
    const auto& all = worker_.shared().workers;
    if (all.size() < 2 || !answer_hold_.ask(may_hold_answer())) return false;
    const auto unheard = std::make_shared<std::atomic<std::size_t>>(all.size() - 1);
    for (worker* const other : all) {
        if (other == &worker_) continue;
        other->post([other, unheard, home = &worker_, self = weak_from_this()] {
            other->post([unheard, home, self] {
                if (unheard->fetch_sub(1) > 1) return;
                home->post([self] {
                    if (const auto alive = self.lock()) alive->take_held_answer();
                });
            });
        });
    }
    take_answer_at(worker_.loop().now() + patience_with_workers);
    return true;
}

void client_connection::end_answer_hold() {
    answer_hold_.end();
    worker_.loop().cancel_timer(hold_timer_);
}

}  // namespace pgsteady
