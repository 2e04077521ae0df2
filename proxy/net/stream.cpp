// stream: see the header. Plain sockets and the bookkeeping of edges; the TLS half is in stream_tls.cpp.
#include "proxy/net/stream.hpp"

#include "proxy/net/socket_address.hpp"
#include "proxy/net/tls_engine.hpp"
#include "proxy/net/uring_engine.hpp"

#include <climits>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace pgsteady::net {

namespace {

using kind = io_result::kind;

/// AF_UNSPEC with errno for what is no socket.
int domain_of(int fd) {
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 ? domain : AF_UNSPEC;
}

/// The peer's address has both answers; who has left already has none any more.
bool is_unix_peer(int fd, bool& is_local) {
    const socket_address peer = socket_address::peer_of(fd);
    const bool is_unix = peer.family() == AF_UNSPEC ? domain_of(fd) == AF_UNIX : peer.is_unix();
    is_local = is_unix || peer.is_local();
    return is_unix;
}

void prepare(int fd, bool is_unix) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    const int on = 1;
    // A pooler forwards whole requests and replies: holding back a short one only adds a delay.
    if (!is_unix) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

std::size_t total_size(std::span<const iovec> chunks) {
    std::size_t total = 0;
    for (const iovec& chunk : chunks) total += chunk.iov_len;
    return total;
}

/// send() is the shorter way through the kernel for one chunk, which is the usual case.
ssize_t send_chunks(int fd, std::span<const iovec> chunks) {
    if (chunks.size() == 1) return ::send(fd, chunks[0].iov_base, chunks[0].iov_len, MSG_NOSIGNAL);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(chunks.data());  // POSIX left the const out; nothing is written
    message.msg_iovlen = chunks.size();
    return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

}  // namespace

stream::stream(int fd, stream_handler* handler)
    : fd_(fd), handler_(handler), is_unix_(is_unix_peer(fd, peer_is_local_)) {}

stream::~stream() { close(false); }

std::unique_ptr<stream> stream::adopt(event_loop& loop, int fd, stream_handler* handler, preparation state) {
    std::unique_ptr<stream> made(new stream(fd, handler));
    if (state == preparation::raw) {
        if (domain_of(fd) == AF_UNSPEC) return nullptr;
        prepare(fd, made->is_unix_);
    }
    if (!made->enter(loop)) return nullptr;
    return made;
}

bool stream::enter(event_loop& loop) {
    using trigger = event_loop::trigger;
    if (uring_engine* const ring = loop.uring()) {
        if (lane_ == nullptr) lane_ = std::make_unique<uring_lane>();
        loop_ = &loop;
        ring->enter(*lane_, fd_.get(), *this);
        if (write_blocked()) ring->want_room(*lane_);
        return true;
    }
    if (lane_ != nullptr && (lane_->has_received() || lane_->ended())) readable_ = true;
    watches_write_ = !is_unix_ || write_blocked();
    if (!loop.watch(fd_.get(), *this, watches_write_ ? trigger::edge_read_write : trigger::edge_read)) return false;
    loop_ = &loop;
    return true;
}

void stream::leave_loop() { leave(false); }

void stream::leave(bool closing) {
    if (loop_ == nullptr) return;
    if (uring_engine* const ring = loop_->uring()) {
        loop_->stop_telling(*this);
        ring->leave(*lane_, closing);
        readable_ = true;  // whether there is more nobody knows: the kernel watches no longer
    } else {
        loop_->unwatch(fd_.get(), *this, closing);
    }
    loop_ = nullptr;
}

bool stream::move_to(event_loop& loop) {
    leave_loop();
    return enter(loop);
}

void stream::on_ready(readiness what) {
    event_loop& loop = *loop_;
    if (what.hangup) hangup_ = true;
    if (what.readable || what.hangup) {
        readable_ = true;
        if (handler_ != nullptr) handler_->on_readable();
        if (!loop.is_telling(*this)) return;  // closed, moved or destroyed
    }
    if (!write_blocked() || !(what.writable || what.hangup)) return;
    if (flush_inside().result == kind::would_block) return;
    write_blocked_ = false;
    finish_shutdown();
    if (handler_ != nullptr) handler_->on_writable();
    if (loop.is_telling(*this) && !write_blocked() && is_unix_ && watches_write_ && loop.uring() == nullptr) {
        watches_write_ = !loop.rewatch(fd_.get(), *this, event_loop::trigger::edge_read);
    }
}

void stream::note_write_blocked() {
    write_blocked_ = true;
    if (loop_ == nullptr) return;
    if (uring_engine* const ring = loop_->uring()) return ring->want_room(*lane_);
    if (watches_write_) return;
    watches_write_ = loop_->rewatch(fd_.get(), *this, event_loop::trigger::edge_read_write);
}

bool stream::write_blocked() const { return write_blocked_ || (lane_ != nullptr && !lane_->unsent().empty()); }

/// What earlier writes have left here, before anything new.
io_result stream::flush_inside() {
    if (lane_ != nullptr) {
        if (const io_result flushed = flush_lane(); flushed.result != kind::ok) return flushed;
    }
    return tls_ ? flush_ciphertext() : io_result{};
}

bool stream::readable() const { return readable_ || (tls_ && tls_->has_input()); }

io_result stream::read(std::span<char> into) {
    assert(!into.empty());
    return tls_ ? read_tls(into) : read_plain(into);
}

io_result stream::read_plain(std::span<char> into) { return lane_ == nullptr ? read_socket(into) : read_lane(into); }

io_result stream::read_lane(std::span<char> into) {
    if (const std::size_t bytes = lane_->take(into); bytes > 0) {
        if (lane_->kernel_receives()) readable_ = lane_->has_received() || lane_->ended();
        else if (bytes < into.size() && !lane_->ended())  // so that a short read means here, too, that there is no more
            return {kind::ok, bytes + read_beside_lane(into.subspan(bytes)).bytes};
        return {kind::ok, bytes};
    }
    if (lane_->ended()) {
        hangup_ = true;
        if (lane_->error_number() == 0) return {kind::eof};
        return {kind::error, 0, lane_->error_number()};
    }
    if (lane_->kernel_receives()) {
        readable_ = false;
        return {kind::would_block};
    }
    return read_beside_lane(into);
}

/// The socket itself, while the kernel receives nothing.
io_result stream::read_beside_lane(std::span<char> into) {
    io_result got = read_socket(into);
    if (got.result == kind::would_block && lane_->send_error() != 0) {  // all that it had to say
        got = {kind::error, 0, lane_->send_error()};
        readable_ = true;
    }
    if (got.result == kind::eof) lane_->note_end(0);
    if (got.result == kind::error) lane_->note_end(got.error_number);
    if (loop_ != nullptr && loop_->uring() != nullptr) loop_->uring()->has_read(*lane_, got.bytes, !readable_);
    return got;
}

io_result stream::read_socket(std::span<char> into) {
    ssize_t got = 0;
    do {
        got = ::recv(fd_.get(), into.data(), into.size(), 0);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        const auto bytes = static_cast<std::size_t>(got);
        // epoll(7): with a stream socket a short read means that it is drained, and a later byte makes a new edge. Not so
        // once the peer has hung up: its end was part of an edge already told.
        if (bytes < into.size() && !hangup_) readable_ = false;
        return {kind::ok, bytes};
    }
    if (got == 0) {
        hangup_ = true;
        return {kind::eof};
    }
    if (errno == EAGAIN) {
        readable_ = false;
        return {kind::would_block};
    }
    return {kind::error, 0, errno};
}

io_result stream::write(std::span<const iovec> chunks) { return tls_ ? write_tls(chunks) : write_plain(chunks); }

io_result stream::write(std::string_view bytes) {
    const iovec chunk{const_cast<char*>(bytes.data()), bytes.size()};
    return write(std::span(&chunk, 1));
}

io_result stream::write_plain(std::span<const iovec> chunks) {
    return lane_ == nullptr ? write_socket(chunks) : write_lane(chunks);
}

io_result stream::write_lane(std::span<const iovec> chunks) {
    if (lane_->send_error() != 0) return {kind::error, 0, lane_->send_error()};
    uring_engine* const ring = loop_ != nullptr ? loop_->uring() : nullptr;
    // To a peer that may be gone, and behind what did not fit, a write tells at once how it went.
    if (ring != nullptr && !hangup_ && !write_blocked()) {
        const std::size_t size = total_size(chunks);
        if (size == 0 || ring->queue(*lane_, chunks, size)) return {kind::ok, size};
    }
    if (const io_result flushed = flush_lane(); flushed.result != kind::ok) return flushed;
    return write_socket(chunks);
}

/// Sends what is queued, and what a queued send has left over.
io_result stream::flush_lane() {
    uring_engine* const ring = loop_ != nullptr ? loop_->uring() : nullptr;
    if (ring != nullptr && !ring->flush(*lane_)) return {kind::error, 0, errno};
    const std::string_view unsent = lane_->unsent();
    if (unsent.empty()) return {kind::ok};
    const iovec chunk{const_cast<char*>(unsent.data()), unsent.size()};
    const io_result sent = write_socket(std::span(&chunk, 1));
    lane_->drop_unsent(sent.result == kind::error ? unsent.size()
                                                  : sent.bytes);  // an error: nothing can be sent any more
    return {sent.result, 0, sent.error_number};
}

io_result stream::write_socket(std::span<const iovec> chunks) {
    std::size_t accepted = 0;
    while (!chunks.empty()) {
        const auto now = chunks.first(std::min<std::size_t>(chunks.size(), IOV_MAX));
        const std::size_t wanted = total_size(now);
        const ssize_t sent = wanted > 0 ? send_chunks(fd_.get(), now) : 0;
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) return {kind::error, accepted, errno};
        accepted += static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
        if (sent < 0 || static_cast<std::size_t>(sent) < wanted) {
            // A partial send has met the full buffer just as EAGAIN has: the kernel will report room.
            note_write_blocked();
            return {kind::would_block, accepted};
        }
        chunks = chunks.subspan(now.size());
    }
    return {kind::ok, accepted};
}

void stream::shutdown_write() {
    if (!fd_ || shutdown_wanted_) return;
    shutdown_wanted_ = true;
    if (tls_) {
        tls_->end_output();
        // A failure here is one that the reader meets as well.
        [[maybe_unused]] const io_result flushed = flush_ciphertext();
    }
    finish_shutdown();
}

void stream::finish_shutdown() {
    if (!shutdown_wanted_ || pending_ciphertext() > 0) return;
    if (lane_ != nullptr && flush_lane().result == kind::would_block) return;
    ::shutdown(fd_.get(), SHUT_WR);
}

void stream::close(bool with_reset) {
    if (!fd_) return;
    if (with_reset) {
        const linger none{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    leave(true);
    fd_.reset();
}

std::string stream::peer_address() const { return socket_address::peer_of(fd_.get()).to_string(); }

}  // namespace pgsteady::net
