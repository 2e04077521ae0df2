// The connection that listens for all clients of one pool on one worker (D18, P22). It is none of the pool's slots, counts
// under limits.max_server_connections, is opened when the first client listens, closed some time after the last one has
// stopped, and opened again, with all channels, when it is lost. Carries out what channel_registry decides; never executes
// what a client wrote but names of channels, quoted. Owned by its local_pool; its worker's thread alone.
#pragma once

#include "protocol/error_response.hpp"

#include "proxy/net/event_loop.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/session/channel_registry.hpp"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgsteady {

class client_connection;
class local_pool;
class server_connection;
class worker;

class shared_listener {
public:
    shared_listener(worker& at, local_pool& pool) : worker_(at), pool_(pool) {}
    ~shared_listener();
    shared_listener(const shared_listener&) = delete;
    shared_listener& operator=(const shared_listener&) = delete;

    /// The channels of this client, all of them.
    void follow(client_connection& client, const std::set<std::string>& channels);
    /// The client hears listener_synced(), later, when the server has its channels and has said what was notified before
    /// now. `new_channel`: see channel_registry::await().
    void sync(client_connection& client, bool new_channel);
    void forget(client_connection& client);

    // From the pool.
    void opened(server_connection& server);
    void open_failed();
    /// What is known of the cluster has changed.
    void look();

    // From server_connection.
    /// Returns how much was used.
    [[nodiscard]] std::size_t server_bytes(std::string_view in);
    void server_lost(std::string_view words);

private:
    void advance();
    void dial();
    void check_time();
    void arm(pool_duration pause);
    void take_frame(char type, std::string_view frame);
    void take_notification(std::string_view frame);
    void answered();
    void drop(std::string_view words);
    void disconnect(std::string_view words);
    void release(const channel_registry::listeners& whom, const std::optional<error_fields>& why = std::nullopt);
    void refuse(const channel_registry::listeners& whom, std::string_view words);
    [[nodiscard]] client_connection* find(channel_registry::listener who) const;

    worker& worker_;
    local_pool& pool_;
    channel_registry registry_;
    std::unordered_map<channel_registry::listener, client_connection*> clients_;
    server_connection* server_ = nullptr;
    bool dialling_ = false;
    pool_duration pause_{};               // before the next dial
    pool_time asked_at_{};                // of the statements under way
    pool_time idle_since_{};              // the epoch: somebody listens
    std::optional<std::string> refusal_;  // of them
    std::string incident_;                // in which the connection was lost
    net::timer_id timer_;
};

}  // namespace pgsteady
