// The product as one object: workers, admin port, start and drain. main() owns it and tells it about
// signals; everything meets here and nowhere else.
#pragma once

#include "config/config.hpp"
#include "config/print.hpp"

#include "admin/admin_server.hpp"
#include "proxy/console_server.hpp"
#include "proxy/operator_commands.hpp"
#include "proxy/reload.hpp"
#include "proxy/takeover.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/worker.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace pgsteady {

class application {
public:
    /// `load`: reads the configuration again, for reload().
    explicit application(std::shared_ptr<const config::settings> settings, std::function<config::load_result()> load);
    ~application();

    /// What the admin port shows as the configuration. Thread-safe.
    void explain(std::vector<config::effective_value> values) {
        const std::scoped_lock lock(explained_mutex_);
        explained_ = std::move(values);
    }

    /// Opens the listeners and starts all threads. Never waits for a backend (P52).
    /// Every problem that prevents it; empty: running.
    [[nodiscard]] std::vector<std::string> start();
    /// What `io_engine` has come to: never "auto".
    [[nodiscard]] admin::io_engine engine() const;

    /// Stops accepting and lets clients finish, at most drain_timeout; returns when the last one has gone.
    /// `hurry` is asked meanwhile: how often somebody asked for the end; more than once ends it at once.
    void drain(const std::atomic<int>& hurry);
    /// Another process accepts clients in this one's place.
    [[nodiscard]] bool replaced() const { return replaced_; }
    /// That one has ended, and nobody accepts clients.
    [[nodiscard]] bool deserted() const { return deserted_; }
    /// Then: serves the clients that are left until they have gone, shutdown.takeover_timeout is over, deserted(), or `hurry`.
    void serve_the_rest(const std::atomic<int>& hurry);
    void stop();

    /// Called once, on a thread of ours, when replaced() has come to be true. Set before start().
    std::function<void(std::int64_t successor)> on_replaced;

    /// Loads the configuration again and follows it; what came of it is in the log. Thread-safe.
    void reload(const std::string& who) { (void)reload_.run(who); }

    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] std::uint16_t admin_port() const;

private:
    [[nodiscard]] std::string choose_engine(const config::settings& settings);
    [[nodiscard]] admin::snapshot take_snapshot() const;
    [[nodiscard]] admin::readiness take_readiness() const;
    void start_console();
    [[nodiscard]] std::vector<net::unique_fd> sockets_to_hand_over() const;
    [[nodiscard]] std::string open_takeover(std::vector<net::unique_fd> sockets);
    void give_way(std::int64_t successor);
    [[nodiscard]] std::uint64_t clients_left() const;

    void follow_settings(const config::load_result& now);
    [[nodiscard]] std::vector<config::effective_value> explained() const {
        const std::scoped_lock lock(explained_mutex_);
        return explained_;
    }

    proxy_state state_;
    configuration_reload reload_;
    std::vector<std::unique_ptr<worker>> workers_;
    operator_commands commands_{state_};
    mutable std::mutex explained_mutex_;
    std::vector<config::effective_value> explained_;
    std::unique_ptr<admin::admin_server> admin_;
    std::unique_ptr<console_server> console_;
    predecessor before_;
    takeover_door takeover_;
    std::atomic<bool> replaced_{false};
    std::atomic<bool> deserted_{false};
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// One worker per core, unless the configuration says otherwise.
[[nodiscard]] std::size_t worker_count(const config::settings& settings);

}  // namespace pgsteady
