// http_stream: the bytes of one client of the admin port, in clear or under TLS, behind the interface that the HTTP
// library reads from and writes to. Its clock is the TCP stream's: what takes too long fails, a handshake too.
// Owned by its connection, on the admin thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include <optional>
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
    /// Of a handshake that failed: the client began it with a request in clear.
    [[nodiscard]] static bool in_clear(const boost::system::error_code& why);
    /// What follows is in clear, as such a client understands it: what it should do, and nothing that it asked for.
    void drop_encryption() { tls_.reset(); }
    /// That no more is sent; a client that reads on can tell this from a connection that broke.
    [[nodiscard]] boost::asio::awaitable<void> end_sending();

    template <class buffers, class token>
    auto async_read_some(const buffers& into, token&& then) {
        if (tls_) return tls_->async_read_some(into, std::forward<token>(then));
        return tcp_.async_read_some(into, std::forward<token>(then));
    }
    template <class buffers, class token>
    auto async_write_some(const buffers& from, token&& then) {
        if (tls_) return tls_->async_write_some(from, std::forward<token>(then));
        return tcp_.async_write_some(from, std::forward<token>(then));
    }

private:
    boost::beast::tcp_stream tcp_;
    std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace pgsteady::admin
