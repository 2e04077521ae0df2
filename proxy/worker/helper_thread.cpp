// See helper_thread.hpp.
#include "proxy/worker/helper_thread.hpp"

namespace pgsteady {

using namespace std::chrono_literals;

namespace {
constexpr auto patience = 10s;
}

class helper_thread::handshake final : public net::stream_handler {
public:
    handshake(helper_thread& owner, std::unique_ptr<net::stream> with, handshake_done done)
        : owner_(owner), stream_(std::move(with)), done_(std::move(done)) {}

    void begin() {
        stream_->set_handler(this);
        if (!stream_->move_to(owner_.loop_)) return owner_.end(*this, net::stream::handshake::failed);
        timer_ = owner_.loop_.add_timer(owner_.loop_.now() + patience,
                                        [this] { owner_.end(*this, net::stream::handshake::failed); });
        on_readable();
    }
    void on_readable() override {
        if (stream_ == nullptr) return;
        const net::stream::handshake now = stream_->continue_handshake();
        if (now != net::stream::handshake::in_progress) owner_.end(*this, now);
    }
    void on_writable() override { on_readable(); }

    void give_back(net::stream::handshake result) {
        owner_.loop_.cancel_timer(timer_);
        stream_->set_handler(nullptr);
        stream_->leave_loop();
        done_(std::move(stream_), result);
    }

private:
    helper_thread& owner_;
    std::unique_ptr<net::stream> stream_;
    handshake_done done_;
    net::timer_id timer_;
};

helper_thread::helper_thread(std::uint32_t max_handshakes)
    : max_handshakes_(max_handshakes), thread_([this] { loop_.run(); }) {}

helper_thread::~helper_thread() { stop(); }

void helper_thread::stop() {
    if (!thread_.joinable()) return;
    loop_.stop();
    thread_.join();
}

void helper_thread::shake_hands(std::unique_ptr<net::stream> with, handshake_done done) {
    // A letter must be copyable.
    auto one = std::make_shared<std::unique_ptr<handshake>>(
        std::make_unique<handshake>(*this, std::move(with), std::move(done)));
    loop_.post([this, one] { begin(std::move(*one)); });
}

void helper_thread::begin(std::unique_ptr<handshake> one) {
    if (max_handshakes_ != 0 && active_.size() >= max_handshakes_) return queued_.push_back(std::move(one));
    handshake& mine = *one;
    active_.emplace(&mine, std::move(one));
    mine.begin();
}

void helper_thread::end(handshake& one, net::stream::handshake result) {
    const auto at = active_.find(&one);
    if (at == active_.end()) return;
    loop_.defer([gone = std::shared_ptr<handshake>(std::move(at->second))] { (void)gone; });  // it is on the call stack
    active_.erase(at);
    one.give_back(result);
    if (queued_.empty()) return;
    loop_.defer([this] {  // not from within the one that ended: the stack stays flat
        if (queued_.empty()) return;
        std::unique_ptr<handshake> next = std::move(queued_.front());
        queued_.pop_front();
        begin(std::move(next));
    });
}

}  // namespace pgsteady
