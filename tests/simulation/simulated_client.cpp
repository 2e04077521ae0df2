// See simulated_client.hpp.
#include "tests/simulation/simulated_client.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/policy/farewell.hpp"
#include "proxy/policy/right_of_way.hpp"

#include "tests/simulation/world.hpp"

#include <fmt/format.h>

namespace pgsteady::simulation {

simulated_client::simulated_client(world& at, std::int32_t number, const parameter_list& startup)
    : conversation(at.tables, at.facts, number, "key!"), world_(at), startup_(startup) {}

simulated_client::~simulated_client() { *alive_ = false; }

void simulated_client::begin() {
    conversation.begin(startup_);
    flush();
    (void)act();
}

void simulated_client::take(std::string_view bytes) {
    if (closed) return;
    pending_ += bytes;
    offer_pending();
}

void simulated_client::offer_pending() {
    if (closed || pausing_ || fencing_ || pending_.empty() || !conversation.ready()) return;
    const std::string ahead = std::exchange(pending_, {});
    converse(ahead);
}

void simulated_client::converse(std::string_view in) {
    while (!closed) {
        const std::size_t used = conversation.on_client_bytes(in);
        in.remove_prefix(used);
        flush();
        const bool went_on = act();
        if (closed) return;
        if (in.empty() || (used == 0 && !went_on) || conversation.waiting()) break;
    }
    (void)note_requests();
    pending_ += in;
}

void simulated_client::flush() {
    session_tables& tables = world_.tables;
    if (!tables.to_server.empty()) {
        if (server == nullptr) world_.problem("output for a server that nobody has");
        else world_.to_backend(*server, tables.to_server.str());
        tables.to_server.clear();
    }
    if (!tables.to_client.empty()) {
        if (to_app != nullptr) to_app->send(tables.to_client.str());
        tables.to_client.clear();
    }
}

bool simulated_client::act() {
    const session_actions asked = conversation.take_actions();
    bool changed = false;
    if (world_.story && asked.take_back)
        world_.trace(fmt::format("client {} takes back, attempt {}{}", conversation.client_pid(), asked.attempt,
                                 asked.needs_fence ? ", needs a fence" : ""));
    if (asked.take_back) take_requests_back(asked);
    if (asked.restored) world_.restored(*this);
    if (asked.loses_locks) world_.hold_answers();
    if (asked.asks_role && server != nullptr) ask_role();
    if (asked.give_back != session_actions::release::no && server != nullptr) {
        simulated_server& given = *std::exchange(server, nullptr);
        answer_hold_.end();
        world_.give_back(given, asked.give_back);
        changed = true;
    }
    if (asked.close_client) {
        close(true);
        return true;
    }
    if (asked.listen_later)
        world_.time.in(100'000, [this, alive = alive_] {
            if (!*alive || closed) return;
            conversation.resume_listening();
            (void)act();
        });
    if (asked.ask_later) {
        const micros pause = std::chrono::duration_cast<std::chrono::microseconds>(*asked.ask_later).count();
        world_.time.in(pause, [this, alive = alive_, number = ++doubt_] {
            if (!*alive || closed || number != doubt_) return;
            conversation.resume_resolving();
            offer_pending();
        });
    }
    if (asked.want_server) {
        if (server != nullptr) world_.problem("a second server is wanted");
        if (simulated_server* given = world_.request(*this, failed_since_)) {
            attach(*given);
            changed = true;
        }
    }
    return changed;
}

void simulated_client::take_requests_back(const session_actions& asked) {
    pending_.insert(0, conversation.take_requests_back());
    if (failed_since_ == pool_time{}) failed_since_ = world_.clock();
    if (asked.replays) begin_replay(asked.attempt > 1);
    if (asked.needs_fence) wait_for_fence();
    if (asked.attempt < 2 && !asked.conflict) return;
    const std::uint32_t attempt = asked.conflict ? asked.attempt : asked.attempt - 1;
    const auto pause = retry_pause(world_.facts.retry, conversation.limits().strategy, attempt, world_.chance.share());
    pausing_ = true;
    world_.time.in(pause.count(), [this, alive = alive_, number = ++pause_] {
        if (!*alive || number != pause_) return;
        pausing_ = false;
        offer_pending();
    });
}

void simulated_client::begin_replay(bool pauses) {
    world_.enter_barrier(*this, pauses);
    if (!conversation.replaying()) world_.restored(*this);  // what was under way is all there is
}

void simulated_client::pass_barrier() {
    if (closed || !conversation.behind_barrier()) return;
    conversation.pass_barrier();
    offer_pending();
    look_at_barrier({});
}

void simulated_client::wait_for_fence() {
    if (server->link.verdict.name == verdict_name::backend_terminated) return;  // it has said that it ends
    fencing_ = true;
    world_.end_of_backend(*server, [this, alive = alive_](bool confirmed) {
        if (!*alive || closed || !fencing_) return;
        fencing_ = false;
        world_.trace(fmt::format("client {}: fence {}", conversation.client_pid(), confirmed ? "confirmed" : "denied"));
        if (!confirmed) {
            conversation.give_up_replay("the end of its server process could not be confirmed");
            world_.leave_barrier(*this);
        }
        flush();
        (void)act();
        offer_pending();
    });
}

void simulated_client::watch_result() {
    const bool keeps = conversation.keeps_result_back();
    if (keeps == keeping_) return;
    keeping_ = keeps;
    ++hold_;
    if (!keeps) return;
    const micros patience =
        std::chrono::duration_cast<std::chrono::microseconds>(world_.facts.retry.result_hold_time).count();
    world_.time.in(patience, [this, alive = alive_, number = hold_] {
        if (!*alive || closed || number != hold_) return;
        keeping_ = false;
        if (awaiting_role_) return watch_result();
        conversation.end_result_hold();
        flush();
    });
}

/// The monitor looks again (D21).
void simulated_client::ask_role() {
    awaiting_role_ = true;
    world_.time.in(world_.chance.between(500, 20'000), [this, alive = alive_, whom = server] {
        if (!*alive || !awaiting_role_ || server != whom) return;
        awaiting_role_ = false;
        conversation.on_role(whom->host != &world_.primary());
        server_bytes();
        offer_pending();
    });
}

void simulated_client::attach(simulated_server& given) {
    server = &given;
    given.client = this;
    conversation.on_server(given.link);
    if (barrier_number != 0) claim_rows_in(right_of_way::patience);
    flush();
    (void)act();
}

void simulated_client::grant(simulated_server& given) {
    attach(given);
    offer_pending();
}

void simulated_client::refuse(const error_fields& why) {
    conversation.refuse_waiting(why);
    flush();
    (void)act();
    offer_pending();
}

void simulated_client::server_bytes() {
    if (server == nullptr || server->arrived.empty() || conversation.awaits_role()) return;
    if (world_.clock() < world_.answers_held_until() && hold_answer()) return;
    take_server_bytes();
}

bool simulated_client::hold_answer() {
    if (answer_hold_.on()) return true;
    if (!answer_hold_.begin(barrier_number == 0 && conversation.may_hold_answer())) return false;
    world_.trace(fmt::format("client {}: its answer is held", conversation.client_pid()));
    ++world_.answers_held;
    held_at_most_ = world_.clock() + world_.barrier_time;
    look_again();
    return true;
}

void simulated_client::look_again() {
    const pool_time until = std::min(world_.answers_held_until(), held_at_most_);
    const micros pause = std::chrono::duration_cast<std::chrono::microseconds>(until - world_.clock()).count();
    world_.time.in(std::max<micros>(pause, 0), [this, alive = alive_, number = ++held_] {
        if (*alive && !closed && number == held_) look_at_held_answer();
    });
}

void simulated_client::look_at_held_answer() {
    if (!answer_hold_.for_replays()) return;
    if (world_.clock() < std::min(world_.answers_held_until(), held_at_most_)) return look_again();
    answer_hold_.end();
    server_bytes();
}

void simulated_client::claim_rows_in(std::chrono::milliseconds pause) {
    world_.time.in(std::chrono::microseconds(pause).count(), [this, alive = alive_, whom = server] {
        if (!*alive || closed || server != whom || !conversation.replaying()) return;
        if (world_.clock() < world_.answers_held_until()) world_.claim_rows(*this);
        claim_rows_in(right_of_way::pause);
    });
}

void simulated_client::give_way() {
    if (!answer_hold_.on() || !conversation.may_give_way()) return;
    world_.trace(fmt::format("client {} gives way", conversation.client_pid()));
    ++world_.gave_way;
    answer_hold_.end();
    server->link.verdict.name = verdict_name::connection_lost;
    server_lost("gives way");
}

void simulated_client::take_farewell() {
    answer_hold_.end();
    server->arrived = farewell_in(server->arrived);
    if (!server->arrived.empty()) take_server_bytes();
}

void simulated_client::take_server_bytes() {
    simulated_server& from = *server;
    const std::string in = std::exchange(from.arrived, {});  // output holds views of it until it is flushed
    const std::size_t used = conversation.on_server_bytes(in);
    if (used > in.size()) world_.problem("the session used more than it was given");
    flush();
    from.arrived.insert(0, in, used, std::string::npos);
    watch_result();
    (void)note_requests();
    (void)act();
    offer_pending();
}

void simulated_client::look_at_barrier(const request_report& done) {
    if (barrier_number == 0 || conversation.replaying() || conversation.behind_barrier()) return;
    if (done.requests > 0 || (!conversation.redoing() && !conversation.busy())) world_.leave_barrier(*this);
}

request_report simulated_client::note_requests() {
    const request_report done = conversation.take_report();
    if (done.requests > 0) failed_since_ = {}, answer_hold_.answered();
    world_.replays += done.replays;
    world_.replays_different += done.replays_different;
    world_.resumes += done.resumes;
    if (done.replays_different > 0)
        world_.trace(fmt::format("client {}: its replay was answered otherwise", conversation.client_pid()));
    look_at_barrier(done);
    return done;
}

void simulated_client::server_lost(std::string_view words) {
    if (awaiting_role_) {
        awaiting_role_ = false;
        conversation.on_role(true);
        server_bytes();
        if (server == nullptr) return;
    }
    simulated_server* const lost = server;
    ++world_.losses;
    conversation.on_server_lost(words, "sim-" + std::to_string(world_.losses));
    flush();
    watch_result();
    if (note_requests().commits_pending > 0) world_.enter_barrier(*this);
    (void)act();
    if (server == lost && server != nullptr) {  // the session had ended already
        server = nullptr;
        world_.give_back(*lost, session_actions::release::discard);
    }
    offer_pending();
}

void simulated_client::vanish() {
    if (!closed) close(false);
}

void simulated_client::close(bool flushed) {
    closed = true;
    if (queued) pool::leave(*this);
    world_.leave_barrier(*this);
    conversation.on_client_gone();
    const session_actions asked = conversation.take_actions();
    world_.tables.to_client.clear();
    world_.tables.to_server.clear();
    if (simulated_server* const last = std::exchange(server, nullptr)) world_.give_back(*last, asked.give_back);
    if (flushed && to_app != nullptr) to_app->end(false);
}

}  // namespace pgsteady::simulation
