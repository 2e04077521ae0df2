// See shared_listener.hpp.
#include "proxy/worker/shared_listener.hpp"

#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr pool_duration first_pause = 25ms;
constexpr pool_duration longest_pause = 1s;
constexpr pool_duration longest_answer = 10s;  // nothing but LISTEN is ever asked
constexpr std::uint32_t most_frame = 1024 * 1024;

}  // namespace

shared_listener::~shared_listener() { worker_.loop().cancel_timer(timer_); }

client_connection* shared_listener::find(channel_registry::listener who) const {
    const auto at = clients_.find(who);
    return at != clients_.end() ? at->second : nullptr;
}

void shared_listener::follow(client_connection& client, const std::set<std::string>& channels) {
    clients_.insert_or_assign(client.serial(), &client);
    registry_.follow(client.serial(), channels);
    advance();
}

void shared_listener::sync(client_connection& client, bool new_channel) {
    if (!new_channel && server_ == nullptr) return release({client.serial()});
    registry_.await(client.serial(), new_channel, worker_.loop().now());
    advance();
}

void shared_listener::forget(client_connection& client) {
    if (clients_.erase(client.serial()) == 0) return;
    registry_.forget(client.serial());
    advance();
}

/// Later, since a caller may be in the middle of another session's event.
void shared_listener::release(const channel_registry::listeners& whom, const std::optional<error_fields>& why) {
    for (const channel_registry::listener who : whom)
        if (client_connection* client = find(who); client != nullptr)
            worker_.loop().defer([later = client->weak_from_this(), why] {
                if (const auto alive = later.lock()) alive->listener_synced(why ? &*why : nullptr);
            });
}

void shared_listener::refuse(const channel_registry::listeners& whom, std::string_view words) {
    if (whom.empty()) return;
    const std::string incident = worker_.tell_incident("LISTEN of {} clients of {} could not be carried out: {}",
                                                       whom.size(), pool_.shared->plan.label(), words);
    release(whom, client_errors::listener_refused(words, incident));
}

/// Whatever can be done now is.
void shared_listener::advance() {
    if (server_ == nullptr) {
        if (registry_.wants_server() && !dialling_ && pause_ == pool_duration::zero()) dial();
        return;
    }
    const std::optional<std::string> sql = registry_.next_query();
    if (!sql && registry_.asked()) return;
    if (!sql) {
        const bool stays = pool_.idle_listener == pool_duration::zero();
        if (stays || registry_.wants_server() || idle_since_ != pool_time{}) return;
        idle_since_ = worker_.loop().now();
        return arm(pool_.idle_listener);
    }
    idle_since_ = {};
    asked_at_ = worker_.loop().now();
    gather out;
    out.copy(query_frame(*sql));
    server_->write(out);
    arm(longest_answer);
}

void shared_listener::dial() {
    dialling_ = pool_.dial_listener();
    pause_ = std::clamp(pause_ * 2, first_pause, longest_pause);
    arm(dialling_ ? longest_pause : pause_);
}

void shared_listener::open_failed() {
    dialling_ = false;
    arm(pause_);
}

void shared_listener::opened(server_connection& server) {
    dialling_ = false;
    server_ = &server;
    server.serve(*this);
    worker_.counters().listeners_opened.add();
    advance();
}

void shared_listener::arm(pool_duration pause) {
    worker_.loop().cancel_timer(timer_);
    timer_ = worker_.loop().add_timer(worker_.loop().now() + pause, [this] {
        check_time();
        worker_.settle();
    });
}

void shared_listener::check_time() {
    const pool_time now = worker_.loop().now();
    if (server_ == nullptr) {
        const pool_duration patience = pool_.facts.hold_timeout;
        if (patience > pool_duration::zero()) refuse(registry_.overdue(now - patience), pool_.waits_for());
        if (!registry_.wants_server()) return void(pause_ = {});
        if (dialling_) return arm(longest_pause);
        return dial();
    }
    if (registry_.asked()) {
        if (now - asked_at_ < longest_answer) return arm(longest_answer - (now - asked_at_));
        return drop("no answer");
    }
    if (idle_since_ != pool_time{} && !registry_.wants_server() && now - idle_since_ >= pool_.idle_listener) {
        idle_since_ = {};
        pool_.close_listener(*std::exchange(server_, nullptr));
    }
}

void shared_listener::look() {
    if (server_ != nullptr && server_->condemned) return drop("its host is not the primary any more");
    if (server_ == nullptr && !dialling_ && registry_.wants_server()) dial();
}

std::size_t shared_listener::server_bytes(std::string_view in) {
    std::size_t at = 0;
    while (at < in.size() && server_ != nullptr) {
        const frame_header header = read_frame_header(in.substr(at), most_frame);
        if (header.state == frame_header::status::need_more) break;
        if (header.state == frame_header::status::malformed) {
            drop("a malformed message");
            break;
        }
        if (in.size() - at < header.total) break;
        take_frame(header.type, in.substr(at, header.total));
        at += header.total;
    }
    return server_ != nullptr ? at : in.size();
}

void shared_listener::take_frame(char type, std::string_view frame) {
    namespace msg = backend_message;
    switch (type) {
        case msg::notification_response: return take_notification(frame);
        case msg::error_response: {
            error_fields why;
            (void)parse_error_fields(frame.substr(frame_header_size), why);
            refusal_ = why.sqlstate + ' ' + why.message;
            return;
        }
        case msg::ready_for_query: return answered();
        default: return;  // tags, notices and settings
    }
}

void shared_listener::take_notification(std::string_view frame) {
    wire_reader body(frame.substr(frame_header_size));
    (void)body.i32();
    const auto channel = body.cstring();
    if (!channel) return drop("a malformed message");
    const std::set<channel_registry::listener>& hear = registry_.who_hears(std::string(*channel));
    const channel_registry::listeners whom(hear.begin(), hear.end());  // one that leaves changes the set
    for (const channel_registry::listener who : whom)
        if (client_connection* client = find(who); client != nullptr) {
            worker_.counters().notifications.add();
            client->shared_notification(frame);
        }
}

void shared_listener::answered() {
    if (refusal_) {
        const std::string words = *std::exchange(refusal_, std::nullopt);
        refuse(registry_.overdue(pool_time::max()), words);
        return drop(words);
    }
    if (!registry_.asked()) return drop("an answer to nothing");
    pause_ = {};
    const channel_registry::round done = registry_.answered();
    for (const channel_registry::listener who : done.gap)
        if (client_connection* client = find(who); client != nullptr) client->notifications_missed(incident_);
    release(done.served);
    advance();
}

void shared_listener::server_lost(std::string_view words) { drop(refusal_ ? *refusal_ : std::string(words)); }

/// The connection is of no use any more.
void shared_listener::drop(std::string_view words) {
    disconnect(words);
    if (pause_ > pool_duration::zero()) return arm(pause_);  // it had not come as far as an answer
    advance();
}

void shared_listener::disconnect(std::string_view words) {
    if (server_ == nullptr) return;
    pool_.close_listener(*std::exchange(server_, nullptr));
    refusal_.reset();
    idle_since_ = {};
    release(registry_.lost());
    if (registry_.clients() == 0) return;
    worker_.counters().listeners_lost.add();
    incident_ = worker_.tell_incident("the connection of {} that listens for {} clients was lost: {}",
                                      pool_.shared->plan.label(), registry_.clients(), words);
}

}  // namespace pgsteady
