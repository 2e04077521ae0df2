// See client_timeouts.hpp.
#include "proxy/policy/client_timeouts.hpp"

namespace pgsteady {

timeout_verdict judge_timeouts(const timeout_limits& limits, const client_activity& doing,
                               client_activity::time_point now) {
    const auto over = [now](client_activity::time_point since, std::chrono::milliseconds limit) {
        return limit.count() > 0 && since != client_activity::time_point{} && now - since > limit;
    };
    if (doing.in_transaction && over(doing.transaction_since, limits.transaction))
        return timeout_verdict::end_transaction;
    if (doing.working)
        return doing.running && over(doing.request_since, limits.statement) ? timeout_verdict::cancel_statement
                                                                            : timeout_verdict::none;
    if (doing.in_transaction)
        return over(doing.last_activity, limits.idle_in_transaction) ? timeout_verdict::end_idle_in_transaction
                                                                     : timeout_verdict::none;
    return over(doing.last_activity, limits.client_idle) ? timeout_verdict::end_idle : timeout_verdict::none;
}

}  // namespace pgsteady
