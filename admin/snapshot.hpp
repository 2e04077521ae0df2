// What the proxy tells about itself, as plain values: the proxy fills it, the admin room prints it.
// It is the only thing that passes between the two: this file includes nothing of the proxy, and nothing in it
// may be a secret, for all of it can end up in an answer. Names, peers and problems are hostile text here; they are
// made printable when they are printed.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

/// How well the cluster is reached (product.md section 4).
enum class service_state : std::uint8_t {
    connected,
    degraded,      ///< some backend is lost or read-only
    recovering,    ///< statements wait while a loss is being worked on
    disconnected,  ///< nothing can be served
};
inline constexpr std::array<std::string_view, 4> service_state_names{"connected", "degraded", "recovering",
                                                                     "disconnected"};

/// What happens to statements (D6).
enum class service_mode : std::uint8_t { normal, holding, read_only, offline };
inline constexpr std::array<std::string_view, 4> service_mode_names{"normal", "holding", "read_only", "offline"};

enum class breaker_state : std::uint8_t { closed, open, half_open };
inline constexpr std::array<std::string_view, 3> breaker_state_names{"closed", "open", "half_open"};

/// What the workers wait in for their sockets.
enum class io_engine : std::uint8_t { epoll, io_uring };
inline constexpr std::array<std::string_view, 2> io_engine_names{"epoll", "io_uring"};

[[nodiscard]] constexpr std::string_view to_string(service_state state) {
    return service_state_names[static_cast<std::size_t>(state)];
}
[[nodiscard]] constexpr std::string_view to_string(service_mode mode) {
    return service_mode_names[static_cast<std::size_t>(mode)];
}
[[nodiscard]] constexpr std::string_view to_string(breaker_state state) {
    return breaker_state_names[static_cast<std::size_t>(state)];
}
[[nodiscard]] constexpr std::string_view to_string(io_engine engine) {
    return io_engine_names[static_cast<std::size_t>(engine)];
}

/// Durations in buckets. Invariant when not empty: buckets.size() == bounds.size() + 1.
struct histogram {
    std::vector<double> bounds;          ///< upper bounds in seconds, ascending, without infinity
    std::vector<std::uint64_t> buckets;  ///< not cumulative; the last one takes what is longer than every bound
    double sum = 0;                      ///< seconds

    [[nodiscard]] std::uint64_t count() const {
        return std::accumulate(buckets.begin(), buckets.end(), std::uint64_t{0});
    }
};

/// Requests of one kind that ended one way. Empty `seconds`: durations are not known by outcome, no histogram is shown.
struct operation_totals {
    std::string operation;  ///< select, insert, …: by the server's command tag
    std::string status;     ///< success, error
    std::uint64_t count = 0;
    histogram seconds;
};

/// Durations of one pool (product.md section 5). Operations that never happened are left out.
struct pool_durations {
    struct by_operation {
        std::string operation;
        histogram first_byte;  ///< from a request's first byte to its reply's first
        histogram total;
    };
    histogram queue_wait;
    histogram connect;  ///< from dialling a server to its first ReadyForQuery
    histogram auth;     ///< of that, the sign-in
    std::vector<by_operation> operations;
};

/// So many of something, by a word that the proxy chose.
struct word_count {
    std::string word;
    std::uint64_t count = 0;
};

/// A session that keeps its server for itself.
struct pinned_session {
    std::uint64_t id = 0;
    std::string peer;
    std::string state;  ///< idle, active, waiting, in_transaction
    std::string reason;
};

/// The kill switches (D1).
struct switch_status {
    bool recovery = true;
    bool breaker = true;
    bool read_only = true;
    bool replay = true;
    bool guard = true;
};

/// Durations in seconds, as in the old systems' documents.
struct retry_status {
    std::uint32_t max_retries = 3;
    double initial_delay = 0.05;
    double max_delay = 5;
    double multiplier = 2;
    std::string strategy = "exponential_backoff";
    double timeout = 30;  ///< hold_timeout (D3)
    bool jitter = true;
};

/// One pool, summed over the workers. Its name in answers and labels is pool_name().
struct pool_status {
    std::string database;
    std::string user;
    std::string mode;        ///< session, transaction, statement
    std::uint32_t size = 0;  ///< lasting server connections it may have
    std::uint32_t max_overflow = 0;
    std::uint32_t clients = 0;
    std::uint32_t open = 0;  ///< server connections, signed in: active + idle
    std::uint32_t active = 0;
    std::uint32_t idle = 0;
    std::uint32_t dialling = 0;
    std::uint32_t waiting = 0;  ///< clients without the server they need
    double oldest_wait_seconds = 0;
    std::uint64_t checkouts = 0;  ///< since start, like the rest of the totals
    std::uint64_t checkins = 0;
    std::uint64_t waits = 0;  ///< requests that had to wait, and have their server or have given up
    double wait_seconds = 0;  ///< and how long they waited, in all
    std::uint32_t consecutive_failures = 0;
    std::string last_problem;
    std::vector<pinned_session> pinned;     ///< the proxy bounds it
    std::uint32_t in_transaction = 0;       ///< sessions with an open transaction
    std::uint32_t idle_in_transaction = 0;  ///< those of them that do nothing
    double oldest_transaction_seconds = 0;
    std::vector<word_count> pins;  ///< sessions that keep their server now, by reason; one may have several
    /// Absent beyond the first so many pools: Prometheus is given a bounded number of series.
    std::optional<pool_durations> durations{};
    bool paused = false;           ///< by an operator
    std::string waits_for{};       ///< why its clients wait; empty: nobody does
    std::uint32_t testing = 0;     ///< servers that are reset or probed
    std::uint32_t cancelling = 0;  ///< and those for whom a cancel request is on its way, or might be
    std::uint64_t requests = 0;    ///< of its clients; totals since start, like the next
    std::uint64_t transactions = 0;
    std::uint64_t bytes_in = 0;  ///< from clients
    std::uint64_t bytes_out = 0;
    double executing_seconds = 0;  ///< requests, without their wait for a server
    double attached_seconds = 0;   ///< clients had a server
    retry_status retry{};          ///< as it is now, like the next
    switch_status switches{};
};

struct backend_status {
    std::string address;              ///< host:port, or a socket's path
    std::optional<bool> reachable{};  ///< absent: not tried yet
    std::string last_problem{};
    std::string role = "unknown";  ///< unknown, primary, standby
    std::optional<double> lag_seconds{};
    std::optional<double> latency_seconds{};
    std::optional<std::uint32_t> timeline{};
};

struct breaker_status {
    std::string scope;  ///< all, or what it guards
    breaker_state state = breaker_state::closed;
    std::uint64_t failures = 0;  ///< consecutive
    std::uint64_t threshold = 5;
    std::uint64_t failures_total = 0;
    std::uint64_t trips_total = 0;
    std::string opened_by{};  ///< why it opened last: consecutive, loss_burst, storage_failing, …; empty: it never did
    std::string last_failure{};  ///< what counted last: a verdict, or a server's words; empty: nothing yet
};

struct worker_status {
    unsigned index = 0;
    std::uint64_t clients = 0;
    bool answered = true;  ///< false: too busy to say; its pools are missing from this snapshot
};

/// How something ended, and how often since start: retries, replays, commits in doubt.
struct outcome_total {
    std::string outcome;
    std::uint64_t count = 0;
};

/// Requests that were sent again.
struct retry_total {
    std::string cause;    ///< connection, conflict, role
    std::string outcome;  ///< attempted, answered, failed
    std::uint64_t count = 0;
};

/// TLS between the proxy and one side.
struct tls_total {
    std::string side;  ///< client, server, admin
    std::uint64_t handshakes = 0;
    std::uint64_t failed = 0;
};

/// The admin port itself: what is open now, and what has come of connections since start.
struct admin_port_status {
    std::uint64_t connections = 0;
    std::uint64_t listeners = 0;
    std::uint64_t commands = 0;  ///< slow ones, in progress or waiting
    std::uint64_t accepted = 0;
    std::uint64_t answers = 0;
    std::vector<outcome_total>
        refused{};  ///< by the limit that was met: connections, listeners, commands, gave_way, timeout
};

/// Loading the configuration again.
struct reload_status {
    std::uint64_t applied = 0;
    std::uint64_t unchanged = 0;
    std::uint64_t rejected = 0;
    bool last_failed = false;
    std::chrono::system_clock::time_point last{};  ///< the epoch: never
    std::string problem;                           ///< the first one, when it was rejected
};

/// A certificate that the proxy shows.
struct certificate_status {
    std::string key;  ///< of the configuration: listen.tls.cert_file, …
    std::chrono::system_clock::time_point expires{};
};

/// Summed over the workers, since start.
struct counter_totals {
    std::uint64_t clients_accepted = 0;
    std::uint64_t clients_closed = 0;
    std::uint64_t clients_refused = 0;  ///< a cap was reached
    std::uint64_t logins_succeeded = 0;
    std::uint64_t logins_failed = 0;
    std::uint64_t client_bytes_in = 0;  ///< from clients
    std::uint64_t client_bytes_out = 0;
    std::uint64_t server_bytes_in = 0;  ///< from servers
    std::uint64_t server_bytes_out = 0;
    std::uint64_t servers_opened = 0;
    std::uint64_t servers_closed = 0;
    std::uint64_t servers_lost = 0;  ///< while a client was attached
    std::uint64_t dials_failed = 0;
    std::uint64_t checkouts = 0;
    std::uint64_t checkins = 0;
    std::uint64_t waits = 0;
    std::uint64_t wait_timeouts = 0;
    std::uint64_t cancels_received = 0;
    std::uint64_t cancels_forwarded = 0;
    std::uint64_t restores = 0;  ///< settings brought to a server
    std::uint64_t pins = 0;
};

/// Something worth telling that happened to a cluster.
struct event_status {
    std::chrono::system_clock::time_point when{};
    std::string name;  ///< one word: primary_lost, primary_found, …
    std::string sentence;
    bool warning = false;
};

/// A failure that a client met, or was spared: its number stands in the log, and in DETAIL if there is an error.
struct incident_status {
    std::chrono::system_clock::time_point when{};
    std::string number;
    unsigned worker = 0;
    std::uint64_t serial = 0;  ///< from 1, without gaps, of that worker
    std::string sentence;
};

/// The last planned switchover.
struct switchover_status {
    std::string step;  ///< draining, running_hook, waiting_for_primary, done, failed, cancelled
    std::string cluster;
    std::chrono::system_clock::time_point since{};
    std::string sentence;
};

/// Of what the running binary was made.
struct build_status {
    std::string revision = "unknown";  ///< of the sources; "unknown" when they came without their history
    std::string compiler{};
    std::string openssl{};  ///< the one that is loaded
    std::string parser{};   ///< the PostgreSQL whose grammar reads statements
};

struct snapshot {
    std::string version;
    build_status build;
    bool old_metric_names = true;  ///< admin.old_metric_names
    io_engine engine = io_engine::epoll;
    std::chrono::seconds uptime{0};
    service_state state = service_state::connected;
    service_mode mode = service_mode::normal;
    bool draining = false;
    std::string mode_cause;                         ///< a sentence; empty when normal
    bool held_by_operator = false;                  ///< some cluster is
    bool all_paused = false;                        ///< every pool, and those to come
    std::vector<std::string> paused_databases{};    ///< with their pools to come
    std::vector<std::string> disabled_databases{};  ///< nobody new is admitted to them
    std::optional<switchover_status> switchover;
    bool two_primaries = false;              ///< D27
    std::vector<event_status> events;        ///< the latest, oldest first; the proxy bounds it
    std::vector<incident_status> incidents;  ///< the latest, oldest first; the proxy bounds it
    std::uint64_t incidents_total = 0;       ///< since start
    /// When the backends were last looked at; the epoch: when the snapshot was taken.
    std::chrono::system_clock::time_point last_check{};
    std::uint32_t consecutive_failures = 0;

    std::uint64_t clients = 0;  ///< now
    std::uint64_t servers = 0;  ///< now
    std::uint64_t memory_resident_bytes = 0;
    std::vector<worker_status> workers;
    std::vector<pool_status> pools;
    std::vector<backend_status> backends;

    counter_totals totals;
    std::vector<operation_totals> operations;
    histogram wait_seconds;     ///< for a server of the pool
    histogram connect_seconds;  ///< from dialling to the first ReadyForQuery

    switch_status switches;
    retry_status retry;
    breaker_status breaker{.scope = "all"};      ///< the worst of all scopes
    std::vector<breaker_status> breaker_scopes;  ///< empty until there are several
    std::vector<outcome_total> retries;
    std::vector<outcome_total> replays;
    std::uint64_t replayed_requests = 0;         ///< in all of them
    std::uint64_t transactions_gave_way = 0;     ///< interrupted for the sake of others' replays
    std::vector<outcome_total> replay_barriers;  ///< after outages: completed, expired
    std::vector<outcome_total> resumes;  ///< answers that had been delivered in part: continued, different, failed
    histogram replay_seconds;            ///< from the loss of a server to the end of a replay that succeeded
    std::vector<outcome_total> in_doubt;
    std::vector<retry_total> in_doubt_paths;  ///< COMMITs that were looked up: `cause` is what the finding rests on
    std::uint64_t channels_dropped = 0;       ///< times that a client listened on more than limits.max_channels
    std::uint64_t listeners_opened = 0;       ///< connections that listen for all clients of a pool
    std::uint64_t listeners_closed = 0;
    std::uint64_t listeners_lost = 0;            ///< of these, while somebody listened
    std::uint64_t notifications = 0;             ///< said by them, once for each client that is told
    std::uint64_t notifications_overflowed = 0;  ///< clients ended by pool.notification_queue
    std::uint64_t captures = 0;                  ///< transactions whose number was captured before their COMMIT
    std::uint64_t captures_impossible = 0;       ///< server connections on which that cannot be
    std::uint64_t in_doubt_unresolved =
        0;                                ///< commits of which nobody knows yet, as far as that can still be found out
    std::vector<outcome_total> failures;  ///< of server connections, by verdict; those that have occurred
    std::uint64_t proofs_asked = 0;       ///< questions to the catalogue about reads that were to be sent again
    std::uint64_t proofs_known = 0;       ///< reads that needed none
    std::uint64_t proof_cache_bytes = 0;  ///< what is remembered of the answers (guard.cache)
    std::vector<retry_total> retry_classes;
    std::vector<outcome_total> holds;  ///< requests that were held: served, timed_out, ended
    histogram recovery_seconds;        ///< from the loss of a server to the full answer of what it was doing
    std::vector<word_count> memory;    ///< bytes by part of the proxy; a part of memory_resident_bytes
    std::vector<tls_total> tls;
    reload_status reload;
    std::vector<certificate_status> certificates;
    std::vector<outcome_total> webhook;  ///< messages about alerts; filled by the admin port itself
    std::vector<outcome_total> fences;
    admin_port_status admin_port;  ///< filled by the admin port itself
    std::uint64_t console_clients = 0;
    std::uint64_t console_refused_total = 0;  ///< beyond admin.max_console_clients
    std::vector<outcome_total>
        user_lookups;  ///< auth.query: sign-ins remembered, kept, failed; questions found, unknown
    std::vector<word_count> users_remembered;  ///< auth.query: roles, and names that are none
};

/// What /readyz and a supervisor ask. Cheap to take: no worker is asked.
struct readiness {
    service_mode mode = service_mode::normal;
    bool draining = false;

    /// D8: holding bridges an outage, so nobody may take the endpoint away during it.
    [[nodiscard]] bool ready() const { return mode != service_mode::offline && !draining; }
};

}  // namespace pgsteady::admin
