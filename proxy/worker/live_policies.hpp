// The policies of one pool as they are now: what the configuration says, changed by an operator while the proxy runs
// (D1, product.md section 4). A value is never changed, only replaced, so a reader keeps a consistent one.
// Thread-safe, behind a lock: read at a failure, a sign-in or a wait, never per message. Owned by shared_pool.
#pragma once

#include "config/config.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace pgsteady {

class live_policies {
public:
    using value = std::shared_ptr<const config::policies>;

    explicit live_policies(config::policies from) : now_(std::make_shared<const config::policies>(std::move(from))) {}

    /// Never null.
    [[nodiscard]] value get() const {
        const std::scoped_lock lock(mutex_);
        return now_;
    }
    void put(config::policies next) {
        auto made = std::make_shared<const config::policies>(std::move(next));
        const std::scoped_lock lock(mutex_);
        now_ = std::move(made);
    }

private:
    mutable std::mutex mutex_;
    value now_;
};

/// What can be changed while the proxy runs; what is absent stays as it is. Validated by whoever makes it.
struct policy_change {
    std::optional<std::uint32_t> max_retries{};
    std::optional<config::milliseconds> initial_delay{};
    std::optional<config::milliseconds> max_delay{};
    std::optional<double> multiplier{};
    std::optional<config::retry_strategy> strategy{};
    std::optional<config::milliseconds> timeout{};  ///< pool.hold_timeout: how long a statement may wait (D3)
    std::optional<bool> jitter{};
    // The kill switches of D1.
    std::optional<bool> recovery{};
    std::optional<bool> breaker{};
    std::optional<bool> read_only{};
    std::optional<bool> replay{};
    std::optional<bool> guard{};

    void apply_to(config::policies& to) const;
    /// What both do, the other one last.
    void add(const policy_change& later);
};

}  // namespace pgsteady
