// uring_engine: see the header. What is queued, what comes back, and in which order it may be told.
#include "proxy/net/uring_engine.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace pgsteady::net {

namespace {

using std::chrono::milliseconds;

// A message up to here is copied and leaves with the turn; of larger ones the copy would cost more than the call.
constexpr std::size_t most_queued_per_send = std::size_t{8} * 1024;
constexpr std::size_t arena_size = std::size_t{256} * 1024;
// A stream that fills more than these reads in person: into memory of its reader, in larger pieces, and only when there is
// a reader.
constexpr std::size_t most_buffers_per_lane = 4;
// It goes on to do so until it has read so little, so many times in a row.
constexpr std::size_t little = most_buffers_per_lane * kernel_ring::buffer_size;
constexpr std::uint8_t patience_with_bulk = 16;
// What one stream can ask for at once: every kind of operation taken back.
constexpr unsigned most_operations_per_lane = 8;

constexpr unsigned end_events = POLLRDHUP | POLLHUP | POLLERR;

}  // namespace

// ---------------------------------------------------------------------------------------------------------------- lane

std::size_t uring_lane::take(std::span<char> into) {
    std::size_t moved = 0;
    if (left_ != nullptr && left_->taken < left_->received.size()) {
        moved = left_->received.copy(into.data(), into.size(), left_->taken);
        left_->taken += moved;
        if (left_->taken == left_->received.size()) left_->received = {}, left_->taken = 0, forget_left();
    }
    while (first_ != none && moved < into.size()) {
        const std::string_view held = engine_->ring_->buffer(first_, engine_->buffer_bytes_[first_]);
        const std::size_t some = held.copy(into.data() + moved, into.size() - moved, offset_);
        moved += some;
        offset_ = static_cast<std::uint16_t>(offset_ + some);
        if (offset_ == held.size()) engine_->drop_first(*this);
    }
    return moved;
}

void uring_lane::drop_unsent(std::size_t bytes) {
    if (left_ == nullptr) return;
    left_->unsent.erase(0, bytes);
    forget_left();
}

// ------------------------------------------------------------------------------------------------------------ the loop

std::unique_ptr<uring_engine> uring_engine::open(int wakeup, int epoll, std::string& problem) {
    auto ring = kernel_ring::open(problem);
    if (ring == nullptr) return nullptr;
    return std::unique_ptr<uring_engine>(new uring_engine(std::move(ring), wakeup, epoll));
}

uring_engine::uring_engine(std::unique_ptr<kernel_ring> ring, int wakeup, int epoll)
    : ring_(std::move(ring)), wakeup_(wakeup), epoll_(epoll), arena_(new char[arena_size]) {}

uring_engine::~uring_engine() = default;

void uring_engine::wait(milliseconds longest) {
    if (!enabled_) {
        owner_ = std::this_thread::get_id();
        if (!ring_->enable()) throw std::system_error(errno, std::generic_category(), "io_uring_register");
        enabled_ = true;
    }
    make_room(2);
    if (!wakeup_watched_) ring_->poll(wakeup_, POLLIN, true, own_tag(kind::wakeup));
    if (!epoll_watched_) ring_->poll(epoll_, POLLIN, true, own_tag(kind::epoll));
    wakeup_watched_ = epoll_watched_ = true;
    relieve_holders();
    prepare();
    hand_over(events_.empty() ? longest : milliseconds(0));
}

/// The one place that calls the kernel. Attaches to lanes what has come, and tells nobody.
void uring_engine::hand_over(milliseconds longest) {
    ring_->enter(longest);
    ring_completion what;
    while (ring_->take(what)) completed(what);
    arena_used_ = 0;
    if (++turn_ == 0) turn_ = 1;
}

void uring_engine::make_room(unsigned operations) {
    if (ring_->room() < operations) hand_over(milliseconds(0));
}

bool uring_engine::begin_telling() {
    assert(std::ranges::all_of(telling_, [](const uring_lane* each) { return each == nullptr; }));
    telling_.clear();
    telling_.swap(events_);
    ++batch_;
    told_ = ends_told_ = 0;
    return std::ranges::any_of(telling_,
                               [](const uring_lane* each) { return each != nullptr && (each->news_ & news_end) != 0; });
}

readiness_target* uring_engine::next(bool only_ends, readiness& what) {
    std::size_t& at = only_ends ? ends_told_ : told_;
    while (at < telling_.size()) {
        uring_lane*& place = telling_[at++];
        if (place == nullptr || (only_ends && (place->news_ & news_end) == 0)) continue;
        uring_lane& lane = *std::exchange(place, nullptr);
        const unsigned news = std::exchange(lane.news_, std::uint8_t{0});
        const bool something =
            lane.has_received() || lane.ended_ || (lane.mode_ == uring_lane::mode::direct && !lane.drained_);
        what = {.readable = something && (news & news_readable) != 0,
                .writable = (news & news_writable) != 0,
                .hangup = (news & news_end) != 0};
        if (what.readable || what.writable || what.hangup) return lane.target_;  // else it has been read already
    }
    return nullptr;
}

// --------------------------------------------------------------------------------------------------------- the streams

void uring_engine::enter(uring_lane& lane, int fd, readiness_target& target) {
    if (free_slots_.empty()) {
        free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
        slots_.emplace_back();
    }
    lane.slot_ = free_slots_.back();
    free_slots_.pop_back();
    slots_[lane.slot_].lane = &lane;
    lane.engine_ = this;
    lane.target_ = &target;
    lane.fd_ = fd;
    lane.flying_ = lane.news_ = lane.bulk_ = 0;
    lane.queued_in_ = 0;
    lane.mode_ = uring_lane::mode::kernel;
    lane.drained_ = lane.wants_room_ = lane.end_told_ = lane.listed_ = lane.holds_ = lane.cancel_asked_ = false;
    if (lane.has_received() || lane.ended_) tell_later(lane, lane.ended_ ? news_readable | news_end : news_readable);
    look_at_later(lane);
}

void uring_engine::leave(uring_lane& lane, bool closing) {
    if (lane.engine_ == nullptr) return;
    lane.leaving_ = true;
    // With other threads' rings nothing can be done but to end the connection: the ring itself is about to go.
    if (lane.flying_ != 0 && is_mine()) {
        take_back(lane);
    } else {
        (void)flush(lane);
        if (lane.flying_ != 0) ::shutdown(lane.fd_, SHUT_RDWR);
    }
    if (!closing) empty_into_string(lane);
    while (lane.first_ != uring_lane::none) drop_first(lane);
    forget(lane);
}

/// The receive, and every poll, ends now. The kernel keeps the socket open for as long as one of them is there.
void uring_engine::take_back(uring_lane& lane) {
    make_room(most_operations_per_lane);
    for (const kind each : {kind::receive, kind::readable, kind::end, kind::room}) {
        if ((lane.flying_ & bit(each)) != 0) ring_->cancel(tag(lane, each), own_tag(kind::none));
    }
    hand_over(milliseconds(0));
    // One that is just being completed is not cancelled: its completion is on its way.
    for (int tries = 0; lane.flying_ != 0 && tries < 1000; ++tries) hand_over(milliseconds(1));
    assert(lane.flying_ == 0);
}

void uring_engine::forget(uring_lane& lane) {
    if (lane.news_ != 0) (lane.news_batch_ == batch_ ? events_ : telling_)[lane.news_at_] = nullptr;
    if (lane.listed_) to_prepare_[lane.listed_at_] = nullptr;
    if (lane.holds_) std::ranges::replace(holders_, &lane, nullptr);
    slots_[lane.slot_].lane = nullptr;
    ++slots_[lane.slot_].generation;
    free_slots_.push_back(lane.slot_);
    lane.engine_ = nullptr;
    lane.target_ = nullptr;
    lane.fd_ = -1;
    lane.mode_ = uring_lane::mode::direct;
    lane.flying_ = lane.news_ = 0;
    lane.queued_in_ = 0;
    lane.listed_ = lane.holds_ = lane.leaving_ = false;
}

/// At most one send per stream and turn is queued: of two, the first could be cut short and the second not.
bool uring_engine::queue(uring_lane& lane, std::span<const iovec> chunks, std::size_t size) {
    if (!enabled_) return false;
    const bool goes_on = lane.queued_in_ == turn_;
    if (goes_on && lane.queued_at_ + lane.queued_size_ != arena_used_) return false;
    const std::size_t before = goes_on ? lane.queued_size_ : 0;
    if (before + size > most_queued_per_send || arena_size - arena_used_ < size) return false;
    if (!goes_on && ring_->room() == 0) return false;
    if (!goes_on) lane.queued_at_ = static_cast<std::uint32_t>(arena_used_);
    for (const iovec& chunk : chunks) {
        if (chunk.iov_len > 0) std::memcpy(arena_.get() + arena_used_, chunk.iov_base, chunk.iov_len);
        arena_used_ += chunk.iov_len;
    }
    lane.queued_size_ = static_cast<std::uint32_t>(before + size);
    if (goes_on) {
        ring_->lengthen(lane.queued_place_, lane.queued_size_);
    } else {
        lane.queued_place_ =
            ring_->send(lane.fd_, {arena_.get() + lane.queued_at_, lane.queued_size_}, tag(lane, kind::send));
        lane.queued_in_ = turn_;
    }
    return true;
}

bool uring_engine::flush(uring_lane& lane) {
    if (lane.queued_in_ != turn_) return true;
    lane.queued_in_ = 0;
    ring_->withdraw(lane.queued_place_);
    const std::string_view bytes(arena_.get() + lane.queued_at_, lane.queued_size_);
    ssize_t went = 0;
    do {
        went = ::send(lane.fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    } while (went < 0 && errno == EINTR);
    if (went < 0 && errno != EAGAIN) return false;
    lane.keep_unsent(bytes.substr(static_cast<std::size_t>(std::max<ssize_t>(went, 0))));
    return true;
}

void uring_engine::has_read(uring_lane& lane, std::size_t bytes, bool drained) {
    if (bytes >= little) lane.bulk_ = patience_with_bulk;
    else if (lane.bulk_ > 0) --lane.bulk_;
    lane.drained_ = drained;
    if (drained) look_at_later(lane);
}

void uring_engine::want_room(uring_lane& lane) {
    lane.wants_room_ = true;
    look_at_later(lane);
}

// ------------------------------------------------------------------------------------------------- before the wait

void uring_engine::look_at_later(uring_lane& lane) {
    if (lane.leaving_ || std::exchange(lane.listed_, true)) return;
    lane.listed_at_ = static_cast<std::uint32_t>(to_prepare_.size());
    to_prepare_.push_back(&lane);
}

void uring_engine::prepare() {
    // It grows while it is walked through, if the queue was full.
    for (std::size_t i = 0; i < to_prepare_.size(); ++i) {
        uring_lane* const lane = to_prepare_[i];
        if (lane == nullptr) continue;
        lane->listed_ = false;
        make_room(most_operations_per_lane);
        prepare(*lane);
    }
    to_prepare_.clear();
}

void uring_engine::prepare(uring_lane& lane) {
    using mode = uring_lane::mode;
    if (lane.wants_room_ && (lane.flying_ & bit(kind::room)) == 0) start(lane, kind::room, POLLOUT);
    if (lane.ended_) return;
    if (lane.mode_ == mode::direct && lane.drained_ && lane.bulk_ == 0) lane.mode_ = mode::kernel;
    const bool receives = (lane.flying_ & bit(kind::receive)) != 0;
    if (lane.mode_ == mode::stopping && !receives) {  // it had not begun
        lane.mode_ = mode::direct;
        lane.drained_ = false;
        tell_later(lane, news_readable);
    }
    switch (lane.mode_) {
        case mode::kernel:
            if (receives) return;
            lane.flying_ |= bit(kind::receive);
            lane.drained_ = lane.cancel_asked_ = false;
            return ring_->receive(lane.fd_, tag(lane, kind::receive));
        case mode::stopping:
            if (receives && !std::exchange(lane.cancel_asked_, true))
                ring_->cancel(tag(lane, kind::receive), own_tag(kind::none));
            return;
        case mode::direct: break;
    }
    // Who pauses is told of the end all the same, once.
    if (lane.drained_) {
        if ((lane.flying_ & bit(kind::readable)) == 0) start(lane, kind::readable, POLLIN | POLLRDHUP);
    } else if (!lane.end_told_ && (lane.flying_ & (bit(kind::readable) | bit(kind::end))) == 0) {
        start(lane, kind::end, POLLRDHUP);
    }
}

void uring_engine::start(uring_lane& lane, kind of, unsigned events) {
    lane.flying_ |= bit(of);
    ring_->poll(lane.fd_, events, false, tag(lane, of));
}

/// A reader that has been told and does not read must not keep what the others need, nor get more: its peer is to notice.
void uring_engine::relieve_holders() {
    std::size_t kept = 0;
    for (uring_lane* const lane : holders_) {
        if (lane == nullptr) continue;
        if (lane->count_ > 0 && lane->news_ == 0) {
            empty_into_string(*lane);
            stop_receiving(*lane);
        }
        lane->holds_ = lane->count_ > 0;
        if (lane->holds_) holders_[kept++] = lane;  // not told yet: after the next turn
    }
    holders_.resize(kept);
}

void uring_engine::empty_into_string(uring_lane& lane) {
    while (lane.first_ != uring_lane::none) {
        lane.left().received += ring_->buffer(lane.first_, buffer_bytes_[lane.first_]).substr(lane.offset_);
        drop_first(lane);
    }
}

void uring_engine::drop_first(uring_lane& lane) {
    const std::uint16_t id = lane.first_;
    lane.first_ = id == lane.last_ ? uring_lane::none : next_buffer_[id];
    lane.offset_ = 0;
    --lane.count_;
    ring_->recycle(id);
}

// --------------------------------------------------------------------------------------------------------- completions

std::uint64_t uring_engine::tag(const uring_lane& lane, kind of) const {
    constexpr std::uint32_t generations = 0xff'ffff;
    const std::uint64_t generation = slots_[lane.slot_].generation & generations;
    return own_tag(of) | generation << 32 | lane.slot_;
}

/// Null if who asked for it has left. Its place may have been taken since, which the generation tells.
uring_lane* uring_engine::lane_of(std::uint64_t tag) const {
    const auto index = static_cast<std::uint32_t>(tag);
    const std::uint64_t generation = tag >> 32 & 0xff'ffff;
    if (index >= slots_.size() || (slots_[index].generation & 0xff'ffff) != generation) return nullptr;
    return slots_[index].lane;
}

void uring_engine::completed(const ring_completion& what) {
    const auto of = static_cast<kind>(what.tag >> 56);
    if (of == kind::none) return;
    if (of == kind::wakeup) {
        wakeup_watched_ = what.more;
        return;
    }
    if (of == kind::epoll) {
        epoll_watched_ = what.more;
        epoll_news_ = true;
        return;
    }
    uring_lane* const lane = lane_of(what.tag);
    if (lane == nullptr) {
        if (what.buffer) ring_->recycle(*what.buffer);
        return;
    }
    if (!what.more && of != kind::send) lane->flying_ &= static_cast<std::uint8_t>(~bit(of));
    switch (of) {
        case kind::receive: return received(*lane, what);
        case kind::send: return sent(*lane, what.result);
        default: return polled(*lane, of, what.result);
    }
}

void uring_engine::received(uring_lane& lane, const ring_completion& what) {
    if (what.buffer && what.result <= 0) {
        ring_->recycle(*what.buffer);
    } else if (what.buffer) {
        const std::uint16_t id = *what.buffer;
        buffer_bytes_[id] = static_cast<std::uint16_t>(what.result);
        if (lane.first_ == uring_lane::none) lane.first_ = id;
        else next_buffer_[lane.last_] = id;
        lane.last_ = id;
        if (!std::exchange(lane.holds_, true)) holders_.push_back(&lane);
        if (++lane.count_ > most_buffers_per_lane) {
            lane.bulk_ = patience_with_bulk;
            stop_receiving(lane);
        }
        tell_later(lane, news_readable);
    }
    if (what.more) return;
    const int error_number = what.result < 0 ? -what.result : 0;
    if (error_number == ENOBUFS) ring_->add_buffers();
    const bool interrupted = what.result > 0 || error_number == ECANCELED || error_number == ENOBUFS ||
                             error_number == EAGAIN || error_number == EINTR || error_number == ENOMEM;
    if (!interrupted) {
        lane.ended_ = true;
        lane.error_ = error_number;
        return tell_later(lane, news_readable | news_end);
    }
    // What is left is in the socket, and nobody watches it: the stream looks in person, and asks again when it is empty. Who
    // has been told of something that he has not read yet will come by himself.
    lane.mode_ = uring_lane::mode::direct;
    lane.drained_ = false;
    if (!lane.has_received()) tell_later(lane, news_readable);
    look_at_later(lane);
}

void uring_engine::stop_receiving(uring_lane& lane) {
    if (lane.mode_ != uring_lane::mode::kernel) return;
    lane.mode_ = uring_lane::mode::stopping;
    look_at_later(lane);
}

/// Only what did not go as a whole is reported.
void uring_engine::sent(uring_lane& lane, int result) {
    const std::string_view bytes(arena_.get() + lane.queued_at_, lane.queued_size_);
    if (result >= 0 || result == -EAGAIN || result == -EINTR || result == -ENOMEM) {
        lane.keep_unsent(bytes.substr(std::min(bytes.size(), static_cast<std::size_t>(std::max(result, 0)))));
        if (!lane.unsent().empty()) want_room(lane);
        return;
    }
    // The reader hears it, behind what is left to read.
    lane.send_error_ = -result;
    if (!lane.ended_) stop_receiving(lane);
    tell_later(lane, news_readable | news_end);
}

void uring_engine::polled(uring_lane& lane, kind of, int result) {
    if (result < 0) return;  // it was taken back
    const bool end = (static_cast<unsigned>(result) & end_events) != 0;
    if (end) lane.end_told_ = true;
    if (of == kind::room) lane.wants_room_ = false;
    if (of == kind::readable) lane.drained_ = false;
    const unsigned which = of == kind::room ? news_writable : news_readable;
    tell_later(lane, end ? which | news_end : which);
    look_at_later(lane);
}

void uring_engine::tell_later(uring_lane& lane, unsigned what) {
    if (lane.leaving_) return;
    if (lane.news_ == 0) {
        lane.news_at_ = static_cast<std::uint32_t>(events_.size());
        lane.news_batch_ = batch_;
        events_.push_back(&lane);
    }
    lane.news_ |= static_cast<std::uint8_t>(what);
}

}  // namespace pgsteady::net
