// See model_host.hpp.
#include "tests/simulation/model_host.hpp"

#include <algorithm>

namespace pgsteady::simulation {

model_backend& model_host::connect(const std::vector<std::pair<std::string, std::string>>& startup) {
    backends.push_back(std::make_unique<model_backend>(*this, next_pid_++, startup));
    return *backends.back();
}

bool model_host::settle() {
    bool any = false;
    for (bool moved = true; moved;) {
        moved = false;
        for (std::size_t i = 0; i < backends.size(); ++i) moved |= backends[i]->advance();
        any |= moved;
    }
    return any;
}

std::optional<micros> model_host::next_wake() const {
    std::optional<micros> first;
    for (const auto& each : backends)
        if (const auto at = each->wakes_at(); at && (!first || *at < *first)) first = at;
    return first;
}

model_backend* model_host::lock(const std::string& row, model_backend& who) {
    model_backend*& holder = locks_[row];
    if (holder == nullptr || holder == &who) {
        holder = &who;
        return nullptr;
    }
    return holder;
}

model_backend* model_host::holder(const std::string& row) const {
    const auto at = locks_.find(row);
    return at == locks_.end() ? nullptr : at->second;
}

void model_host::lose_all_backends() {
    for (const auto& each : backends) each->die();
    locks_.clear();
}

void model_host::crash_storage() {
    std::vector<std::string> before = storage.effects();
    storage.crash();
    storage.origin = static_cast<std::uint64_t>(++stats_reset);
    std::vector<std::string> after = storage.effects();
    std::sort(before.begin(), before.end());
    std::sort(after.begin(), after.end());
    std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(forgotten));
}

void model_host::backend_crashes(model_backend& victim) {
    victim.die();
    for (const auto& each : backends)
        each->quickdie("57P02", "terminating connection because of crash of another server process");
    lose_all_backends();
    crash_storage();
    now_is = state::recovering;
}

void model_host::stop_immediately(bool words) {
    if (words)
        for (const auto& each : backends)
            each->quickdie("57P01", "terminating connection due to immediate shutdown command");
    lose_all_backends();
    crash_storage();
    now_is = state::down;
}

void model_host::stop_fast() {
    for (const auto& each : backends) each->terminate();
    // A commit that has been recorded goes on to its end; nothing else does.
    for (micros patience = 0; patience < 1000; ++patience) {
        (void)settle();
        const auto wake = next_wake();
        if (!wake) break;
        now = std::max(now, *wake);
    }
    lose_all_backends();
    storage.restart_cleanly();
    now_is = state::down;
    stopping = false;
}

void model_host::start() {
    ++started;
    now_is = state::up;
}

void model_host::promote_from(const model_host& primary, lsn received) {
    storage = primary.storage.promoted(received);
    replicated = storage.end();
    storage.origin = static_cast<std::uint64_t>(stats_reset);
    now_is = state::up;
}

void model_host::be_host(std::size_t number) {
    constexpr std::int64_t lives_of_one = 1000;
    started = stats_reset = (static_cast<std::int64_t>(number) + 1) * lives_of_one;
    storage.origin = static_cast<std::uint64_t>(stats_reset);
}

incarnation model_host::life() const {
    return {started, storage.replayed(), stats_reset, storage.timeline(), std::string(system)};
}

}  // namespace pgsteady::simulation
