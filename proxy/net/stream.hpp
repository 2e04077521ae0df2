// stream: one connected socket, plain TCP or Unix, or TLS over it; the only place with hot-path socket calls.
// Registered once, edge-triggered: a message costs one recv or one send and nothing else, and with io_uring its share of
// the turn's one call. It must never lose an edge
// (P58), block a read because a write is blocked (P57), or grow a buffer without bound.
// Owned by a session or a pool; used by one thread at a time, the thread of its loop.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/io_result.hpp"

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pgsteady::net {

class tls_context;
class tls_engine;
class uring_lane;

/// Told when a stream can go on. Errors and hang-ups come the same way: the next read or write tells.
/// Inside either call the handler may close, move or destroy the stream, and itself.
class stream_handler {
public:
    virtual void on_readable() = 0;
    /// Only after a write that left write_blocked() true, once everything kept inside has been sent.
    virtual void on_writable() = 0;

protected:
    ~stream_handler() = default;
};

class stream final : private readiness_target {
public:
    enum class preparation : std::uint8_t {
        raw,       ///< make it non-blocking, set TCP_NODELAY
        prepared,  ///< listener and dial have done so already
    };
    enum class handshake : std::uint8_t { done, in_progress, failed };

    /// Takes the descriptor, in every case. Returns nullptr if the loop cannot watch it (errno says why).
    /// `handler` may be null: readiness is then only remembered.
    [[nodiscard]] static std::unique_ptr<stream> adopt(event_loop& loop, int fd, stream_handler* handler,
                                                       preparation state = preparation::raw);
    /// Closes without reset and without close_notify.
    ~stream();
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;

    /// Reads what is there into `into` (not empty). A reader goes on until would_block, or stops at will and comes back
    /// while readable(). A short read already clears readable(), so the usual message costs one recv.
    [[nodiscard]] io_result read(std::span<char> into);
    /// Sends the chunks in order, as one message where the kernel allows. TLS: in records of up to 16 KiB; bytes count
    /// as accepted once encrypted, at most about 64 KiB of ciphertext waits inside. With io_uring a small write is ok
    /// before the kernel has it: it leaves when the turn ends. If it cannot, on_readable() comes, and a read tells. So ok
    /// has the meaning that it always had: nothing is known of the peer.
    [[nodiscard]] io_result write(std::span<const iovec> chunks);
    [[nodiscard]] io_result write(std::string_view bytes);

    /// A read might yield something now (data, end or error). Stays true while a reader pauses, and for good after an
    /// end or an error.
    [[nodiscard]] bool readable() const;
    /// The last write met a full socket, or ciphertext is still waiting: on_writable() will come.
    [[nodiscard]] bool write_blocked() const;
    /// Bytes of ciphertext that are kept in the TLS engine for a peer that does not read. 0 without TLS.
    [[nodiscard]] std::size_t pending_ciphertext() const;
    /// The peer's FIN, a reset or an error was reported; unread data may still come first.
    [[nodiscard]] bool hangup_seen() const { return hangup_; }

    /// The new handler is not told what is ready already: ask readable().
    void set_handler(stream_handler* handler) { handler_ = handler; }

    /// Leaves its loop, on that loop's thread. Until move_to() nothing is reported; read and write still work.
    void leave_loop();
    /// Enters `loop`: call it on that loop's thread (leave_loop() first, then the mailbox, D41). No byte and no edge is
    /// lost: entering reports what the socket has. What TLS holds already is no news: ask readable(). False: errno says
    /// why, and the stream is in no loop.
    [[nodiscard]] bool move_to(event_loop& loop);
    /// nullptr between leave_loop() and move_to().
    [[nodiscard]] event_loop* loop() const { return loop_; }

    /// Turns the connection into TLS. Whoever calls it has made sure that no byte of clear text was left unread
    /// (P1, P2). Then continue_handshake() at once and from every on_readable()/on_writable() until it is not in_progress.
    /// False: out of memory or an impossible host; handshake_problem() says which.
    /// `already_read`: what has been read of the handshake, if the client began with it.
    [[nodiscard]] bool start_tls_server(const tls_context& context, std::string_view already_read = {});
    /// `host` is sent as SNI if it is a name, and checked against the certificate if the context says so.
    [[nodiscard]] bool start_tls_client(const tls_context& context, const std::string& host);
    [[nodiscard]] handshake continue_handshake();
    /// Why the handshake failed; for logs, and harmless to show to a client.
    [[nodiscard]] std::string handshake_problem() const;

    [[nodiscard]] bool tls() const { return tls_ != nullptr; }
    /// "TLSv1.3, cipher TLS_AES_256_GCM_SHA384"; empty without TLS.
    [[nodiscard]] std::string describe_tls() const;
    /// RFC 5929 tls-server-end-point: hash of the certificate that the TLS server of *this* connection uses (P15).
    /// Empty where it is not defined (Ed25519, RSA-PSS) or before the handshake.
    [[nodiscard]] std::string tls_server_end_point() const;
    /// What the client and this server agreed on by ALPN (RFC 7301); empty if nothing was.
    [[nodiscard]] std::string_view tls_application_protocol() const;
    /// Subject common name of a *verified* peer certificate; empty without one.
    [[nodiscard]] std::string tls_peer_common_name() const;

    /// Sends close_notify (TLS) and FIN, after what is waiting inside. Reading goes on.
    void shutdown_write();
    /// Closes now. `with_reset`: an RST, so that the peer cannot take it for an orderly end. Idempotent.
    void close(bool with_reset);

    [[nodiscard]] int native_handle() const { return fd_.get(); }
    /// "10.0.0.1:5432", "[::1]:5432" or "unix"; asked of the kernel, so take it while the peer is there.
    [[nodiscard]] std::string peer_address() const;
    /// Loopback or Unix socket.
    [[nodiscard]] bool peer_is_local() const { return peer_is_local_; }

private:
    stream(int fd, stream_handler* handler);

    void on_ready(readiness what) override;
    [[nodiscard]] bool enter(event_loop& loop);
    [[nodiscard]] io_result read_plain(std::span<char> into);
    [[nodiscard]] io_result read_socket(std::span<char> into);
    [[nodiscard]] io_result read_lane(std::span<char> into);
    [[nodiscard]] io_result read_beside_lane(std::span<char> into);
    [[nodiscard]] io_result read_tls(std::span<char> into);
    [[nodiscard]] io_result write_plain(std::span<const iovec> chunks);
    [[nodiscard]] io_result write_socket(std::span<const iovec> chunks);
    [[nodiscard]] io_result write_lane(std::span<const iovec> chunks);
    [[nodiscard]] io_result flush_lane();
    [[nodiscard]] io_result flush_inside();
    [[nodiscard]] io_result write_tls(std::span<const iovec> chunks);
    [[nodiscard]] io_result flush_ciphertext();
    [[nodiscard]] io_result receive_ciphertext(std::size_t at_most);
    [[nodiscard]] bool start_tls(const tls_context& context, const std::string& host);
    [[nodiscard]] handshake fail_handshake(std::string why);
    void answer_peer();
    void note_write_blocked();
    void leave(bool closing);
    void finish_shutdown();

    unique_fd fd_;
    event_loop* loop_ = nullptr;
    stream_handler* handler_ = nullptr;
    std::unique_ptr<tls_engine> tls_;
    std::unique_ptr<uring_lane> lane_;  // null until it has been in a loop on io_uring
    std::string handshake_problem_;
    std::size_t handshake_bytes_ = 0;
    bool readable_ = false;
    bool write_blocked_ = false;
    bool hangup_ = false;
    bool peer_is_local_ = false;
    bool is_unix_ = false;
    bool watches_write_ = false;  // Unix sockets: set while blocked, see event_loop::trigger
    bool shutdown_wanted_ = false;
};

}  // namespace pgsteady::net
