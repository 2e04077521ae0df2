// http_server: HTTP/1.1 on one event loop, within http_limits: who may connect, how much each may send, how long each
// may take. It knows no path and no role: a screen judges the head of a request, an answerer answers the whole.
// Everything but the constructor runs on the loop's one thread. The loop must have run dry before it is destroyed.
#pragma once

#include "admin/admin_server.hpp"
#include "admin/http_message.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct ssl_ctx_st;

namespace pgsteady::admin {

class http_connection;

class http_server {
public:
    struct callbacks {
        /// The refusal that the head deserves; nothing: read the body and ask for an answer. Must not throw.
        std::function<std::optional<response>(const request&)> screen;
        /// The request stays where it is until the answer is there. Must not throw.
        std::function<boost::asio::awaitable<response>(const request&)> answer;
        /// OpenSSL's context for a connection that begins now; unset or null: in clear. Must not throw.
        std::function<std::shared_ptr<ssl_ctx_st>()> tls{};
        /// A socket that listens on this address already, to be owned; unset or -1: to be bound.
        std::function<int(const std::string& address)> inherited{};
    };

    /// What has come of the connections, since start.
    struct counts {
        std::uint64_t accepted = 0;
        std::uint64_t answers = 0;
        std::uint64_t refused = 0;    ///< everybody was busy
        std::uint64_t given_way = 0;  ///< silent ones, to others
        std::uint64_t timeouts = 0;
        std::uint64_t handshakes = 0;
        std::uint64_t handshakes_failed = 0;
    };

    http_server(boost::asio::io_context& loop, const http_limits& limits, callbacks to);
    ~http_server();
    http_server(const http_server&) = delete;
    http_server& operator=(const http_server&) = delete;

    /// Binds to every address of `host` ("*": all) and accepts from then on; what went wrong, or empty. May block.
    [[nodiscard]] std::string listen(const std::string& host, std::uint16_t port);
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] std::vector<int> sockets();
    /// Those who are there keep what they have; the next request goes by these.
    void set_limits(const http_limits& limits) { limits_ = limits; }
    [[nodiscard]] std::size_t open() const { return silent_.size() + busy_.size(); }
    [[nodiscard]] const counts& so_far() const { return counts_; }
    /// Ends everything; the loop runs dry soon after.
    void close();

private:
    friend class http_connection;
    using tcp = boost::asio::ip::tcp;

    [[nodiscard]] boost::system::error_code bind(const tcp::endpoint& endpoint);
    [[nodiscard]] boost::asio::awaitable<void> accept_all(tcp::acceptor& from);
    void admit(tcp::socket socket);
    [[nodiscard]] bool make_room();
    [[nodiscard]] std::shared_ptr<ssl_ctx_st> tls_context() const;

    boost::asio::io_context& loop_;
    http_limits limits_;
    callbacks callbacks_;
    std::list<tcp::acceptor> acceptors_;
    std::uint16_t port_ = 0;
    // A connection is in one of these: silent ones wait for bytes, the longest silence first.
    std::list<http_connection*> silent_;
    std::list<http_connection*> busy_;
    std::list<http_connection*> evicted_;  ///< closed, their coroutines are about to end
    counts counts_;
    bool closing_ = false;
};

}  // namespace pgsteady::admin
