#include "admin/http_stream.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <new>
#include <string_view>

namespace pgsteady::admin {

namespace asio = boost::asio;

http_stream::http_stream(asio::ip::tcp::socket socket, ssl_ctx_st* context) : tcp_(std::move(socket)) {
    if (context == nullptr) return;
    SSL* const made = SSL_new(context);  // keeps the context
    if (made == nullptr) throw std::bad_alloc();
    tls_.emplace(tcp_, made);
}

asio::awaitable<boost::system::error_code> http_stream::handshake() {
    boost::system::error_code error;
    if (tls_)
        co_await tls_->async_handshake(asio::ssl::stream_base::server,
                                       asio::redirect_error(asio::use_awaitable, error));
    co_return error;
}

asio::awaitable<boost::system::error_code> http_stream::handshake_with(const std::string& host) {
    boost::system::error_code error;
    if (!tls_) co_return error;
    SSL_set_tlsext_host_name(tls_->native_handle(), host.c_str());
    co_await tls_->async_handshake(asio::ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, error));
    co_return error;
}

void http_stream::read_some(asio::mutable_buffer to, outcome then) {
    if (tls_) tls_->async_read_some(to, std::move(then));
    else tcp_.async_read_some(to, std::move(then));
}

void http_stream::write_some(const gathered& what, outcome then) {
    if (tls_) tls_->async_write_some(what, std::move(then));
    else tcp_.async_write_some(what, std::move(then));
}

bool http_stream::in_clear(const boost::system::error_code& why) {
    return why.category() == asio::error::get_ssl_category() &&
           ERR_GET_REASON(static_cast<unsigned long>(why.value())) == SSL_R_HTTP_REQUEST;
}

/// Of TLS only our half is closed: to wait for the client's would be its choice of time.
asio::awaitable<void> http_stream::end_sending() {
    boost::system::error_code ignored;
    if (tls_) {
        SSL_set_shutdown(tls_->native_handle(), SSL_get_shutdown(tls_->native_handle()) | SSL_RECEIVED_SHUTDOWN);
        co_await tls_->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
    }
    tcp_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

}  // namespace pgsteady::admin
