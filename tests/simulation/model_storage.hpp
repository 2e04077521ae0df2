// What a PostgreSQL server keeps, as far as the fate of transactions depends on it: transaction numbers, write-ahead log,
// commit status, and two tables. A crash cuts the log to what was flushed, a promotion to what was replicated, and recovery
// rebuilds everything else from it, so numbers are handed out again exactly as PostgreSQL does it (E1, E4).
// Holds no locks and knows no connection: those are model_node's. For tests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady::simulation {

using xid = std::uint64_t;
using lsn = std::uint64_t;

/// "0/15286B8".
[[nodiscard]] std::string to_text(lsn position);

/// What one statement did to a table.
struct change {
    enum class kind : std::uint8_t { log_row, once_row, balance, note } what = kind::log_row;
    std::string text;           ///< of a row, or of what listeners are told
    std::uint32_t account = 0;  ///< of balance, whose amount changes by
    std::int64_t by = 0;
};

enum class xact_status : std::uint8_t { in_progress, committed, aborted, in_future };

class model_storage {
public:
    /// `accounts`: how many there are, numbered from 1, each with `balance`.
    model_storage() : model_storage(8, 100) {}
    model_storage(std::uint32_t accounts, std::int64_t balance);

    // A transaction, from its first write on.
    [[nodiscard]] xid assign();
    /// A record that bears `x`; returns its end.
    lsn write(xid x) { return append({0, x, record::kind::data, {}, 0, 0}); }
    /// pg_logical_emit_message(true, …), 56 bytes (E5h).
    lsn write_marker(xid x) { return append({0, x, record::kind::marker, {}, 0, 0}); }
    /// The commit record. Nobody sees the changes before make_visible().
    lsn write_commit(xid x, std::vector<change> changes);
    void make_visible(xid x);
    void abort(xid x);

    /// A number means one transaction from one recovery to the next; so does this, together with the number. Set by whoever
    /// knows that.
    std::uint64_t origin = 0;
    /// What nobody outside can ask: whether the commit record of just this transaction is in the log, and in force.
    [[nodiscard]] bool has_committed(std::uint64_t origin_of_x, xid x) const;

    void flush(lsn up_to) { flushed_ = std::max(flushed_, std::min(up_to, end_)); }
    void flush_all() { flushed_ = end_; }
    [[nodiscard]] lsn flushed() const { return flushed_; }
    [[nodiscard]] lsn end() const { return end_; }
    [[nodiscard]] std::uint32_t timeline() const { return timeline_; }
    /// pg_last_wal_replay_lsn(): where the last recovery ended; nothing after a clean start.
    [[nodiscard]] std::optional<lsn> replayed() const { return replayed_; }

    /// Power is lost, or a server process has crashed: what was not flushed is gone (E1, E2).
    void crash() { recover(flushed_); }
    /// After a shutdown that was waited for.
    void restart_cleanly();
    /// A copy as a standby has it that has received the log up to there, promoted to the next timeline (E3c, E4).
    [[nodiscard]] model_storage promoted(lsn received) const;

    [[nodiscard]] xact_status status(xid x) const;
    [[nodiscard]] xid next() const { return next_; }

    [[nodiscard]] const std::vector<std::string>& log() const { return log_; }
    [[nodiscard]] const std::vector<std::string>& once() const { return once_; }
    /// Notifications of the transactions that are in force. (PostgreSQL forgets what a crash has kept from its listeners.)
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
    /// All rows of the log, and all notifications: what an application has beliefs about.
    [[nodiscard]] std::vector<std::string> effects() const;
    [[nodiscard]] std::int64_t balance(std::uint32_t account) const { return balances_.at(account - 1); }
    [[nodiscard]] std::size_t accounts() const { return balances_.size(); }
    [[nodiscard]] std::int64_t total() const;
    /// Of those, what was committed behind `position` and is visible: what an asynchronous promotion loses.
    [[nodiscard]] std::vector<std::string> effects_behind(lsn position) const;

private:
    struct record {
        lsn end = 0;
        xid bears = 0;
        enum class kind : std::uint8_t { data, marker, commit, abort, checkpoint } what = kind::data;
        std::vector<change> changes;  // of a commit
        xid next = 0;                 // of a checkpoint
        std::uint64_t origin = 0;
    };

    lsn append(record each);
    void recover(lsn up_to);
    void apply(const std::vector<change>& changes);

    std::vector<record> wal_;
    lsn end_;
    lsn flushed_;
    std::uint32_t timeline_ = 1;
    std::optional<lsn> replayed_;
    xid next_ = 725;
    xid first_;
    std::map<xid, xact_status> status_;
    std::vector<std::string> log_;
    std::vector<std::string> once_;
    std::vector<std::string> notes_;
    std::int64_t initial_balance_;
    std::vector<std::int64_t> balances_;
};

}  // namespace pgsteady::simulation
