// What the pool's shared listener tells a client (D18). Moves it to the session and does what that asks for; decides
// nothing. See client_connection.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

void client_connection::listener_synced(const error_fields* why) {
    if (closed_ || session_ == nullptr) return;
    const auto self = shared_from_this();
    session_->on_listener(why);
    settle_notified();
    offer_pending();
    if (!closed_ && stream_->readable()) read_some();
    worker_.settle();
}

void client_connection::shared_notification(std::string_view frame) {
    if (closed_ || session_ == nullptr) return;
    const auto self = shared_from_this();
    session_->on_shared_notification(frame, unsent_.empty());
    settle_notified();
}

void client_connection::notifications_missed(std::string_view incident) {
    if (closed_ || session_ == nullptr) return;
    const auto self = shared_from_this();
    session_->on_notifications_missed(incident, unsent_.empty());
    settle_notified();
}

void client_connection::settle_notified() {
    flush();
    (void)count_requests();
    (void)act();
}

}  // namespace pgsteady
