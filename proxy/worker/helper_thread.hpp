// The thread for what costs milliseconds of processor time: TLS handshakes and PBKDF2 (D40). Workers hand work over
// and get the result back by mailbox, so that no handshake delays anybody's query. Must never touch a worker's data.
// Owned by proxy_state; stopped before the workers are.
#pragma once

#include "proxy/net/event_loop.hpp"
#include "proxy/net/stream.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>

namespace pgsteady {

class helper_thread {
public:
    /// Called on the helper's thread, with the stream in no loop; passes both on to whoever asked.
    using handshake_done = std::function<void(std::unique_ptr<net::stream>, net::stream::handshake)>;

    /// At most so many handshakes are in progress, further ones wait for their turn; 0: no limit.
    explicit helper_thread(std::uint32_t max_handshakes);
    ~helper_thread();
    helper_thread(const helper_thread&) = delete;
    helper_thread& operator=(const helper_thread&) = delete;

    /// Thread-safe. What has not run by then never will.
    void stop();

    /// Thread-safe. Runs `job` there.
    void run(std::function<void()> job) { loop_.post(std::move(job)); }

    /// For what run() has brought there: that thread alone.
    [[nodiscard]] net::event_loop& loop() { return loop_; }

    /// Thread-safe. Takes a stream for which start_tls_…() has been called and that has left its loop. A peer that
    /// takes longer than ten seconds, once it is its turn, fails.
    void shake_hands(std::unique_ptr<net::stream> with, handshake_done done);

private:
    class handshake;
    void begin(std::unique_ptr<handshake> one);
    void end(handshake& one, net::stream::handshake result);

    net::event_loop loop_;
    std::uint32_t max_handshakes_;
    std::unordered_map<handshake*, std::unique_ptr<handshake>> active_;
    std::deque<std::unique_ptr<handshake>> queued_;
    std::thread thread_;
};

}  // namespace pgsteady
