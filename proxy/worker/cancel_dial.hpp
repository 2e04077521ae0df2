// One CancelRequest on its way to a server: dials, encrypts if the connection it concerns was encrypted
// (P46), sends, waits until the server has closed: by then the request has been carried out. Owned by the worker.
#pragma once

#include "proxy/net/dial.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/fence_list.hpp"

#include <functional>
#include <memory>

namespace pgsteady {

class worker;

class cancel_dial final : public net::stream_handler {
public:
    /// `over` is called once, at the end, from the loop: sent or not.
    cancel_dial(worker& at, lost_backend target, std::function<void(cancel_dial&)> over);
    void start();

    /// The request has left.
    [[nodiscard]] bool sent() const { return step_ == step::sent; }

    void on_readable() override;
    void on_writable() override { on_readable(); }

private:
    enum class step : std::uint8_t { dialling, tls_answer, handshake, sent };

    void on_dialled(net::dial_result result);
    void begin_handshake();
    void send_request();
    void finish();

    worker& worker_;
    lost_backend target_;
    std::function<void(cancel_dial&)> over_;
    net::dial_handle dialling_;
    std::unique_ptr<net::stream> stream_;
    net::timer_id timer_;
    step step_ = step::dialling;
    bool finished_ = false;
};

}  // namespace pgsteady
