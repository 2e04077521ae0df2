// event_loop: what one worker thread waits in. Readiness of its sockets, a mailbox, timers, and a slow path on Asio.
// Sockets are registered once and reported at edges; a turn is one wait, then its events (ends of connections first),
// timers, letters, deferred work. It must never allocate, take a lock or call epoll_ctl for a message that merely passes
// through.
// Nothing above `stream`, `listener` and `dial` may know what waits underneath: epoll, or an io_uring for the streams
// and epoll for the rest.
// Owned by the worker; outlives every stream, listener and dial that is registered in it.
#pragma once

#include "proxy/net/unique_fd.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace pgsteady::net {

class uring_engine;

/// What streams wait in.
enum class io_engine : std::uint8_t { epoll, io_uring };

using clock = std::chrono::steady_clock;
using time_point = clock::time_point;

/// What became true of a descriptor. `hangup` covers the peer's FIN, a reset and any socket error:
/// the next read or write tells which.
struct readiness {
    bool readable = false;
    bool writable = false;
    bool hangup = false;
};

/// Something the loop reports readiness to. Only for the classes in this folder.
class readiness_target {
public:
    virtual void on_ready(readiness what) = 0;

protected:
    ~readiness_target() = default;
};

/// Names one armed timer. A default-constructed id names none; cancelling it, or one that has fired, does nothing.
struct timer_id {
    time_point due{};
    std::uint64_t serial = 0;
    friend auto operator<=>(const timer_id&, const timer_id&) = default;
};

class event_loop {
public:
    /// Throws std::system_error if the kernel gives no epoll set or eventfd, std::runtime_error if it is to be io_uring
    /// and the kernel does not give it (start-up only). With io_uring all turns are one thread's: that of the first.
    explicit event_loop(io_engine engine = io_engine::epoll);
    ~event_loop();
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    /// Runs turns on the calling thread until stop(). A stop() that came before makes it return at once.
    void run();
    /// Thread-safe. The turn in progress is finished first.
    void stop();
    /// One turn: waits at most `max_wait` for the first event. Tests and shutdown code drive the loop with it.
    void run_once(std::chrono::milliseconds max_wait);

    /// The time of the last wake, read once per turn. Good to about a turn; deadlines need no more.
    [[nodiscard]] time_point now() const { return now_; }
    [[nodiscard]] bool in_loop_thread() const {
        return std::this_thread::get_id() == thread_.load(std::memory_order_relaxed);
    }

    /// Thread-safe mailbox, in order of posting. Wakes the loop only when it may be asleep. Letters still unread
    /// when the loop is destroyed are destroyed unrun.
    void post(std::function<void()> letter);
    /// Thread-safe. True: whatever has reached this loop's sockets by now has been told, as it sleeps and nothing has become
    /// ready. It may have been woken for something that it has not begun to tell for the blink of an eye. One system call.
    [[nodiscard]] bool caught_up() const;
    /// Loop thread only. Runs at the end of this turn (of the next one, if called by deferred work). Objects that
    /// may still be on the call stack are freed here; a reader that used up its share of a turn goes on here.
    void defer(std::function<void()> work);

    /// Loop thread only; slow path (logins, dials, watchdogs), never re-armed per message. Fires at or after `due`.
    timer_id add_timer(time_point due, std::function<void()> callback);
    void cancel_timer(timer_id id);

    /// For slow-path operations (name resolution). Hold an `asio_work` while one is outstanding: without any, the loop
    /// does not look at the context at all.
    [[nodiscard]] boost::asio::io_context& context() { return *context_; }

    /// Which one it is.
    [[nodiscard]] io_engine engine() const { return uring_ ? io_engine::io_uring : io_engine::epoll; }
    /// Whether there can be loops on io_uring here; else `problem` says why not.
    [[nodiscard]] static bool has_io_uring(std::string& problem);

    // --- for stream, listener and dial -------------------------------------------------------------------------------
    enum class trigger : std::uint8_t {
        edge_read_write,  ///< sockets with quiet write side: TCP
        edge_read,        ///< Unix sockets: they report "writable" after every message that the peer takes
        level_read,       ///< listeners
    };
    /// Starts reporting `fd` to `target`; what is ready already is reported too. False: errno says why.
    [[nodiscard]] bool watch(int fd, readiness_target& target, trigger how);
    /// Changes how an already watched descriptor reports; again reports what is ready already.
    [[nodiscard]] bool rewatch(int fd, readiness_target& target, trigger how);
    /// No event of this turn or a later one reaches `target` again, also not one already fetched. With
    /// `closing`, the caller closes the descriptor at once, which removes it from the set without a call.
    void unwatch(int fd, readiness_target& target, bool closing);
    /// Whether `target` is still the one being told. False after it was unwatched (freed, moved) during its own event.
    [[nodiscard]] bool is_telling(const readiness_target& target) const { return telling_ == &target; }
    /// Where streams are instead of being watched; null with epoll.
    [[nodiscard]] uring_engine* uring() const { return uring_.get(); }
    /// A stream has left uring().
    void stop_telling(const readiness_target& target) {
        if (telling_ == &target) telling_ = nullptr;
    }

private:
    friend class asio_work;
    struct batch;  // fetched epoll events

    void wait(std::chrono::milliseconds max_wait);
    [[nodiscard]] int wait_for_events(int timeout);
    [[nodiscard]] int wait_in_ring(int timeout);
    [[nodiscard]] int timeout_ms(std::chrono::milliseconds max_wait) const;
    void tell_all();
    void tell_ends();
    void tell_streams(bool only_ends);
    void tell(void* to, std::uint32_t events);
    void fire_timers();
    void read_mailbox();
    void run_deferred();
    void poll_context();
    void wake();

    unique_fd epoll_;
    unique_fd wakeup_;
    std::unique_ptr<batch> batch_;
    bool epoll_may_have_more_ = false;  // with a ring: looked at before it sleeps
    std::unique_ptr<uring_engine> uring_;
    readiness_target* telling_ = nullptr;
    time_point now_;
    std::atomic<std::thread::id> thread_;
    std::atomic<bool> stopped_ = false;

    std::mutex mailbox_mutex_;
    std::vector<std::function<void()>> mailbox_;  // guarded by mailbox_mutex_
    std::atomic<bool> has_mail_ = false;
    std::atomic<bool> asleep_ = false;
    std::vector<std::function<void()>> reading_;  // letters of this turn; kept for its capacity

    std::vector<std::function<void()>> deferred_;
    std::vector<std::function<void()>> deferred_now_;

    std::map<timer_id, std::function<void()>> timers_;
    std::uint64_t timer_serial_ = 0;

    std::size_t asio_operations_ = 0;
    std::unique_ptr<boost::asio::io_context> context_;
};

/// Counts one outstanding Asio operation on a loop's context, so that the loop attends to it. Loop thread only.
class asio_work {
public:
    explicit asio_work(event_loop& loop) : loop_(&loop) { ++loop_->asio_operations_; }
    asio_work(asio_work&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)) {}
    asio_work& operator=(asio_work&&) = delete;
    asio_work(const asio_work&) = delete;
    asio_work& operator=(const asio_work&) = delete;
    ~asio_work() {
        if (loop_ != nullptr) --loop_->asio_operations_;
    }

private:
    event_loop* loop_;
};

}  // namespace pgsteady::net
