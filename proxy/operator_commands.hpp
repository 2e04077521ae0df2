// Carries out what operators order over the admin port (admin/commands.hpp). It decides nothing that the rest of the proxy
// does not decide anyway: it changes live policies, tells clusters, posts letters to workers, and reports what it did.
// Called on the admin thread and on the thread of slow commands, as the hooks say. Owned by the application.
#pragma once

#include "admin/commands.hpp"
#include "proxy/switchover.hpp"
#include "proxy/worker/proxy_state.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

class operator_commands {
public:
    /// `state` outlives it.
    explicit operator_commands(proxy_state& state) : state_(state) {}

    [[nodiscard]] admin::commands hooks();
    [[nodiscard]] std::optional<switchover::status> last_switchover() const { return switchover_.now(); }

private:
    [[nodiscard]] admin::outcome change_retry(const admin::retry_order& order);
    [[nodiscard]] admin::outcome change_switches(const admin::switch_order& order);
    [[nodiscard]] admin::outcome change_policies(const policy_change& change, const std::optional<std::string>& pool);
    [[nodiscard]] admin::outcome recover();
    [[nodiscard]] admin::outcome force_breaker(const admin::breaker_order& order);
    [[nodiscard]] admin::outcome hold(bool on);
    [[nodiscard]] admin::outcome begin_switchover(const admin::switchover_order& order);
    [[nodiscard]] admin::outcome order_pool(const std::string& name, admin::pool_action action);
    [[nodiscard]] admin::outcome order_database(const std::string& name, admin::database_action action);
    [[nodiscard]] admin::outcome order_pools(const std::vector<std::shared_ptr<shared_pool>>& targets,
                                             admin::pool_action action);
    [[nodiscard]] admin::outcome kill_sessions(const std::string& database);
    [[nodiscard]] admin::outcome end_session(std::uint64_t id);
    [[nodiscard]] std::vector<admin::session_status> sessions() const;
    [[nodiscard]] std::vector<admin::server_status> servers() const;
    [[nodiscard]] std::vector<std::shared_ptr<shared_pool>> pools_named(const std::string& name) const;

    proxy_state& state_;
    switchover switchover_;
};

[[nodiscard]] std::string_view strategy_name(config::retry_strategy strategy);
/// As the admin port names it.
[[nodiscard]] std::string pool_name_of(const shared_pool& pool);

}  // namespace pgsteady
