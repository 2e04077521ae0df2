#include "admin/live_body.hpp"

namespace pgsteady::admin {

void live_body::put(chunk next) {
    if (ended_) return;
    bytes_ += next->size();
    waiting_.push_back(std::move(next));
    // The first one may be larger than all that may wait: it was asked for.
    if (bytes_ > most_bytes_ && waiting_.size() > 1) end();
    else changed();
}

void live_body::show(chunk picture) {
    if (ended_) return;
    picture_ = std::move(picture);
    changed();
}

void live_body::end() {
    ended_ = true;
    waiting_.clear();
    picture_.reset();
    bytes_ = 0;
    changed();
}

live_body::chunk live_body::take() {
    if (waiting_.empty()) return std::exchange(picture_, nullptr);
    chunk next = std::move(waiting_.front());
    waiting_.pop_front();
    bytes_ -= next->size();
    return next;
}

}  // namespace pgsteady::admin
