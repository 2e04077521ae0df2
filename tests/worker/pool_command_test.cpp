// What an operator orders reaches a pool's part on every worker.
#include "proxy/worker/pool_command.hpp"

#include "proxy/worker/worker.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

struct two_workers {
    two_workers() : state(settings(), 2), first(state, 0), second(state, 1) {
        state.workers = {&first, &second};
        pool = state.pool_for("orders", "somebody").pool;
    }
    static std::shared_ptr<const config::settings> settings() {
        auto all = std::make_shared<config::settings>();
        all->backends.hosts = {{"127.0.0.1", 1}};
        return all;
    }
    /// The workers' letters are read here: their threads do not run.
    void turn() {
        first.loop().run_once(0ms);
        second.loop().run_once(0ms);
    }

    proxy_state state;
    worker first;
    worker second;
    std::shared_ptr<shared_pool> pool;
};

}  // namespace

TEST_CASE("a pause is seen at once and lasts until it is taken back") {
    two_workers fix;
    REQUIRE(fix.pool != nullptr);
    order(fix.state, fix.pool, pool_command::pause);
    CHECK(fix.pool->paused);
    fix.turn();
    CHECK(fix.pool->paused);
    order(fix.state, fix.pool, pool_command::resume);
    CHECK_FALSE(fix.pool->paused);
    fix.turn();
}

TEST_CASE("reconnect makes every server that is open now one of a former generation, on all workers") {
    two_workers fix;
    local_pool& here = fix.first.part_of(fix.pool);
    local_pool& there = fix.second.part_of(fix.pool);
    order(fix.state, fix.pool, pool_command::reconnect);
    CHECK(fix.pool->generation == 1);
    fix.turn();
    // A part that is made later agrees with those that were told: servers travel between them.
    CHECK(here.generation() == 1);
    CHECK(there.generation() == 1);
    two_workers later;
    ++later.pool->generation;
    CHECK(later.first.part_of(later.pool).generation() == 1);
}
