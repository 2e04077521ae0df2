// See pool_command.hpp.
#include "proxy/worker/pool_command.hpp"

#include "proxy/worker/worker.hpp"

namespace pgsteady {

void order(proxy_state& all, const std::shared_ptr<shared_pool>& pool, pool_command what) {
    switch (what) {
        case pool_command::pause: pool->paused = true; break;
        case pool_command::resume: pool->paused = false; break;
        case pool_command::reconnect: ++pool->generation; break;
    }
    for (worker* each : all.workers) each->post([each, pool] { each->part_of(pool).on_orders(); });
}

}  // namespace pgsteady
