// Which of a client's timeouts has run out: statement, transaction, idle in transaction, idle.
// Pure: what the client is doing and the time go in, a verdict comes out. 0 means off (P51).
#pragma once

#include <chrono>
#include <cstdint>

namespace pgsteady {

struct timeout_limits {
    std::chrono::milliseconds statement{0};
    std::chrono::milliseconds transaction{0};
    std::chrono::milliseconds idle_in_transaction{0};
    std::chrono::milliseconds client_idle{0};

    [[nodiscard]] bool any() const {
        return statement.count() > 0 || transaction.count() > 0 || idle_in_transaction.count() > 0 ||
               client_idle.count() > 0;
    }
};

/// What a client is doing. A time of zero means "not now".
struct client_activity {
    using time_point = std::chrono::steady_clock::time_point;
    bool working = false;         ///< waits for a server, or one owes it replies
    bool running = false;         ///< a server runs something for it
    bool in_transaction = false;  ///< a segment without Sync counts (D17)
    time_point request_since{};
    time_point last_activity{};
    time_point transaction_since{};
};

enum class timeout_verdict : std::uint8_t {
    none,
    cancel_statement,         ///< 57014 will come from the server
    end_idle_in_transaction,  ///< 25P03
    end_transaction,          ///< 25P04
    end_idle,                 ///< 57P05
};

/// The first timeout that has run out. Time spent waiting for a server counts towards none but the transaction's:
/// that wait has its own limit (D3).
[[nodiscard]] timeout_verdict judge_timeouts(const timeout_limits& limits, const client_activity& now_doing,
                                             client_activity::time_point now);

}  // namespace pgsteady
