// See ramp.hpp.
#include "proxy/policy/ramp.hpp"

#include <algorithm>

namespace pgsteady {

void ramp::begin(time_point now) {
    advance(now);
    if (running_ || first_ == 0) return;
    running_ = true;
    failed_in_step_ = false;
    step_began_ = now;
    step_number_ = 0;
    started_ = 0;
}

void ramp::failed(time_point now) {
    advance(now);
    failed_in_step_ = true;
    step_number_ = 0;
}

std::uint32_t ramp::may_start(time_point now) {
    advance(now);
    if (!running_) return unlimited;
    const std::uint64_t allowed = std::uint64_t{first_} << step_number_;
    const std::uint64_t left = allowed - std::min<std::uint64_t>(allowed, started_);
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(left, unlimited - 1));
}

void ramp::started(time_point now, std::uint32_t count) {
    advance(now);
    started_ += std::min(count, UINT32_MAX - started_);
}

std::optional<ramp::time_point> ramp::next_step(time_point now) {
    advance(now);
    if (!running_) return std::nullopt;
    return step_began_ + step;
}

void ramp::advance(time_point now) {
    while (running_ && now >= step_began_ + step) {
        step_number_ = failed_in_step_ ? 0 : step_number_ + 1;
        failed_in_step_ = false;
        step_began_ += step;
        started_ = 0;
        running_ = step_number_ < steps;
    }
}

}  // namespace pgsteady
