// A pool's part on one worker sees to it that what lost connections were doing on the primary comes to its end: idle servers
// of the pool ask for it, one is opened if there is none (recovery.md 2.8, D24). See local_pool.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <chrono>
#include <utility>

namespace pgsteady {

void local_pool::fence(lost_backend whom, fence_need need, std::string incident, fence_told told) {
    const config::fence_settings& rules = worker_.shared().settings().fence;
    if (need == fence_need::none || !rules.enabled) return;
    if (need != fence_need::terminate) worker_.cancel_lost(whom);
    if (need == fence_need::cancel) return;
    if (told)  // wherever its end is found out
        told = [home = &worker_, told = std::move(told)](fence_outcome outcome) {
            home->post([told, outcome] { told(outcome); });
        };
    if (!shared->fences.add({std::move(whom), std::move(incident), told}, worker_.loop().now())) {
        if (told) told(fence_outcome::unreachable);  // whoever asks again hears of the end that somebody else waits for
        return;
    }
    pursue_lost();
    worker_.waiting_changed();  // looked at with every short tick from now on
}

bool local_pool::has_succeeded(std::size_t host) const { return view_->primary && *view_->primary != host; }

void local_pool::await_successor(client_connection& client) {
    awaiting_successor_.insert_or_assign(client.serial(), client.weak_from_this());
}

void local_pool::forget_successor(const client_connection& client) { awaiting_successor_.erase(client.serial()); }

/// By letter, so that nobody goes on within an event of another's.
void local_pool::tell_of_successor() {
    for (const auto& [serial, who] : std::exchange(awaiting_successor_, {}))
        worker_.post([waits = who] {
            if (const auto alive = waits.lock()) alive->look_for_successor();
        });
}

/// It keeps its permit until its end is known, or time is up; but not if it is the pool's only one, since the question is
/// asked by another.
void local_pool::fence_abandoned(server_connection& server) {
    const bool keeps = worker_.shared().settings().fence.enabled && group_of(server).core.open() > 1;
    fence_told over;
    if (keeps)
        over = [this, alive = server.weak_from_this()](fence_outcome) {
            const auto still = alive.lock();
            if (still != nullptr && still->now() == server_connection::phase::abandoned) lost_idle(*still);
        };
    fence(server.identity(), fence_need::terminate, worker_.new_incident(), std::move(over));
    if (!keeps) return lost_idle(server);
    server.wait_for_cancel();
}

void local_pool::pursue_lost() {
    if (!shared->fences.any()) return;
    const pool_time now = worker_.loop().now();
    tell_ended(now);
    for (std::size_t host = 0; host < shared->plan.hosts.size(); ++host)
        if (shared->fences.due_on(host, now)) ask_about_lost_on(host);
}

/// By an idle server of that host, or one that is opened for it.
void local_pool::ask_about_lost_on(std::size_t host) {
    if (shared->paused) return;
    const pool_time now = worker_.loop().now();
    const auto there = [host](const pooled_server& server, const pool_waiter&) {
        return static_cast<const server_connection&>(server).link.host == host;
    };
    const pool::checkout found = primaries_.core.take_idle_for(pool_waiter{}, there, now);
    if (found.server != nullptr) {
        auto& server = *static_cast<server_connection*>(found.server);
        if (!ask_about_lost(server)) put_idle(server);
        return publish(primaries_);
    }
    if (may_open_extra(host) && shared->fences.may_open(now) && primaries_.core.may_dial_extra()) open_extra(host);
}

/// For a question of our own. Not if one is on its way: that one can be asked as soon as it is here.
bool local_pool::may_open_extra(std::size_t host) const {
    const pool_time now = worker_.loop().now();
    const std::optional<dial_target> where = target(primaries_);
    return where && where->host == host && !primaries_.core.backing_off(now) && primaries_.core.dialling() == 0 &&
           worker_.ramp_of(shared->backends_of.get()).may_start(now) > 0;
}

void local_pool::open_extra(std::size_t host) {
    worker_.ramp_of(shared->backends_of.get()).started(worker_.loop().now());
    add_server(server_need::primary).open(std::nullopt, {host, true});
}

/// False: this server has nothing to ask.
bool local_pool::ask_about_lost(server_connection& server) {
    const pool_time now = worker_.loop().now();
    if (server.serves() != server_need::primary || !shared->fences.due_on(server.link.host, now)) return false;
    const fence_list::question question = shared->fences.ask(server.link.host, server.link.started_at, now);
    tell_ended(now);
    if (question.sql.empty()) return false;
    server.start_fence(question);
    return true;
}

void local_pool::fence_answered(std::uint64_t number, const std::vector<fence_list::row>& rows,
                                std::string_view problem) {
    const pool_time now = worker_.loop().now();
    shared->fences.answered(number, rows, problem, now);
    tell_ended(now);
}

/// Asked again with the next tick, or by whichever server comes free before that.
void local_pool::fence_unanswered(std::uint64_t number) { shared->fences.unanswered(number, worker_.loop().now()); }

/// One line in the log for each.
void local_pool::tell_ended(pool_time now) {
    for (fence_list::ended& each : shared->fences.take_ended(now)) {
        const lost_backend& whom = each.what.whom;
        worker_.counters().fences.at(static_cast<std::size_t>(each.outcome)).add();
        const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(each.took);
        log::info("incident {}: what server process {} on {}:{} was doing: fence {} after {} ms", each.what.incident,
                  whom.pid, whom.address.host, whom.address.port, to_string(each.outcome), took.count());
        if (each.what.told) each.what.told(each.outcome);
    }
}

}  // namespace pgsteady
