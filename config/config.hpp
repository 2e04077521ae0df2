// The settings of pgsteady as plain values with their defaults: one small struct per consumer.
//
// Depends on the standard library alone, so that every room may include it; knows nothing of files,
// YAML or the environment (config/load.hpp fills it, config/validate.hpp judges it).
// Each scalar has one row in config/keys.cpp, which holds its unit, range, variables and reason.
// A duration or a limit of 0 means "off" everywhere (P51).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady::config {

using std::chrono::milliseconds;

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

// The values of every enum below are spelled in config/keys.cpp, in the same order.

enum class client_tls_mode : std::uint8_t {
    disable,      // SSLRequest is answered N
    allow,        // offered when a certificate is configured, never demanded
    require,      // clients without TLS are turned away
    verify_full,  // and must show a certificate of ca_file whose CN is the user's name
};

enum class tls_version : std::uint8_t { tls_1_2, tls_1_3 };

/// libpq's sslmode towards servers. `automatic` never leaves load(): it becomes verify_full when a
/// CA is given and prefer otherwise (D9).
enum class server_tls_mode : std::uint8_t {
    automatic,
    disable,
    allow,
    prefer,
    require,
    verify_ca,
    verify_full,
};

/// As in libpq: whether SCRAM is tied to the TLS connection that it runs in.
enum class channel_binding : std::uint8_t { disable, prefer, require };

/// libpq's sslnegotiation: whether TLS is asked for first, or begun at once (PostgreSQL 17).
enum class tls_negotiation : std::uint8_t { postgres, direct };

/// The newest protocol that servers are asked for; an older server answers with its own.
enum class protocol_version : std::uint8_t { v3_0, v3_2 };

/// How clients prove who they are. `automatic` never leaves load(): it becomes scram_sha_256 when
/// users are known and passthrough when none are (D7).
enum class auth_method : std::uint8_t { automatic, trust, md5, scram_sha_256, passthrough };

enum class pool_mode : std::uint8_t { session, transaction, statement };

/// What a call of a function whose body we cannot see means for session state (D12).
enum class opaque_functions : std::uint8_t { trust, pin };

enum class retry_strategy : std::uint8_t { exponential_backoff, linear_backoff, fixed_delay };

/// What the streams of workers wait in.
enum class io_engine : std::uint8_t { epoll, io_uring, automatic };

enum class log_level : std::uint8_t { debug, info, warning, error };
enum class log_format : std::uint8_t { text, json };

/// A configured address. A host that begins with '/' is the directory of a Unix socket.
struct host_port {
    std::string host;
    std::uint16_t port = 5432;

    bool operator==(const host_port&) const = default;
};

struct keepalive_settings {
    milliseconds idle{60'000};
    milliseconds interval{10'000};
    std::uint32_t count = 3;

    bool operator==(const keepalive_settings&) const = default;
};

struct client_tls_settings {
    client_tls_mode mode = client_tls_mode::allow;
    std::string cert_file;
    std::string key_file;
    std::string ca_file;
    tls_version min_version = tls_version::tls_1_2;

    /// Whether SSLRequest is answered S.
    [[nodiscard]] bool offered() const { return mode != client_tls_mode::disable && !cert_file.empty(); }
    /// Whether a client without TLS is refused.
    [[nodiscard]] bool required() const { return mode >= client_tls_mode::require; }

    bool operator==(const client_tls_settings&) const = default;
};

struct listen_settings {
    bool proxy_protocol = false;
    std::string host = "127.0.0.1";
    std::uint16_t port = 6432;    // 0: the system picks one
    std::string unix_socket_dir;  // empty: no Unix socket
    std::string takeover_socket;  // empty: nobody takes this process's place
    std::vector<host_port> peers;
    std::uint32_t backlog = 1024;
    client_tls_settings tls;
    keepalive_settings keepalive;

    bool operator==(const listen_settings&) const = default;
};

/// Caps from day one (D7). 0 is unlimited.
struct limit_settings {
    std::uint32_t max_clients = 10'000;
    std::uint32_t max_clients_per_user = 0;
    std::uint32_t max_clients_per_database = 0;
    std::uint32_t max_unauthenticated = 200;
    std::uint32_t max_server_connections = 0;
    std::uint32_t max_handshakes = 32;  // TLS handshakes and password checks in progress (D40)
    std::uint32_t max_cancels = 64;     // cancel requests in progress (D40, P45)
    std::uint64_t max_message = gib;
    std::uint64_t request_keep = 64 * kib;      // D13
    std::uint64_t session_memory = 16 * mib;    // what one client may make us remember
    std::uint32_t max_channels = 1024;          // of LISTEN, that one client may take to its next server
    std::uint64_t replay_journals = 256 * mib;  // of all open transactions (replay.max_total)

    bool operator==(const limit_settings&) const = default;
};

struct pool_settings {
    pool_mode mode = pool_mode::transaction;
    std::uint32_t size = 20;
    std::uint32_t max_overflow = 10;
    std::uint32_t min_size = 5;  // kept warm in pools that the configuration names, nowhere else (D7)
    milliseconds hold_timeout{30'000};
    milliseconds lifetime{3'600'000};
    double lifetime_jitter = 0.10;  // share of lifetime, 0 to 1
    milliseconds idle_timeout{600'000};
    milliseconds overflow_idle_timeout{10'000};
    milliseconds probe_after_idle{30'000};
    std::string reset_query = "DISCARD ALL";      // session mode, when a client leaves
    std::string connect_query;                    // of every new server connection, and behind reset_query
    std::uint64_t prepared_statements = 4 * mib;  // bytes per server connection; 0: not shared
    opaque_functions opaque_functions_are = opaque_functions::trust;
    bool shared_listen = true;               // D18
    std::uint64_t notification_queue = mib;  // bytes per client

    bool operator==(const pool_settings&) const = default;
};

/// Pools for databases that no entry names.
struct auto_pool_settings {
    bool enabled = true;
    std::uint32_t max = 200;
    milliseconds idle_timeout{600'000};

    bool operator==(const auto_pool_settings&) const = default;
};

/// Redialling one host: initial to max for `late_after`, then up to late_max (D4, P50).
struct connect_backoff_settings {
    milliseconds initial{25};
    milliseconds max{1'000};
    milliseconds late_after{10'000};
    milliseconds late_max{5'000};

    bool operator==(const connect_backoff_settings&) const = default;
};

struct connect_settings {
    milliseconds timeout{10'000};  // from resolve to the first ReadyForQuery
    milliseconds tcp_user_timeout{10'000};
    keepalive_settings keepalive{milliseconds{5'000}, milliseconds{2'000}, 3};
    connect_backoff_settings backoff;

    bool operator==(const connect_settings&) const = default;
};

struct timeout_settings {
    milliseconds login{60'000};
    milliseconds statement{0};
    milliseconds transaction{0};
    milliseconds idle_in_transaction{0};  // also a segment left open without Sync (D17)
    milliseconds client_idle{0};

    bool operator==(const timeout_settings&) const = default;
};

struct server_tls_settings {
    server_tls_mode sslmode = server_tls_mode::automatic;
    std::string ca_file;
    std::string cert_file;
    std::string key_file;
    tls_version min_version = tls_version::tls_1_2;
    channel_binding binding = channel_binding::prefer;
    tls_negotiation negotiation = tls_negotiation::postgres;

    bool operator==(const server_tls_settings&) const = default;
};

/// The cluster: every node of it; roles are discovered.
struct backend_settings {
    std::vector<host_port> hosts;
    std::uint16_t port = 5432;  // for hosts written without one
    std::string user;
    std::string password;  // after load(): also what password_file held
    std::string password_file;
    std::string database;
    server_tls_settings tls;
    protocol_version max_protocol_version = protocol_version::v3_0;

    bool operator==(const backend_settings&) const = default;
};

/// Trying a client's password on the server (D38).
struct passthrough_settings {
    std::uint32_t max_tries_per_minute = 600;  // per source address
    std::uint32_t max_concurrent = 16;         // per source address
    milliseconds reverify{60'000};

    bool operator==(const passthrough_settings&) const = default;
};

/// PgBouncer's query for what a server has stored of a role's password, without its operators being anybody else's (P4), and
/// as PostgreSQL itself would let the role in (P5).
inline constexpr const char* usual_auth_query =
    "SELECT rolname, CASE WHEN rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL ELSE rolpassword END "
    "FROM pg_catalog.pg_authid WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin";

/// Looking up on the server who is not under users (D38).
struct auth_query_settings {
    std::string user;  // empty: nobody is looked up
    std::string password;
    std::string password_file;
    std::string database;  // never the client's; empty: backends.database, else "postgres"
    std::string sql = usual_auth_query;
    milliseconds max_age{1'000};   // so long an answer needs no question
    milliseconds keep{3'600'000};  // and so long it stands in for one while nobody can be asked
    std::uint32_t max_names = 10'000;
    milliseconds timeout{5'000};

    [[nodiscard]] bool enabled() const { return !user.empty(); }
    bool operator==(const auth_query_settings&) const = default;
};

/// A name as a line of auth.hba_file has it.
struct hba_name {
    std::string text;
    bool quoted = false;  // no keyword, whatever it says

    bool operator==(const hba_name&) const = default;
};

/// One line of auth.hba_file: whom it is about, and how they sign in.
struct hba_rule {
    enum class connection : std::uint8_t { local, host, hostssl, hostnossl };
    enum class method : std::uint8_t { reject, trust, md5, scram_sha_256, password, cert };
    enum class certificate : std::uint8_t { none, verify_ca, verify_full };  // of clientcert=

    connection by = connection::host;
    std::vector<hba_name> databases;
    std::vector<hba_name> users;
    bool any_address = false;
    std::vector<std::uint8_t> network;  // 4 or 16 bytes, of the network; empty: any_address, or local
    std::uint32_t prefix = 0;           // bits of it
    method how = method::reject;
    certificate shows = certificate::none;
    std::string map;  // of auth.ident_file; empty: the certificate has the user's own name
    int line = 0;

    bool operator==(const hba_rule&) const = default;
};

/// One line of auth.ident_file: whom the owner of a certificate may be.
struct ident_line {
    std::string map;
    std::string certified;  // common name; a pattern, if it begins with '/'
    std::string user;       // \1 is what the pattern's first group has matched; "all" is everybody
    int line = 0;

    bool operator==(const ident_line&) const = default;
};

struct auth_settings {
    auth_method method = auth_method::automatic;
    std::string users_file;  // after load(): its users are among `users`
    std::string hba_file;
    std::string ident_file;
    std::vector<hba_rule> hba;  // after load(): what hba_file says
    std::vector<ident_line> ident;
    bool allow_remote_trust = false;
    passthrough_settings passthrough;
    auth_query_settings query;

    /// Rules decide how a client signs in, and `method` does not.
    [[nodiscard]] bool by_rules() const { return !hba_file.empty(); }

    bool operator==(const auth_settings&) const = default;
};

struct monitor_settings {
    std::string user;  // empty: the pool's (D10)
    std::string password;
    std::string password_file;
    std::string database;  // empty: backends.database, else "postgres"
    milliseconds interval{1'000};
    milliseconds fast_interval{50};
    milliseconds timeout{1'000};

    bool operator==(const monitor_settings&) const = default;
};

struct recovery_settings {
    bool enabled = true;
    bool strict_sync = false;  // a wait for a synchronous standby that is cut short is no COMMIT

    bool operator==(const recovery_settings&) const = default;
};

struct retry_settings {
    std::uint32_t max_retries = 3;  // after the first attempt
    milliseconds initial_delay{50};
    milliseconds max_delay{5'000};
    double multiplier = 2.0;
    retry_strategy strategy = retry_strategy::exponential_backoff;
    bool jitter = true;
    bool conflicts = false;  // 40001 and 40P01 outside of a transaction
    std::uint64_t result_hold = 64 * kib;
    milliseconds result_hold_time{250};
    double budget = 0.10;               // share of statements that may be retries
    std::uint32_t budget_reserve = 10;  // retries per second beyond that share
    bool client_control = true;

    bool operator==(const retry_settings&) const = default;
};

struct breaker_settings {
    bool enabled = true;
    std::uint32_t failure_threshold = 5;
    std::uint32_t success_threshold = 2;
    milliseconds timeout{60'000};  // cap of the open interval, which grows from 1 s (D5)
    milliseconds window{10'000};
    std::uint32_t window_volume = 20;
    double failure_rate = 0.5;

    bool operator==(const breaker_settings&) const = default;
};

struct read_only_settings {
    bool enabled = true;
    std::uint64_t max_lag_bytes = 16 * mib;
    milliseconds max_lag{30'000};

    bool operator==(const read_only_settings&) const = default;
};

/// Whether a write outside of any transaction says its number before it commits (D33).
enum class autocommit_guard : std::uint8_t {
    off,
    automatic,  ///< asked in the same write as its Sync: no round trip
    always,     ///< its Sync is held until the number is here
};

struct replay_settings {
    bool enabled = true;
    bool in_doubt = true;
    autocommit_guard guard_autocommit = autocommit_guard::automatic;
    milliseconds indoubt_timeout{15'000};
    std::uint32_t attempts = 5;
    milliseconds timeout{30'000};  // from the loss to the end of the replay
    milliseconds barrier{500};     // of each step, once work is possible (D30); 0: off
    std::uint64_t max_transaction = mib;

    bool operator==(const replay_settings&) const = default;
};

struct guard_settings {
    bool enabled = true;
    std::uint64_t cache = mib;       // bytes per pool and worker; 0: nothing is remembered
    milliseconds cache_age{60'000};  // 0: likewise

    bool operator==(const guard_settings&) const = default;
};

/// What may differ from pool to pool: global in `settings`, resolved per entry of `databases`.
struct policies {
    pool_settings pool;
    timeout_settings timeouts;
    recovery_settings recovery;
    retry_settings retry;
    breaker_settings breaker;
    read_only_settings read_only;
    replay_settings replay;
    guard_settings guard;

    bool operator==(const policies&) const = default;
};

/// What all pools of one cluster have in common, since they share its hosts and its monitor.
struct cluster_values {
    breaker_settings breaker;
    read_only_settings read_only;
    milliseconds hold_timeout{30'000};
    connect_backoff_settings backoff{};  // of the monitor's own dials

    bool operator==(const cluster_values&) const = default;
};

/// One entry of `databases`. Its policies are complete: what the entry left out is the global value.
struct database_settings : policies {
    std::vector<host_port> hosts;  // empty: backends.hosts
    std::string dbname;            // name on the server; empty: the entry's own
    std::string user;              // server user for every client; empty: the client's own
    std::string password;
    std::string password_file;
    std::string password_env;
    std::uint32_t max_clients = 0;  // 0: limits.max_clients_per_database
    // How who signs in is looked up, where that differs from auth.query: see auth_query_of().
    std::string auth_user;  // with its password: one belongs to the other
    std::string auth_password;
    std::string auth_password_file;
    std::string auth_dbname;
    std::string auth_query;

    [[nodiscard]] bool asks_otherwise() const {
        return !auth_user.empty() || !auth_dbname.empty() || !auth_query.empty();
    }
    bool operator==(const database_settings&) const = default;
};

/// One entry of `users`: who may sign in. Exactly one of password and verifier is set after load().
struct user_settings {
    std::string password;  // after load(): also what password_file or password_env held
    std::string password_file;
    std::string password_env;
    std::string verifier;           // SCRAM-SHA-256$… or md5…, as in pg_authid.rolpassword
    bool listed = true;             // false: known from auth.users_file alone, so no pool is kept warm for it
    std::uint32_t max_clients = 0;  // 0: limits.max_clients_per_user
    // These beat the database's and the global value.
    std::optional<pool_mode> mode;
    std::optional<std::uint32_t> pool_size;
    std::optional<milliseconds> statement_timeout;
    std::optional<milliseconds> transaction_timeout;
    std::optional<milliseconds> idle_in_transaction_timeout;
    std::optional<milliseconds> client_idle_timeout;

    bool operator==(const user_settings&) const = default;
};

struct admin_tls_settings {
    std::string cert_file;
    std::string key_file;

    bool operator==(const admin_tls_settings&) const = default;
};

struct admin_settings {
    bool enabled = true;
    std::string host = "127.0.0.1";
    std::uint16_t port = 6433;  // 0: the system picks one
    std::string operate_token;  // after load(): also what operate_token_file held
    std::string operate_token_file;
    std::string read_token;
    std::string read_token_file;
    admin_tls_settings tls;
    bool old_metric_names = true;         // those that Prometheus' rules for names would not have
    std::uint32_t histogram_pools = 20;   // pools that /metrics shows histograms of
    std::uint32_t incidents = 100;        // the latest, per worker
    std::uint32_t max_connections = 256;  // HTTP
    std::uint32_t max_listeners = 32;     // of the event stream
    std::uint64_t listener_bytes = 256 * kib;
    std::uint32_t max_commands = 4;  // slow ones, in progress or waiting for their turn
    std::uint32_t max_console_clients = 100;
    std::uint64_t max_head = 8 * kib;  // of a request
    std::uint64_t max_body = 64 * kib;
    milliseconds read_timeout{10'000};     // a whole request
    milliseconds write_timeout{10'000};    // a whole answer
    milliseconds idle_timeout{60'000};     // between two requests
    std::vector<std::string> admin_users;  // D37: empty admits nobody
    std::vector<std::string> stats_users;

    bool operator==(const admin_settings&) const = default;
};

struct health_settings {
    milliseconds interval{30'000};
    milliseconds timeout{5'000};

    bool operator==(const health_settings&) const = default;
};

struct shutdown_settings {
    milliseconds drain_timeout{30'000};
    milliseconds takeover_timeout{3'600'000};

    bool operator==(const shutdown_settings&) const = default;
};

struct hold_settings {
    std::uint32_t max_clients = 10'000;
    std::uint64_t max_bytes = 64 * mib;
    milliseconds notice_after{5'000};
    std::uint32_t ramp = 32;

    bool operator==(const hold_settings&) const = default;
};

/// The end of what a lost connection may still be doing on its server (D24).
struct fence_settings {
    bool enabled = true;
    milliseconds timeout{10'000};          // so long the end of one backend is pursued
    std::uint32_t max_cancels = 16;        // cancel requests for lost connections in progress
    std::uint32_t max_pending = 1'000;     // backends whose end is pursued, per pool and worker
    milliseconds connection_check{1'000};  // client_connection_check_interval of server sessions

    bool operator==(const fence_settings&) const = default;
};

struct switchover_settings {
    milliseconds drain_timeout{5'000};
    std::string hook;  // a command that moves the primary

    bool operator==(const switchover_settings&) const = default;
};

struct log_settings {
    log_level level = log_level::info;
    log_format format = log_format::text;
    bool statements = false;         // parameters never
    milliseconds slow_statement{0};  // statements that took so long are logged, without their constants
    bool connections = true;         // one line per client end, with its reason
    std::uint32_t rate_limit = 100;  // lines per second and kind

    bool operator==(const log_settings&) const = default;
};

struct alert_settings {
    std::string webhook_url;
    milliseconds webhook_timeout{5'000};

    bool operator==(const alert_settings&) const = default;
};

struct settings : policies {
    std::uint32_t workers = 0;  // 0: one per core
    config::io_engine io_engine = config::io_engine::epoll;
    listen_settings listen;
    backend_settings backends;
    auth_settings auth;
    limit_settings limits;
    auto_pool_settings auto_pools;
    connect_settings connect;
    monitor_settings monitor;
    admin_settings admin;
    health_settings health;
    shutdown_settings shutdown;
    hold_settings hold;
    fence_settings fence;
    switchover_settings switchover;
    log_settings log;
    alert_settings alerts;
    std::map<std::string, database_settings, std::less<>> databases;
    std::map<std::string, user_settings, std::less<>> users;

    bool operator==(const settings&) const = default;
};

/// Whether only this machine can reach a listener bound to `host` (127.0.0.0/8, ::1, localhost, a
/// Unix socket path).
[[nodiscard]] bool is_loopback(const std::string& host);

}  // namespace pgsteady::config
