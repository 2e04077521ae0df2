// A server that was taken for the primary has refused to write (25006). Whether it is the primary no more is the monitor's to
// say: until it does, nothing more of that server's answer is taken (D21). See client_connection.hpp and session::on_role().
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <algorithm>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {
constexpr auto first_look = 2ms;  // the monitor's probe takes about a round trip
constexpr auto last_pause = 20ms;
}  // namespace

void client_connection::begin_role_wait() {
    role_asked_at_ = worker_.loop().now();
    awaiting_role_ = true;
    pool_->follow_live_policies();
    pool_->not_primary(*server_);
    look_for_role_in(first_look);
}

void client_connection::look_for_role_in(pool_duration pause) {
    worker_.loop().cancel_timer(role_timer_);
    role_timer_ = worker_.loop().add_timer(worker_.loop().now() + pause, [self = weak_from_this()] {
        if (const auto alive = self.lock()) alive->look_for_role();
    });
}

/// Looks again and again, at most for hold_timeout: without news it was the role's own setting.
void client_connection::look_for_role() {
    if (closed_ || !awaiting_role_ || server_ == nullptr) return;
    const auto self = shared_from_this();
    const pool_duration waited = worker_.loop().now() - role_asked_at_;
    const role_news news = pool_->news_of_role(*server_, role_asked_at_);
    if (!awaiting_role_) return;  // the news have ended the server
    const pool_duration patience = pool_->facts.hold_timeout;
    const bool late = patience.count() > 0 && waited >= patience;
    if (news == role_news::pending && !late)
        return look_for_role_in(std::clamp<pool_duration>(waited / 2, first_look, last_pause));
    end_role_wait(news == role_news::changed);
}

void client_connection::end_role_wait(bool changed) {
    if (closed_ || !awaiting_role_) return;
    const auto self = shared_from_this();
    awaiting_role_ = false;
    worker_.loop().cancel_timer(role_timer_);
    if (session_ == nullptr || server_ == nullptr) return;
    if (changed)
        log::warning("client {}: {} refused to write and is not the primary any more", serial_,
                     server_->link.backend_name);
    session_->on_role(changed);
    server_->offer_again();
    worker_.settle();
}

void client_connection::role_is_lost() {
    if (awaiting_role_) end_role_wait(true);
}

}  // namespace pgsteady
