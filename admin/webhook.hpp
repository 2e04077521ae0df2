// webhook: tells one HTTP address of every alert that begins or ends (alerts.webhook_url). It never delays anything else:
// messages wait in a bounded queue, each is tried four times, one after the other, on the admin thread's loop.
// https is verified against the system's authorities; redirects are not followed; the address is a secret, since such
// addresses often hold one, so it is never logged. Lives on the admin thread; the loop must have run dry before its end.
#pragma once

#include "config/config.hpp"
#include "config/http_url.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace pgsteady::admin {

struct webhook_counts {
    std::uint64_t delivered = 0;
    std::uint64_t failed = 0;   ///< given up after the last try
    std::uint64_t dropped = 0;  ///< the queue was full
};

class webhook {
public:
    static constexpr std::size_t most_queued = 100;
    /// Before the second try and each that follows.
    using pauses = std::array<std::chrono::milliseconds, 3>;
    static constexpr pauses usual_pauses{std::chrono::seconds(1), std::chrono::seconds(5), std::chrono::seconds(20)};

    webhook(boost::asio::io_context& loop, std::function<void(std::string)> warn, const pauses& between = usual_pauses);
    ~webhook();
    webhook(const webhook&) = delete;
    webhook& operator=(const webhook&) = delete;

    /// An empty address: nobody is told, and what waits is forgotten.
    void follow(const config::alert_settings& settings);
    /// A JSON document. The oldest that waits makes room if need be.
    void tell(std::string document);
    void close();
    [[nodiscard]] const webhook_counts& counts() const { return counts_; }

private:
    class attempt;
    [[nodiscard]] boost::asio::awaitable<void> deliver_all();
    [[nodiscard]] boost::asio::awaitable<void> deliver(const std::string& document);

    boost::asio::io_context& loop_;
    std::function<void(std::string)> warn_;
    pauses pauses_;
    std::optional<config::http_url> to_;
    std::chrono::milliseconds timeout_{5'000};
    std::deque<std::string> waiting_;
    boost::asio::steady_timer pause_;
    std::shared_ptr<attempt> trying_;
    webhook_counts counts_;
    bool delivering_ = false;
    bool closing_ = false;
};

}  // namespace pgsteady::admin
