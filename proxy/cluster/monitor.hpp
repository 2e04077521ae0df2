// monitor: the one thread on which all clusters are watched. It must never do a worker's work, and no worker waits for it.
// Owned by proxy_state; started after the workers exist, stopped before they end.
#pragma once

#include "proxy/cluster/cluster_options.hpp"
#include "proxy/cluster/watched_cluster.hpp"

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace pgsteady {

class monitor {
public:
    monitor();
    ~monitor();
    monitor(const monitor&) = delete;
    monitor& operator=(const monitor&) = delete;

    /// Thread-safe. Watching begins with start(), or now. Kept until the process ends: the configuration bounds how many.
    [[nodiscard]] std::shared_ptr<cluster> watch(cluster_options options);
    void start();
    /// When it returns, no callback runs any more. Idempotent.
    void stop();

private:
    std::shared_ptr<net::event_loop> loop_;
    std::mutex mutex_;
    std::vector<std::shared_ptr<watched_cluster>> clusters_;  // guarded by mutex_
    std::thread thread_;
};

}  // namespace pgsteady
