// listener: see the header. Level-triggered, so a turn's share of accepts loses nothing.
#include "proxy/net/listener.hpp"

#include "proxy/net/socket_address.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace pgsteady::net {

namespace {

std::string text_of(int error_number) { return std::generic_category().message(error_number); }

struct candidates {
    std::vector<socket_address> addresses;
    std::string problem;
};

candidates resolve(const std::string& host, std::uint16_t port) {
    if (host.starts_with('/')) {
        const auto address = socket_address::unix_socket(host, port);
        if (!address) return {{}, "path of the Unix socket is too long: " + host};
        return {{*address}, {}};
    }
    if (const auto address = socket_address::numeric(host, port)) return {{*address}, {}};
    addrinfo hints{};
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const char* const name = host == "*" ? nullptr : host.c_str();
    const int failed = ::getaddrinfo(name, std::to_string(port).c_str(), &hints, &found);
    if (failed != 0) return {{}, "cannot resolve \"" + host + "\": " + ::gai_strerror(failed)};
    candidates result;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        result.addresses.emplace_back(each->ai_addr, each->ai_addrlen);
    }
    ::freeaddrinfo(found);
    return result;
}

void set_option(int fd, int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); }

/// Linux hands these down to accepted sockets, which saves the calls per connection.
void set_inherited_options(int fd, const listen_settings& settings) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    apply_keepalive(fd, settings.keepalive);
}

/// A socket file whose owner is gone refuses connections; only such a one is removed.
void remove_if_dead(const socket_address& address) {
    struct stat file {};
    if (::lstat(address.to_string().c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return;
    const unique_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return;
    if (::connect(probe.get(), address.data(), address.size()) != 0 && errno == ECONNREFUSED) {
        ::unlink(address.to_string().c_str());
    }
}

bool is_exhaustion(int error_number) {
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS || error_number == ENOMEM;
}

}  // namespace

class listener::door final : public readiness_target {
public:
    door(listener& owner, unique_fd fd, socket_address address)
        : owner_(owner), fd_(std::move(fd)), address_(address) {}
    /// To close the descriptor is not enough for the epoll set to forget it: another process may have the same socket.
    ~door() {
        owner_.loop_.unwatch(fd_.get(), *this, false);
        if (address_.is_unix() && !handed_over_) ::unlink(address_.to_string().c_str());
    }
    door(const door&) = delete;
    door& operator=(const door&) = delete;

    [[nodiscard]] bool watch() { return owner_.loop_.watch(fd_.get(), *this, event_loop::trigger::level_read); }
    void unwatch() { owner_.loop_.unwatch(fd_.get(), *this, false); }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const socket_address& address() const { return address_; }
    void hand_over() { handed_over_ = true; }

private:
    void on_ready(readiness /*what*/) override { owner_.accept_some(*this); }

    listener& owner_;
    unique_fd fd_;
    socket_address address_;
    bool handed_over_ = false;
};

listener::listener(event_loop& loop, const listen_settings& settings, callbacks to)
    : loop_(loop), settings_(settings), callbacks_(std::move(to)), port_(settings.port) {}

listener::~listener() { close(); }

listener::opened listener::open(event_loop& loop, const listen_settings& settings, callbacks to) {
    std::unique_ptr<listener> made(new listener(loop, settings, std::move(to)));
    std::string problem = made->bind_all();
    if (!problem.empty()) made.reset();
    return {std::move(made), std::move(problem)};
}

struct listener::bind_problem {
    std::string text{};  ///< empty: bound
    int error_number = 0;
};

/// That a call about `address` has just failed.
listener::bind_problem listener::problem_of(const char* step, const socket_address& address) {
    const int error_number = errno;
    return {std::string("cannot ") + step + " " + address.to_string() + ": " + text_of(error_number), error_number};
}

std::string listener::bind_all() {
    candidates found = resolve(settings_.host, settings_.port);
    if (!found.problem.empty()) return found.problem;
    for (socket_address& address : found.addresses) {
        if (settings_.port == 0) address.set_port(port_);  // the one that the first address was given
        bind_problem problem = bind_one(address);
        // "All addresses" and names may include IPv6 on a machine without it.
        const bool is_missing = problem.error_number == EAFNOSUPPORT || problem.error_number == EADDRNOTAVAIL;
        if (!problem.text.empty() && !(is_missing && found.addresses.size() > 1)) return std::move(problem.text);
    }
    return doors_.empty() ? "no address to listen on for \"" + settings_.host + "\"" : std::string();
}

listener::bind_problem listener::bind_one(const socket_address& address) {
    const auto failed = [&address](const char* step) { return problem_of(step, address); };
    if (settings_.inherited != nullptr)
        if (unique_fd theirs = settings_.inherited->take(address.to_string())) {
            if (!address.is_unix()) set_inherited_options(theirs.get(), settings_);
            return open_door(std::move(theirs), address);
        }
    unique_fd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return failed("create a socket for");
    if (address.is_unix()) {
        remove_if_dead(address);
    } else {
        set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
        if (settings_.reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1);
        if (address.family() == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set_inherited_options(fd.get(), settings_);
    }
    if (::bind(fd.get(), address.data(), address.size()) != 0) return failed("bind");
    if (address.is_unix()) ::chmod(address.to_string().c_str(), settings_.unix_permissions);
    return open_door(std::move(fd), address);
}

listener::bind_problem listener::open_door(unique_fd fd, const socket_address& address) {
    if (::listen(fd.get(), settings_.backlog) != 0) return problem_of("listen on", address);
    const socket_address bound = address.is_unix() ? address : socket_address::local_of(fd.get());
    if (port_ == 0) port_ = bound.port();
    auto made = std::make_unique<door>(*this, std::move(fd), bound);
    if (!made->watch()) return problem_of("watch", address);
    doors_.push_back(std::move(made));
    return {};
}

void listener::accept_some(door& at) {
    for (int i = 0; i < settings_.accepts_per_turn && !paused_ && !doors_.empty(); ++i) {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        const int fd = ::accept4(at.fd(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            exhausted_ = false;
            callbacks_.accepted(fd, socket_address(reinterpret_cast<const sockaddr*>(&from), size).to_string());
            continue;
        }
        if (errno == EAGAIN) return;
        if (is_exhaustion(errno)) return pause(errno);
        // The rest belongs to the connection that did not come about (ECONNABORTED, EPROTO, network errors): next one.
    }
}

/// Descriptors come back when someone disconnects, not by asking again at once: a level-triggered listener that is
/// left in the set would spin.
void listener::pause(int error_number) {
    paused_ = true;
    for (const auto& each : doors_) each->unwatch();
    retry_ = loop_.add_timer(loop_.now() + settings_.retry_after, [this] { resume(); });
    if (!exhausted_ && callbacks_.exhausted) callbacks_.exhausted(error_number);
    exhausted_ = true;
}

void listener::resume() {
    paused_ = false;
    for (const auto& each : doors_) {
        // Even the epoll set may be refused memory now: try again later.
        if (!each->watch() && errno != EEXIST) return pause(errno);
    }
}

void listener::close() {
    loop_.cancel_timer(retry_);
    doors_.clear();
}

void listener::hand_over() {
    for (const auto& each : doors_) each->hand_over();
    close();
}

std::vector<unique_fd> listener::copies() const {
    std::vector<unique_fd> result;
    for (const auto& each : doors_) result.emplace_back(::fcntl(each->fd(), F_DUPFD_CLOEXEC, 0));
    return result;
}

std::vector<std::string> listener::addresses() const {
    std::vector<std::string> result;
    for (const auto& each : doors_) result.push_back(each->address().to_string());
    return result;
}

}  // namespace pgsteady::net
