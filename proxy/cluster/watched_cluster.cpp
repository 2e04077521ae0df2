// See watched_cluster.hpp.
#include "proxy/cluster/watched_cluster.hpp"

namespace pgsteady {

watched_cluster::watched_cluster(std::shared_ptr<net::event_loop> loop, cluster_options options)
    : loop_(std::move(loop)), options_(std::move(options)) {
    cluster_view first;
    for (const config::host_port& each : options_.hosts) {
        host_view host;
        host.address = each.host + ':' + std::to_string(each.port);
        first.hosts.push_back(std::move(host));
    }
    view_ = std::make_shared<const cluster_view>(std::move(first));
}

watched_cluster::~watched_cluster() = default;

cluster::view_ptr watched_cluster::view() const {
    const std::scoped_lock lock(mutex_);
    return view_;
}

void watched_cluster::report(host_report /*seen*/) {}
void watched_cluster::waiting(unsigned /*worker*/, std::size_t /*statements*/) {}
void watched_cluster::hold(bool /*on*/) {}
void watched_cluster::recover() {}
bool watched_cluster::force(const std::string& /*scope*/, breaker_force /*how*/) { return false; }

void watched_cluster::set_switches(bool /*breaker*/, bool /*read_only*/) {}

std::vector<cluster_event> watched_cluster::recent_events() const {
    const std::scoped_lock lock(mutex_);
    return events_;
}

}  // namespace pgsteady
