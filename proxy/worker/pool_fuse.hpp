// The breaker of one pool: opens when servers refuse to let anybody of it in (class 28, 3D000, no right to connect, …), so
// that a wrong password or a database that is not there costs one sign-in now and then, not one per client. Hosts and
// other pools are not concerned (recovery.md 2.12). A probe is a dial of the pool's own; no client's statement is one (D5).
// Thread-safe, behind a lock: asked at a dial and when one has ended. Owned by shared_pool.
#pragma once

#include "protocol/error_response.hpp"

#include "config/config.hpp"

#include "proxy/policy/breaker.hpp"

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace pgsteady {

class pool_fuse {
public:
    using time_point = breaker::time_point;

    /// The longest pause between probes: whoever has mended the account or the database is not to wait for longer.
    static constexpr std::chrono::seconds longest_pause{5};

    explicit pool_fuse(const config::breaker_settings& rules) : fuse_(limited(rules)) {}

    /// A dial may go now; while it is not closed, this is the one probe, and its end has to be told.
    [[nodiscard]] bool may_dial(time_point now);
    /// Why nobody is let in; nothing: as far as is known, they are, or it is being found out.
    [[nodiscard]] std::optional<error_fields> refusal() const;

    // How a dial has ended.
    void let_in(time_point now);
    void refused(const error_fields& why, time_point now, double chance);
    void told_nothing();

    // Operators.
    void force(breaker_force how, time_point now);
    void set_rules(const config::breaker_settings& rules, time_point now);

    struct status {
        breaker_state state = breaker_state::closed;
        std::uint32_t failures = 0;
        std::uint64_t failures_total = 0;
        std::uint64_t trips_total = 0;
        std::string opened_by{};     ///< why it opened last; empty: it never did
        std::string last_failure{};  ///< the last words of a server that let nobody in; others' text
    };
    [[nodiscard]] status now() const;

private:
    static config::breaker_settings limited(config::breaker_settings rules);

    mutable std::mutex mutex_;
    breaker fuse_;  // guarded by mutex_, like the next
    error_fields last_words_;
};

}  // namespace pgsteady
