// One CancelRequest on its way to a server: dials, encrypts if the connection it concerns is encrypted
// (P46), sends, waits until the server has closed. Until then that connection serves nobody else (P43).
// Owned by the worker.
#pragma once

#include "proxy/net/dial.hpp"
#include "proxy/net/stream.hpp"

#include <memory>
#include <string>

namespace pgsteady {

class server_connection;
class worker;

class cancel_dial final : public net::stream_handler {
public:
    cancel_dial(worker& at, const std::shared_ptr<server_connection>& target);
    void start();

    void on_readable() override;
    void on_writable() override { on_readable(); }

private:
    enum class step : std::uint8_t { dialling, tls_answer, handshake, sent };

    void on_dialled(net::dial_result result);
    void send_request();
    void finish();

    worker& worker_;
    std::shared_ptr<server_connection> target_;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    net::timer_id timer_;
    step step_ = step::dialling;
    bool finished_ = false;
};

}  // namespace pgsteady
