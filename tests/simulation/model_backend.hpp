// One backend process of a modelled PostgreSQL, at the level of messages: simple strings and extended segments with their
// implicit transactions, savepoints, settings, prepared statements, portals, COPY, locks on rows, and a COMMIT that is
// recorded, flushed, replicated and made visible one after the other. Unlike tests/support's scripted server it can wait:
// for a row, for a standby, for time. And it outlives its connection, as backends do (E5c).
//
// What it knows of SQL, beyond what split_sql and server_settings of tests/support know, is valid for PostgreSQL 15 too:
//   INSERT INTO log VALUES ('x' | $1) · TABLE log · COPY log FROM STDIN · COPY log TO STDOUT
//   NOTIFY channel, 'x'                     kept like a row, so that it can be held against what its sender believes
//   INSERT INTO once VALUES ('x')           a deferrable unique constraint, initially deferred
//   UPDATE accounts SET balance = balance + 5 WHERE id = 1 · SELECT balance FROM accounts WHERE id = 1 [FOR UPDATE]
//   SELECT sum(balance) FROM accounts · SELECT generate_series(1, 10) · SELECT pg_sleep(0.5)
//   pg_current_xact_id_if_assigned(), pg_logical_emit_message(true, 'p', 'x'), pg_xact_status('725'), pg_last_wal_replay_lsn()
//   and the product's own question for a transaction's number (testing::modelled), and txid_status(725)
// Anything else is a syntax error. For tests; owned by its host.
#pragma once

#include "tests/simulation/model_storage.hpp"
#include "tests/support/scripted_sql.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::simulation {

class model_host;

using micros = std::int64_t;
using values = std::vector<std::optional<std::string>>;
using testing::server_settings;
using testing::sql_error;
using testing::sql_statement;

class model_backend {
public:
    model_backend(model_host& host, std::int32_t pid, const std::vector<std::pair<std::string, std::string>>& startup);

    /// Bytes of the client have arrived; they are looked at by advance().
    void receive(std::string_view bytes) { in_ += bytes; }
    /// Goes on until it needs input, time, a row or a standby. Returns whether anything happened.
    bool advance();
    [[nodiscard]] std::string take_output() { return std::exchange(out_, {}); }
    [[nodiscard]] bool has_output() const { return !out_.empty(); }
    /// The process is gone; what it said last may still be in its output.
    [[nodiscard]] bool ended() const { return ended_; }

    // What befalls it.
    /// The client's end of the connection is closed. `reset`: what was not read yet is lost.
    void peer_closed(bool reset);
    /// pg_terminate_backend(). While it waits for a standby: a WARNING, and the transaction stays committed (E3a).
    void terminate() { terminating_ = true; }
    /// pg_cancel_backend().
    void cancel() { cancelled_ = true; }
    /// It is told to leave at once, by a WARNING: nothing is undone, nothing is recorded (E1, E2c).
    void quickdie(std::string_view sqlstate, std::string_view message);
    /// Without a word.
    void die();

    [[nodiscard]] bool waits_for_standby() const { return commit_.phase == commit_phase::waiting; }
    [[nodiscard]] bool waits_for_row() const { return waits_for_ != nullptr; }
    [[nodiscard]] bool in_transaction() const { return state_ != transaction::none; }
    [[nodiscard]] bool busy() const { return !work_.empty() || !in_.empty(); }
    /// As ReadyForQuery would say it.
    [[nodiscard]] char status() const {
        return state_ == transaction::open ? 'T' : state_ == transaction::failed ? 'E' : 'I';
    }
    /// It sleeps until then.
    [[nodiscard]] std::optional<micros> wakes_at() const;
    [[nodiscard]] model_backend* waits_for() const { return waits_for_; }
    [[nodiscard]] std::map<std::string, std::string> reported() const { return settings_.reported(); }
    [[nodiscard]] xid transaction_id() const { return xid_; }
    [[nodiscard]] bool clean() const { return state_ == transaction::none && channels_.empty(); }

    const std::int32_t pid;

private:
    enum class transaction : std::uint8_t { none, implicit, open, failed };
    enum class commit_phase : std::uint8_t { none, recorded, waiting };
    /// False: it has to be called again later, and has done nothing that a second call would do twice.
    using step = std::function<bool()>;

    struct prepared {
        std::optional<sql_statement> statement;  // nothing: an empty text
        std::size_t parameters = 0;
    };
    struct answer {
        std::vector<std::string> columns;
        std::deque<values> rows;
        std::string tag;
        bool copies_in = false;
        bool copies_out = false;
    };
    /// A statement of a Query, as far as it has come.
    struct simple_run {
        sql_statement statement;
        bool last = false;  // of its string
        bool described = false;
        std::optional<answer> result;
    };
    struct portal {
        std::optional<sql_statement> statement;
        values parameters;
        std::optional<answer> result;
        bool done = false;
    };
    struct mark {
        std::string name;
        server_settings settings;
        std::size_t changes = 0;
        std::size_t locks = 0;
        std::set<std::string> wanted;
    };
    struct copy_in {
        bool extended = false;
        bool last = false;  // of its string
        std::string line;
        std::size_t rows = 0;
        std::deque<step> rest;
    };

    // model_backend.cpp: messages
    bool one_step();
    void take(char type, std::string_view body);
    void take_copy(char type, std::string_view body);
    void on_query(std::string_view body);
    void on_parse(std::string_view body);
    void on_bind(std::string_view body);
    void on_describe(std::string_view body);
    bool on_execute(const std::string& name, std::uint32_t limit);
    void on_close(std::string_view body);
    bool run_simple(simple_run& one);
    bool finish_request();
    void on_error(const sql_error& error, bool extended);
    void report_changes();
    void emit_catalogue(std::string_view sql);
    void emit_rows(answer& result, std::size_t limit, std::size_t& sent);
    void leave(const sql_error& why);

    // model_transaction.cpp
    void begin_command(const sql_statement& statement);
    /// False: not yet.
    bool commit();
    void roll_back();
    void fail_transaction();
    void end_transaction();
    void release_locks(std::size_t from);
    /// The row is this transaction's now; false: somebody else has it.
    bool lock(const std::string& row);
    void add(change what);
    void need_xid();
    void chain_on(bool read_only);
    void check_deferred() const;

    // model_statements.cpp
    [[nodiscard]] std::vector<std::string> columns_of(const sql_statement& statement) const;
    /// Nothing: not yet.
    [[nodiscard]] std::optional<answer> run(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<answer> run_insert(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<answer> run_update(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<answer> run_select(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<answer> run_account(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<answer> run_transaction(const sql_statement& statement);
    [[nodiscard]] std::optional<answer> run_rollback(const sql_statement& statement);
    [[nodiscard]] answer run_set(const sql_statement& statement);
    [[nodiscard]] answer run_table(const std::string& name) const;
    [[nodiscard]] std::optional<std::string> call(const std::string& name, const values& arguments, answer& into);
    [[nodiscard]] std::string xact_status_of(const std::string& number) const;
    [[nodiscard]] bool sleep_for(micros time);
    void refuse_if_read_only(const sql_statement& statement) const;
    [[nodiscard]] std::int64_t balance_seen(std::uint32_t account) const;

    model_host& host_;
    server_settings settings_;
    server_settings startup_;
    std::map<std::string, std::string> announced_;
    std::map<std::string, prepared> statements_;
    std::map<std::string, portal> portals_;
    std::set<std::string> channels_;
    std::set<std::string> wanted_;
    std::optional<copy_in> copy_;

    transaction state_ = transaction::none;
    std::optional<mark> begun_;
    std::vector<mark> savepoints_;
    std::vector<change> changes_;
    std::vector<std::string> locks_;
    xid xid_ = 0;
    bool read_only_ = false;
    struct {
        commit_phase phase = commit_phase::none;
        lsn record = 0;
    } commit_;
    std::string standby_words_;  // said behind the commit's own answer

    std::deque<step> work_;
    bool extended_ = false;  // what is worked on is an extended message
    bool skipping_ = false;
    bool alone_ = true;     // it is not one of several statements of a string
    bool started_ = false;  // the step in front has taken its time
    micros until_ = 0;
    std::optional<micros> sleeps_until_;
    model_backend* waits_for_ = nullptr;
    micros peer_gone_at_ = -1;
    bool peer_gone_ = false;
    bool terminating_ = false;
    bool cancelled_ = false;
    bool ended_ = false;
    std::string in_;
    std::string out_;
};

}  // namespace pgsteady::simulation
