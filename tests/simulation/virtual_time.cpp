// See virtual_time.hpp.
#include "tests/simulation/virtual_time.hpp"

#include <algorithm>

namespace pgsteady::simulation {

namespace {
constexpr micros quick = 100;
constexpr micros slow = 5'000;
}  // namespace

void virtual_time::at(micros when, std::function<void()> what) {
    events_.push({std::max(when, now), chance_.next(), std::move(what)});
}

bool virtual_time::step() {
    if (events_.empty()) return false;
    event next = events_.top();
    events_.pop();
    now = std::max(now, next.when);
    ++steps;
    next.what();
    return true;
}

byte_line::byte_line(virtual_time& time, dice& chance, std::function<void(std::string_view)> arrives,
                     std::function<void(bool)> ends)
    : time_(time), chance_(chance), arrives_(std::move(arrives)), ends_(std::move(ends)) {}

void byte_line::send(std::string_view bytes) {
    while (!bytes.empty() && !ended_ && !silent_) {
        std::size_t size = bytes.size();
        if (!calm && chance_.one_in(3)) size = 1 + static_cast<std::size_t>(chance_.below(bytes.size()));
        const micros delay = calm ? 10 : chance_.between(10, chance_.one_in(30) ? slow : quick);
        last_due_ = std::max(last_due_ + 1, time_.now + delay);  // in order, whatever the dice say
        time_.at(last_due_, [this, piece = std::string(bytes.substr(0, size)), alive = alive_, generation = generation_,
                             mine = *generation_] {
            if (*alive && *generation == mine) deliver(piece);
        });
        bytes.remove_prefix(size);
    }
}

void byte_line::deliver(const std::string& piece) {
    if (silent_ || is_cut_) return;
    const std::size_t through = std::min(piece.size(), cut_after - std::min(cut_after, passed));
    const bool cuts = passed < cut_after && passed + piece.size() >= cut_after && cut_after != SIZE_MAX;
    passed += piece.size();
    is_cut_ = cuts;
    const auto alive = alive_;
    if (through > 0) arrives_(std::string_view(piece).substr(0, through));
    if (cuts && *alive && cut) {
        const auto now_cut = cut;
        now_cut();
    }
}

void byte_line::end(bool reset) {
    if (ended_) return;
    ended_ = true;
    if (reset) ++*generation_;
    const micros due = reset ? time_.now + 10 : std::max(last_due_ + 1, time_.now + 10);
    if (silent_) return;
    time_.at(due, [this, reset, alive = alive_, generation = generation_, mine = *generation_] {
        if (*alive && *generation == mine && !silent_) ends_(reset);
    });
}

}  // namespace pgsteady::simulation
