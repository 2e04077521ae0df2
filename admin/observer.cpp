#include "admin/observer.hpp"

#include <utility>

namespace pgsteady::admin {

observer::observer(std::function<snapshot()> take_snapshot, std::function<readiness()> take_readiness,
                   std::chrono::milliseconds snapshot_age)
    : take_snapshot_(std::move(take_snapshot)),
      take_readiness_(std::move(take_readiness)),
      snapshot_age_(snapshot_age) {}

const observation& observer::observe() {
    if (last_ && !forgotten_ && std::chrono::steady_clock::now() - last_at_ < snapshot_age_) return *last_;
    snapshot taken = take_snapshot_();
    const auto now = std::chrono::steady_clock::now();  // the hook may have taken its time
    recent_means means = window_.means(now, taken);
    window_.record(now, taken);
    history_.record(now, taken);
    last_ = observation{std::move(taken), std::move(means), std::chrono::system_clock::now()};
    last_at_ = now;
    forgotten_ = false;
    return *last_;
}

window_totals observer::window(std::chrono::minutes length) const {
    return last_ ? history_.window(std::chrono::steady_clock::now(), last_->now, length) : window_totals{};
}

}  // namespace pgsteady::admin
