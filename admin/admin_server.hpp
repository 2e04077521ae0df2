// admin_server: the admin HTTP port, on a thread of its own (product.md sections 4 to 6).
// It knows the proxy only through its hooks, holds no lock that a worker holds, and never lets a client take more than
// its share of memory, time or connections. Owned by main.
#pragma once

#include "config/config.hpp"
#include "config/print.hpp"

#include "admin/commands.hpp"
#include "admin/snapshot.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct ssl_ctx_st;

namespace pgsteady::admin {

/// What one HTTP client, and all of them, may take. Keys of `admin` in the configuration, but for the paces.
struct http_limits {
    std::size_t head_bytes = 8 * 1024;
    std::size_t body_bytes = 64 * 1024;
    /// When they are all taken, whoever has been silent longest gives way; 503 if nobody is.
    std::size_t connections = 256;
    // 0: for as long as it takes.
    std::chrono::milliseconds read_timeout{10'000};     ///< for a whole request, from its first byte or the accept
    std::chrono::milliseconds write_timeout{10'000};    ///< for a whole answer
    std::chrono::milliseconds idle_timeout{60'000};     ///< between two requests
    std::size_t slow_commands = 4;                      ///< in progress or waiting for their turn; 503 beyond
    std::size_t listeners = 32;                         ///< of the event stream; 503 beyond
    std::size_t listener_bytes = 256 * 1024;            ///< that may wait for one; who is slower loses the stream
    std::chrono::milliseconds snapshot_age{2};          ///< so old may a snapshot be that is shown again
    std::chrono::milliseconds sample_interval{5'000};   ///< of the totals that means of the last minute are made from
    std::chrono::milliseconds picture_interval{1'000};  ///< between two pictures in the event stream
};

/// What the configuration says; the paces stay as they are.
[[nodiscard]] http_limits limits_of(const config::admin_settings& settings, http_limits paces = {});

class admin_server {
public:
    /// All are called on the admin thread; none may call back into the server. Exceptions become a 500.
    struct hooks {
        /// Required. May take up to 200 ms: a worker that does not answer by then is left out.
        std::function<snapshot()> take_snapshot;
        /// Required. At once, whatever the workers do.
        std::function<readiness()> take_readiness;
        /// Optional: a line worth a warning (a refused token, a failing hook). Never holds a secret; bounded in rate.
        std::function<void(const std::string& line)> warn;
        /// Optional: an alert has begun or is over.
        std::function<void(const std::string& line)> alarm{};
        /// Who is told of alerts.
        config::alert_settings alerts{};
        /// Orders of operators. One that is missing is answered with a 500.
        commands run{};
        /// The configuration in use; secrets are not in it. Missing: that path is answered with a 500.
        std::function<std::vector<config::effective_value>()> configuration{};
        /// OpenSSL's context, asked at each connection: certificates change. Unset or null: plain HTTP.
        std::function<std::shared_ptr<ssl_ctx_st>()> tls{};
        /// A socket that listens on this address ("127.0.0.1:6433") already, to be owned; -1: to be bound. For start().
        std::function<int(const std::string& address)> inherited{};
    };

    admin_server(const config::admin_settings& settings, hooks to, const http_limits& limits = {});
    ~admin_server();
    admin_server(const admin_server&) = delete;
    admin_server& operator=(const admin_server&) = delete;

    /// Binds and starts the thread; what went wrong, or empty. Once. A host name is resolved here and may block.
    [[nodiscard]] std::string start();
    /// The port that was bound; 0 before start().
    [[nodiscard]] std::uint16_t port() const;
    /// The sockets that it listens on, its own still. Between start() and stop().
    [[nodiscard]] std::vector<int> sockets() const;
    /// Other tokens, limits and another webhook count from now on. Thread-safe; address and port stay as they are.
    void follow(const config::admin_settings& settings, const config::alert_settings& alerts);
    /// Closes everything and joins the thread. Idempotent; not from a hook.
    void stop();

private:
    class machinery;
    std::unique_ptr<machinery> machinery_;
};

}  // namespace pgsteady::admin
