// The sign-in of a client that asks for the console (client_connection.hpp): a password of the configuration's own users,
// always (D37: what changes the proxy must not hang on trust or on a server's word), then on to the console's thread.
#include "protocol/sqlstate.hpp"

#include "proxy/console/door.hpp"
#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/console_arrival.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {
namespace {

error_fields not_admitted(std::string message) {
    return fatal_error(
        sqlstate::invalid_authorization_specification, std::move(message), {},
        "admin.admin_users and admin.stats_users name who may use it. A server's database of this name has "
        "to be listed under databases.");
}

}  // namespace

void client_connection::look_up_operator(std::string& out) {
    const config::settings& all = worker_.shared().settings();
    if (console_is_closed(all)) return login_step(login_->refuse(not_admitted("the console admits nobody"), out), out);
    client_login::credentials found = console_credentials_of(all, user_);
    if (found.method == client_login::auth_method::scram && found.known_user && !found.verifier)
        found.verifier = worker_.shared().verifier_of(user_);
    const client_login::step next = login_->provide_credentials(std::move(found), random_bytes(32), out);
    login_step(next, out);
}

/// Signed in and counted. `out` has AuthenticationOk. Who may not enter is told so only now: a stranger learns nothing
/// about who may.
void client_connection::enter_console(const std::string& out) {
    std::string farewell;
    const console_role role = console_role_of(worker_.shared().settings(), user_);
    if (role == console_role::nobody || !worker_.shared().enter_console) {
        log::warning("client {} from {}: user {} is not allowed to use the console", serial_, peer_, user_);
        worker_.counters().logins_failed.add();
        append_error_response(farewell, not_admitted("user \"" + user_ + "\" is not allowed to use the console"));
        send(farewell);
        return close_when_flushed(end_reason::login_failed);
    }
    proxy_state& all = worker_.shared();
    if (!all.console_clients.try_take()) {
        all.console_refused.fetch_add(1, std::memory_order_relaxed);
        worker_.counters().clients_refused.add();
        append_error_response(farewell, client_errors::too_many_clients("admin.max_console_clients"));
        send(farewell);
        return close_when_flushed(end_reason::login_refused);
    }
    std::shared_ptr<void> seat(nullptr, [&all](void*) { all.console_clients.give_back(); });
    worker_.counters().logins_succeeded.add();
    worker_.loop().cancel_timer(login_timer_);
    worker_.shared().unauthenticated.give_back();
    counted_unauthenticated_ = false;
    login_.reset();
    // At the end of the turn: whoever is reading now still puts away what the client has sent ahead.
    worker_.loop().defer([self = shared_from_this(), role, greeting = out, seat = std::move(seat)] {
        self->leave_for_console(role, greeting, seat);
    });
}

void client_connection::leave_for_console(console_role role, const std::string& greeting, std::shared_ptr<void> seat) {
    if (closed_ || closing_ != end_reason::none) return;
    console_arrival who;
    stream_->set_handler(nullptr);
    stream_->leave_loop();
    who.stream = std::move(stream_);
    who.user = user_;
    who.peer = peer_;
    who.serial = serial_;
    who.role = role;
    who.input = std::move(pending_in_);
    who.output = std::move(unsent_) + greeting;
    who.place = std::shared_ptr<void>(
        nullptr, [&state = worker_.shared(), user = user_, database = database_, seat = std::move(seat)](void*) {
            state.leave(user, database);
            state.clients.give_back();
        });
    counted_ = admitted_ = false;
    closed_ = true;
    worker_.counters().clients_closed.add();
    worker_.shared().enter_console(std::move(who));
    worker_.remove_client(*this);
}

}  // namespace pgsteady
