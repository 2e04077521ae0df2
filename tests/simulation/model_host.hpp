// One PostgreSQL server in virtual time: its storage, its row locks, its backends, and what can befall all of them at once:
// crash, immediate and clean restart, promotion. A backend that waits says for what; whoever owns the host moves the clock
// and calls settle(). For tests.
#pragma once

#include "proxy/policy/incarnation.hpp"

#include "tests/simulation/dice.hpp"
#include "tests/simulation/model_backend.hpp"
#include "tests/simulation/model_storage.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgsteady::simulation {

class model_host {
public:
    enum class state : std::uint8_t { up, down, recovering };

    model_host() = default;
    model_host(const model_host&) = delete;
    model_host& operator=(const model_host&) = delete;

    /// A new backend, signed in. Only while the host is up.
    model_backend& connect(const std::vector<std::pair<std::string, std::string>>& startup = {});
    /// Everything that can run at this time does. Returns whether anything has.
    bool settle();
    /// When a backend has something to do by itself; nothing: none has.
    [[nodiscard]] std::optional<micros> next_wake() const;

    // What befalls the server. Backends say their last words and are gone; their output can still be read.
    /// One backend is killed (-9): it ends without a word, the others are told of a crash (E2c), the log is cut.
    void backend_crashes(model_backend& victim);
    /// pg_ctl stop -m immediate, or power: `words` false.
    void stop_immediately(bool words = true);
    /// pg_ctl stop -m fast: what commits is let finish.
    void stop_fast();
    void start();
    /// Takes over where a standby is that had received the log of `primary` up to there.
    void promote_from(const model_host& primary, lsn received);

    /// `number`: its place among the hosts; what tells its lives from others' is unique among all of them.
    void be_host(std::size_t number);
    /// As its connections and the monitor see it.
    [[nodiscard]] incarnation life() const;
    static constexpr std::string_view system = "7001";

    /// The first that stands in the way of `who` for this row; null: it has the lock now.
    [[nodiscard]] model_backend* lock(const std::string& row, model_backend& who);
    [[nodiscard]] model_backend* holder(const std::string& row) const;
    void unlock(const std::string& row) { locks_.erase(row); }

    [[nodiscard]] micros latency() const {
        return chance == nullptr ? 0 : chance->between(0, chance->one_in(20) ? slow_statement : quick_statement);
    }

    state now_is = state::up;
    bool stopping = false;  ///< its backends end one after another; nobody is let in
    model_storage storage;
    micros now = 0;
    micros woken_at = -1;            ///< when the owner has planned to settle() next
    dice* chance = nullptr;          ///< none: everything takes no time
    bool waits_for_standby = false;  ///< synchronous_standby_names is set
    lsn replicated = 0;              ///< what the synchronous standby has confirmed
    bool lazy_flush = false;         ///< commits do not flush (synchronous_commit = off): only crashes tell
    std::int64_t started = 1;        ///< pg_postmaster_start_time(); a standby's goes on when it is promoted
    std::int64_t stats_reset = 1;    ///< changed by recovery, not by a clean start (E6)
    micros up_since = 0;             ///< its owner's to keep
    std::size_t torn_commits = 0;    ///< commits that moved money from one account and not to another
    std::vector<std::unique_ptr<model_backend>> backends;  ///< zombies and ended ones among them

    std::vector<std::string> forgotten;  ///< rows of the log that were visible, and that a crash has taken (lazy_flush)

private:
    static constexpr micros quick_statement = 300;
    static constexpr micros slow_statement = 20'000;

    void lose_all_backends();
    void crash_storage();

    std::map<std::string, model_backend*> locks_;
    std::int32_t next_pid_ = 1000;
};

}  // namespace pgsteady::simulation
