// A session wants to give an interrupted transaction again: not before what the lost server was doing is known to have ended
// (D24), and not for ever (replay.timeout). Three things are that knowledge: the server said itself that it ends, a server of
// the pool has seen the backend gone, or another host is the primary (recovery.md 2.8). See client_connection.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {
constexpr auto unreachable_pause = 500ms;
}

void client_connection::begin_replay(const session_actions& asked) {
    if (asked.needs_fence) awaiting_fence_ = true, ++fence_number_;
    pool_->enter_barrier(*this, asked.attempt > 1);
    if (!session_->replaying()) pool_->restored(*this);  // what was under way is all there is
    if (asked.attempt > 1 && replay_since_ != pool_time{}) return;
    replay_since_ = worker_.loop().now();
    replay_incident_ = session_->replay_incident();
    replay_unasked_ = active_since_ == pool_time{};
    worker_.loop().cancel_timer(replay_timer_);
    if (pool_->replay_timeout == pool_duration::zero()) return;
    replay_timer_ = worker_.loop().add_timer(replay_since_ + pool_->replay_timeout, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr || alive->closed_) return;
        alive->give_up_replay(fmt::format("not done within {} ms", alive->pool_->replay_timeout / 1ms));
        alive->worker_.settle();
    });
}

/// It is over if it has been answered, or if the client waits for nothing.
void client_connection::look_at_barrier(const request_report& done) {
    if (session_->replaying() || session_->behind_barrier()) return;
    if (done.requests > 0 || (!session_->redoing() && !session_->busy())) pool_->leave_barrier(*this);
}

void client_connection::pass_barrier() {
    if (closed_ || session_ == nullptr || !session_->behind_barrier()) return;
    const auto self = shared_from_this();
    session_->pass_barrier();
    offer_pending();
    if (!closed_ && barrier_number != 0) look_at_barrier({});  // unless its client has asked for something, all is done
}

void client_connection::await_fence(lost_backend whom, fence_need how, std::string incident) {
    replay_incident_ = incident;
    lost_host_ = whom.host;
    if (how == fence_need::none) return go_on_with_replay();  // it said that it ends
    if (!worker_.shared().settings().fence.enabled) return give_up_replay("fence.enabled is off");
    pool_->fence(
        whom, how, std::move(incident),
        [self = weak_from_this(), number = fence_number_, whom, how](fence_outcome outcome) {
            const auto alive = self.lock();
            if (alive == nullptr) return;
            if (outcome != fence_outcome::unreachable) return alive->fence_ended(number, outcome);
            // It may come back later than a fence waits for, or have a successor: replay.timeout ends that wait.
            alive->worker_.loop().add_timer(alive->worker_.loop().now() + unreachable_pause, [self, number, whom, how] {
                const auto waits = self.lock();
                if (waits == nullptr || waits->closed_ || !waits->awaiting_fence_ || number != waits->fence_number_)
                    return;
                waits->await_fence(whom, how, waits->replay_incident_);
            });
        });
    look_for_successor();
}

/// Nobody can be asked about a host that is gone, but its successor makes that needless.
void client_connection::look_for_successor() {
    if (closed_ || !awaiting_fence_) return;
    const auto self = shared_from_this();
    if (pool_->has_succeeded(lost_host_)) {
        go_on_with_replay();
        return worker_.settle();
    }
    pool_->await_successor(*this);  // which comes back when there is another primary
}

void client_connection::fence_ended(std::uint64_t number, fence_outcome outcome) {
    if (closed_ || !awaiting_fence_ || number != fence_number_) return;
    const auto self = shared_from_this();
    if (is_fenced(outcome)) go_on_with_replay();
    else give_up_replay(fmt::format("the end of what it was doing is not known: {}", to_string(outcome)));
    worker_.settle();
}

void client_connection::end_fence_wait() {
    if (std::exchange(awaiting_fence_, false)) pool_->forget_successor(*this);
}

void client_connection::go_on_with_replay() {
    end_fence_wait();
    offer_pending();
}

/// R04, unless it is done already.
void client_connection::give_up_replay(std::string_view why) {
    const auto self = shared_from_this();
    end_fence_wait();
    replay_since_ = {};
    if (queued && session_->replaying()) pool_->leave_queue(*this);
    session_->give_up_replay(why);
    pool_->leave_barrier(*this);
    flush();
    (void)count_requests();
    (void)act();
    offer_pending();
}

void client_connection::count_resumes(const request_report& done) {
    worker_counters& counters = worker_.counters();
    const std::array<std::uint32_t, resume_outcome_names.size()> ended{done.resumes, done.resumes_different,
                                                                       done.resumes_failed};
    for (std::size_t i = 0; i < ended.size(); ++i)
        if (ended.at(i) != 0) counters.resumes.at(i).add(ended.at(i));
    if (done.resumes == 0 || replay_since_ != pool_time{}) return;
    log::info("incident {}: client {} ({}@{}): its answer goes on behind {} rows, after {} ms", replay_incident_,
              serial_, user_, database_, session_->resumed_rows(), (worker_.loop().now() - failed_since_) / 1ms);
}

void client_connection::count_replays(const request_report& done) {
    worker_counters& counters = worker_.counters();
    const std::array<std::uint32_t, replay_outcome_names.size()> ended{done.replays, done.replays_different,
                                                                       done.replays_failed, done.replays_refused};
    for (std::size_t i = 0; i < ended.size(); ++i)
        if (ended.at(i) != 0) counters.replays.at(i).add(ended.at(i));
    if (done.replayed_requests != 0) counters.replayed_requests.add(done.replayed_requests);
    count_resumes(done);
    if (done.replays == 0 || replay_since_ == pool_time{}) return;
    const pool_time now = worker_.loop().now();
    const pool_duration took = now - replay_since_;
    counters.replay_seconds.observe(took);
    log::info("incident {}: client {} ({}@{}): its transaction was replayed within {} ms", replay_incident_, serial_,
              user_, database_, took / 1ms);
    replay_since_ = {};
    worker_.loop().cancel_timer(replay_timer_);
    if (!replay_unasked_) return;
    // Nobody has waited for an answer: what counts from the loss on is over.
    count_retries(retry_outcome::answered, 1);
    retried_ = 0;
    failed_since_ = active_since_ = {};
}

}  // namespace pgsteady
