// See cancel_dial.hpp.
#include "proxy/worker/cancel_dial.hpp"

#include "protocol/startup.hpp"

#include "proxy/worker/worker.hpp"

#include <array>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {
constexpr auto patience = 10s;
}

cancel_dial::cancel_dial(worker& at, lost_backend target, std::function<void(cancel_dial&)> over)
    : worker_(at), target_(std::move(target)), over_(std::move(over)) {}

void cancel_dial::start() {
    const net::time_point deadline = worker_.loop().now() + patience;
    timer_ = worker_.loop().add_timer(deadline, [this] { finish(); });
    dialling_ = net::dial(worker_.loop(), target_.address.host, target_.address.port, deadline,
                          dial_options_of(worker_.shared().settings().connect),
                          [this](net::dial_result result) { on_dialled(std::move(result)); });
}

void cancel_dial::on_dialled(net::dial_result result) {
    if (result.fd < 0) return finish();
    stream_ = net::stream::adopt(worker_.loop(), result.fd, this, net::stream::preparation::prepared);
    if (stream_ == nullptr) return finish();
    if (!target_.tls) return send_request();
    if (worker_.shared().settings().backends.tls.negotiation == config::tls_negotiation::direct)
        return begin_handshake();
    std::string out;
    append_ssl_request(out);
    (void)stream_->write(out);
    step_ = step::tls_answer;
}

void cancel_dial::send_request() {
    std::string out;
    append_cancel_request(out, target_.pid, target_.cancel_key);
    (void)stream_->write(out);
    step_ = step::sent;
}

void cancel_dial::on_readable() {
    if (finished_ || stream_ == nullptr) return;
    if (step_ == step::handshake) {
        const auto state = stream_->continue_handshake();
        if (state == net::stream::handshake::failed) return finish();
        if (state == net::stream::handshake::done) send_request();
        return;
    }
    std::array<char, 64> bytes{};
    // One byte only before TLS: what follows the S belongs to the handshake.
    const net::io_result got = stream_->read({bytes.data(), step_ == step::tls_answer ? 1U : bytes.size()});
    if (got.result == net::io_result::kind::would_block) return;
    if (!got.ok() || step_ != step::tls_answer) return finish();
    if (bytes[0] != 'S') return finish();
    begin_handshake();
}

void cancel_dial::begin_handshake() {
    const auto context = worker_.shared().server_tls.get();
    if (context == nullptr || !stream_->start_tls_client(*context, target_.address.host)) return finish();
    step_ = step::handshake;
    on_readable();
}

void cancel_dial::finish() {
    if (finished_) return;
    finished_ = true;
    worker_.loop().cancel_timer(timer_);
    dialling_.cancel();
    if (stream_ != nullptr) stream_->close(false);
    over_(*this);
    worker_.settle();
}

}  // namespace pgsteady
