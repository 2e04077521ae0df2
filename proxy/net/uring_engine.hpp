// uring_engine: the streams of one loop on an io_uring. The kernel receives for them into shared buffers, and what they
// send in a turn leaves with the wait that ends it, so a turn with many messages costs one system call.
// It must never mix up the order of a stream's bytes, lose an end, or let a completion reach who has left.
// Owned by an event_loop; used on its thread.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/kernel_ring.hpp"

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::net {

class uring_engine;

/// What a stream has with an engine: received bytes that nobody has read, sent bytes that the kernel did not take, and
/// who receives. Owned by the stream, with which it may leave one loop and enter another.
class uring_lane {
public:
    /// Moves received bytes; 0: there are none.
    [[nodiscard]] std::size_t take(std::span<char> into);
    [[nodiscard]] bool has_received() const {
        return first_ != none || (left_ != nullptr && left_->taken < left_->received.size());
    }
    /// The kernel receives, or is about to stop: reading the socket meanwhile would swap bytes.
    [[nodiscard]] bool kernel_receives() const { return engine_ != nullptr && mode_ != mode::direct; }
    /// The peer's end or the socket's error was received, behind everything else.
    [[nodiscard]] bool ended() const { return ended_; }
    [[nodiscard]] int error_number() const { return error_; }
    /// A queued send has failed with this errno: the connection is of no use any more, but for what is left to read.
    [[nodiscard]] int send_error() const { return send_error_; }
    /// The stream has read the end in person.
    void note_end(int error_number) { ended_ = true, error_ = error_number; }
    /// What a queued send left over. Goes before anything else.
    [[nodiscard]] std::string_view unsent() const { return left_ != nullptr ? left_->unsent : std::string_view(); }
    /// So much of it has been sent, or need not be.
    void drop_unsent(std::size_t bytes);
    /// Buffers of the engine that are held; for tests.
    [[nodiscard]] std::size_t buffers_held() const { return count_; }

private:
    friend class uring_engine;
    static constexpr std::uint16_t none = 0xffff;
    enum class mode : std::uint8_t {
        kernel,    ///< a receive is under way, or about to be
        stopping,  ///< it is being cancelled
        direct,    ///< the stream reads in person, as with epoll
    };

    /// Hardly any lane has something left over; there is one per client.
    struct leftovers {
        std::string received;  // what a reader that pauses, or moves, has left
        std::size_t taken = 0;
        std::string unsent;
    };
    leftovers& left() {
        if (left_ == nullptr) left_ = std::make_unique<leftovers>();
        return *left_;
    }
    void keep_unsent(std::string_view bytes) {
        if (!bytes.empty()) left().unsent = bytes;
        else if (left_ != nullptr) left_->unsent.clear(), forget_left();
    }
    void forget_left() {
        if (left_ != nullptr && left_->received.empty() && left_->unsent.empty()) left_.reset();
    }

    uring_engine* engine_ = nullptr;
    readiness_target* target_ = nullptr;
    std::unique_ptr<leftovers> left_;
    std::uint32_t slot_ = 0;
    int fd_ = -1;
    int error_ = 0;               // that ended it
    int send_error_ = 0;          // of a queued send
    std::uint16_t first_ = none;  // of the buffers, chained in the engine
    std::uint16_t last_ = none;
    std::uint16_t count_ = 0;
    std::uint16_t offset_ = 0;     // read of the first
    std::uint32_t queued_in_ = 0;  // turn of the send that is queued
    std::uint32_t queued_at_ = 0;  // in the arena
    std::uint32_t queued_size_ = 0;
    std::uint32_t queued_place_ = 0;
    mode mode_ = mode::direct;
    std::uint8_t flying_ = 0;       // operations under way, a bit per kind
    std::uint8_t news_ = 0;         // not yet told
    std::uint8_t bulk_ = 0;         // small reads in person that are still to come before the kernel receives again
    std::uint32_t news_at_ = 0;     // among the events
    std::uint32_t news_batch_ = 0;  // of this batch of events
    std::uint32_t listed_at_ = 0;
    bool ended_ = false;
    bool leaving_ = false;
    bool drained_ = false;     // read in person until nothing was left
    bool wants_room_ = false;  // to be told when it can send
    bool end_told_ = false;
    bool listed_ = false;  // among those that are looked at before the wait
    bool holds_ = false;   // likewise, since it may hold buffers
    bool cancel_asked_ = false;
};

class uring_engine {
public:
    /// Null if the kernel does not allow it; `problem` says why.
    [[nodiscard]] static std::unique_ptr<uring_engine> open(int wakeup, int epoll, std::string& problem);
    ~uring_engine();
    uring_engine(const uring_engine&) = delete;
    uring_engine& operator=(const uring_engine&) = delete;

    // ----------------------------------------------------------------------------------------------------- for the loop
    /// Sends what is queued, waits for the first event.
    void wait(std::chrono::milliseconds longest);
    /// See kernel_ring.
    [[nodiscard]] int descriptor() const { return ring_->descriptor(); }
    /// The epoll set has had news since the last call.
    [[nodiscard]] bool epoll_has_news() { return std::exchange(epoll_news_, false); }
    [[nodiscard]] bool has_events() const { return !events_.empty(); }
    /// Of those that have come by now: whether one of them is an end. Those that come later are the next turn's.
    [[nodiscard]] bool begin_telling();
    /// The next to be told; null: no more. `only_ends`: of those that have ended.
    [[nodiscard]] readiness_target* next(bool only_ends, readiness& what);

    // -------------------------------------------------------------------------------------------------- for the streams
    void enter(uring_lane& lane, int fd, readiness_target& target);
    /// Sends what is queued and takes back what the kernel was doing: from here on nothing happens to the socket
    /// but by its owner. Received and unsent bytes stay in the lane, unless it is `closing`.
    void leave(uring_lane& lane, bool closing);
    /// Queues bytes that the kernel will take when the turn ends. False: send them yourself (flush() first).
    [[nodiscard]] bool queue(uring_lane& lane, std::span<const iovec> chunks, std::size_t size);
    /// What is queued is sent now. What did not go is in unsent(); false: an error, errno says which.
    [[nodiscard]] bool flush(uring_lane& lane);
    /// The stream has read in person `bytes`; `drained`: there was no more.
    void has_read(uring_lane& lane, std::size_t bytes, bool drained);
    /// on_ready() with `writable` will come, once.
    void want_room(uring_lane& lane);

private:
    struct slot {
        uring_lane* lane = nullptr;
        std::uint32_t generation = 0;
    };
    enum class kind : std::uint8_t { receive, readable, end, room, send, wakeup, epoll, none };
    enum : std::uint8_t { news_readable = 1, news_writable = 2, news_end = 4 };

    explicit uring_engine(std::unique_ptr<kernel_ring> ring, int wakeup, int epoll);

    [[nodiscard]] static std::uint8_t bit(kind of) {
        return static_cast<std::uint8_t>(1U << static_cast<unsigned>(of));
    }
    [[nodiscard]] std::uint64_t tag(const uring_lane& lane, kind of) const;
    [[nodiscard]] static std::uint64_t own_tag(kind of) { return std::uint64_t{static_cast<std::uint8_t>(of)} << 56; }
    [[nodiscard]] bool is_mine() const { return owner_ == std::this_thread::get_id(); }
    [[nodiscard]] uring_lane* lane_of(std::uint64_t tag) const;
    void forget(uring_lane& lane);
    void take_back(uring_lane& lane);
    void hand_over(std::chrono::milliseconds longest);
    void make_room(unsigned operations);
    void prepare();
    void prepare(uring_lane& lane);
    void start(uring_lane& lane, kind of, unsigned events);
    void completed(const ring_completion& what);
    void received(uring_lane& lane, const ring_completion& what);
    void sent(uring_lane& lane, int result);
    void polled(uring_lane& lane, kind of, int result);
    void tell_later(uring_lane& lane, unsigned what);
    void look_at_later(uring_lane& lane);
    void stop_receiving(uring_lane& lane);
    void relieve_holders();
    void empty_into_string(uring_lane& lane);
    void drop_first(uring_lane& lane);
    friend class uring_lane;

    std::unique_ptr<kernel_ring> ring_;
    int wakeup_;
    int epoll_;
    bool enabled_ = false;
    bool wakeup_watched_ = false;
    bool epoll_watched_ = false;
    bool epoll_news_ = false;
    std::thread::id owner_;

    std::vector<slot> slots_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<uring_lane*> to_prepare_;
    std::vector<uring_lane*> holders_;  // of buffers, since the last wait
    std::vector<uring_lane*> events_;   // null: told, or has left
    std::vector<uring_lane*> telling_;
    std::uint32_t batch_ = 0;  // of what is in events_
    std::size_t ends_told_ = 0;
    std::size_t told_ = 0;

    std::array<std::uint16_t, kernel_ring::buffer_count> next_buffer_{};  // chains of the lanes
    std::array<std::uint16_t, kernel_ring::buffer_count> buffer_bytes_{};

    // What has been queued in this turn, in order. Free again when the kernel has taken it.
    std::unique_ptr<char[]> arena_;
    std::size_t arena_used_ = 0;
    std::uint32_t turn_ = 1;
};

}  // namespace pgsteady::net
