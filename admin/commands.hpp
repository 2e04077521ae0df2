// What can be commanded over the admin port, as plain values and hooks (product.md section 4, D1, D36).
// The proxy fills the hooks; this room validates what comes in, asks for the token and tells what was done.
// Names in orders are hostile text that was bounded, not checked.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady::admin {

/// Something that is different now.
struct change {
    std::string where;  ///< a pool, a backend, a cluster
    std::string what;   ///< the key
    std::string before;
    std::string after;
};

enum class verdict : std::uint8_t {
    done,
    begun,           ///< goes on; /status shows how far it is
    invalid,         ///< the order cannot be carried out as it is; nothing was changed
    unknown_target,  ///< there is nothing of that name; nothing was changed
    not_now,         ///< the state does not allow it; nothing was changed
};

/// What is wrong with one key of an order.
struct key_problem {
    std::string key;
    std::string problem;
};

/// What a command did.
struct outcome {
    verdict what = verdict::done;
    std::vector<key_problem> problems{};  ///< when nothing was done; never empty then
    std::vector<std::string> did{};       ///< sentences
    std::vector<change> changes{};
};

/// Loading the configuration again: all of it or, when `did.what` is invalid, none of it.
struct reload_outcome {
    outcome did{};                             ///< its problems name file, line and key
    std::vector<std::string> needs_restart{};  ///< keys whose new values wait
    std::vector<std::string> warnings{};
};

/// Absent: stays. `pool`: the name of a pool, or of a database for all of its pools; absent: all, and those to come.
struct retry_order {
    std::optional<std::uint32_t> max_retries{};
    std::optional<double> initial_delay{};  ///< seconds
    std::optional<double> max_delay{};
    std::optional<double> multiplier{};
    std::optional<std::string> strategy{};
    std::optional<double> timeout{};
    std::optional<bool> jitter{};
    std::optional<std::string> pool{};
};

struct switch_order {
    std::optional<bool> recovery{};
    std::optional<bool> breaker{};
    std::optional<bool> read_only{};
    std::optional<bool> replay{};
    std::optional<bool> guard{};
    std::optional<std::string> pool{};
};

struct test_order {
    std::string target = "all";  ///< all, a pool, a database, or a backend's address
    std::string query = "SELECT 1";
    /// The query is one of the operator's own: never run as a superuser, and only in a read-only transaction (D36).
    bool free_query = false;
};

enum class breaker_action : std::uint8_t {
    reset,  ///< automatic again, failures forgotten, probed at once: closes if that goes well
    open,   ///< until told otherwise, like the next
    close,
    automatic,
};

struct breaker_order {
    breaker_action action = breaker_action::reset;
    std::string scope = "all";  ///< all, write, or a backend's address
};

enum class pool_action : std::uint8_t { pause, resume, reconnect };

/// A client, as it is at this moment. Names and peers are hostile text.
struct session_status {
    std::uint64_t id = 0;
    std::string user{};
    std::string database{};
    std::string peer{};
    std::string state{};      ///< signing_in, idle, active, waiting, in_transaction
    std::string pinned{};     ///< why it keeps its server; empty: it does not
    std::string waits_for{};  ///< empty: it does not wait
    double wait_seconds = 0;
    std::string server{};  ///< whom it works with; empty: nobody
    std::int32_t server_pid = 0;
    double age_seconds = 0;     ///< since it connected
    double silent_seconds = 0;  ///< since a byte passed
    std::string application_name{};
    std::string tls{};  ///< empty: none
};

/// A connection to a server, as it is at this moment.
struct server_status {
    std::string user{};      ///< on the server
    std::string database{};  ///< as clients call it, like pool_user
    std::string pool_user{};
    std::string state{};  ///< dialling, signing_in, setting_up, idle, serving, cooling, resetting, probing, barrier, …
    std::string host{};
    std::uint16_t port = 0;
    std::int32_t pid = 0;  ///< of its process; 0: not signed in yet
    bool standby = false;
    bool tls = false;
    bool condemned = false;  ///< closed as soon as it is free
    double age_seconds = 0;
    double idle_seconds = 0;   ///< 0: it is not idle
    std::uint64_t client = 0;  ///< the session that it works for; 0: none
    std::uint64_t prepared = 0;
};

/// What can be ordered for a database as a whole.
enum class database_action : std::uint8_t {
    pause,  ///< its pools, and those to come
    resume,
    reconnect,
    kill,     ///< pause, and every session of it ends at once
    disable,  ///< nobody is admitted any more
    enable,
};

struct switchover_order {
    std::optional<std::string> backend{};  ///< any of the cluster's; may be absent when there is one cluster
};

struct test_result {
    std::string target;
    std::string kind;  ///< pool, backend
    bool ok = false;
    double connect_ms = 0;  ///< to dial and to sign in
    double latency_ms = 0;  ///< of the query
    std::string server_version{};
    std::string sqlstate{};  ///< when not ok
    std::string error{};     ///< primary message alone (D36)
};

/// Each may be called on the thread that its comment names, and on no other at the same time as any other of that thread.
/// order_pool, order_database, sessions, servers, end_session and audit are thread-safe: the console uses them, too.
/// Exceptions become a 500.
struct commands {
    // On the admin thread, returning at once:
    std::function<outcome(const retry_order&)> change_retry;
    std::function<outcome(const switch_order&)> change_switches;
    std::function<outcome(const switchover_order&)> begin_switchover;
    std::function<outcome(const std::string& pool, pool_action action)> order_pool;  ///< pool: as in retry_order
    /// A database, or the name of one of its pools; empty: all. kill and disable need a database.
    std::function<outcome(const std::string& database, database_action action)> order_database;
    // On the thread of slow commands, within seconds:
    std::function<std::vector<session_status>()> sessions;  ///< the proxy bounds it, like the next
    std::function<std::vector<server_status>()> servers;
    std::function<outcome(std::uint64_t id)> end_session;
    std::function<outcome()> recover;
    std::function<reload_outcome(const std::string& who)> reload;
    std::function<outcome(const breaker_order&)> force_breaker;
    std::function<outcome(bool on)> hold;  ///< false: resume, which also ends a switchover
    std::function<std::optional<std::vector<test_result>>(const test_order&)>
        test_connection;  ///< nothing: no such target

    /// One line per change: who, what, before and after. Never holds a secret.
    std::function<void(const std::string& line)> audit;
};

}  // namespace pgsteady::admin
