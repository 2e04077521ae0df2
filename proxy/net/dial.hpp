// dial: opens a connection to a host and port, or to PostgreSQL's Unix socket in a directory, within a deadline.
// Names are resolved off the thread; every address is tried in turn, each with its share of the time that is left.
// It must never block the loop and never call back before it has returned, nor after it was cancelled.
// Slow path: it may allocate.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/keepalive.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pgsteady::net {

struct dial_result {
    int fd = -1;            ///< on success: the receiver's own; non-blocking and tuned (stream::preparation::prepared)
    int error_number = 0;   ///< of the last address tried; ETIMEDOUT for the deadline; 0 if the name has no address
    std::string problem{};  ///< every address with its reason; empty on success
    std::string address{};  ///< of the connection, or of the last attempt
    bool unresolved = false;  ///< the name could not be turned into an address
};

/// Names a dial in progress. Destroying or cancelling it ends the dial, and the callback is never called then.
class dial_handle {
public:
    class operation;
    dial_handle() = default;
    explicit dial_handle(std::shared_ptr<operation> dialling);
    dial_handle(dial_handle&&) noexcept = default;
    dial_handle& operator=(dial_handle&& other) noexcept;
    ~dial_handle() { cancel(); }

    void cancel();
    [[nodiscard]] bool in_progress() const;

private:
    std::shared_ptr<operation> dialling_;
};

/// What is set on a TCP socket before it connects. The defaults notice a server that stops answering within about ten
/// seconds, whether it is idle (keepalive) or not (TCP_USER_TIMEOUT; 0: the system's own).
struct dial_options {
    keepalive_rules keepalive{std::chrono::seconds(5), std::chrono::seconds(2), 3};
    std::chrono::milliseconds user_timeout{10'000};
};

/// Loop thread only. `host` that starts with '/' is a directory.
[[nodiscard]] dial_handle dial(event_loop& loop, const std::string& host, std::uint16_t port, time_point deadline,
                               const dial_options& options, std::function<void(dial_result)> done);

}  // namespace pgsteady::net
