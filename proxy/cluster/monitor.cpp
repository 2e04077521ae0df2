// See monitor.hpp.
#include "proxy/cluster/monitor.hpp"

namespace pgsteady {

monitor::monitor() : loop_(std::make_shared<net::event_loop>()) {}

monitor::~monitor() { stop(); }

std::shared_ptr<cluster> monitor::watch(cluster_options options) {
    auto made = std::make_shared<watched_cluster>(loop_, std::move(options));
    const std::scoped_lock lock(mutex_);
    clusters_.push_back(made);
    made->begin();
    return made;
}

void monitor::start() {
    thread_ = std::thread([this] { loop_->run(); });
}

void monitor::stop() {
    loop_->stop();
    if (thread_.joinable()) thread_.join();
    const std::scoped_lock lock(mutex_);
    for (const auto& each : clusters_) each->end();
}

}  // namespace pgsteady
