// watched_cluster: one cluster as the monitor keeps it. The facade is thread-safe and posts what it is told to the
// monitor's loop; everything else happens on that loop: connections to the hosts, timers, the policy that judges.
// It must never block its callers, never touch a pool's connection, and never say a secret.
// Owned by everybody who holds a pointer to it; the monitor stops it.
#pragma once

#include "proxy/cluster/cluster.hpp"
#include "proxy/cluster/cluster_options.hpp"
#include "proxy/net/event_loop.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace pgsteady {

class watched_cluster final : public cluster, public std::enable_shared_from_this<watched_cluster> {
public:
    watched_cluster(std::shared_ptr<net::event_loop> loop, cluster_options options);
    ~watched_cluster() override;
    watched_cluster(const watched_cluster&) = delete;
    watched_cluster& operator=(const watched_cluster&) = delete;

    [[nodiscard]] view_ptr view() const override;
    [[nodiscard]] std::uint64_t newest_sample() const override { return newest_sample_.load(); }
    void report(host_report seen) override;
    void waiting(unsigned worker, std::size_t statements) override;
    void hold(bool on) override;
    void recover() override;
    bool force(const std::string& scope, breaker_force how) override;
    void set_switches(bool breaker, bool read_only) override;
    [[nodiscard]] std::vector<cluster_event> recent_events() const override;

    [[nodiscard]] const std::vector<config::host_port>& hosts() const { return options_.hosts; }

private:
    void publish(cluster_view view);

    std::shared_ptr<net::event_loop> loop_;
    const cluster_options options_;
    std::atomic<std::uint64_t> newest_sample_{0};
    mutable std::mutex mutex_;
    view_ptr view_;                      // guarded by mutex_
    std::vector<cluster_event> events_;  // guarded by mutex_; the oldest leave
};

}  // namespace pgsteady
