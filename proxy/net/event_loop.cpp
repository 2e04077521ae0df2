// event_loop: see the header. Every decision about when a thread sleeps or is woken is in this file.
#include "proxy/net/event_loop.hpp"

#include "proxy/net/uring_engine.hpp"

#include <boost/asio/io_context.hpp>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace pgsteady::net {

namespace {

constexpr std::size_t events_per_turn = 128;
// How long an outstanding Asio operation may go unnoticed; only name resolution is one.
constexpr int asio_patience_ms = 1;

unique_fd checked(int fd, const char* what) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
    return unique_fd{fd};
}

std::uint32_t mask_of(event_loop::trigger how) {
    switch (how) {
        case event_loop::trigger::edge_read_write: return EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        case event_loop::trigger::edge_read: return EPOLLIN | EPOLLRDHUP | EPOLLET;
        case event_loop::trigger::level_read: break;
    }
    return EPOLLIN;
}

// The peer's FIN, a reset, an error.
constexpr std::uint32_t end_mask = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

bool is_end(const epoll_event& event) { return (event.events & end_mask) != 0; }

bool control(int epoll, int operation, int fd, void* target, std::uint32_t mask) {
    epoll_event event{};
    event.events = mask;
    event.data.ptr = target;
    return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

struct event_loop::batch {
    std::array<epoll_event, events_per_turn> events;
    std::size_t count = 0;
    std::size_t next = 0;  // first one not yet told

    [[nodiscard]] std::span<epoll_event> untold() { return std::span(events).first(count).subspan(next); }
};

event_loop::event_loop(io_engine engine)
    : epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wakeup_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      batch_(std::make_unique<batch>()),
      now_(clock::now()),
      context_(std::make_unique<boost::asio::io_context>(1)) {
    if (engine == io_engine::io_uring) {
        std::string problem;
        uring_ = uring_engine::open(wakeup_.get(), epoll_.get(), problem);
        if (uring_ == nullptr) throw std::runtime_error(problem);
        return;  // it watches the mailbox itself
    }
    // A null target is the mailbox. Edge-triggered, so each write wakes once and nothing has to be read back.
    if (!control(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), nullptr, EPOLLIN | EPOLLET)) {
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
}

bool event_loop::has_io_uring(std::string& problem) { return uring_engine::open(-1, -1, problem) != nullptr; }

event_loop::~event_loop() {
    // What is still waiting may own dials and streams, which call back into this loop as they die: let them, while
    // every member is alive and none is being changed.
    context_.reset();
    const auto deferred = std::exchange(deferred_, {});
    const auto letters = std::exchange(mailbox_, {});
    const auto timers = std::exchange(timers_, {});
}

void event_loop::run() {
    while (!stopped_.load(std::memory_order_acquire)) run_once(std::chrono::milliseconds::max());
    stopped_.store(false, std::memory_order_release);
}

void event_loop::stop() {
    stopped_.store(true);
    wake();
}

void event_loop::run_once(std::chrono::milliseconds max_wait) {
    thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    wait(max_wait);
    tell_all();
    fire_timers();
    read_mailbox();
    poll_context();
    run_deferred();
}

void event_loop::wait(std::chrono::milliseconds max_wait) {
    int timeout = timeout_ms(max_wait);
    if (timeout != 0) {
        // Sequentially consistent, as is post(): either it sees us asleep and wakes us, or we see its letter.
        asleep_.store(true);
        if (has_mail_.load() || stopped_.load()) timeout = 0;
    }
    const int count = uring_ ? wait_in_ring(timeout) : wait_for_events(timeout);
    asleep_.store(false, std::memory_order_relaxed);
    now_ = clock::now();
    // EINTR is an empty turn. Any other error is a bug in this class.
    assert(count >= 0 || errno == EINTR);
    batch_->count = static_cast<std::size_t>(std::max(count, 0));
    batch_->next = 0;
}

int event_loop::wait_for_events(int timeout) {
    return ::epoll_wait(epoll_.get(), batch_->events.data(), events_per_turn, timeout);
}

/// The ring says when the epoll set has something new. What is level-triggered stays in the set without being news, so it
/// is asked until it is empty.
int event_loop::wait_in_ring(int timeout) {
    int count = epoll_may_have_more_ ? wait_for_events(0) : 0;
    uring_->wait(std::chrono::milliseconds(count > 0 ? 0 : timeout));
    if (uring_->epoll_has_news() && count == 0) count = wait_for_events(0);
    epoll_may_have_more_ = count > 0;
    return count;
}

int event_loop::timeout_ms(std::chrono::milliseconds max_wait) const {
    if (!deferred_.empty()) return 0;
    using std::chrono::ceil;
    using std::chrono::milliseconds;
    // A day is long enough to sleep, and keeps the arithmetic far from overflow.
    constexpr milliseconds longest = std::chrono::hours(24);
    milliseconds wait = std::clamp(max_wait, milliseconds(0), longest);
    if (!timers_.empty()) {
        const auto until_due = timers_.begin()->first.due - now_;
        if (until_due <= clock::duration::zero()) return 0;
        if (until_due < longest) wait = std::min(wait, ceil<milliseconds>(until_due));
    }
    if (asio_operations_ > 0) wait = std::min(wait, milliseconds(asio_patience_ms));
    return static_cast<int>(wait.count());
}

void event_loop::tell_all() {
    // Ends first: who is about to write to a peer must know by then that it has left, or a statement that could have
    // gone elsewhere is sent into a connection that is already dead.
    bool ends = uring_ && uring_->begin_telling();
    for (const epoll_event& event : batch_->untold()) ends = ends || is_end(event);
    if (ends) tell_ends();
    while (!batch_->untold().empty()) {
        const epoll_event& event = batch_->events[batch_->next++];
        tell(event.data.ptr, event.events);
    }
    if (uring_) tell_streams(false);
    telling_ = nullptr;
}

void event_loop::tell_ends() {
    for (epoll_event& event : batch_->untold()) {
        if (!is_end(event)) continue;
        const epoll_event now =
            std::exchange(event, epoll_event{});  // told: its place in the batch names nobody any more
        tell(now.data.ptr, now.events);
    }
    if (uring_) tell_streams(true);
}

void event_loop::tell_streams(bool only_ends) {
    readiness what;
    while (readiness_target* const target = uring_->next(only_ends, what)) {
        telling_ = target;
        target->on_ready(what);
    }
}

void event_loop::tell(void* to, std::uint32_t events) {
    auto* target = static_cast<readiness_target*>(to);
    if (target == nullptr) return;  // the mailbox, told already, or unwatched since it was fetched
    telling_ = target;
    target->on_ready({.readable = (events & EPOLLIN) != 0,
                      .writable = (events & EPOLLOUT) != 0,
                      .hangup = (events & end_mask) != 0});
}

bool event_loop::watch(int fd, readiness_target& target, trigger how) {
    return control(epoll_.get(), EPOLL_CTL_ADD, fd, &target, mask_of(how));
}

bool event_loop::rewatch(int fd, readiness_target& target, trigger how) {
    return control(epoll_.get(), EPOLL_CTL_MOD, fd, &target, mask_of(how));
}

void event_loop::unwatch(int fd, readiness_target& target, bool closing) {
    if (telling_ == &target) telling_ = nullptr;
    for (epoll_event& event : batch_->untold()) {
        if (event.data.ptr == &target) event.data.ptr = nullptr;
    }
    if (!closing) control(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr, 0);
}

void event_loop::post(std::function<void()> letter) {
    {
        const std::lock_guard lock(mailbox_mutex_);
        mailbox_.push_back(std::move(letter));
        has_mail_.store(true);
    }
    // Many letters to a sleeping loop cost one write: the first sender takes the flag.
    if (asleep_.load() && asleep_.exchange(false)) wake();
}

bool event_loop::caught_up() const {
    if (!asleep_.load()) return false;
    pollfd news{.fd = uring_ ? uring_->descriptor() : epoll_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&news, 1, 0) == 0 && asleep_.load();
}

void event_loop::wake() {
    const std::uint64_t one = 1;
    // It can only fail when 2^64 wake-ups are unread; being awake is then the least of it.
    [[maybe_unused]] const auto written = ::write(wakeup_.get(), &one, sizeof one);
}

void event_loop::read_mailbox() {
    if (!has_mail_.load(std::memory_order_acquire)) return;
    {
        const std::lock_guard lock(mailbox_mutex_);
        has_mail_.store(false);
        reading_.swap(mailbox_);
    }
    for (auto& letter : reading_) letter();
    reading_.clear();
}

void event_loop::defer(std::function<void()> work) { deferred_.push_back(std::move(work)); }

void event_loop::run_deferred() {
    if (deferred_.empty()) return;
    deferred_now_.swap(deferred_);
    for (auto& work : deferred_now_) work();
    deferred_now_.clear();
}

timer_id event_loop::add_timer(time_point due, std::function<void()> callback) {
    const timer_id id{.due = due, .serial = ++timer_serial_};
    timers_.emplace(id, std::move(callback));
    return id;
}

void event_loop::cancel_timer(timer_id id) { timers_.erase(id); }

void event_loop::fire_timers() {
    // Timers that a callback adds wait for the next turn, however overdue, so that a turn always ends.
    const std::uint64_t newest = timer_serial_;
    while (!timers_.empty()) {
        const auto first = timers_.begin();
        if (first->first.due > now_ || first->first.serial > newest) return;
        const auto node = timers_.extract(first);
        node.mapped()();
    }
}

void event_loop::poll_context() {
    if (asio_operations_ == 0) return;
    if (context_->stopped()) context_->restart();
    context_->poll();
}

}  // namespace pgsteady::net
