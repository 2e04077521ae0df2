#include "admin/http_connection.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

#include <array>
#include <utility>

namespace pgsteady::admin {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::beast::error_code;

/// What a client that was refused may still send before it is cut off, so that it gets to read why.
constexpr std::size_t linger_bytes = 256 * 1024;
constexpr std::chrono::seconds linger_time{2};

[[nodiscard]] asio::redirect_error_t<asio::use_awaitable_t<>> into(error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

[[nodiscard]] std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

template <class fields>
[[nodiscard]] request request_of(const fields& head, const std::string& peer) {
    request result;
    result.method = view(head.method_string());
    result.target = view(head.target());
    result.http_1_0 = head.version() < 11;
    const auto [first, last] = head.equal_range(http::field::host);
    for (auto at = first; at != last; ++at) result.hosts.push_back(view(at->value()));
    result.origin = view(head[http::field::origin]);
    result.fetch_site = view(head["Sec-Fetch-Site"]);
    result.authorization = view(head[http::field::authorization]);
    result.last_event_id = view(head["Last-Event-ID"]);
    result.content_type = view(head[http::field::content_type]);
    result.accept = view(head[http::field::accept]);
    result.peer = peer;
    return result;
}

/// What every answer says of itself, and what this one says.
template <class fields>
void set_fields(fields& to, const response& what) {
    to.set(http::field::content_type, what.content_type);
    to.set(http::field::cache_control, "no-store");
    to.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : what.headers) to.set(name, value);
}

/// What a message that cannot be read deserves; status 0: nobody is there to be told.
[[nodiscard]] std::optional<response> refusal_of(error_code why, const http_limits& limits) {
    if (why == http::error::header_limit || why == http::error::buffer_overflow)
        return problem_answer(431, fmt::format("the head of a request may have {} bytes", limits.head_bytes));
    if (why == http::error::body_limit)
        return problem_answer(413, fmt::format("the body of a request may have {} bytes", limits.body_bytes));
    if (why == http::error::end_of_stream || why == http::error::partial_message) return std::nullopt;
    if (why.category() == http::make_error_code(http::error::bad_method).category())
        return problem_answer(400, "this is not HTTP/1.1");
    return std::nullopt;
}

}  // namespace

http_connection::http_connection(http_server& server, asio::ip::tcp::socket socket)
    : server_(server),
      stream_(std::move(socket), server.tls_context().get()),
      buffer_(server.limits_.head_bytes + 8 * 1024),
      list_(&server.silent_),
      place_(server.silent_.insert(server.silent_.end(), this)) {
    error_code error;
    const auto peer = stream_.tcp().socket().remote_endpoint(error);
    if (!error) peer_ = peer.address().to_string();
}

http_connection::~http_connection() { list_->erase(place_); }

void http_connection::move_to(std::list<http_connection*>& list) {
    if (list_ == &server_.evicted_) return;
    list.splice(list.end(), *list_, place_);
    list_ = &list;
}

/// 0: for as long as it takes.
void http_connection::expire(std::chrono::milliseconds time) {
    if (time.count() > 0) stream_.tcp().expires_after(time);
    else stream_.tcp().expires_never();
}

void http_connection::close() {
    move_to(server_.evicted_);
    stream_.tcp().close();
    if (live_) live_->end();
}

asio::awaitable<void> http_connection::serve() {
    next then = co_await handshake() ? next::another : next::end;
    while (then == next::another) {
        move_to(server_.silent_);
        const bool came = co_await first_byte();
        then = came ? co_await exchange() : next::end;
    }
    if (then == next::linger) co_await linger();
    stream_.tcp().close();
}

/// Who is silent in it gives way as any other who is.
asio::awaitable<bool> http_connection::handshake() {
    if (!stream_.encrypts()) co_return true;
    expire(server_.limits_.read_timeout);
    const error_code error = co_await stream_.handshake();
    ++(error ? server_.counts_.handshakes_failed : server_.counts_.handshakes);
    if (http_stream::in_clear(error)) {
        stream_.drop_encryption();
        if (co_await send(problem_answer(400, "This port speaks HTTPS: ask again with https://"), nullptr, false))
            co_await linger();
    }
    co_return !error;
}

/// Waits for the beginning of a request. The clock of a new connection runs from its accept.
asio::awaitable<bool> http_connection::first_byte() {
    if (buffer_.size() > 0) co_return true;
    expire(fresh_ ? server_.limits_.read_timeout : server_.limits_.idle_timeout);
    error_code error;
    const std::size_t count = co_await stream_.async_read_some(buffer_.prepare(1024), into(error));
    buffer_.commit(count);
    if (error == beast::error::timeout) ++server_.counts_.timeouts;
    co_return !error;
}

/// One request and its answer.
asio::awaitable<http_connection::next> http_connection::exchange() {
    parser reader;
    reader.header_limit(static_cast<std::uint32_t>(server_.limits_.head_bytes));
    reader.body_limit(server_.limits_.body_bytes);
    expire(server_.limits_.read_timeout);
    error_code error;
    co_await http::async_read_header(stream_, buffer_, reader, into(error));
    if (error) co_return co_await refuse(error);

    request from = request_of(reader.get(), peer_);
    if (const auto refused = server_.callbacks_.screen(from)) {
        const bool keep = reader.is_done() && reader.get().keep_alive();
        if (!co_await send(*refused, &reader, keep)) co_return next::end;
        co_return keep ? next::another : next::linger;
    }
    if (!reader.is_done()) {
        const next then = co_await read_body(reader);
        if (then != next::another) co_return then;
    }
    from.body = reader.get().body();
    move_to(server_.busy_);
    const response answer = co_await server_.callbacks_.answer(from);
    if (answer.live) {
        co_await send_live(answer, reader);
        co_return next::end;
    }
    const bool keep = reader.get().keep_alive();
    if (!co_await send(answer, &reader, keep)) co_return next::end;
    co_return keep ? next::another : next::linger;
}

asio::awaitable<http_connection::next> http_connection::read_body(parser& from) {
    error_code error;
    if (beast::iequals(from.get()[http::field::expect], "100-continue")) {
        static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await asio::async_write(stream_, asio::buffer(go_on), into(error));
        if (error) co_return next::end;
    }
    co_await http::async_read(stream_, buffer_, from, into(error));
    if (error) co_return co_await refuse(error);
    co_return next::another;
}

asio::awaitable<http_connection::next> http_connection::refuse(error_code why) {
    if (why == beast::error::timeout) ++server_.counts_.timeouts;
    const auto refused = refusal_of(why, server_.limits_);
    if (!refused) co_return next::end;
    const bool sent = co_await send(*refused, nullptr, false);
    co_return sent ? next::linger : next::end;
}

/// `to`: what is answered; null when it could not be read. False when the client did not take the answer.
asio::awaitable<bool> http_connection::send(const response& what, const parser* to, bool keep_alive) {
    http::response<http::span_body<const char>> message;  // of a page of megabytes no copy is made
    message.result(what.status);
    message.version(to != nullptr ? to->get().version() : 11);
    set_fields(message, what);
    message.body() = {what.body.data(), what.body.size()};
    message.keep_alive(keep_alive);
    message.prepare_payload();

    move_to(server_.busy_);
    expire(server_.limits_.write_timeout);
    error_code error;
    http::response_serializer<http::span_body<const char>> writer(message);
    const bool only_head = to != nullptr && to->get().method() == http::verb::head;
    if (only_head) co_await http::async_write_header(stream_, writer, into(error));
    else co_await http::async_write(stream_, writer, into(error));
    fresh_ = false;
    ++server_.counts_.answers;
    if (error == beast::error::timeout) ++server_.counts_.timeouts;
    co_return !error;
}

asio::awaitable<bool> http_connection::send_head(const response& what, const parser& to) {
    http::response<http::empty_body> message;
    message.result(what.status);
    message.version(to.get().version());
    set_fields(message, what);
    message.keep_alive(false);
    expire(server_.limits_.write_timeout);
    error_code error;
    http::response_serializer<http::empty_body> writer(message);
    co_await http::async_write_header(stream_, writer, into(error));
    co_return !error;
}

/// The end of the connection is the end of the answer. A reader that has left is noticed at the next chunk, one that
/// does not read when a chunk has taken too long.
asio::awaitable<void> http_connection::send_live(const response& what, const parser& to) {
    const std::shared_ptr<live_body> body = what.live;
    live_ = body;
    asio::steady_timer more(stream_.get_executor());
    body->on_change([&more] { more.cancel(); });
    bool going = co_await send_head(what, to);
    if (to.get().method() == http::verb::head) going = false;
    while (going && !body->ended()) {
        error_code error;
        const live_body::chunk chunk = body->take();
        if (chunk) {
            expire(server_.limits_.write_timeout);
            co_await asio::async_write(stream_, asio::buffer(*chunk), into(error));
            going = !error;
        } else {
            more.expires_after(std::chrono::hours(1));
            co_await more.async_wait(into(error));
        }
    }
    body->on_change({});
    body->end();
    live_.reset();
    if (!going || !stream_.encrypts()) co_return;
    expire(linger_time);
    co_await stream_.end_sending();
}

/// Closing with bytes unread would reset the connection and could take the answer away from the client.
asio::awaitable<void> http_connection::linger() {
    move_to(server_.silent_);
    error_code error;
    expire(linger_time);
    co_await stream_.end_sending();
    std::array<char, 4096> dropped{};
    for (std::size_t total = 0; !error && total < linger_bytes;)
        total += co_await stream_.tcp().async_read_some(asio::buffer(dropped), into(error));
}

}  // namespace pgsteady::admin
