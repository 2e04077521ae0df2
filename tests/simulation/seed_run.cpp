// See seed_run.hpp.
#include "tests/simulation/seed_run.hpp"

#include "tests/simulation/simulated_app.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace pgsteady::simulation {

namespace {

constexpr micros second = 1'000'000;
// Faults happen within so much from the beginning: at once, or so far apart that servers settle in between.
constexpr micros short_fault_time = 60'000;
constexpr micros long_fault_time = 4 * second;
constexpr micros long_pause = 300'000;  // of an application, in that case
constexpr micros one_after_another =
    5'000;  // ends of a host's backends, at most; all within the time that answers are held
constexpr micros patience = 60 * second;
constexpr micros aftermath = 40 * second;  // zombies, keepalives

enum class fault : std::uint8_t {
    terminate,
    crash,
    immediate_restart,
    two_restarts,
    clean_restart,
    stop_in_turn,
    switchover,
    fail_over,
    reset,
    orderly_end,
    silence,
    client_gone,
    standby_away,
    monitor_asleep,
    kinds,
};

class seeded_world {
public:
    seeded_world(std::uint64_t seed, bool tell)
        : world_(seed, 1 + static_cast<std::uint32_t>(dice(seed ^ 0x5EED).below(3))) {
        if (tell) world_.story.emplace();
        if (world_.chance.one_in(2)) world_.add_worker();
        dice& chance = world_.chance;
        for (std::size_t i = 0; i < static_cast<std::size_t>(fault::kinds); ++i)
            if (chance.one_in(2)) kinds_.push_back(static_cast<fault>(i));
        world_.primary().waits_for_standby = chance.one_in(3);
        world_.primary().lazy_flush = chance.one_in(6);
        world_.fences = !chance.one_in(4);
        world_.sabotage_dials = chance.one_in(4);
        world_.outsiders = chance.one_in(2);
        if (chance.one_in(3)) world_.facts.retry.result_hold = 0;
        world_.facts.replays = chance.one_in(2);
        world_.facts.replays_together = chance.one_in(2);
        world_.facts.resolves = !chance.one_in(4);
        if (world_.facts.resolves)
            world_.facts.guards_autocommit = static_cast<config::autocommit_guard>(chance.below(3));
        if (!chance.one_in(3)) {
            fault_time_ = long_fault_time;
            for_long_ = long_pause;
        }
        const std::uint64_t apps = 1 + chance.below(4);
        for (std::uint32_t i = 1; i <= apps; ++i)
            apps_.push_back(std::make_unique<simulated_app>(world_, i, 3 + static_cast<std::uint32_t>(chance.below(10)),
                                                            for_long_));
    }

    /// Instead of what was drawn: see run_outages().
    void be_outages(bool barrier) {
        // Of two ends that are told out of order, as two workers may hear of them, nothing is promised.
        world_.calm = world_.chance.one_in(2);
        kinds_ = {fault::crash, fault::immediate_restart, fault::clean_restart};
        if (world_.calm) kinds_ = {fault::stop_in_turn, fault::switchover};
        if (world_.calm && world_.chance.one_in(2)) kinds_ = {fault::terminate};
        world_.primary().waits_for_standby = world_.primary().lazy_flush = false;
        world_.sabotage_dials = false;
        world_.fences = world_.facts.replays = world_.facts.resolves = true;
        world_.facts.replays_together = barrier;
        fault_time_ = long_fault_time;
        shortest_outage_ = 100'000;
        while (apps_.size() < 4)
            apps_.push_back(
                std::make_unique<simulated_app>(world_, static_cast<std::uint32_t>(apps_.size()) + 1, 10, for_long_));
        for (const auto& app : apps_) app->transfers_among = 3;
    }

    seed_result run() {
        for (const auto& app : apps_) world_.time.in(world_.chance.between(0, 5000), [&app] { app->begin(); });
        draw_faults();
        const bool done = world_.run([&] { return all_finished(); }, fault_time_ + patience);
        if (!done && world_.problems.empty())
            for (const auto& app : apps_)
                if (!app->finished()) world_.problem("does not come to an end: " + app->state());
        if (world_.problems.empty()) {
            (void)world_.run([] { return false; }, aftermath);
            judge();
        }
        return result();
    }

private:
    [[nodiscard]] bool all_finished() const {
        return world_.time.now >= fault_time_ &&
               std::all_of(apps_.begin(), apps_.end(), [](const auto& each) { return each->finished(); });
    }

    void draw_faults() {
        if (kinds_.empty()) return;
        const std::uint64_t count = 1 + world_.chance.below(5);
        for (std::uint64_t i = 0; i < count; ++i) {
            const fault kind = kinds_[world_.chance.below(kinds_.size())];
            world_.time.at(world_.chance.between(0, fault_time_), [this, kind] { lie_in_wait(kind); });
        }
        world_.time.at(fault_time_, [this] {
            world_.standby_away(false);
            world_.sabotage_dials = false;
        });
    }

    /// Half of them wait for a COMMIT to disturb.
    void lie_in_wait(fault kind) {
        if (world_.chance.one_in(2)) return strike(kind);
        world_.at_next_commit([this, kind] { strike(kind); });
    }

    void strike(fault kind) {
        dice& chance = world_.chance;
        const bool ends_life = kind == fault::crash || kind == fault::immediate_restart ||
                               kind == fault::clean_restart || kind == fault::stop_in_turn ||
                               kind == fault::switchover || kind == fault::fail_over || kind == fault::two_restarts;
        if (ends_life && world_.facts.resolves && !world_.settled_in(world_.primary())) return;
        ++faults_;
        simulated_server* const victim = world_.any_server(!chance.one_in(4));
        const micros outage = shortest_outage_ + chance.between(1'000, chance.one_in(3) ? 5 * second : 100'000);
        switch (kind) {
            case fault::terminate: return victim != nullptr ? world_.terminate_backend(*victim) : void();
            case fault::crash: return victim != nullptr ? world_.crash_backend(*victim, outage) : void();
            case fault::immediate_restart: return world_.restart_immediately(outage, chance.one_in(2));
            case fault::two_restarts: return world_.restart_twice_unseen(outage);
            case fault::clean_restart: return world_.restart_cleanly(outage);
            case fault::stop_in_turn: return world_.stop_in_turn(one_after_another, outage, false);
            case fault::switchover: return world_.stop_in_turn(one_after_another, outage, true);
            case fault::fail_over: return world_.fail_over(outage);
            case fault::reset: return victim != nullptr ? world_.lose(*victim, loss::reset) : void();
            case fault::orderly_end: return victim != nullptr ? world_.lose(*victim, loss::orderly) : void();
            case fault::silence: return victim != nullptr ? world_.lose(*victim, loss::silence) : void();
            case fault::client_gone: return apps_[chance.below(apps_.size())]->vanish();
            case fault::standby_away:
                world_.standby_away(true);
                return world_.time.in(outage, [this] { world_.standby_away(false); });
            case fault::monitor_asleep: return world_.monitor.sleep(outage);
            case fault::kinds: return;
        }
    }

    void judge() {
        const model_storage& truth = world_.primary().storage;
        std::set<std::string> excused(world_.lost_by_failover.begin(), world_.lost_by_failover.end());
        for (const auto& host : world_.hosts) {
            excused.insert(host->forgotten.begin(), host->forgotten.end());
            if (host->torn_commits > 0) world_.problem("a part of a transfer was committed without the rest");
            if (!host->lazy_flush && !host->forgotten.empty())
                world_.problem("the model lost a flushed commit: " + host->forgotten.front());
        }
        for (const auto& app : apps_) app->judge(truth, excused);
        const std::string money = balance_problem(truth);
        if (!money.empty()) world_.problem(money);
        for (const auto& server : world_.servers)
            if (!server->closed && server->client != nullptr) world_.problem("a server is left with a client");
    }

    seed_result result() {
        seed_result made;
        made.problems = world_.problems;
        if (world_.story) made.story = *world_.story;
        for (const auto& app : apps_) {
            for (const auto& [code, times] : app->told) made.told[code] += times;
            made.disconnects += app->disconnects;
        }
        made.losses = world_.losses;
        made.faults = faults_;
        made.replays = world_.replays;
        made.replays_different = world_.replays_different;
        made.resumes = world_.resumes;
        made.answers_held = world_.answers_held;
        made.gave_way = world_.gave_way;
        made.handed_over = world_.handed_over;
        made.resolved = world_.resolved;
        made.steps = world_.time.steps;
        made.fingerprint = world_.chance.next() ^ made.steps;
        return made;
    }

    world world_;
    std::vector<fault> kinds_;
    std::vector<std::unique_ptr<simulated_app>> apps_;
    std::size_t faults_ = 0;
    micros fault_time_ = short_fault_time;
    micros for_long_ = 0;
    micros shortest_outage_ = 0;
};

}  // namespace

void seed_result::add(const seed_result& other) {
    for (const auto& [code, times] : other.told) told[code] += times;
    losses += other.losses;
    disconnects += other.disconnects;
    faults += other.faults;
    replays += other.replays;
    replays_different += other.replays_different;
    resumes += other.resumes;
    answers_held += other.answers_held;
    gave_way += other.gave_way;
    handed_over += other.handed_over;
    for (const auto& [how, times] : other.resolved) resolved[how] += times;
    steps += other.steps;
}

seed_result run_seed(std::uint64_t seed, bool tell) { return seeded_world(seed, tell).run(); }

seed_result run_outages(std::uint64_t seed, bool barrier, bool tell) {
    seeded_world world(seed, tell);
    world.be_outages(barrier);
    return world.run();
}

}  // namespace pgsteady::simulation
