// See console_server.hpp.
#include "proxy/console_server.hpp"

#include "proxy/console_connection.hpp"
#include "proxy/policy/client_errors.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto sample_interval = console_averages::spacing;
constexpr auto wait_interval = 50ms;

}  // namespace

console_server::console_server(console_hooks from) : orders_(std::move(from)) {}

console_server::~console_server() { stop(); }

void console_server::start() {
    const std::scoped_lock lock(mutex_);
    if (stopped_ || thread_.joinable()) return;
    thread_ = std::thread([this] {
        sample();
        loop_.run();
    });
}

void console_server::stop() {
    {
        const std::scoped_lock lock(mutex_);
        stopped_ = true;
        if (!thread_.joinable()) return;
    }
    loop_.post([this] {
        end_all();
        loop_.stop();
    });
    thread_.join();
}

void console_server::take(console_arrival who) {
    auto arrived = std::make_shared<console_arrival>(std::move(who));
    loop_.post([this, arrived] {
        const auto made = std::make_shared<console_connection>(*this, std::move(*arrived));
        connections_.push_back(made);
        if (!made->begin()) remove(*made);
    });
    start();
}

void console_server::sample() {
    orders_.take_sample();
    (void)loop_.add_timer(std::chrono::steady_clock::now() + sample_interval, [this] { sample(); });
}

void console_server::end_all() {
    const auto all = connections_;
    for (const auto& each : all) each->end(client_errors::shutting_down(statement_outcome::not_executed, "-"));
}

void console_server::watch_waits() {
    loop_.cancel_timer(wait_timer_);
    wait_timer_ = loop_.add_timer(std::chrono::steady_clock::now() + wait_interval, [this] { look_at_waits(); });
}

/// All of them at one snapshot.
void console_server::look_at_waits() {
    const auto all = connections_;
    for (const auto& each : all) each->look();
}

void console_server::remove(console_connection& gone) {
    const auto at =
        std::find_if(connections_.begin(), connections_.end(), [&](const auto& each) { return each.get() == &gone; });
    if (at == connections_.end()) return;
    loop_.defer([kept = *at] { (void)kept; });  // it may be on the call stack
    connections_.erase(at);
}

}  // namespace pgsteady
