// The console at work: a thread of its own with a loop of its own, and the connections of operators on it. Workers hand
// them over once they have signed in, so nothing that is done here can keep a worker from its clients.
// Owned by the application; stopped before the workers are.
#pragma once

#include "proxy/console_orders.hpp"
#include "proxy/net/event_loop.hpp"
#include "proxy/worker/console_arrival.hpp"

#include <list>
#include <memory>
#include <mutex>
#include <thread>

namespace pgsteady {

class console_connection;

class console_server {
public:
    explicit console_server(console_hooks from);
    ~console_server();
    console_server(const console_server&) = delete;
    console_server& operator=(const console_server&) = delete;

    /// Otherwise the first operator starts it. Idempotent, thread-safe.
    void start();
    /// Tells everybody good-bye (57P01) and joins the thread. Idempotent.
    void stop();
    /// Thread-safe. Its number is bounded by limits.max_clients, which it stays counted under.
    void take(console_arrival who);

private:
    friend class console_connection;

    void sample();
    void end_all();
    void look_at_waits();
    void watch_waits();
    void remove(console_connection& gone);

    net::event_loop loop_;
    console_orders orders_;
    std::list<std::shared_ptr<console_connection>> connections_;
    net::timer_id wait_timer_;
    std::mutex mutex_;  // of the next two
    bool stopped_ = false;
    std::thread thread_;
};

}  // namespace pgsteady
