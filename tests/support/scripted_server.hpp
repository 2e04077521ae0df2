// A PostgreSQL small enough to hold in the head, in memory: bytes of a client in, bytes of a server out, at
// once. It speaks the simple and the extended protocol, COPY and function calls, has transactions with
// savepoints, transactional settings, prepared statements, portals and one table that all servers of a
// database share. What it does, it does as PostgreSQL 15 does; what it does not know is a syntax error.
//
//   SELECT 'text', $1, current_user, set_config(…), current_setting(…), pg_advisory_lock(1)
//   SELECT rows(3) · big(100000) · notice('text') · error('22012') · fatal('57P01')
//   INSERT INTO log VALUES ('x') · TABLE log · COPY log FROM STDIN (a line "bad" fails) · COPY log TO STDOUT
//   LISTEN x, UNLISTEN x, UNLISTEN * (nobody notifies)
//   CREATE TEMP TABLE x · TABLE x · PREPARE, EXECUTE, DEALLOCATE · DISCARD ALL · SET, RESET, SHOW · BEGIN … COMMIT
//   CREATE TABLE, DROP TABLE x (shared by all: what a Parse of "TABLE x" needs)
//   txid_status(n), and what a capture asks for: a number for each transaction that has written
//   BEGIN READ ONLY, SET default_transaction_read_only: what writes is refused with 25006 · the questions of read_proof
//
// For tests. Owned by the test; the database outlives its servers.
#pragma once

#include "tests/support/scripted_sql.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::testing {

/// What all servers of one database share.
struct scripted_database {
    std::vector<std::string> log;                       ///< committed rows
    std::set<std::string> tables;                       ///< made by CREATE TABLE (not transactional here)
    std::map<std::string, std::size_t> executions;      ///< how often each text was executed, by all servers
    std::map<std::uint64_t, std::string> transactions;  ///< what pg_xact_status() says of each that has written
    std::uint64_t next_xid = 725;
    std::uint64_t wal = 0x1000;   ///< its end
    std::size_t captures = 0;     ///< markers that were written
    std::string capture_refusal;  ///< SQLSTATE of the error that answers a capture; empty: it is answered
    std::string capture_severity = "ERROR";
    std::size_t notices = 0;  ///< of count()
};

class scripted_server {
public:
    using startup_list = std::vector<std::pair<std::string, std::string>>;

    /// A session that has just signed in with these parameters.
    explicit scripted_server(scripted_database& database, const startup_list& startup = {});

    /// Takes bytes of the client, in pieces of any size, and returns what is answered to them.
    [[nodiscard]] std::string feed(std::string_view bytes);
    /// The connection is gone: an open transaction is rolled back.
    void disconnect();

    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] std::map<std::string, std::string> reported() const { return settings_.reported(); }
    [[nodiscard]] std::size_t statements() const { return statements_.size(); }
    [[nodiscard]] const server_settings& settings() const { return settings_; }
    [[nodiscard]] bool has_temporary_tables() const { return !temporary_.empty(); }
    [[nodiscard]] const std::set<std::string>& channels() const { return channels_; }
    [[nodiscard]] bool in_transaction() const { return state_ != transaction::none; }
    /// As ReadyForQuery would say it now.
    [[nodiscard]] char status() const {
        return state_ == transaction::open ? 'T' : state_ == transaction::failed ? 'E' : 'I';
    }

private:
    enum class transaction : std::uint8_t { none, implicit, open, failed };
    using values = std::vector<std::optional<std::string>>;

    struct prepared {
        std::optional<sql_statement> statement;  // nothing: an empty text
        std::size_t parameters = 0;
    };
    struct answer {
        std::vector<std::string> columns;  // none: it returns no rows
        std::deque<values> rows;
        std::string tag;
        bool copies_in = false;
        bool copies_out = false;
    };
    struct portal {
        std::optional<sql_statement> statement;
        values parameters;
        std::optional<answer> result;  // once executed
        bool done = false;
    };
    struct snapshot {
        std::string name;
        server_settings settings;
        std::size_t pending;
        std::set<std::string> wanted;
        std::set<std::string> temporary;
    };
    struct copy_in {
        bool extended;
        std::string line;
        std::size_t rows = 0;
        std::deque<sql_statement> rest;  // of the Query's text
    };

    void take(char type, std::string_view body);
    void take_copy(char type, std::string_view body);
    void on_query(std::string_view body);
    void run_statements(std::deque<sql_statement> statements);
    void on_parse(std::string_view body);
    void on_bind(std::string_view body);
    void on_describe(std::string_view body);
    void on_execute(std::string_view body);
    void on_close(std::string_view body);
    void finish_request();
    void on_error(const sql_error& error, bool extended);
    void report_changes();

    void answer_catalogue(std::string_view sql);
    void refuse_if_read_only(const sql_statement& statement) const;

    void begin_command(const sql_statement& statement);
    void commit();
    void roll_back();
    void end_transaction();

    [[nodiscard]] std::vector<std::string> columns_of(const sql_statement& statement) const;
    [[nodiscard]] answer run(const sql_statement& statement, const values& parameters);
    [[nodiscard]] answer run_transaction(const sql_statement& statement);
    [[nodiscard]] answer run_rollback(const sql_statement& statement);
    [[nodiscard]] answer run_set(const sql_statement& statement);
    [[nodiscard]] answer run_select(const sql_statement& statement, const values& parameters);
    [[nodiscard]] std::optional<std::string> call(const std::string& name, const values& arguments, answer& into);
    [[nodiscard]] answer run_table(const std::string& name) const;
    void add_row(std::string value);
    [[nodiscard]] std::optional<std::string> capture(bool marker, bool forced);
    void settle_xid(bool committed);

    scripted_database& database_;
    server_settings settings_;
    server_settings startup_;
    std::map<std::string, std::string> announced_;
    std::map<std::string, prepared> statements_;
    std::map<std::string, portal> portals_;
    std::set<std::string> temporary_;
    std::set<std::string> channels_;  // listened to
    std::set<std::string> wanted_;    // from the transaction's end on
    std::vector<std::string> pending_;
    std::uint64_t xid_ = 0;  // of the transaction in progress
    transaction state_ = transaction::none;
    std::optional<snapshot> begun_;
    std::vector<snapshot> savepoints_;
    std::optional<copy_in> copy_;
    bool read_only_ = false;  // the transaction in progress
    bool skipping_ = false;
    bool closed_ = false;
    std::string in_;
    std::string out_;
};

}  // namespace pgsteady::testing
