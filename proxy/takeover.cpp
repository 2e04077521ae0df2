// See takeover.hpp. Messages: "sockets" is answered with them, "ready" with "yours"; "cancel" and "replaced" have no answer.
#include "proxy/takeover.hpp"

#include "proxy/worker/log.hpp"

#include <fmt/format.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view ask_for_sockets = "pgsteady takeover 1: sockets";
constexpr std::string_view say_ready = "ready";
constexpr std::string_view say_yours = "yours";
constexpr std::string_view cancel_prefix = "cancel ";
constexpr std::string_view say_replaced = "replaced";
constexpr auto patience = 5s;      // of the successor, for an answer
constexpr auto preparation = 60s;  // of the old one, for a successor that starts
constexpr auto forever = -1ms;

void pass_cancel(std::string_view text, const takeover_door::hooks& to) {
    text.remove_prefix(cancel_prefix.size());
    if (text.size() <= sizeof(std::int32_t)) return;
    std::int32_t pid = 0;
    std::memcpy(&pid, text.data(), sizeof pid);
    to.cancel(pid, std::string(text.substr(sizeof pid)));
}

}  // namespace

// ------------------------------------------------------------------------------------------ the old process

std::string takeover_door::open(const std::string& path, std::vector<net::unique_fd> sockets, hooks to) {
    path_ = path;
    sockets_ = std::move(sockets);
    hooks_ = std::move(to);
    stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (sockets_.size() > net::max_mail_descriptors) return "listen.takeover_socket: too many listening sockets";
    listening_ = net::listen_for_mail(path);
    if (!listening_ || !stop_) return fmt::format("listen.takeover_socket {}: {}", path, std::strerror(errno));
    thread_ = std::thread([this] { run(); });
    return {};
}

void takeover_door::close() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    thread_.join();
    if (listening_) ::unlink(path_.c_str());
    listening_.reset();
    sockets_.clear();
}

/// False: this process ends, or the time is over. Negative: there is no such limit.
bool takeover_door::readable(int fd, std::chrono::milliseconds limit) const {
    std::array<pollfd, 2> either{pollfd{fd, POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    while (::poll(either.data(), either.size(), static_cast<int>(limit.count())) < 0 && errno == EINTR) {
    }
    return either[0].revents != 0 && either[1].revents == 0;
}

std::optional<net::mail> takeover_door::heard(int peer, std::chrono::milliseconds limit) const {
    return readable(peer, limit) ? net::receive_mail(peer, 0ms) : std::nullopt;
}

void takeover_door::run() {
    while (readable(listening_.get(), forever)) {
        const net::unique_fd peer(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!peer) continue;
        if (hand_over(peer.get())) return serve_successor(peer.get());
    }
}

/// True: this process has been replaced.
bool takeover_door::hand_over(int peer) {
    const auto who = net::mail_peer_of(peer);
    if (!who || (who->user != ::geteuid() && who->user != 0)) {
        log::warning("takeover: refused to user {}", who ? std::to_string(who->user) : "unknown");
        return false;
    }
    const auto asked = heard(peer, patience);
    if (!asked || asked->text != ask_for_sockets) return false;
    std::vector<int> sockets;
    for (const net::unique_fd& each : sockets_) sockets.push_back(each.get());
    if (!net::send_mail(peer, say_yours, sockets)) return false;
    log::info("takeover: process {} starts to take this one's place", who->process);
    const auto then = heard(peer, preparation);
    if (!then || then->text != say_ready) {
        log::warning("takeover: process {} did not come to be ready; this one goes on", who->process);
        return false;
    }
    ::unlink(path_.c_str());
    listening_.reset();
    sockets_.clear();
    hooks_.replaced(who->process);
    (void)net::send_mail(peer, say_yours);
    return true;
}

/// Cancel requests for the clients that are left, as long as both processes live.
void takeover_door::serve_successor(int peer) {
    bool others_accept = false;
    while (readable(peer, forever)) {
        const auto said = net::receive_mail(peer, 0ms);
        if (!said) {
            if (!others_accept) hooks_.deserted();
            return;
        }
        if (said->text.starts_with(cancel_prefix)) pass_cancel(said->text, hooks_);
        others_accept |= said->text == say_replaced;
    }
}

// ------------------------------------------------------------------------------------------ the new process

std::string predecessor::ask(const std::string& path, net::inherited_sockets& into) {
    if (path.empty()) return {};
    net::unique_fd connection = net::connect_mail(path);
    if (!connection) {
        const bool nobody = errno == ENOENT || errno == ECONNREFUSED;
        return nobody ? std::string() : fmt::format("listen.takeover_socket {}: {}", path, std::strerror(errno));
    }
    const auto who = net::mail_peer_of(connection.get());
    if (!who || (who->user != ::geteuid() && who->user != 0))
        return fmt::format("listen.takeover_socket {} is another user's", path);
    auto answer = net::send_mail(connection.get(), ask_for_sockets) ? net::receive_mail(connection.get(), patience)
                                                                    : std::nullopt;
    if (!answer || answer->text != say_yours)
        return fmt::format("listen.takeover_socket {}: process {} does not hand over", path, who->process);
    for (net::unique_fd& each : answer->descriptors) into.add(std::move(each));
    log::info("takeover: takes the place of process {}", who->process);
    connection_ = std::move(connection);
    return {};
}

bool predecessor::replace() {
    if (!net::send_mail(connection_.get(), say_ready)) return false;
    const auto answer = net::receive_mail(connection_.get(), patience);
    return answer && answer->text == say_yours;
}

void predecessor::cancel(std::int32_t pid, const std::string& key) {
    std::string text(cancel_prefix);
    text.append(reinterpret_cast<const char*>(&pid), sizeof pid);
    text += key;
    tell(text);
}

void predecessor::tell_of_successor() { tell(say_replaced); }

void predecessor::tell(std::string_view text) {
    if (!present()) return;
    const std::scoped_lock lock(sending_);
    (void)net::send_mail(connection_.get(), text);
}

}  // namespace pgsteady
