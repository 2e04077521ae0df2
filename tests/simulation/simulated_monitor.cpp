// See simulated_monitor.hpp.
#include "tests/simulation/simulated_monitor.hpp"

#include "tests/simulation/world.hpp"

namespace pgsteady::simulation {

namespace {
constexpr micros look_pause = 1'000'000;  // while all is well
constexpr micros search_pause = 50'000;   // and while nobody is there
}  // namespace

lineage::time_point simulated_monitor::clock() const {
    return lineage::time_point{} + std::chrono::hours(1) + std::chrono::microseconds(world_.time.now);
}

void simulated_monitor::tick() {
    if (world_.time.now < asleep_until_) return;
    const std::size_t standby = world_.hosts.size();
    for (std::size_t host = 0; host <= standby && host < max_hosts; ++host) {
        place& here = places_.at(host);
        if (std::exchange(here.lost, false)) looks_.disconnected(host, clock());
        if (world_.time.now - here.looked_at >= (here.connected ? look_pause : search_pause)) look(host);
    }
    looks_.awake(clock());
}

void simulated_monitor::look(std::size_t host) {
    place& here = places_.at(host);
    here.looked_at = world_.time.now;
    if (host == world_.hosts.size()) {
        here.connected = true;
        return looks_.answered(host, of_standby(), clock());
    }
    const model_host& there = *world_.hosts[host];
    here.connected = there.now_is == model_host::state::up;
    if (here.connected) looks_.answered(host, of_primary(there), clock());
    else looks_.nobody(host, clock());
}

void simulated_monitor::life_ended(std::size_t host) {
    place& here = places_.at(host);
    here.lost |= std::exchange(here.connected, false);
    here.looked_at = world_.time.now - search_pause;
}

void simulated_monitor::sleep(micros time) { asleep_until_ = std::max(asleep_until_, world_.time.now + time); }

probe_result simulated_monitor::of_primary(const model_host& host) const {
    const incarnation life = host.life();
    probe_result found;
    found.role = host_role::primary;
    found.system_identifier = life.system;
    found.started_micros = life.started_at;
    found.statistics_since = life.statistics_since;
    found.timeline = life.timeline;
    found.recovered_to = life.recovered_to;
    if (world_.streams()) found.replicas = {{"standby", "", "async"}};
    return found;
}

/// It runs since its primary does; what it has received outlives that.
probe_result simulated_monitor::of_standby() const {
    const model_host& primary = *world_.hosts.back();
    model_host standby;
    standby.be_host(world_.hosts.size());
    probe_result found;
    found.role = host_role::standby;
    found.system_identifier = model_host::system;
    found.started_micros = standby.started;
    found.statistics_since = standby.stats_reset;
    found.timeline = primary.storage.timeline();
    found.received = found.replayed = found.recovered_to = primary.replicated;
    found.streaming = world_.streams();
    found.receiver_pid = found.streaming ? world_.receiver : 0;
    found.receiver_name = "standby";
    return found;
}

void simulated_monitor::inform(in_doubt_facts& facts, const commit_capture& captured) const {
    facts.inherited.observed = looks_.seen(facts.host).is(facts.server);
    if (!facts.inherited.observed) return;
    for (const inheritance& each : looks_.of(facts.host))
        if (each.host == captured.host && each.from.is(captured.server)) facts.inherited.upto = each.upto;
}

}  // namespace pgsteady::simulation
