// http_stream: the bytes of one HTTP connection, ours or a client's of the admin port, in clear or under TLS, behind the
// interface that the HTTP library reads from and writes to. Its clock is the TCP stream's: what takes too long fails, a
// handshake too. Who waits is held behind one type: the library's operations would otherwise be compiled for each kind of
// stream under each other, which took two minutes. Owned by its connection, on the admin thread.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

struct ssl_ctx_st;

namespace pgsteady::admin {

class http_stream {
public:
    using executor_type = boost::beast::tcp_stream::executor_type;

    /// `context`: OpenSSL's, for TLS; it is only needed during the call. Null: in clear.
    http_stream(boost::asio::ip::tcp::socket socket, ssl_ctx_st* context);
    http_stream(const http_stream&) = delete;
    http_stream& operator=(const http_stream&) = delete;

    [[nodiscard]] executor_type get_executor() { return tcp_.get_executor(); }
    /// For its clock and its end; bytes go through this.
    [[nodiscard]] boost::beast::tcp_stream& tcp() { return tcp_; }
    [[nodiscard]] bool encrypts() const { return tls_.has_value(); }

    /// Nothing has to be done for a stream in clear.
    [[nodiscard]] boost::asio::awaitable<boost::system::error_code> handshake();
    /// The same as a client; `host` is asked for (SNI).
    [[nodiscard]] boost::asio::awaitable<boost::system::error_code> handshake_with(const std::string& host);
    /// Of a handshake that failed: the client began it with a request in clear.
    [[nodiscard]] static bool in_clear(const boost::system::error_code& why);
    /// What follows is in clear, as such a client understands it: what it should do, and nothing that it asked for.
    void drop_encryption() { tls_.reset(); }
    /// That no more is sent; a client that reads on can tell this from a connection that broke.
    [[nodiscard]] boost::asio::awaitable<void> end_sending();

    template <class buffers, class token>
    auto async_read_some(const buffers& into, token&& then) {
        const auto first = boost::asio::buffer_sequence_begin(into);
        const bool none = first == boost::asio::buffer_sequence_end(into);
        return boost::asio::async_initiate<token, void(boost::system::error_code, std::size_t)>(
            [this, to = none ? boost::asio::mutable_buffer() : boost::asio::mutable_buffer(*first)](auto handler) {
                read_some(to, held(std::move(handler)));
            },
            then);
    }
    template <class buffers, class token>
    auto async_write_some(const buffers& from, token&& then) {
        gathered what;
        auto to = what.begin();
        const auto end = boost::asio::buffer_sequence_end(from);
        for (auto at = boost::asio::buffer_sequence_begin(from); at != end && to != what.end(); ++at) *to++ = *at;
        return boost::asio::async_initiate<token, void(boost::system::error_code, std::size_t)>(
            [this, what](auto handler) { write_some(what, held(std::move(handler))); }, then);
    }

private:
    using outcome = std::function<void(boost::system::error_code, std::size_t)>;
    using gathered = std::array<boost::asio::const_buffer, 16>;

    template <class handler>
    [[nodiscard]] static outcome held(handler who) {
        return [kept = std::make_shared<handler>(std::move(who))](boost::system::error_code error, std::size_t count) {
            handler woken = std::move(*kept);
            woken(error, count);
        };
    }
    void read_some(boost::asio::mutable_buffer to, outcome then);
    void write_some(const gathered& what, outcome then);

    boost::beast::tcp_stream tcp_;
    std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace pgsteady::admin
