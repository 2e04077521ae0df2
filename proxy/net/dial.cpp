// dial: see the header. A small machine: resolve, then attempt after attempt, then done; one timer at a time.
#include "proxy/net/dial.hpp"

#include "proxy/net/socket_address.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <vector>

namespace pgsteady::net {

namespace {

// A Unix socket whose backlog is full answers EAGAIN and gives no event when there is room.
constexpr std::chrono::milliseconds unix_retry_interval{10};
// More addresses than this for one name are not worth the wait.
constexpr std::size_t most_addresses = 16;

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

void tune(int fd, const dial_options& options) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    apply_keepalive(fd, options.keepalive);
    if (options.user_timeout.count() > 0)
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.user_timeout.count()));
}

}  // namespace

class dial_handle::operation final : public readiness_target, public std::enable_shared_from_this<operation> {
public:
    operation(event_loop& loop, std::string host, time_point deadline, const dial_options& options,
              std::function<void(dial_result)> done)
        : loop_(loop), host_(std::move(host)), deadline_(deadline), options_(options), done_(std::move(done)) {}
    ~operation() { abandon_attempt(); }
    operation(const operation&) = delete;
    operation& operator=(const operation&) = delete;

    void start(std::uint16_t port);
    void cancel();
    [[nodiscard]] bool in_progress() const { return done_ != nullptr; }

private:
    void resolve(std::uint16_t port);
    void resolved(const boost::system::error_code& failure, const boost::asio::ip::tcp::resolver::results_type& found);
    void arm(time_point due, void (operation::*then)());
    void resolve_timed_out();
    void attempt();
    void attempt_timed_out() { attempt_failed(ETIMEDOUT); }
    void attempt_failed(int error_number);
    void attempt_succeeded();
    void abandon_attempt();
    void on_ready(readiness what) override;
    void finish(dial_result result);
    [[nodiscard]] time_point attempt_deadline() const;

    event_loop& loop_;
    std::string host_;
    time_point deadline_;
    dial_options options_;
    std::function<void(dial_result)> done_;  // empty: finished or cancelled
    std::optional<boost::asio::ip::tcp::resolver> resolver_;
    std::vector<socket_address> addresses_;
    std::size_t current_ = 0;
    time_point give_up_at_{};  // on the current address
    unique_fd fd_;
    bool is_watched_ = false;
    timer_id timer_;
    std::string problems_;
    int last_error_ = 0;
};

void dial_handle::operation::start(std::uint16_t port) {
    const bool is_directory = host_.starts_with('/');
    const auto address = is_directory ? socket_address::unix_socket(host_, port) : socket_address::numeric(host_, port);
    if (!address && !is_directory) return resolve(port);
    if (address) addresses_.push_back(*address);
    // Never call back from within dial(): the caller has no handle yet.
    loop_.defer([self = shared_from_this()] {
        if (!self->in_progress()) return;
        if (self->addresses_.empty()) {
            return self->finish({.error_number = ENAMETOOLONG,
                                 .problem = "path of the Unix socket is too long: " + self->host_,
                                 .address = self->host_,
                                 .unresolved = true});
        }
        self->give_up_at_ = self->attempt_deadline();
        self->attempt();
    });
}

void dial_handle::operation::resolve(std::uint16_t port) {
    using boost::asio::ip::tcp;
    resolver_.emplace(loop_.context());
    arm(deadline_, &operation::resolve_timed_out);
    // The work guard and `self` live until Asio answers, also after a cancel: a name query cannot be interrupted.
    resolver_->async_resolve(
        host_, std::to_string(port), tcp::resolver::numeric_service,
        [self = shared_from_this(), guard = asio_work(loop_)](const auto& failure, const auto& found) {
            if (self->in_progress()) self->resolved(failure, found);
        });
}

void dial_handle::operation::resolve_timed_out() {
    finish({.error_number = ETIMEDOUT,
            .problem = "name \"" + host_ + "\" was not resolved in time",
            .address = host_,
            .unresolved = true});
}

void dial_handle::operation::resolved(const boost::system::error_code& failure,
                                      const boost::asio::ip::tcp::resolver::results_type& found) {
    for (const auto& entry : found) {
        if (addresses_.size() == most_addresses) break;
        const auto endpoint = entry.endpoint();
        addresses_.emplace_back(endpoint.data(), static_cast<socklen_t>(endpoint.size()));
    }
    if (addresses_.empty()) {
        return finish({.problem = "cannot resolve \"" + host_ + "\": " + failure.message(),
                       .address = host_,
                       .unresolved = true});
    }
    give_up_at_ = attempt_deadline();
    attempt();
}

/// Every address still to try gets the same share of the time that is left.
time_point dial_handle::operation::attempt_deadline() const {
    const auto left = deadline_ - loop_.now();
    const auto addresses_left = static_cast<clock::duration::rep>(addresses_.size() - current_);
    return loop_.now() + left / addresses_left;
}

void dial_handle::operation::arm(time_point due, void (operation::*then)()) {
    loop_.cancel_timer(timer_);
    timer_ = loop_.add_timer(due, [weak = weak_from_this(), then] {
        if (const auto self = weak.lock()) (self.get()->*then)();
    });
}

void dial_handle::operation::attempt() {
    const socket_address& address = addresses_[current_];
    if (loop_.now() >= give_up_at_) return attempt_failed(ETIMEDOUT);
    fd_.reset(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_) return attempt_failed(errno);
    if (!address.is_unix()) tune(fd_.get(), options_);
    if (::connect(fd_.get(), address.data(), address.size()) == 0) return attempt_succeeded();
    if (errno == EAGAIN && address.is_unix()) {
        return arm(std::min(give_up_at_, loop_.now() + unix_retry_interval), &operation::attempt);
    }
    if (errno != EINPROGRESS) return attempt_failed(errno);
    is_watched_ = loop_.watch(fd_.get(), *this, event_loop::trigger::edge_read_write);
    if (!is_watched_) return attempt_failed(errno);
    arm(give_up_at_, &operation::attempt_timed_out);
}

void dial_handle::operation::on_ready(readiness what) {
    if (!what.writable && !what.hangup) return;
    const auto self = shared_from_this();  // the callback may drop the handle
    int error_number = 0;
    socklen_t size = sizeof error_number;
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error_number, &size) != 0) error_number = errno;
    if (error_number != 0) return attempt_failed(error_number);
    attempt_succeeded();
}

void dial_handle::operation::attempt_failed(int error_number) {
    abandon_attempt();
    last_error_ = error_number;
    if (!problems_.empty()) problems_ += "; ";
    problems_ +=
        "cannot connect to " + addresses_[current_].to_string() + ": " + std::generic_category().message(error_number);
    if (current_ + 1 == addresses_.size()) {
        return finish({.error_number = last_error_,
                       .problem = std::move(problems_),
                       .address = addresses_[current_].to_string()});
    }
    ++current_;
    give_up_at_ = attempt_deadline();
    attempt();  // as deep as there are addresses at most
}

void dial_handle::operation::attempt_succeeded() {
    if (is_watched_) loop_.unwatch(fd_.get(), *this, false);
    is_watched_ = false;
    finish({.fd = fd_.release(), .address = addresses_[current_].to_string()});
}

void dial_handle::operation::abandon_attempt() {
    loop_.cancel_timer(timer_);
    if (is_watched_) loop_.unwatch(fd_.get(), *this, true);
    is_watched_ = false;
    fd_.reset();
}

void dial_handle::operation::finish(dial_result result) {
    const auto self = shared_from_this();
    abandon_attempt();
    std::exchange(done_, nullptr)(std::move(result));
}

void dial_handle::operation::cancel() {
    if (!in_progress()) return;  // over: its loop is no longer our business
    abandon_attempt();
    done_ = nullptr;
    if (resolver_) resolver_->cancel();
}

dial_handle::dial_handle(std::shared_ptr<operation> dialling) : dialling_(std::move(dialling)) {}

dial_handle& dial_handle::operator=(dial_handle&& other) noexcept {
    if (this != &other) {
        cancel();
        dialling_ = std::move(other.dialling_);
    }
    return *this;
}

void dial_handle::cancel() {
    if (const auto dialling = std::exchange(dialling_, nullptr)) dialling->cancel();
}

bool dial_handle::in_progress() const { return dialling_ != nullptr && dialling_->in_progress(); }

dial_handle dial(event_loop& loop, const std::string& host, std::uint16_t port, time_point deadline,
                 const dial_options& options, std::function<void(dial_result)> done) {
    auto dialling = std::make_shared<dial_handle::operation>(loop, host, deadline, options, std::move(done));
    dialling->start(port);
    return dial_handle(std::move(dialling));
}

}  // namespace pgsteady::net
