#include "admin/webhook.hpp"

#include "admin/http_stream.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <exception>
#include <utility>

namespace pgsteady::admin {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using beast::error_code;

[[nodiscard]] asio::redirect_error_t<asio::use_awaitable_t<>> into(error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

using message = http::request<http::string_body>;

[[nodiscard]] message message_of(const config::http_url& to, const std::string& document) {
    message result(http::verb::post, to.target, 11);
    const bool usual = to.port == (to.tls ? 443 : 80);
    const std::string host = to.host.find(':') != std::string::npos ? '[' + to.host + ']' : to.host;
    result.set(http::field::host, usual ? host : host + ':' + std::to_string(to.port));
    result.set(http::field::user_agent, "pgsteady/" PGSTEADY_VERSION);
    result.set(http::field::content_type, "application/json");
    result.body() = document;
    result.keep_alive(false);
    result.prepare_payload();
    return result;
}

}  // namespace

/// One connection and one question on it. Kept alive by its coroutine.
class webhook::attempt {
public:
    attempt(asio::io_context& loop, const config::http_url& to)
        : to_(to),
          context_(context_of(to)),
          resolver_(loop),
          stream_(asio::ip::tcp::socket(loop), context_ ? context_->native_handle() : nullptr) {}

    /// What went wrong, or empty.
    [[nodiscard]] asio::awaitable<std::string> run(message& what, std::chrono::milliseconds limit) {
        error_code error;
        stream_.tcp().expires_after(limit);  // all that follows must be done by then
        const std::string port = std::to_string(to_.port);
        const auto found = co_await resolver_.async_resolve(to_.host, port, into(error));
        if (error) co_return "name: " + error.message();
        co_await stream_.tcp().async_connect(found, into(error));
        if (error) co_return "connection: " + error.message();
        error = co_await stream_.handshake_with(to_.host);
        if (error) co_return "TLS: " + error.message();
        co_await http::async_write(stream_, what, into(error));
        if (error) co_return "request: " + error.message();
        http::response_parser<http::string_body> answer;
        answer.body_limit(64 * 1024);
        beast::flat_buffer buffer;
        co_await http::async_read_header(stream_, buffer, answer, into(error));
        if (error) co_return "answer: " + error.message();
        const unsigned status = answer.get().result_int();
        if (status >= 200 && status < 300) co_return std::string();
        co_return "it answered " + std::to_string(status);
    }

    void cancel() {
        resolver_.cancel();
        stream_.tcp().close();
    }

private:
    [[nodiscard]] static std::optional<ssl::context> context_of(const config::http_url& to) {
        if (!to.tls) return std::nullopt;
        std::optional<ssl::context> result(std::in_place, ssl::context::tls_client);
        result->set_default_verify_paths();
        result->set_verify_mode(ssl::verify_peer);
        result->set_verify_callback(ssl::host_name_verification(to.host));
        return result;
    }

    config::http_url to_;
    std::optional<ssl::context> context_;
    asio::ip::tcp::resolver resolver_;
    http_stream stream_;
};

webhook::webhook(asio::io_context& loop, std::function<void(std::string)> warn, const pauses& between)
    : loop_(loop), warn_(std::move(warn)), pauses_(between), pause_(loop) {}

webhook::~webhook() = default;

void webhook::follow(const config::alert_settings& settings) {
    to_ = config::parse_http_url(settings.webhook_url);
    timeout_ = settings.webhook_timeout;
    if (!to_) waiting_.clear();
}

void webhook::tell(std::string document) {
    if (!to_ || closing_) return;
    if (waiting_.size() >= most_queued) {
        waiting_.pop_front();
        ++counts_.dropped;
    }
    waiting_.push_back(std::move(document));
    if (std::exchange(delivering_, true)) return;
    asio::co_spawn(loop_, deliver_all(), asio::detached);
}

asio::awaitable<void> webhook::deliver_all() {
    try {
        while (!waiting_.empty() && !closing_) {
            const std::string next = std::move(waiting_.front());
            waiting_.pop_front();
            co_await deliver(next);
        }
    } catch (const std::exception& error) {  // no memory: the next alert begins anew
        ++counts_.failed;
        warn_(std::string("alerts.webhook_url: ") + error.what());
    }
    delivering_ = false;
}

asio::awaitable<void> webhook::deliver(const std::string& document) {
    std::string problem;
    for (std::size_t before = 0; before <= pauses_.size() && to_ && !closing_; ++before) {
        if (before > 0) {
            error_code ignored;
            pause_.expires_after(pauses_[before - 1]);
            co_await pause_.async_wait(into(ignored));
            if (closing_ || !to_) co_return;
        }
        message what = message_of(*to_, document);
        const auto trying = std::make_shared<attempt>(loop_, *to_);
        trying_ = trying;
        try {
            problem = co_await trying->run(what, timeout_);
        } catch (const std::exception& error) {
            problem = error.what();
        }
        trying_.reset();
        if (problem.empty()) {
            ++counts_.delivered;
            co_return;
        }
    }
    if (closing_) co_return;
    ++counts_.failed;
    warn_("alerts.webhook_url cannot be told of an alert: " + problem);
}

void webhook::close() {
    closing_ = true;
    waiting_.clear();
    pause_.cancel();
    if (trying_ != nullptr) trying_->cancel();
}

}  // namespace pgsteady::admin
