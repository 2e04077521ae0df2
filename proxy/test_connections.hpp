// test-connection: signs in to pools' servers and to backends as pools do, on connections of its own, and asks one
// question (product.md section 4, D36). Runs on the thread of slow commands; bounded in targets, connections and time.
#pragma once

#include "admin/commands.hpp"
#include "proxy/worker/proxy_state.hpp"

#include <optional>
#include <vector>

namespace pgsteady {

/// Nothing: there is no pool, database or backend of that name.
[[nodiscard]] std::optional<std::vector<admin::test_result>> test_connections(proxy_state& state,
                                                                              const admin::test_order& order);

}  // namespace pgsteady
