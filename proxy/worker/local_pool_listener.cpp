// The pool's part in the connection that listens for all its clients (D18): where it is dialled, and what it counts under.
// See shared_listener.hpp.
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

bool local_pool::dial_listener() {
    const pool_time now = worker_.loop().now();
    const std::optional<dial_target> where = withheld(primaries_) ? std::nullopt : target(primaries_);
    if (!where || primaries_.core.backing_off(now)) return false;
    ramp& pace = worker_.ramp_of(shared->backends_of.get());
    if (pace.may_start(now) == 0 || !worker_.shared().checks.try_take()) return false;
    if (!worker_.shared().servers.try_take()) {
        worker_.shared().checks.give_back();
        ask_for_room();
        return false;
    }
    pace.started(now);
    // What is said in UTF-8 is for clients that speak it.
    auto parameters = std::make_shared<const parameter_list>(
        parameter_list{{"client_encoding", "UTF8"}, {"application_name", "pgsteady_listener"}});
    server_connection& server = add_server(server_need::primary);
    verifying_.emplace(&server, password_try{nullptr, {}, now, parameters});
    server.open(server_connection::trial{.password = {}, .replication = std::move(parameters), .listens = true},
                *where);
    return true;
}

void local_pool::listener_failed() {
    worker_.shared().servers.give_back();
    listener_.open_failed();
}

void local_pool::close_listener(server_connection& server) {
    worker_.counters().listeners_closed.add();
    worker_.shared().servers.give_back();
    server.close();
    forget(server, false);
    for (worker* each : worker_.shared().workers) each->post([each] { each->room_made(); });
}

}  // namespace pgsteady
