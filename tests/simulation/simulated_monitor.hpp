// What the monitor does for COMMITs in doubt (proxy/cluster): it looks at the hosts of a world now and then, at the primary,
// at those that are gone and at the standby, and keeps what that proves about their WAL. It sees nothing that the product's
// monitor could not see, and it can be asleep. For tests; owned by its world.
#pragma once

#include "proxy/policy/in_doubt.hpp"
#include "proxy/policy/lineage.hpp"

#include "tests/simulation/virtual_time.hpp"

#include <array>

namespace pgsteady::simulation {

class world;

class simulated_monitor {
public:
    explicit simulated_monitor(const world& at) : world_(at) {}

    /// Time has passed.
    void tick();
    /// What it was connected to there has ended.
    void life_ended(std::size_t host);
    /// No looks for so long: the machine had no time for it.
    void sleep(micros time);
    /// Adds what it knows to what a server has said (pool_facts::observe).
    void inform(in_doubt_facts& facts, const commit_capture& captured) const;

private:
    static constexpr std::size_t max_hosts = 8;
    struct place {
        micros looked_at = -1'000'000;
        bool connected = false;
        bool lost = false;  // what it was connected to; not noticed yet
    };

    void look(std::size_t host);
    [[nodiscard]] probe_result of_primary(const model_host& host) const;
    [[nodiscard]] probe_result of_standby() const;
    [[nodiscard]] lineage::time_point clock() const;

    const world& world_;
    std::array<place, max_hosts> places_{};
    lineage looks_{max_hosts, std::chrono::seconds(1)};
    micros asleep_until_ = 0;
};

}  // namespace pgsteady::simulation
