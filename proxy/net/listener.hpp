// listener: accepts connections on the addresses of one host and port, TCP or Unix, for one loop.
// It must never spin when descriptors run out (it pauses and says so once), and never accept more than its share of a
// turn. Owned by a worker; with several workers each has its own, with `reuse_port`.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/inherited_sockets.hpp"
#include "proxy/net/keepalive.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgsteady::net {

struct listen_settings {
    std::string host{};      ///< address, name, "*" for all, or a directory for a Unix socket
    std::uint16_t port = 0;  ///< 0: the kernel chooses, see port()
    int backlog = 1024;
    bool reuse_port = false;           ///< several listeners share the port (one per worker)
    unsigned unix_permissions = 0777;  ///< of the socket file
    int accepts_per_turn = 64;
    std::chrono::milliseconds retry_after{100};  ///< pause after descriptors ran out
    keepalive_rules keepalive{std::chrono::seconds(30), std::chrono::seconds(10), 3};
    inherited_sockets* inherited =
        nullptr;  ///< taken instead of binding, where one has the address; used by open() alone
};

class socket_address;

class listener {
public:
    struct callbacks {
        /// Takes the descriptor: non-blocking, close-on-exec, TCP_NODELAY set (stream::preparation::prepared).
        /// It must not destroy the listener; use event_loop::defer for that.
        std::function<void(int fd, std::string peer)> accepted;
        /// Once per episode of accept failing for want of resources (EMFILE, ENFILE, ENOBUFS, ENOMEM).
        std::function<void(int error_number)> exhausted;
    };
    struct opened;

    /// Binds and listens. A name is resolved here and may block: start-up only.
    [[nodiscard]] static opened open(event_loop& loop, const listen_settings& settings, callbacks to);
    ~listener();
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    /// Stops accepting and frees the addresses (drain). Idempotent.
    void close();
    /// Stops accepting; another process goes on with the same sockets, so the file of a Unix socket stays.
    void hand_over();
    /// Copies of all its sockets, to be given to another process.
    [[nodiscard]] std::vector<unique_fd> copies() const;
    [[nodiscard]] std::uint16_t port() const { return port_; }
    /// Every bound address, as text.
    [[nodiscard]] std::vector<std::string> addresses() const;

private:
    class door;  // one listening socket
    struct bind_problem;
    listener(event_loop& loop, const listen_settings& settings, callbacks to);

    [[nodiscard]] std::string bind_all();
    [[nodiscard]] bind_problem bind_one(const socket_address& address);
    [[nodiscard]] static bind_problem problem_of(const char* step, const socket_address& address);
    [[nodiscard]] bind_problem open_door(unique_fd fd, const socket_address& address);
    void accept_some(door& at);
    void pause(int error_number);
    void resume();

    event_loop& loop_;
    listen_settings settings_;
    callbacks callbacks_;
    std::vector<std::unique_ptr<door>> doors_;
    std::uint16_t port_ = 0;
    timer_id retry_;
    bool exhausted_ = false;
    bool paused_ = false;
};

/// `listening` is null exactly when `problem` is not empty.
struct listener::opened {
    std::unique_ptr<listener> listening;
    std::string problem;
};

}  // namespace pgsteady::net
