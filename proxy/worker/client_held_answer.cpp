// When a transaction is interrupted, others may be given its locks before their own server is gone, too: in an outage servers
// end one after another. Whoever was then told of a row that somebody else's interrupted transaction had locked could not
// be replayed beside it: one of the two would have to hear 40001. So for a moment what servers say within transactions is
// left with them (D30). If that server ends as well, its answer was never given, and the statement is one that was under
// way. If it does not, and has what the interrupted transaction had, it gives way to that (policy/right_of_way).
// A server says that it ends before it lets go of its locks, so on one worker no such answer comes too early. With several, an
// answer that may have waited for locks is taken once the others have read so far. While nothing is lost and nobody waits
// it costs an atomic load. A COMMIT's answer is the truth whoever dies, and is never held. See client_connection.hpp.
#include "proxy/policy/right_of_way.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <iterator>

namespace pgsteady {

namespace {
// A worker that is busy for longer is not waited for.
constexpr std::chrono::milliseconds patience_with_workers{10};
}  // namespace

/// True: what its server says is not taken now. Its socket is left alone until end_answer_hold(), or until it has ended.
bool client_connection::hold_answer() {
    if (answer_hold_.on()) return true;
    if (!answer_hold_.begin(may_hold_answer())) return false;
    held_at_most_ = worker_.loop().now() + pool_->replay_barrier_time;
    look_again_at(pool_->answers_held_until());
    return true;
}

bool client_connection::may_hold_answer() const {
    return barrier_number == 0 && server_->serves() == server_need::primary && session_->may_hold_answer();
}

/// Taken are those that wait for replays when these have again what they had, or when time is up.
void client_connection::look_at_held_answer() {
    if (!answer_hold_.for_replays()) return;
    const pool_time until = std::min(pool_->answers_held_until(), held_at_most_);
    if (worker_.loop().now() < until) look_again_at(until);
    else take_held_answer();
}

void client_connection::look_again_at(pool_time when) {
    worker_.loop().cancel_timer(hold_timer_);
    hold_timer_ = worker_.loop().add_timer(when, [self = weak_from_this()] {
        if (const auto alive = self.lock()) alive->look_at_held_answer();
    });
}

void client_connection::others_have_read() {
    if (answer_hold_.on() && !answer_hold_.for_replays()) take_held_answer();
}

void client_connection::take_held_answer() {
    end_answer_hold();
    server_->offer_again();
    worker_.settle();
}

/// True: what its server says is not taken before the other workers have read what was in their sockets by now. One of
/// them may have a server there whose end has let this one go on; then answers are held from there on. Mostly all sleep and
/// have read everything, which is seen from here. Whoever is busy is asked by letter; since it may be in the middle of a
/// turn, it answers in the next one.
bool client_connection::ask_other_workers() {
    const auto& all = worker_.shared().workers;
    if (all.size() < 2 || pool_->replay_barrier_time == pool_duration::zero() || !answer_hold_.asks(may_hold_answer()))
        return false;
    std::vector<worker*> busy;
    std::copy_if(all.begin(), all.end(), std::back_inserter(busy),
                 [this](worker* each) { return each != &worker_ && !each->loop().caught_up(); });
    if (busy.empty()) return false;
    const auto unheard = std::make_shared<std::atomic<std::size_t>>(busy.size());
    for (worker* const other : busy) {
        other->post([other, unheard, home = &worker_, self = weak_from_this()] {
            other->post([unheard, home, self] {
                if (unheard->fetch_sub(1) > 1) return;
                home->post([self] {
                    if (const auto alive = self.lock()) alive->others_have_read();
                });
            });
        });
    }
    answer_hold_.await_others();
    hold_timer_ = worker_.loop().add_timer(worker_.loop().now() + patience_with_workers, [self = weak_from_this()] {
        if (const auto alive = self.lock()) alive->others_have_read();
    });
    return true;
}

/// While answers may be held, whoever keeps its replay waiting is looked for.
void client_connection::claim_rows_in(pool_duration pause) {
    worker_.loop().cancel_timer(claim_timer_);
    claim_timer_ = worker_.loop().add_timer(worker_.loop().now() + pause, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr || alive->server_ == nullptr || !alive->session_->replaying()) return;
        if (alive->worker_.loop().now() < alive->pool_->answers_held_until()) alive->pool_->claim_rows(*alive);
        alive->claim_rows_in(right_of_way::pause);
        alive->worker_.settle();
    });
}

void client_connection::give_way() {
    if (server_ == nullptr || !answer_hold_.on() || !session_->may_give_way()) return;
    worker_.counters().gave_way.add();
    server_->give_way();
}

void client_connection::end_answer_hold() {
    answer_hold_.end();
    worker_.loop().cancel_timer(hold_timer_);
}

}  // namespace pgsteady
