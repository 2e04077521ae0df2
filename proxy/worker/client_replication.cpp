// Replication connections (protocol chapter 55.4): a client and a server of its own, and bytes passed both ways as they are,
// COPY BOTH included. Nothing is pooled, read, retried or replayed: who replicates keeps its own position and asks again.
// Back-pressure is that of any client and server. See client_connection.hpp.
#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

/// Signed in, and counted. `greeting` has AuthenticationOk; the rest follows when its server is there.
void client_connection::begin_replication(const std::string& greeting) {
    parameter_list wanted;
    for (const auto& [name, value] : login_->startup().parameters)
        if (name != "user" && name != "database") wanted.emplace_back(name, value);
    replication_ = greeting;
    login_.reset();
    pool_->open_replication(*this, std::move(wanted));
}

void client_connection::replication_opened(server_connection& server, const parameter_list& reported) {
    const auto self = shared_from_this();
    if (closed_ || closing_ != end_reason::none) return pool_->end_replication(server);
    server_ = &server;
    attached_since_ = last_activity_ = worker_.loop().now();
    server.attach(*this);
    std::string greeting = std::move(*replication_);
    replication_.reset();
    relaying_ = true;
    for (const auto& [name, value] : reported) {
        const frame_builder frame(greeting, backend_message::parameter_status);
        put_cstring(greeting, name);
        put_cstring(greeting, value);
    }
    // No BackendKeyData: a stream of WAL is not cancelled, it is left.
    {
        const frame_builder frame(greeting, backend_message::ready_for_query);
        greeting += 'I';
    }
    log::info("client {} from {}: replication connection to {}, server process {}", serial_, peer_,
              server.link.backend_name, server.link.backend_pid);
    send(greeting);
    relay(std::exchange(pending_in_, {}));
}

void client_connection::replication_refused(const error_fields& why) {
    std::string farewell = *std::exchange(replication_, std::nullopt);
    append_error_response(farewell, fatal_error(why.sqlstate, why.message, why.detail, why.hint));
    send(farewell);
    close_when_flushed(end_reason::no_server);
}

void client_connection::relay(std::string_view in) {
    if (in.empty() || server_ == nullptr) return;
    last_activity_ = worker_.loop().now();
    gather output;
    output.view(in);
    server_->write(output);
}

// ------------------------------------------------------------------------------------------ the pool's part

void local_pool::open_replication(client_connection& client, parameter_list wanted) {
    follow_live_policies();
    untried_.push_back({&client, {}, worker_.loop().now(), std::make_shared<const parameter_list>(std::move(wanted))});
    try_waiting_passwords();
    if (!untried_.empty()) worker_.waiting_changed();
}

/// The connection is open; `client`, null if it has left, gets it for itself.
void local_pool::replication_ready(server_connection& server, client_connection* client) {
    const bool room = client != nullptr && worker_.shared().servers.try_take();
    if (room) return client->replication_opened(server, server.tried().reported);
    server.close();
    forget(server, false);
    if (client != nullptr)
        client->replication_refused(client_errors::too_many_clients("limits.max_server_connections"));
}

void local_pool::end_replication(server_connection& server) {
    worker_.shared().servers.give_back();
    server.detach();
    server.close();
    forget(server, false);
}

}  // namespace pgsteady
