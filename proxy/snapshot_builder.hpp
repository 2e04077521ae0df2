// Makes the admin room's snapshot of what the workers say and count. Runs on the admin thread.
#pragma once

#include "config/config.hpp"

#include "admin/snapshot.hpp"
#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/worker.hpp"

#include <memory>
#include <vector>

namespace pgsteady {

struct snapshot_sources {
    const config::settings& settings;
    const proxy_state& state;
    const std::vector<std::unique_ptr<worker>>& workers;
};

/// Waits at most 200 ms for all workers together; one that is too busy is left out and says so.
[[nodiscard]] admin::snapshot build_snapshot(const snapshot_sources& from);

}  // namespace pgsteady
