// watched_cluster: one cluster as the monitor keeps it. The facade is thread-safe and posts what it is told to the
// monitor's loop; everything else happens on that loop: connections to the hosts, one timer, the policy that judges.
// It must never block its callers, never touch a pool's connection, and never say a secret.
// Owned by everybody who holds a pointer to it; the monitor begins and ends its watching.
#pragma once

#include "proxy/cluster/cluster.hpp"
#include "proxy/cluster/cluster_options.hpp"
#include "proxy/cluster/monitor_connection.hpp"
#include "proxy/net/event_loop.hpp"
#include "proxy/policy/cluster_policy.hpp"

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

namespace pgsteady {

class watched_cluster final : public cluster, public std::enable_shared_from_this<watched_cluster> {
public:
    /// As many events are kept for recent_events().
    static constexpr std::size_t most_events = 200;

    watched_cluster(std::shared_ptr<net::event_loop> loop, cluster_options options);
    ~watched_cluster() override;
    watched_cluster(const watched_cluster&) = delete;
    watched_cluster& operator=(const watched_cluster&) = delete;

    // For the monitor alone.
    /// Thread-safe.
    void begin();
    /// Closes its connections. On the loop's thread, or when that has ended.
    void end();

    [[nodiscard]] view_ptr view() const override;
    [[nodiscard]] std::uint64_t newest_sample() const override { return newest_sample_.load(); }
    void report(host_report seen) override;
    [[nodiscard]] crash_watch& crashes() override { return crashes_; }
    void waiting(unsigned worker, std::size_t statements) override;
    void hold(bool on) override;
    void recover() override;
    bool force(const std::string& scope, breaker_force how) override;
    void set_values(const config::cluster_values& values) override;
    [[nodiscard]] std::vector<cluster_event> recent_events() const override;

private:
    void on_loop(std::function<void(cluster_policy&)> what);
    [[nodiscard]] moment now();
    void on_outcome(std::size_t index, monitor_connection::outcome what);
    void note_crash(std::size_t index, const recovery_verdict& verdict);
    void settle_soon();
    void settle();
    void publish(bool changed);
    void run_errand(std::size_t index, host_errand::what kind);
    void arm_timer();
    void beat();

    const std::shared_ptr<net::event_loop> loop_;
    const cluster_options options_;
    const std::vector<std::string> addresses_;
    std::atomic<std::uint64_t> newest_sample_{1};
    crash_watch crashes_;
    mutable std::mutex mutex_;
    view_ptr view_;                     // guarded by mutex_
    std::deque<cluster_event> events_;  // guarded by mutex_; the oldest leave

    // The loop's thread alone.
    cluster_policy policy_;
    std::vector<std::unique_ptr<monitor_connection>> connections_;  // by host; empty: not begun, or ended
    std::minstd_rand chance_;
    std::vector<net::time_point> signed_in_;  // by host: when the monitor's own connection was
    net::timer_id timer_;
    net::timer_id beat_;
    bool settling_ = false;
};

}  // namespace pgsteady
