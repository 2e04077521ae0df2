// A planned switchover of one cluster (D6): hold new work, let open transactions end, run the configured hook, wait until
// another primary (or another life of the same one) is there, release. Whatever happens, the cluster is released.
// It runs on a thread of its own, one at a time; begin, cancel and status are thread-safe. Owned by operator_commands.
#pragma once

#include "config/config.hpp"

#include "proxy/cluster/cluster.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace pgsteady {

class switchover {
public:
    enum class step : std::uint8_t { draining, running_hook, waiting, done, failed, cancelled };

    struct status {
        step at = step::draining;
        std::chrono::system_clock::time_point since;  ///< when this step began
        std::string cluster;
        std::string sentence;
        [[nodiscard]] bool over() const { return at >= step::done; }
    };

    struct plan {
        std::shared_ptr<cluster> which;
        std::string name;  ///< of the cluster, for people
        config::switchover_settings settings;
        std::chrono::milliseconds patience{30'000};  ///< for all of it: as long as clients wait
        /// How many transactions and statements are in progress there.
        std::function<std::size_t()> open_work;
        std::function<void(const status&)> tell{};  ///< each step, for the log
    };

    switchover() = default;
    /// Cancels and waits for the end.
    ~switchover();
    switchover(const switchover&) = delete;
    switchover& operator=(const switchover&) = delete;

    /// False: one is in progress.
    [[nodiscard]] bool begin(plan what);
    /// False: none is in progress.
    bool cancel();
    /// Of the last one; nothing: there was none.
    [[nodiscard]] std::optional<status> now() const;

private:
    using time_point = std::chrono::steady_clock::time_point;

    void run(const plan& what);
    void carry_out(const plan& what);
    [[nodiscard]] bool drain(const plan& what);
    [[nodiscard]] bool run_hook(const plan& what, const std::string& old_primary, time_point deadline);
    [[nodiscard]] bool wait_for_primary(const plan& what, const cluster_view& before, time_point deadline);
    /// False: cancelled.
    [[nodiscard]] bool pause(std::chrono::milliseconds time);
    void enter(const plan& what, step at, std::string sentence);

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::optional<status> status_;  // guarded by mutex_, like the next two
    bool running_ = false;
    bool cancelled_ = false;
    std::thread thread_;
};

[[nodiscard]] std::string_view to_string(switchover::step at);

}  // namespace pgsteady
