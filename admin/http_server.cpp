#include "admin/http_server.hpp"

#include "admin/http_connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <new>
#include <sstream>
#include <utility>

namespace pgsteady::admin {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// A whole answer for those who come while everybody is busy: written at once or not at all.
constexpr std::string_view full_house =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 105\r\n\r\n"
    R"({"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many clients; try again"})"
    "\n";
static_assert(full_house.size() - full_house.find("\r\n\r\n") - 4 == 105);

constexpr std::chrono::milliseconds pause_after_exhaustion{100};

constexpr auto address_not_available = boost::system::errc::address_not_available;

/// Out of descriptors or memory: accepting again at once would spin.
[[nodiscard]] bool is_shortage(const error_code& error) {
    namespace errc = boost::system::errc;
    return error == errc::too_many_files_open || error == errc::too_many_files_open_in_system ||
           error == errc::no_buffer_space || error == errc::not_enough_memory;
}

[[nodiscard]] std::vector<tcp::endpoint> endpoints_of(asio::io_context& loop, const std::string& host,
                                                      error_code& error) {
    if (host == "*") return {{tcp::v4(), 0}, {tcp::v6(), 0}};
    tcp::resolver resolver(loop);
    std::vector<tcp::endpoint> result;
    for (const auto& each : resolver.resolve(host, "", tcp::resolver::passive, error))
        result.push_back(each.endpoint());
    return result;
}

[[nodiscard]] std::string problem_of(const asio::ip::address& address, std::uint16_t port, const error_code& error) {
    return "admin port " + address.to_string() + " port " + std::to_string(port) + ": " + error.message();
}

[[nodiscard]] std::string text_of(const tcp::endpoint& endpoint) {
    std::ostringstream text;
    text << endpoint;
    return text.str();
}

/// Serves until the client or the limits end it. Owns the connection.
asio::awaitable<void> serve(std::unique_ptr<http_connection> connection) { co_await connection->serve(); }

}  // namespace

http_server::http_server(asio::io_context& loop, const http_limits& limits, callbacks to)
    : loop_(loop), limits_(limits), callbacks_(std::move(to)) {}

http_server::~http_server() = default;

std::string http_server::listen(const std::string& host, std::uint16_t port) {
    error_code error;
    const std::vector<tcp::endpoint> endpoints = endpoints_of(loop_, host, error);
    if (endpoints.empty()) return "admin.host " + host + " cannot be resolved: " + error.message();
    port_ = port;
    error_code last;
    for (const tcp::endpoint& each : endpoints) {
        error = bind({each.address(), port_});
        // A name such as localhost may have an address of a family that this machine does not speak.
        if (error == asio::error::address_family_not_supported || error == address_not_available) last = error;
        else if (error) return problem_of(each.address(), port_, error);
    }
    if (acceptors_.empty()) return problem_of(endpoints.front().address(), port_, last);
    for (tcp::acceptor& each : acceptors_) asio::co_spawn(loop_, accept_all(each), asio::detached);
    return {};
}

std::vector<int> http_server::sockets() {
    std::vector<int> result;
    for (tcp::acceptor& each : acceptors_) result.push_back(each.native_handle());
    return result;
}

error_code http_server::bind(const tcp::endpoint& endpoint) {
    error_code error;
    tcp::acceptor opened(loop_);
    const int theirs = callbacks_.inherited ? callbacks_.inherited(text_of(endpoint)) : -1;
    if (theirs >= 0) {
        opened.assign(endpoint.protocol(), theirs, error);
        if (!error) acceptors_.push_back(std::move(opened));
        else ::close(theirs);
        return error;
    }
    opened.open(endpoint.protocol(), error);
    if (!error) opened.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) opened.set_option(asio::ip::v6_only(true), error);
    if (!error) opened.bind(endpoint, error);
    if (!error) opened.listen(asio::socket_base::max_listen_connections, error);
    if (error) return error;
    port_ = opened.local_endpoint(error).port();
    acceptors_.push_back(std::move(opened));
    return error;
}

asio::awaitable<void> http_server::accept_all(tcp::acceptor& from) {
    while (!closing_) {
        error_code error;
        tcp::socket socket = co_await from.async_accept(asio::redirect_error(asio::use_awaitable, error));
        if (closing_) break;
        if (!error) {
            admit(std::move(socket));
            continue;
        }
        if (!is_shortage(error)) continue;  // the client left before it was taken
        asio::steady_timer pause(loop_, pause_after_exhaustion);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
}

std::shared_ptr<ssl_ctx_st> http_server::tls_context() const { return callbacks_.tls ? callbacks_.tls() : nullptr; }

void http_server::admit(tcp::socket socket) {
    error_code ignored;
    ++counts_.accepted;
    if (!make_room()) {
        ++counts_.refused;
        if (tls_context()) return;  // what is said in clear would be garbage to it
        socket.non_blocking(true, ignored);
        socket.write_some(asio::buffer(full_house), ignored);
        return;
    }
    socket.set_option(tcp::no_delay(true), ignored);
    try {
        auto connection = std::make_unique<http_connection>(*this, std::move(socket));
        asio::co_spawn(loop_, serve(std::move(connection)), asio::detached);
    } catch (const std::bad_alloc&) {
        return;  // the client finds its connection closed, the others go on
    }
}

/// Idle clients are welcome as long as nobody else needs their place.
bool http_server::make_room() {
    if (open() < limits_.connections) return true;
    if (silent_.empty()) return false;
    ++counts_.given_way;
    silent_.front()->close();
    return true;
}

void http_server::close() {
    closing_ = true;
    error_code ignored;
    // Released first: to close it is not enough for the epoll set to forget it if another process has the same socket.
    for (tcp::acceptor& each : acceptors_)
        if (each.is_open()) ::close(each.release(ignored));
    while (!silent_.empty()) silent_.front()->close();
    while (!busy_.empty()) busy_.front()->close();
}

}  // namespace pgsteady::admin
