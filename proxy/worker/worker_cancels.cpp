// Cancel requests of a worker: which client is meant, here or at another instance, and those on their way to servers
// (P40, P43-P46). See worker.hpp.
#include "protocol/constant_time.hpp"

#include "proxy/worker/cancel_dial.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

// Behind the key of a request that another instance could not place.
constexpr std::string_view passed_on = "|passed on by a peer";
constexpr std::size_t max_cancel_key = 256;  // P39

/// No process of Linux has a higher number (PID_MAX_LIMIT). Ours are above it: an application that asks pg_cancel_backend() for the
/// number it was given at sign-in, as Knex does, must not reach the process of somebody else.
constexpr std::uint32_t highest_process = 1U << 22;

}  // namespace

std::int32_t worker::new_client_pid() {
    const auto workers = static_cast<std::uint32_t>(shared_.workers.size());
    const std::uint32_t first = highest_process / workers + 1;
    while (true) {
        const std::uint32_t number = first + next_pid_++ % (0x7fffffffU / workers - first);
        const auto pid = static_cast<std::int32_t>(number * workers + index_ + 1);
        if (pid > 0 && !by_pid_.contains(pid)) return pid;
    }
}

void worker::register_cancel(std::int32_t pid, client_connection& client) { by_pid_.emplace(pid, &client); }
void worker::forget_cancel(std::int32_t pid) { by_pid_.erase(pid); }

void worker::route_cancel(std::int32_t pid, std::string key) {
    if (pid <= 0) return;
    worker* owner = shared_.workers[static_cast<std::size_t>(pid - 1) % shared_.workers.size()];
    owner->post([owner, pid, key = std::move(key)] { owner->cancel_here(pid, key); });
}

/// What no client here is meant by goes on: to the process before this one as it came, to peers unless it is from one.
void worker::cancel_here(std::int32_t pid, const std::string& key) {
    const bool from_peer = key.ends_with(passed_on);
    const std::string_view its_key = std::string_view(key).substr(0, key.size() - (from_peer ? passed_on.size() : 0));
    const auto at = by_pid_.find(pid);
    const bool known = at != by_pid_.end() && at->second->conversation() != nullptr &&
                       constant_time_equal(at->second->conversation()->client_key(), its_key);
    if (known) return at->second->cancel();
    if (shared_.cancel_elsewhere) shared_.cancel_elsewhere(pid, key);
    if (!from_peer) ask_peers(pid, key);
}

/// To all of them, since nothing in the old key says whose client it is. Who gets it passes it on to nobody.
void worker::ask_peers(std::int32_t pid, const std::string& key) {
    const config::listen_settings& ours = shared_.settings().listen;
    if (key.size() + passed_on.size() > max_cancel_key) return;
    for (const config::host_port& each : ours.peers) {
        if (!shared_.cancels.try_take()) return;
        lost_backend peer;
        peer.pid = pid;
        peer.cancel_key = key + std::string(passed_on);
        peer.address = each;
        if (peer.address.port == 0) peer.address.port = ours.port;
        start_cancel(std::move(peer), [this](cancel_dial& dial) {
            if (dial.sent()) counters_.cancels_forwarded.add();
            shared_.cancels.give_back();
            end_cancel(dial);
        });
    }
}

void worker::cancel_on_server(server_connection& server) {
    if (server.link.cancel_key.empty() || !shared_.cancels.try_take()) return;
    server.cancel_begun();
    start_cancel(server.identity(), [this, target = server.shared_from_this()](cancel_dial& dial) {
        if (dial.sent()) counters_.cancels_forwarded.add();
        shared_.cancels.give_back();
        target->cancel_ended();
        end_cancel(dial);
    });
}

void worker::cancel_lost(lost_backend whom) {
    if (whom.cancel_key.empty() || lost_.size() >= shared_.settings().fence.max_pending) return;
    lost_.emplace_back(loop_.now(), std::move(whom));
    cancel_next_lost();
}

/// As many as may be under way. What has waited for long ends by itself (own_settings.hpp).
void worker::cancel_next_lost() {
    while (!lost_.empty()) {
        if (loop_.now() - lost_.front().first > shared_.settings().fence.timeout) {
            lost_.pop_front();
            continue;
        }
        if (!shared_.fences.try_take()) return;
        lost_backend next = std::move(lost_.front().second);
        lost_.pop_front();
        start_cancel(std::move(next), [this](cancel_dial& dial) {
            if (dial.sent()) counters_.fence_cancels.add();
            shared_.fences.give_back();
            end_cancel(dial);
            cancel_next_lost();
        });
    }
}

void worker::start_cancel(lost_backend whom, std::function<void(cancel_dial&)> over) {
    cancels_.push_back(std::make_unique<cancel_dial>(*this, std::move(whom), std::move(over)));
    cancels_.back()->start();
}

void worker::end_cancel(cancel_dial& done) {
    const auto at =
        std::find_if(cancels_.begin(), cancels_.end(), [&done](const auto& each) { return each.get() == &done; });
    if (at == cancels_.end()) return;
    loop_.defer([gone = std::shared_ptr<cancel_dial>(std::move(*at))] { (void)gone; });
    cancels_.erase(at);
}

}  // namespace pgsteady
