// One operator's connection: moves bytes between its socket and the conversation, one command at a time. While an answer
// has not been written, or a command waits, nothing more is read. Owned by the console's server, used on its thread alone.
#pragma once

#include "proxy/console/conversation.hpp"
#include "proxy/console_orders.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/console_arrival.hpp"

#include <memory>
#include <optional>
#include <string>

namespace pgsteady {

class console_server;

class console_connection final : public net::stream_handler, public std::enable_shared_from_this<console_connection> {
public:
    console_connection(console_server& at, console_arrival who);

    /// Enters the loop and greets. False: the connection is gone.
    [[nodiscard]] bool begin();
    /// FATAL, and closed.
    void end(const error_fields& why);
    [[nodiscard]] bool waits() const { return wait_.has_value(); }
    /// What it waits for may have happened.
    void look();

    void on_readable() override;
    void on_writable() override;

private:
    void read_some();
    void go_on();
    void later();
    void run_due();
    void answer(const console_answer& outcome);
    void write(std::string out);
    void close_when_written();
    void close();

    console_server& server_;
    bool told_;  // its coming and going are logged: an admin's always, so that an order has a beginning
    std::unique_ptr<net::stream> stream_;
    console_caller caller_;
    std::uint64_t serial_;
    std::shared_ptr<void> place_;
    console_conversation talk_;
    std::string in_;
    std::string unsent_;
    std::optional<console_wait> wait_;
    bool closing_ = false;
    bool closed_ = false;
    bool deferred_ = false;  // go_on() comes in the next turn
};

}  // namespace pgsteady
