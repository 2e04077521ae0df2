// Loading the configuration again while the proxy runs: all of it or none of it. What can change does, at once; what
// cannot is named and keeps its value (reload_plan.hpp). One at a time; any thread but a worker's: it derives verifiers,
// reads files and waits for nobody. Owned by the application.
#pragma once

#include "config/load.hpp"

#include "admin/commands.hpp"
#include "admin/snapshot.hpp"
#include "proxy/worker/proxy_state.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace pgsteady {

class configuration_reload {
public:
    struct hooks {
        std::function<config::load_result()> load;
        /// These settings are in force: whoever holds something that was made of the former ones makes it anew.
        std::function<void(const config::load_result&)> changed;
    };

    /// `state` outlives it.
    configuration_reload(proxy_state& state, hooks to);

    /// `who`: for log and events. Its outcome is in the log when it returns.
    admin::reload_outcome run(const std::string& who);

    // For snapshots.
    [[nodiscard]] admin::reload_status status() const;
    [[nodiscard]] std::vector<admin::certificate_status> certificates() const;
    /// The latest, oldest first.
    [[nodiscard]] std::vector<admin::event_status> events() const;

private:
    struct certificate {
        std::string fingerprint;  ///< empty: there is none, or it cannot be read
        std::chrono::system_clock::time_point expires{};
    };
    static constexpr std::size_t most_events = 50;

    [[nodiscard]] admin::reload_outcome reject(const std::string& who, admin::reload_outcome why);
    void accept(const std::string& who, const admin::reload_outcome& what);
    void note(std::string name, std::string sentence, bool warning);
    std::vector<admin::change> look_at_certificates(const config::settings& of);

    proxy_state& state_;
    hooks hooks_;
    std::mutex one_at_a_time_;
    mutable std::mutex mutex_;  // guards what follows
    admin::reload_status status_;
    std::deque<admin::event_status> events_;
    std::map<std::string, certificate> certificates_;  // by key
};

}  // namespace pgsteady
