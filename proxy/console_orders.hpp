// Carries out what is typed into the console: tables from snapshots, orders through the same operator_commands as the admin
// port, each with an audit line. Never runs on a worker, since it waits for their answers. Owned by the console's thread.
#pragma once

#include "admin/commands.hpp"
#include "proxy/console/command.hpp"
#include "proxy/console/door.hpp"
#include "proxy/console/table.hpp"
#include "proxy/console/view.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace pgsteady {

/// Where the console gets everything from. All are called on its own thread.
struct console_hooks {
    std::function<admin::snapshot()> take_snapshot;
    admin::commands run{};
    /// The configuration in use.
    std::function<std::shared_ptr<const config::settings>()> settings;
    /// Clients that have not signed in yet.
    std::function<std::uint32_t()> signing_in;
    /// The same as SIGHUP, with what came of it. Empty: RELOAD is refused.
    std::function<admin::outcome()> reload{};
    /// The same as SIGTERM; returns at once.
    std::function<void()> shut_down;
    std::function<void(config::log_level)> set_log_level;
    std::function<std::uint16_t()> listen_port;
    std::function<std::chrono::steady_clock::time_point()> clock = std::chrono::steady_clock::now;
};

struct console_caller {
    std::string user;
    std::string peer;
    console_role role = console_role::nobody;
};

/// Something that a command waits for, while the console goes on serving others.
struct console_wait {
    enum class state : std::uint8_t { not_yet, over, in_vain };
    std::function<state()> look;
    console_answer then{};     ///< when it is over
    console_answer in_vain{};  ///< when it cannot be any more
};

struct console_result {
    console_answer answer{};
    std::optional<console_wait> wait{};  ///< then the answer comes later
    std::string audit{};                 ///< what was done
};

class console_orders {
public:
    explicit console_orders(console_hooks from) : from_(std::move(from)) {}

    /// Takes up to half a second. Never throws: what a hook throws becomes an error.
    [[nodiscard]] console_result carry_out(const console_command& what, const console_caller& who);
    /// `log.connections`
    [[nodiscard]] bool logs_connections() const { return from_.settings()->log.connections; }
    /// Somebody has just sent something: what it asks for is not answered with a picture from before.
    void input_arrived() { arrived_at_ = from_.clock(); }
    /// A sample for the averages; to be called every few seconds.
    void take_sample();

private:
    using time_point = std::chrono::steady_clock::time_point;

    [[nodiscard]] console_result dispatch(const console_command& what, const console_caller& who);
    [[nodiscard]] console_answer show(const console_command& what);
    [[nodiscard]] console_result order(const console_command& what, admin::database_action action);
    [[nodiscard]] console_result kill_client(const console_command& what);
    [[nodiscard]] console_answer set(const console_command& what);
    [[nodiscard]] console_result reload(const console_command& what);
    [[nodiscard]] console_answer shut_down();
    void audit(const console_command& what, const console_caller& who, const std::string& did);
    [[nodiscard]] console_wait until_released(const std::string& database);
    [[nodiscard]] console_wait until_closed(const std::string& database);
    [[nodiscard]] const admin::snapshot& snapshot();
    [[nodiscard]] console_view view_for(const std::string& table);

    console_hooks from_;
    console_averages averages_;
    [[nodiscard]] bool outdated(time_point taken, std::chrono::steady_clock::duration age) const;

    // Pictures serve again for what arrived at once with their first question: many of them must not keep the workers busy.
    time_point arrived_at_{};
    std::optional<admin::snapshot> last_;
    time_point last_at_{};
    std::vector<admin::session_status> clients_;
    time_point clients_at_{};
    std::vector<admin::server_status> servers_;
    time_point servers_at_{};
};

}  // namespace pgsteady
