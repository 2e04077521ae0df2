// Whether the primary can still write: statements that meet a full disk or one that fails (53100, 58030) close the way for
// writes, three within ten seconds (recovery.md 2.9, 2.12), and a probe that writes opens it again. Statements of users
// never find out (D5). Pure: time and chance are arguments. Owned by cluster_policy.
#pragma once

#include "config/config.hpp"

#include "proxy/policy/breaker.hpp"
#include "proxy/policy/loss_burst.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace pgsteady {

/// How an attempt to write has ended.
enum class write_attempt : std::uint8_t {
    wrote,
    failed,     ///< by the storage, or not in time
    forbidden,  ///< the monitor's account may not try, or says nothing about storage: time alone has to do
    given_up,   ///< the connection ended meanwhile
};

class storage_watch {
public:
    using time_point = breaker::time_point;

    static constexpr std::uint32_t strikes = 3;
    static constexpr std::chrono::seconds within{10};

    explicit storage_watch(const config::breaker_settings& rules) : fuse_(rules) {}

    /// A statement has met storage that fails.
    void strike(time_point now, double chance) {
        if (strikes_.add(now)) fuse_.trip(breaker_cause::storage_failing, now, chance);
    }
    /// Nobody is to write.
    [[nodiscard]] bool failing() const { return fuse_.state() != breaker_state::closed; }
    [[nodiscard]] breaker_state state() const { return fuse_.state(); }
    /// When to try to write next; nothing: no need to, or being tried.
    [[nodiscard]] std::optional<time_point> next_attempt() const { return fuse_.next_probe(); }
    [[nodiscard]] bool begin_attempt(time_point now) { return failing() && fuse_.begin_probe(now); }
    void end_attempt(write_attempt how, time_point now, double chance);
    /// By an operator: it is tried at once.
    void recover(time_point now) { fuse_.recover(now); }
    /// Another primary, or the same one started anew.
    void forget(time_point now);
    void set_rules(const config::breaker_settings& rules, time_point now) { fuse_.set_rules(rules, now); }

private:
    breaker fuse_;
    loss_burst strikes_{strikes, within};
};

}  // namespace pgsteady
