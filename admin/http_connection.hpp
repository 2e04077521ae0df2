// http_connection: one client of the admin port: reads a request, has it answered, again and again.
// The only place that knows the HTTP library. It lives as long as its coroutine; the server closes it, never frees it.
#pragma once

#include "admin/http_server.hpp"
#include "admin/http_stream.hpp"
#include "admin/live_body.hpp"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <chrono>
#include <list>
#include <memory>
#include <string>

namespace pgsteady::admin {

class http_connection {
public:
    http_connection(http_server& server, boost::asio::ip::tcp::socket socket);
    ~http_connection();
    http_connection(const http_connection&) = delete;
    http_connection& operator=(const http_connection&) = delete;

    [[nodiscard]] boost::asio::awaitable<void> serve();
    /// Whatever it waits for fails.
    void close();

private:
    friend class http_server;
    using parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
    enum class next : std::uint8_t {
        another,  ///< the connection stays open
        linger,   ///< closes, but the client may still be sending
        end,      ///< is broken, or the client has closed it
    };

    void expire(std::chrono::milliseconds time);
    [[nodiscard]] boost::asio::awaitable<bool> handshake();
    [[nodiscard]] boost::asio::awaitable<bool> first_byte();
    [[nodiscard]] boost::asio::awaitable<next> exchange();
    [[nodiscard]] boost::asio::awaitable<next> read_body(parser& from);
    [[nodiscard]] boost::asio::awaitable<next> refuse(boost::beast::error_code why);
    [[nodiscard]] boost::asio::awaitable<bool> send(const response& what, const parser* to, bool keep_alive);
    [[nodiscard]] boost::asio::awaitable<void> send_live(const response& what, const parser& to);
    [[nodiscard]] boost::asio::awaitable<bool> send_head(const response& what, const parser& to);
    [[nodiscard]] boost::asio::awaitable<void> linger();
    void move_to(std::list<http_connection*>& list);

    http_server& server_;
    http_stream stream_;
    boost::beast::flat_buffer buffer_;
    std::string peer_;
    std::shared_ptr<live_body> live_;  ///< while one is being sent
    bool fresh_ = true;                ///< no request was answered yet
    std::list<http_connection*>* list_;
    std::list<http_connection*>::iterator place_;
};

}  // namespace pgsteady::admin
