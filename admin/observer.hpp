// observer: where the routes get their view of the proxy from. It takes a snapshot at most once per
// http_limits::snapshot_age, so that readers cannot keep the workers busy, and keeps the samples of the last hour.
// Lives on the admin thread alone.
#pragma once

#include "admin/history.hpp"
#include "admin/recent.hpp"
#include "admin/snapshot.hpp"

#include <chrono>
#include <functional>
#include <optional>

namespace pgsteady::admin {

struct observation {
    snapshot now;
    recent_means recent;
    std::chrono::system_clock::time_point taken_at;
};

class observer {
public:
    observer(std::function<snapshot()> take_snapshot, std::function<readiness()> take_readiness,
             std::chrono::milliseconds snapshot_age);

    /// Valid until the next call. Throws what the hook throws.
    [[nodiscard]] const observation& observe();
    /// What happened in the last `length` before the observation that observe() returned last.
    [[nodiscard]] window_totals window(std::chrono::minutes length) const;
    [[nodiscard]] readiness ready() const { return take_readiness_(); }
    /// Something was changed: the next observation is a new one.
    void forget() { forgotten_ = true; }

private:
    std::function<snapshot()> take_snapshot_;
    std::function<readiness()> take_readiness_;
    std::chrono::milliseconds snapshot_age_;
    std::optional<observation> last_;
    std::chrono::steady_clock::time_point last_at_{};
    bool forgotten_ = false;
    recent_window window_;
    history history_;
};

}  // namespace pgsteady::admin
