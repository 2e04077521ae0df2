// The table itself. A row: member path, key path, rule, reason; then the older variables, if any.
#include "config/keys.hpp"

#include <algorithm>
#include <type_traits>

namespace pgsteady::config {
namespace {

// Spellings, in the order of the enums in config.hpp.
constexpr std::array<std::string_view, 4> client_tls_modes{"disable", "allow", "require", "verify-full"};
constexpr std::array<std::string_view, 2> tls_versions{"1.2", "1.3"};
constexpr std::array<std::string_view, 7> server_tls_modes{"auto",    "disable",   "allow",      "prefer",
                                                           "require", "verify-ca", "verify-full"};
constexpr std::array<std::string_view, 2> tls_negotiations{"postgres", "direct"};
constexpr std::array<std::string_view, 2> protocol_versions{"3.0", "3.2"};
constexpr std::array<std::string_view, 3> channel_bindings{"disable", "prefer", "require"};
constexpr std::array<std::string_view, 5> auth_methods{"auto", "trust", "md5", "scram-sha-256", "passthrough"};
constexpr std::array<std::string_view, 3> pool_modes{"session", "transaction", "statement"};
constexpr std::array<std::string_view, 2> opaque_choices{"trust", "pin"};
constexpr std::array<std::string_view, 3> autocommit_guards{"off", "auto", "always"};
constexpr std::array<std::string_view, 3> retry_strategies{"exponential_backoff", "linear_backoff", "fixed_delay"};
constexpr std::array<std::string_view, 3> io_engines{"epoll", "io_uring", "auto"};
constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warning", "error"};
constexpr std::array<std::string_view, 2> log_formats{"text", "json"};

constexpr double ms = 1;
constexpr double sec = 1'000 * ms;
constexpr double min = 60 * sec;
constexpr double hour = 60 * min;
constexpr double day = 24 * hour;
constexpr double longest = 30 * day;

constexpr value_rule flag() { return {.kind = value_kind::flag}; }
constexpr value_rule port() { return {.kind = value_kind::port, .min = 0, .max = 65'535}; }
constexpr value_rule count(double low, double high) { return {.kind = value_kind::count, .min = low, .max = high}; }
constexpr value_rule size(double low, double high) { return {.kind = value_kind::size, .min = low, .max = high}; }
constexpr value_rule duration(double low = 1 * ms, double high = longest) {
    return {.kind = value_kind::duration, .min = low, .max = high};
}
constexpr value_rule percent(double high) { return {.kind = value_kind::percent, .min = 0, .max = high}; }
constexpr value_rule factor(double low, double high) { return {.kind = value_kind::factor, .min = low, .max = high}; }
constexpr value_rule text(double shortest = 0) { return {.kind = value_kind::text, .min = shortest}; }
constexpr value_rule secret() { return {.kind = value_kind::text, .secret = true}; }
constexpr value_rule choice(std::span<const std::string_view> choices) {
    return {.kind = value_kind::choice, .choices = choices};
}

template <class T>
slot slot_of(T& value) {
    if constexpr (std::is_enum_v<T>) {
        static_assert(std::is_same_v<std::underlying_type_t<T>, std::uint8_t>);
        return choice_slot{reinterpret_cast<std::uint8_t*>(&value)};  // unsigned char may alias anything
    } else {
        return &value;
    }
}

/// The member reached by a path of member pointers: (object.*a).*b …
template <class Object, auto... Members>
slot reach(Object& object) {
    return slot_of((object.*....*Members));
}

template <auto First, auto... Rest>
constexpr key row(std::string_view path, value_rule rule, std::string_view why) {
    key made{.path = path, .rule = rule, .why = why, .find = &reach<settings, First, Rest...>};
    if constexpr (requires(policies & object) { object.*First; }) made.find_policy = &reach<policies, First, Rest...>;
    return made;
}

constexpr key older(key row, std::string_view first, std::string_view second = {}) {
    row.variables = {first, second};
    return row;
}

/// For the few policies that are needed before the database is known.
constexpr key global_only(key row) {
    row.find_policy = nullptr;
    return row;
}

using s = settings;
using p = policies;
using client_tls = client_tls_settings;
using server_tls = server_tls_settings;
using keepalive = keepalive_settings;
using backoff = connect_backoff_settings;
using auth_query = auth_query_settings;

constexpr std::array all_keys{
    row<&s::workers>("workers", count(0, 1'024), "Worker threads, each with its own event loop. 0: one per core."),
    row<&s::io_engine>(
        "io_engine", choice(io_engines),
        "How workers wait for their sockets. io_uring needs Linux 6.1 and the right to use it, which many "
        "container runtimes deny; auto: io_uring where that is given, else epoll."),

    row<&s::listen, &listen_settings::host>(
        "listen.host", text(1),
        "Address that clients connect to. Loopback unless you open it; 0.0.0.0 or :: opens it to every network."),
    row<&s::listen, &listen_settings::port>("listen.port", port(),
                                            "TCP port for clients. 0: the system picks a free one."),
    row<&s::listen, &listen_settings::unix_socket_dir>(
        "listen.unix_socket_dir", text(), "Directory for the Unix socket .s.PGSQL.<port>. Empty: no Unix socket."),
    row<&s::listen, &listen_settings::takeover_socket>(
        "listen.takeover_socket", text(),
        "Path of a socket on which a new process takes this one's place without a refused connection: it is started "
        "with the "
        "same path, and the old one serves its clients until they leave. Empty: none."),
    row<&s::listen, &listen_settings::peers>("listen.peers", {.kind = value_kind::hosts},
                                             "Other instances behind the same address, as host or host:port. A cancel "
                                             "request that none of our clients can be meant by goes "
                                             "on to them, in clear. This instance may be in the list."),
    row<&s::listen, &listen_settings::proxy_protocol>("listen.proxy_protocol", flag(),
                                                      "Every TCP client begins with a PROXY protocol header, version "
                                                      "2, and is who that says: for a load balancer that is "
                                                      "the only one to reach this port."),
    row<&s::listen, &listen_settings::backlog>("listen.backlog", count(1, 65'535),
                                               "Connections that may wait to be accepted."),
    row<&s::listen, &listen_settings::tls, &client_tls::mode>(
        "listen.tls.mode", choice(client_tls_modes),
        "allow offers TLS once cert_file is given; require turns clients without TLS away; verify-full also demands "
        "a client certificate whose CN is the user."),
    row<&s::listen, &listen_settings::tls, &client_tls::cert_file>("listen.tls.cert_file", text(),
                                                                   "PEM certificate shown to clients, with its chain."),
    row<&s::listen, &listen_settings::tls, &client_tls::key_file>("listen.tls.key_file", text(),
                                                                  "PEM private key of cert_file."),
    row<&s::listen, &listen_settings::tls, &client_tls::ca_file>(
        "listen.tls.ca_file", text(), "PEM certificates that client certificates must descend from."),
    row<&s::listen, &listen_settings::tls, &client_tls::min_version>("listen.tls.min_version", choice(tls_versions),
                                                                     "Oldest TLS version accepted from clients."),
    row<&s::listen, &listen_settings::keepalive, &keepalive::idle>(
        "listen.keepalive.idle", duration(sec, day),
        "Silence after which the system probes a client's connection. 0: no probes."),
    row<&s::listen, &listen_settings::keepalive, &keepalive::interval>(
        "listen.keepalive.interval", duration(sec, hour), "Time between those probes. 0: the system's own."),
    row<&s::listen, &listen_settings::keepalive, &keepalive::count>("listen.keepalive.count", count(1, 100),
                                                                    "Unanswered probes that end the connection."),

    // The port first: hosts written without one take it.
    older(row<&s::backends, &backend_settings::port>("backends.port", count(1, 65'535),
                                                     "Port of hosts that are written without one."),
          "DB_PORT"),
    older(row<&s::backends, &backend_settings::hosts>(
              "backends.hosts", {.kind = value_kind::hosts},
              "Every node of one cluster as host or host:port; roles are discovered. A host that begins with / is "
              "the directory of a Unix socket."),
          "DB_HOST"),
    older(row<&s::backends, &backend_settings::user>(
              "backends.user", text(),
              "With backends.password: the server user that clients sign in as, with this same pair."),
          "DB_USER"),
    older(row<&s::backends, &backend_settings::password>("backends.password", secret(),
                                                         "Password of backends.user. Better: password_file."),
          "DB_PASS"),
    older(row<&s::backends, &backend_settings::password_file>(
              "backends.password_file", text(), "File that holds the password of backends.user and nothing else."),
          "DB_PASS_FILE"),
    older(row<&s::backends, &backend_settings::database>(
              "backends.database", text(),
              "Database whose pool is kept warm (as if listed under databases) and that probes connect to."),
          "DB_NAME"),
    row<&s::backends, &backend_settings::max_protocol_version>(
        "backends.max_protocol_version", choice(protocol_versions),
        "The newest protocol asked of servers. 3.2 gives cancel keys that nobody guesses (PostgreSQL 18); an older "
        "PostgreSQL answers with 3.0 and goes on, some other engines refuse."),
    row<&s::backends, &backend_settings::tls, &server_tls::sslmode>(
        "backends.tls.sslmode", choice(server_tls_modes),
        "As in libpq. auto: verify-full when ca_file is given, else prefer, with a warning."),
    row<&s::backends, &backend_settings::tls, &server_tls::ca_file>(
        "backends.tls.ca_file", text(), "PEM certificates that a server's certificate must descend from."),
    row<&s::backends, &backend_settings::tls, &server_tls::cert_file>("backends.tls.cert_file", text(),
                                                                      "PEM client certificate shown to servers."),
    row<&s::backends, &backend_settings::tls, &server_tls::key_file>("backends.tls.key_file", text(),
                                                                     "PEM private key of that certificate."),
    row<&s::backends, &backend_settings::tls, &server_tls::min_version>(
        "backends.tls.min_version", choice(tls_versions), "Oldest TLS version spoken with servers."),
    row<&s::backends, &backend_settings::tls, &server_tls::binding>(
        "backends.tls.channel_binding", choice(channel_bindings),
        "As in libpq. With SCRAM-SHA-256-PLUS a server proves that it is the one at the other end of TLS; require "
        "signs "
        "in in no other way."),
    row<&s::backends, &backend_settings::tls, &server_tls::negotiation>(
        "backends.tls.negotiation", choice(tls_negotiations),
        "libpq's sslnegotiation. direct: the handshake comes first and names postgresql by ALPN, a round trip less. It "
        "takes PostgreSQL 17 and sslmode require or better."),

    row<&s::auth, &auth_settings::method>(
        "auth.method", choice(auth_methods),
        "How clients sign in. auto: scram-sha-256 when users are known or looked up (md5 when all have md5 verifiers), "
        "else "
        "passthrough: the client's password is tried on the server, for loopback and TLS clients."),
    row<&s::auth, &auth_settings::users_file>(
        "auth.users_file", text(),
        "File of users in the form of PgBouncer's userlist.txt: \"name\" \"password or verifier\" per line. What is "
        "under users beats it."),
    row<&s::auth, &auth_settings::hba_file>("auth.hba_file", text(),
                                            "File in the form of pg_hba.conf that says who may sign in from where and "
                                            "how: the first line that fits counts, "
                                            "and who fits none is refused. Empty: auth.method is for all."),
    row<&s::auth, &auth_settings::ident_file>(
        "auth.ident_file", text(),
        "File in the form of pg_ident.conf: for rules with map=, which users the owner of a certificate may be."),
    row<&s::auth, &auth_settings::allow_remote_trust>(
        "auth.allow_remote_trust", flag(),
        "Allows trust on a listener that other machines can reach. Anyone there is then any user."),
    row<&s::auth, &auth_settings::passthrough, &passthrough_settings::max_tries_per_minute>(
        "auth.passthrough.max_tries_per_minute", count(0, 1'000'000),
        "Passwords that one source address may have tried on the servers in a minute. 0: no limit."),
    row<&s::auth, &auth_settings::passthrough, &passthrough_settings::max_concurrent>(
        "auth.passthrough.max_concurrent", count(0, 10'000),
        "Passwords of one source address being tried at the same time. 0: no limit."),
    row<&s::auth, &auth_settings::passthrough, &passthrough_settings::reverify>(
        "auth.passthrough.reverify", duration(sec, day),
        "How long an accepted password is remembered before it is tried on the server again. 0: not at all."),

    row<&s::auth, &auth_settings::query, &auth_query::user>(
        "auth.query.user", text(),
        "Server account that looks up passwords of users who are not under users, as auth_user of PgBouncer. It must "
        "be "
        "allowed to run auth.query.sql. Empty: nobody is looked up."),
    row<&s::auth, &auth_settings::query, &auth_query::password>("auth.query.password", secret(),
                                                                "Password of auth.query.user. Better: password_file."),
    row<&s::auth, &auth_settings::query, &auth_query::password_file>("auth.query.password_file", text(),
                                                                     "File that holds it and nothing else."),
    row<&s::auth, &auth_settings::query, &auth_query::database>(
        "auth.query.database", text(),
        "Database that is asked, whichever one the client wants. Empty: backends.database, else postgres."),
    row<&s::auth, &auth_settings::query, &auth_query::sql>(
        "auth.query.sql", text(1),
        "One statement: for the name $1, its name and its password as in pg_authid, or no row. It runs with "
        "search_path = pg_catalog, so a function of yours is called by its full name."),
    row<&s::auth, &auth_settings::query, &auth_query::max_age>(
        "auth.query.max_age", duration(1 * ms, hour),
        "An answer so young is used again, names that do not exist included; after a failed sign-in it is not. 0: each "
        "sign-in asks."),
    row<&s::auth, &auth_settings::query, &auth_query::keep>(
        "auth.query.keep", duration(sec, day),
        "While no server can be asked, what was known so long ago still signs in. 0: nothing does."),
    row<&s::auth, &auth_settings::query, &auth_query::max_names>(
        "auth.query.max_names", count(1, 1'000'000),
        "Roles that are remembered, as many names that are none, and as many sign-ins that wait for an answer."),
    row<&s::auth, &auth_settings::query, &auth_query::timeout>(
        "auth.query.timeout", duration(10 * ms, min),
        "For a connection and its answer; then another is tried, until pool.hold_timeout."),

    row<&s::limits, &limit_settings::max_clients>("limits.max_clients", count(0, 1'000'000),
                                                  "Clients in all. 0: no limit."),
    row<&s::limits, &limit_settings::max_clients_per_user>(
        "limits.max_clients_per_user", count(0, 1'000'000),
        "Clients of one user; an entry of users may differ. 0: no limit."),
    row<&s::limits, &limit_settings::max_clients_per_database>(
        "limits.max_clients_per_database", count(0, 1'000'000),
        "Clients of one database; an entry of databases may differ. 0: no limit."),
    row<&s::limits, &limit_settings::max_unauthenticated>(
        "limits.max_unauthenticated", count(0, 1'000'000),
        "Connections that have not signed in yet, so that strangers cannot crowd out users. 0: no limit."),
    row<&s::limits, &limit_settings::max_server_connections>(
        "limits.max_server_connections", count(0, 1'000'000),
        "Server connections of all pools together; keep it below the servers' max_connections. 0: no limit."),
    row<&s::limits, &limit_settings::max_handshakes>(
        "limits.max_handshakes", count(0, 100'000),
        "TLS handshakes and password checks in progress, which cost CPU time. 0: no limit."),
    row<&s::limits, &limit_settings::max_cancels>("limits.max_cancels", count(0, 100'000),
                                                  "Cancel requests in progress. 0: no limit."),
    row<&s::limits, &limit_settings::max_message>(
        "limits.max_message", size(64 * kib, gib),
        "Longest message accepted; streamed, never held. PostgreSQL's own limit is 1GiB."),
    row<&s::limits, &limit_settings::request_keep>(
        "limits.request_keep", size(kib, 16 * mib),
        "Requests up to this size are kept until they are answered, so that they can be sent again."),
    row<&s::limits, &limit_settings::session_memory>(
        "limits.session_memory", size(64 * kib, 4 * gib),
        "What one client may make the proxy remember: statements, settings, queued requests."),
    row<&s::limits, &limit_settings::max_channels>(
        "limits.max_channels", count(0, 1'000'000),
        "Channels that a client may listen on and keep when its server is lost. With more, that ends its session."),
    row<&s::limits, &limit_settings::replay_journals>("limits.replay_journals", size(0, 64 * gib),
                                                      "What is kept of all open transactions (replay.max_transaction); "
                                                      "divided among workers. A transaction beyond it "
                                                      "cannot be replayed."),

    row<&p::pool, &pool_settings::mode>(
        "pool.mode", choice(pool_modes),
        "When a server connection is given back: at the end of the transaction, session or statement."),
    older(row<&p::pool, &pool_settings::size>("pool.size", count(1, 100'000),
                                              "Lasting server connections per pool (database and user)."),
          "DB_POOL_SIZE", "DATABASE_POOL_SIZE"),
    older(row<&p::pool, &pool_settings::max_overflow>("pool.max_overflow", count(0, 100'000),
                                                      "Extra ones under pressure, closed when it is calm again."),
          "DB_MAX_OVERFLOW", "DATABASE_MAX_OVERFLOW"),
    row<&p::pool, &pool_settings::min_size>(
        "pool.min_size", count(0, 100'000),
        "Connections kept warm. Only in pools that the configuration names, so that strangers open none."),
    older(row<&p::pool, &pool_settings::hold_timeout>(
              "pool.hold_timeout", duration(),
              "Longest wait of a statement for a connection or for a server to come back. It bounds waiting, not "
              "execution. 0: no limit."),
          "DB_POOL_TIMEOUT", "DATABASE_POOL_TIMEOUT"),
    older(row<&p::pool, &pool_settings::lifetime>(
              "pool.lifetime", duration(sec, 366 * day),
              "Age at which a server connection is replaced between transactions. 0: never."),
          "DB_POOL_RECYCLE", "DATABASE_POOL_RECYCLE"),
    row<&p::pool, &pool_settings::lifetime_jitter>(
        "pool.lifetime_jitter", percent(90),
        "How far lifetimes are spread, so that connections opened together are not replaced together."),
    row<&p::pool, &pool_settings::idle_timeout>("pool.idle_timeout", duration(),
                                                "Idle connections above min_size are closed after this. 0: never."),
    row<&p::pool, &pool_settings::overflow_idle_timeout>(
        "pool.overflow_idle_timeout", duration(),
        "The same for connections above size: soon, but not between two bursts. 0: at idle_timeout."),
    row<&p::pool, &pool_settings::probe_after_idle>(
        "pool.probe_after_idle", duration(),
        "A connection idle for longer is probed before it is handed out. 0: never."),
    row<&p::pool, &pool_settings::reset_query>(
        "pool.reset_query", text(),
        "Sent in session mode when a client has left; the other modes undo exactly what was set. Empty: none."),
    row<&p::pool, &pool_settings::connect_query>(
        "pool.connect_query", text(),
        "Run on every new server connection before it is given out, and again behind reset_query. If it fails, the "
        "connection is not used, and who waits is told. A client's RESET or DISCARD ALL takes back what it has SET."),
    row<&p::pool, &pool_settings::prepared_statements>(
        "pool.prepared_statements", size(0, gib),
        "Memory for named prepared statements per server connection; the least used are closed beyond it. 0: named "
        "statements are not shared."),
    row<&p::pool, &pool_settings::opaque_functions_are>(
        "pool.opaque_functions", choice(opaque_choices),
        "Whether functions of your own are trusted to leave no session state behind, or pin the client."),
    row<&p::pool, &pool_settings::shared_listen>("pool.shared_listen", flag(),
                                                 "LISTEN by itself keeps no server connection: one per pool and "
                                                 "worker, beside the pool's size, listens for all."),
    row<&p::pool, &pool_settings::notification_queue>(
        "pool.notification_queue", size(kib, gib),
        "Notifications that wait for one client while it is in a transaction or does not read. More end its session."),

    row<&s::auto_pools, &auto_pool_settings::enabled>(
        "auto_pools.enabled", flag(), "Serves databases that are not listed, under the name the client asks for."),
    row<&s::auto_pools, &auto_pool_settings::max>("auto_pools.max", count(0, 100'000),
                                                  "Pools of that kind at the same time. 0: no limit."),
    row<&s::auto_pools, &auto_pool_settings::idle_timeout>(
        "auto_pools.idle_timeout", duration(), "A pool of that kind is dropped after being unused. 0: never."),

    row<&s::connect, &connect_settings::timeout>(
        "connect.timeout", duration(10 * ms, hour),
        "Opening a server connection: name lookup, TCP, TLS and sign-in together. 0: no limit."),
    row<&s::connect, &connect_settings::tcp_user_timeout>(
        "connect.tcp_user_timeout", duration(100 * ms, hour),
        "A server that acknowledges nothing of what it was sent for so long is lost; one that is busy is not. 0: the "
        "system's own."),
    row<&s::connect, &connect_settings::keepalive, &keepalive::idle>(
        "connect.keepalive.idle", duration(sec, day),
        "Silence after which a server connection is probed. 0: no probes."),
    row<&s::connect, &connect_settings::keepalive, &keepalive::interval>(
        "connect.keepalive.interval", duration(sec, hour), "Time between those probes. 0: the system's own."),
    row<&s::connect, &connect_settings::keepalive, &keepalive::count>("connect.keepalive.count", count(1, 100),
                                                                      "Unanswered probes that end the connection."),
    row<&s::connect, &connect_settings::backoff, &backoff::initial>("connect.backoff.initial", duration(ms, min),
                                                                    "First pause before a host is dialled again."),
    row<&s::connect, &connect_settings::backoff, &backoff::max>("connect.backoff.max", duration(ms, hour),
                                                                "Longest such pause while the outage is young."),
    row<&s::connect, &connect_settings::backoff, &backoff::late_after>("connect.backoff.late_after", duration(ms, hour),
                                                                       "Age at which an outage is no longer young."),
    row<&s::connect, &connect_settings::backoff, &backoff::late_max>("connect.backoff.late_max", duration(ms, hour),
                                                                     "Longest pause from then on."),

    global_only(row<&p::timeouts, &timeout_settings::login>(
        "timeouts.login", duration(), "A client that has not signed in by then is turned away. 0: never.")),
    row<&p::timeouts, &timeout_settings::statement>(
        "timeouts.statement", duration(),
        "A statement that runs for longer is cancelled. Off: a proxy must not surprise (30s was the default of the "
        "systems before)."),
    row<&p::timeouts, &timeout_settings::transaction>("timeouts.transaction", duration(),
                                                      "A transaction open for longer is ended. 0: never."),
    row<&p::timeouts, &timeout_settings::idle_in_transaction>(
        "timeouts.idle_in_transaction", duration(),
        "A client silent inside a transaction, or before the Sync it owes, is ended. 0: never."),
    row<&p::timeouts, &timeout_settings::client_idle>("timeouts.client_idle", duration(),
                                                      "A client idle for longer is ended. 0: never."),

    row<&p::recovery, &recovery_settings::enabled>("recovery.enabled", flag(),
                                                   "Kill switch: hold and retry what an outage interrupts."),
    row<&p::recovery, &recovery_settings::strict_sync>(
        "recovery.strict_sync", flag(),
        "A server that is ended while it waits for a synchronous standby has committed, and the standby may not have "
        "it. "
        "off: the client hears COMMIT and a WARNING. on: 08007, outcome unknown."),
    older(row<&p::retry, &retry_settings::max_retries>("retry.max_retries", count(0, 100), "Attempts after the first."),
          "RECOVERY_MAX_RETRIES", "DB_MAX_RETRIES"),
    older(row<&p::retry, &retry_settings::initial_delay>("retry.initial_delay", duration(ms, hour),
                                                         "First pause; slept only when no event can end it sooner."),
          "DB_RETRY_BASE_DELAY"),
    older(row<&p::retry, &retry_settings::max_delay>("retry.max_delay", duration(ms, hour), "Longest pause."),
          "DB_RETRY_MAX_DELAY"),
    older(row<&p::retry, &retry_settings::multiplier>("retry.multiplier", factor(1, 100),
                                                      "Growth of the pause from attempt to attempt."),
          "RECOVERY_BACKOFF_MULTIPLIER", "DB_RETRY_BACKOFF_MULTIPLIER"),
    row<&p::retry, &retry_settings::strategy>("retry.strategy", choice(retry_strategies), "How the pause grows."),
    row<&p::retry, &retry_settings::jitter>("retry.jitter", flag(),
                                            "Draws each pause between 0 and its length, so that clients spread out."),
    row<&p::retry, &retry_settings::conflicts>(
        "retry.conflicts", flag(),
        "Repeats a statement outside of a transaction that PostgreSQL itself rolled back (40001, 40P01)."),
    row<&p::retry, &retry_settings::result_hold>(
        "retry.result_hold", size(0, 16 * mib),
        "So much of an unfinished result is kept back, so that a read cut short can be repeated unseen. 0: nothing."),
    row<&p::retry, &retry_settings::result_hold_time>(
        "retry.result_hold_time", duration(0 * ms, sec),
        "And for so long; slow results are passed on as they come. Answers "
        "that are complete never wait."),
    row<&p::retry, &retry_settings::budget>(
        "retry.budget", percent(100),
        "Retries may be this share of all statements, so that they never become the load."),
    row<&p::retry, &retry_settings::budget_reserve>("retry.budget_reserve", count(0, 100'000),
                                                    "Retries per second that are free beyond that share."),
    row<&p::retry, &retry_settings::client_control>("retry.client_control", flag(),
                                                    "Whether SET pgsteady.* may lower these limits for a session."),
    row<&p::breaker, &breaker_settings::enabled>("breaker.enabled", flag(),
                                                 "Kill switch: the circuit breaker of each backend."),
    older(row<&p::breaker, &breaker_settings::failure_threshold>("breaker.failure_threshold", count(1, 10'000),
                                                                 "Consecutive failures that open it."),
          "CIRCUIT_BREAKER_THRESHOLD", "DB_CIRCUIT_BREAKER_FAILURE_THRESHOLD"),
    older(row<&p::breaker, &breaker_settings::success_threshold>("breaker.success_threshold", count(1, 10'000),
                                                                 "Successes in half-open that close it."),
          "DB_CIRCUIT_BREAKER_SUCCESS_THRESHOLD"),
    older(row<&p::breaker, &breaker_settings::timeout>(
              "breaker.timeout", duration(sec, day),
              "Cap of the open interval, which grows from 1 s; probes usually close it sooner. 0: no cap."),
          "CIRCUIT_BREAKER_TIMEOUT", "DB_CIRCUIT_BREAKER_RECOVERY_TIMEOUT"),
    row<&p::breaker, &breaker_settings::window>("breaker.window", duration(sec, hour),
                                                "Failures are also counted as a share of all attempts in this time."),
    row<&p::breaker, &breaker_settings::window_volume>("breaker.window_volume", count(1, 1'000'000),
                                                       "Fewer attempts than this in the window say nothing."),
    row<&p::breaker, &breaker_settings::failure_rate>("breaker.failure_rate", percent(100),
                                                      "Share of failed attempts in the window that opens it."),
    row<&p::read_only, &read_only_settings::enabled>(
        "read_only.enabled", flag(), "Kill switch: serve reads from standbys while the primary is lost."),
    row<&p::read_only, &read_only_settings::max_lag_bytes>("read_only.max_lag_bytes", size(0, 1024 * gib),
                                                           "A standby further behind serves no reads. 0: no limit."),
    row<&p::read_only, &read_only_settings::max_lag>("read_only.max_lag", duration(0 * ms, day),
                                                     "Nor does one that is later than this. 0: no limit."),
    row<&p::replay, &replay_settings::enabled>("replay.enabled", flag(),
                                               "Kill switch: give a transaction whose server is lost to another one, "
                                               "statement by statement; if an answer differs, "
                                               "the client gets 40001. Needs fence.enabled."),
    row<&p::replay, &replay_settings::in_doubt>("replay.in_doubt", flag(),
                                                "Find out whether a COMMIT whose answer is lost was carried out. A "
                                                "transaction that writes is asked for its number, "
                                                "which makes 56 bytes of WAL; reads pay nothing."),
    row<&p::replay, &replay_settings::guard_autocommit>(
        "replay.guard_autocommit", choice(autocommit_guards),
        "The same for INSERT, UPDATE, DELETE and MERGE outside of any transaction. auto: the number is asked for in "
        "the "
        "same write, and said before the server commits. always: the commit waits until it is here, which costs a "
        "round trip. off: a lost answer is 40003."),
    row<&p::replay, &replay_settings::indoubt_timeout>(
        "replay.indoubt_timeout", duration(0 * ms, hour),
        "So long a client waits for that once there is a primary; then it "
        "hears 08007 with the transaction's number."),
    row<&p::replay, &replay_settings::attempts>("replay.attempts", count(1, 100), "Attempts of one replay."),
    row<&p::replay, &replay_settings::timeout>("replay.timeout", duration(100 * ms, hour),
                                               "So long after the loss a replay is given up: 40001."),
    row<&p::replay, &replay_settings::barrier>(
        "replay.barrier", duration(0 * ms, min),
        "After an outage interrupted transactions first replay what had been answered, then go on, then new statements "
        "are let in; each of the two steps lasts at most so long. As long as the first, others may wait for their answers "
        "within transactions, since they may have been given rows that a replay needs. 0: nobody waits for the others."),
    row<&p::replay, &replay_settings::max_transaction>("replay.max_transaction", size(0, 64 * mib),
                                                       "Of an open transaction, so many bytes of its requests are "
                                                       "kept, to replay it and to answer a lost COMMIT of one that "
                                                       "has only read. 0: nothing."),
    row<&p::guard, &guard_settings::enabled>("guard.enabled", flag(),
                                             "Kill switch: repeat proven reads under READ ONLY, so that the server "
                                             "itself refuses a write."),
    row<&p::guard, &guard_settings::cache>("guard.cache", size(0, gib),
                                           "Memory per pool and worker for what the catalogue has said about "
                                           "functions, tables and views. 0: it is asked anew "
                                           "for every read that is retried."),
    row<&p::guard, &guard_settings::cache_age>(
        "guard.cache_age", duration(100 * ms, day),
        "How long it is believed. Changes of the schema that pass through end it at once; others are noticed by then. "
        "0: it is asked anew."),

    row<&s::monitor, &monitor_settings::user>("monitor.user", text(),
                                              "Server user of the role and liveness monitor. Empty: the pool's."),
    row<&s::monitor, &monitor_settings::password>("monitor.password", secret(),
                                                  "Password of monitor.user. Better: password_file."),
    row<&s::monitor, &monitor_settings::password_file>("monitor.password_file", text(),
                                                       "File that holds that password and nothing else."),
    row<&s::monitor, &monitor_settings::database>("monitor.database", text(),
                                                  "Database it connects to. Empty: backends.database, else postgres."),
    row<&s::monitor, &monitor_settings::interval>(
        "monitor.interval", duration(10 * ms, hour),
        "Period of the fast monitor. 0: off; roles come from the pools' own connections."),
    row<&s::monitor, &monitor_settings::fast_interval>("monitor.fast_interval", duration(10 * ms, sec),
                                                       "Period while statements wait, in the first ten seconds."),
    row<&s::monitor, &monitor_settings::timeout>("monitor.timeout", duration(10 * ms, hour),
                                                 "An answer later than this counts as a failure. 0: no limit."),
    older(row<&s::health, &health_settings::interval>("health.interval", duration(100 * ms, day),
                                                      "Period of the slow, full health check. 0: off."),
          "DB_HEALTH_CHECK_INTERVAL"),
    older(row<&s::health, &health_settings::timeout>("health.timeout", duration(10 * ms, hour),
                                                     "Limit of one full health check. 0: no limit."),
          "HEALTH_CHECK_TIMEOUT"),

    row<&s::admin, &admin_settings::enabled>("admin.enabled", flag(), "Serves the admin HTTP port."),
    row<&s::admin, &admin_settings::host>(
        "admin.host", text(1), "Address of the admin port. Anything but loopback demands a token, and deserves TLS."),
    row<&s::admin, &admin_settings::port>("admin.port", port(), "Admin port. 0: the system picks a free one."),
    row<&s::admin, &admin_settings::operate_token>(
        "admin.operate_token", secret(),
        "Bearer token for everything that changes something. Empty: nothing can be changed over HTTP."),
    row<&s::admin, &admin_settings::operate_token_file>("admin.operate_token_file", text(),
                                                        "File that holds it and nothing else."),
    row<&s::admin, &admin_settings::read_token>("admin.read_token", secret(),
                                                "Bearer token for reading. Empty: on loopback, reading is open."),
    row<&s::admin, &admin_settings::read_token_file>("admin.read_token_file", text(),
                                                     "File that holds it and nothing else."),
    row<&s::admin, &admin_settings::old_metric_names>(
        "admin.old_metric_names", flag(),
        "/metrics has db_connections_wait_time_ms, whose name older dashboards rely on and promtool remarks upon."),
    row<&s::admin, &admin_settings::histogram_pools>(
        "admin.histogram_pools", count(0, 10'000),
        "So many pools, the oldest, have histograms of their own in /metrics; up to 600 lines each. The others are "
        "counted all the same."),
    row<&s::admin, &admin_settings::incidents>("admin.incidents", count(0, 10'000),
                                               "So many of the latest incidents (failures that clients met, or were "
                                               "spared) does each worker keep for /status, "
                                               "the page and alerts. The log has all."),
    row<&s::admin, &admin_settings::max_connections>(
        "admin.max_connections", count(1, 100'000),
        "HTTP connections. When all are taken, the one that has been silent longest gives way; 503 if none is silent."),
    row<&s::admin, &admin_settings::max_listeners>("admin.max_listeners", count(0, 10'000),
                                                   "Of these, listeners to /api/v1/events; 503 beyond."),
    row<&s::admin, &admin_settings::listener_bytes>(
        "admin.listener_bytes", size(4 * kib, gib),
        "So much may wait for one listener; a slower one loses the stream."),
    row<&s::admin, &admin_settings::max_commands>(
        "admin.max_commands", count(1, 1'000),
        "Commands that take time (test-connection, recover, reload, sessions, …), in progress or waiting for their "
        "turn; 503 beyond."),
    row<&s::admin, &admin_settings::max_head>("admin.max_head", size(kib, mib),
                                              "Request line and headers of a request may have so much; 431 beyond."),
    row<&s::admin, &admin_settings::max_body>("admin.max_body", size(kib, 16 * mib),
                                              "The body of a request may have so much; 413 beyond."),
    row<&s::admin, &admin_settings::read_timeout>(
        "admin.read_timeout", duration(), "A request has to be there in full after so long, TLS handshake included."),
    row<&s::admin, &admin_settings::write_timeout>(
        "admin.write_timeout", duration(), "A client has to take a whole answer, or a piece of a stream, in so long."),
    row<&s::admin, &admin_settings::idle_timeout>("admin.idle_timeout", duration(),
                                                  "A connection without a request is closed after so long."),
    row<&s::admin, &admin_settings::max_console_clients>(
        "admin.max_console_clients", count(1, 10'000'000),
        "Clients of the psql console; they count under limits.max_clients, too."),
    row<&s::admin, &admin_settings::admin_users>(
        "admin.admin_users", {.kind = value_kind::names},
        "Users who may give orders in the psql console (databases pgsteady and "
        "pgbouncer). They sign in with what users says of them. Empty: nobody."),
    row<&s::admin, &admin_settings::stats_users>("admin.stats_users", {.kind = value_kind::names},
                                                 "Users who may look at it and change nothing."),
    row<&s::admin, &admin_settings::tls, &admin_tls_settings::cert_file>(
        "admin.tls.cert_file", text(), "PEM certificate of the admin port. Empty: plain HTTP."),
    row<&s::admin, &admin_settings::tls, &admin_tls_settings::key_file>("admin.tls.key_file", text(),
                                                                        "PEM private key of that certificate."),

    row<&s::shutdown, &shutdown_settings::drain_timeout>(
        "shutdown.drain_timeout", duration(),
        "SIGTERM waits so long for open transactions; then clients get 57P01. 0: it does not wait."),
    row<&s::shutdown, &shutdown_settings::takeover_timeout>(
        "shutdown.takeover_timeout", duration(),
        "A process whose place was taken (listen.takeover_socket) serves its clients for so long; then it drains as "
        "above. 0: it "
        "drains at once."),
    row<&s::hold, &hold_settings::max_clients>("hold.max_clients", count(0, 10'000'000),
                                               "So many clients may wait for a server to come back. 0: no limit."),
    row<&s::hold, &hold_settings::max_bytes>("hold.max_bytes", size(0, 1024 * gib),
                                             "And so much may they have sent meanwhile. 0: no limit."),
    row<&s::hold, &hold_settings::notice_after>("hold.notice_after", duration(),
                                                "A client that waits for longer gets a NOTICE. 0: never."),
    row<&s::hold, &hold_settings::ramp>(
        "hold.ramp", count(1, 100'000),
        "So many connections are opened in the first 100 ms after an outage, and twice as many in each that follow."),
    row<&s::fence, &fence_settings::enabled>("fence.enabled", flag(),
                                             "Ends what a lost connection was doing on its server: reads are "
                                             "cancelled, writes and transactions terminated."),
    row<&s::fence, &fence_settings::timeout>("fence.timeout", duration(100 * ms, hour),
                                             "So long the end of one such server process is pursued."),
    row<&s::fence, &fence_settings::max_cancels>("fence.max_cancels", count(1, 10'000),
                                                 "Cancel requests for lost connections in progress; others queue."),
    row<&s::fence, &fence_settings::max_pending>(
        "fence.max_pending", count(1, 1'000'000),
        "Server processes whose end is pursued, or whose cancel queues, per pool and worker."),
    row<&s::fence, &fence_settings::connection_check>(
        "fence.connection_check", duration(10 * ms, hour),
        "Server sessions look so often whether the proxy is still there while they execute (PostgreSQL 14 and later), "
        "and "
        "probe it as connect.keepalive says. 0: they are left as they are."),
    row<&s::switchover, &switchover_settings::hook>(
        "switchover.hook", text(),
        "Command that moves the primary, run during a switchover. Empty: somebody else does."),
    row<&s::switchover, &switchover_settings::drain_timeout>(
        "switchover.drain_timeout", duration(),
        "A planned switchover waits so long for open transactions. 0: it does not wait."),

    row<&s::log, &log_settings::level>("log.level", choice(log_levels), "Least important lines that are written."),
    row<&s::log, &log_settings::format>("log.format", choice(log_formats), "For people or for machines."),
    older(row<&s::log, &log_settings::statements>("log.statements", flag(),
                                                  "Logs every statement, its parameters never."),
          "DB_ECHO"),
    row<&s::log, &log_settings::slow_statement>(
        "log.slow_statement", duration(), "Statements that take so long are logged without their constants. 0: none."),
    row<&s::log, &log_settings::connections>("log.connections", flag(), "One line per client end, with its reason."),
    row<&s::log, &log_settings::rate_limit>("log.rate_limit", count(0, 1'000'000),
                                            "Lines per second of one kind; the rest is counted. 0: no limit."),
    row<&s::alerts, &alert_settings::webhook_url>(
        "alerts.webhook_url", secret(),
        "http or https address that is told, in JSON, of each alert that begins or ends. Empty: nobody is."),
    row<&s::alerts, &alert_settings::webhook_timeout>(
        "alerts.webhook_timeout", duration(1 * ms, 5 * min),
        "It must have answered by then; a message is tried four times within half a minute."),
};

template <auto First>
constexpr entry_key<database_settings> database_row(std::string_view name, value_rule rule, std::string_view why) {
    return {name, rule, why, &reach<database_settings, First>};
}

template <auto First>
constexpr entry_key<user_settings> user_row(std::string_view name, value_rule rule, std::string_view why) {
    return {name, rule, why, &reach<user_settings, First>};
}

using d = database_settings;
using u = user_settings;

constexpr std::array all_database_keys{
    database_row<&d::hosts>("hosts", {.kind = value_kind::hosts}, "Its own cluster. Empty: backends.hosts."),
    database_row<&d::dbname>("dbname", text(), "Its name on the server. Empty: the entry's own."),
    database_row<&d::user>("user", text(), "Server user for every client. Empty: the client's own."),
    database_row<&d::password>("password", secret(), "Password of that user."),
    database_row<&d::password_file>("password_file", text(), "File that holds it and nothing else."),
    database_row<&d::password_env>("password_env", text(), "Environment variable that holds it."),
    database_row<&d::max_clients>("max_clients", count(0, 1'000'000),
                                  "Clients of this database. 0: limits.max_clients_per_database."),
    database_row<&d::auth_user>("auth_user", text(), "Account that looks up who signs in. Empty: auth.query.user."),
    database_row<&d::auth_password>("auth_password", secret(), "Password of auth_user."),
    database_row<&d::auth_password_file>("auth_password_file", text(), "File that holds it and nothing else."),
    database_row<&d::auth_dbname>("auth_dbname", text(),
                                  "Database in which that account looks them up. Empty: auth.query.database."),
    database_row<&d::auth_query>("auth_query", text(), "The query for it. Empty: auth.query.sql."),
};

constexpr std::array all_user_keys{
    user_row<&u::password>("password", secret(), "Password, as text."),
    user_row<&u::password_file>("password_file", text(), "File that holds it, or a verifier, and nothing else."),
    user_row<&u::password_env>("password_env", text(), "Environment variable that holds it, or a verifier."),
    user_row<&u::verifier>("verifier", secret(),
                           "SCRAM-SHA-256$… or md5…, as in pg_authid.rolpassword; no password is stored then."),
    user_row<&u::max_clients>("max_clients", count(0, 1'000'000),
                              "Clients of this user. 0: limits.max_clients_per_user."),
    user_row<&u::mode>("mode", choice(pool_modes), "Beats pool.mode."),
    user_row<&u::pool_size>("pool_size", count(1, 100'000), "Beats pool.size."),
    user_row<&u::statement_timeout>("statement_timeout", duration(), "Beats timeouts.statement."),
    user_row<&u::transaction_timeout>("transaction_timeout", duration(), "Beats timeouts.transaction."),
    user_row<&u::idle_in_transaction_timeout>("idle_in_transaction_timeout", duration(),
                                              "Beats timeouts.idle_in_transaction."),
    user_row<&u::client_idle_timeout>("client_idle_timeout", duration(), "Beats timeouts.client_idle."),
};

constexpr std::array all_sections{
    section{"listen", "Where clients connect."},
    section{"listen.tls", "TLS towards clients."},
    section{"listen.keepalive", "Finding dead clients."},
    section{"backends", "The PostgreSQL cluster behind the proxy."},
    section{"backends.tls", "TLS towards servers."},
    section{"auth", "Who may sign in, and how."},
    section{"auth.passthrough", "Limits of trying passwords on the server."},
    section{"auth.query", "Looking up passwords on the server."},
    section{"limits", "Caps, so that overload is a planned state."},
    section{"pool", "Server connections per database and user. An entry of databases may differ."},
    section{"auto_pools", "Databases that no entry names."},
    section{"connect", "Opening server connections."},
    section{"connect.keepalive", "Finding dead servers."},
    section{"connect.backoff", "Dialling a host again."},
    section{"timeouts", "Limits in time. An entry of databases or users may differ."},
    section{"recovery", "Bridging outages. An entry of databases may differ."},
    section{"retry", "Pauses between attempts. An entry of databases may differ."},
    section{"breaker", "Leaving a failing backend alone. An entry of databases may differ."},
    section{"read_only", "Serving on without a primary. An entry of databases may differ."},
    section{"replay", "Interrupted transactions. An entry of databases may differ."},
    section{"guard", "Safety of retried reads. An entry of databases may differ."},
    section{"monitor", "The fast role and liveness monitor."},
    section{"health", "The slow, full health check."},
    section{"admin", "HTTP: health, status, metrics, operations."},
    section{"admin.tls", "TLS of the admin port."},
    section{"shutdown", "Ending the process."},
    section{"hold", "Statements that wait for a server to come back."},
    section{"fence", "Ending what lost connections leave behind on their servers."},
    section{"switchover", "Planned change of the primary."},
    section{"log", "Lines on standard error."},
    section{"alerts", "Telling others what is wrong."},
};

}  // namespace

std::span<const key> keys() { return all_keys; }
std::span<const entry_key<database_settings>> database_keys() { return all_database_keys; }
std::span<const entry_key<user_settings>> user_keys() { return all_user_keys; }
std::span<const section> sections() { return all_sections; }

const key* find_key(std::string_view path) {
    const auto found = std::ranges::find(all_keys, path, &key::path);
    return found == all_keys.end() ? nullptr : &*found;
}

bool is_section(std::string_view path) {
    return std::ranges::find(all_sections, path, &section::path) != all_sections.end();
}

std::string variable_name(std::string_view path) {
    std::string name = "PGSTEADY_";
    for (const char c : path) {
        if (c == '.') name += "__";
        else name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return name;
}

}  // namespace pgsteady::config
