// What all workers share: the configuration, caps, permits per pool, and the way to each other's
// mailboxes. Touched at sign-in, dial and failure, never per message (D41).
#pragma once

#include "protocol/scram_common.hpp"

#include "config/config.hpp"

#include "proxy/cluster/cluster.hpp"
#include "proxy/cluster/monitor.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/policy/server_need.hpp"
#include "proxy/pool/permits.hpp"
#include "proxy/worker/console_arrival.hpp"
#include "proxy/worker/counters.hpp"
#include "proxy/worker/credential_lookup.hpp"
#include "proxy/worker/database_marks.hpp"
#include "proxy/worker/fence_board.hpp"
#include "proxy/worker/helper_thread.hpp"
#include "proxy/worker/live_policies.hpp"
#include "proxy/worker/pool_fuse.hpp"
#include "proxy/worker/pool_plan.hpp"
#include "proxy/worker/source_limits.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgsteady {

class worker;

/// The servers of one kind of a pool, as all workers see them: the primary's, or the standbys' that reads are served by
/// while there is no primary.
struct server_group {
    server_group(std::uint32_t most, std::size_t workers) : permits(most), full_size(most), parts(workers) {}

    /// What the others may know of one worker's part. Lines of their own: the first is written at every checkout, the
    /// second is read by all at every checkin and changes only when somebody waits.
    struct part_state {
        alignas(64) std::atomic<std::uint32_t> idle{0};
        alignas(64) std::atomic<std::int64_t> waiting_since{
            0};  ///< of the first waiter, on the steady clock; 0: nobody waits
    };

    permit_counter permits;
    std::atomic<std::uint32_t> full_size;  ///< what permits are limited to when servers have room
    std::vector<part_state> parts;         ///< by worker
    /// Until then, on the steady clock, fewer permits are given, since the server was full (53300); 0: all are.
    std::atomic<std::int64_t> crowded_until{0};
    /// Meanwhile: when one more may be tried, if somebody waits.
    std::atomic<std::int64_t> next_room{0};
};

/// A pool as all workers see it. Created at the first sign-in, kept until the process ends or the pool is dropped.
class shared_pool {
public:
    /// `version`: schema_version of its database.
    shared_pool(pool_plan plan, std::size_t workers, std::shared_ptr<cluster> backends,
                std::atomic<std::uint64_t>& version, const config::fence_settings& fence);

    const pool_plan plan;
    live_policies live;                          ///< plan.policies with what was changed while running
    const std::shared_ptr<cluster> backends_of;  ///< the hosts of the plan, watched; never null
    /// Grows with every change of the database's schema that a session of any of its pools has seen.
    std::atomic<std::uint64_t>& schema_version;
    pool_fuse fuse;
    server_group primaries;
    server_group standbys;
    fence_board fences;                                        ///< backends of lost connections to the primary
    const std::vector<std::unique_ptr<pool_counters>> counts;  ///< by worker
    [[nodiscard]] server_group& group(server_need need) { return need == server_need::primary ? primaries : standbys; }

    std::atomic<bool> paused{false};           ///< by an operator: nobody is given a server
    std::atomic<std::uint64_t> generation{0};  ///< servers of earlier ones are closed as soon as they are free
    std::atomic<int> warmer{-1};               ///< the worker that keeps min_size servers open; -1: none yet
    std::atomic<std::uint32_t> clients{0};
    std::uint64_t number = 0;                    ///< in the order in which pools were made
    std::atomic<std::size_t> preferred_host{0};  ///< where the primary was found last

    /// What servers are signed in to with.
    struct secrets {
        std::string password;
        std::optional<scram_secret> scram;
        std::string md5_hash;  ///< where there is no password
    };
    [[nodiscard]] secrets current_secrets() const;
    /// There is something to sign in with before any client has come.
    [[nodiscard]] bool has_credentials() const;
    void learn_password(std::string password);
    void learn_scram(const scram_secret& secret);
    /// Keys recovered from a client's own sign-in: used where no password is known (verifier pass-through). True: they are
    /// others than before, so servers that refused those may be tried at once.
    bool offer_scram(const scram_secret& secret);
    /// What a server has stored of the role (auth.query), after the client has proved that it knows the password. As above.
    bool offer_stored(const role_secret& secret);
    void forget_secrets();

    /// passthrough (D38): this password was accepted by a server not longer ago than `reverify`.
    [[nodiscard]] bool recently_verified(const std::string& password, pool_time now, pool_duration reverify) const;
    void remember_verified(const std::string& password, pool_time now);

private:
    mutable std::mutex mutex_;
    secrets secrets_;
    std::string verified_digest_;
    pool_time verified_at_{};
};

/// The context that new connections begin with. Thread-safe; read once per handshake.
class current_tls {
public:
    /// Null: no TLS.
    [[nodiscard]] std::shared_ptr<const net::tls_context> get() const {
        const std::scoped_lock lock(mutex_);
        return now_;
    }
    void put(std::shared_ptr<const net::tls_context> next) {
        const std::scoped_lock lock(mutex_);
        now_ = std::move(next);
    }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const net::tls_context> now_;
};

class proxy_state {
public:
    proxy_state(std::shared_ptr<const config::settings> all, std::size_t workers);

    /// Those in force. Good for minutes, even if others replace them; not to be kept for longer.
    [[nodiscard]] const config::settings& settings() const { return *settings_.load(std::memory_order_acquire); }
    /// The same, to be kept.
    [[nodiscard]] std::shared_ptr<const config::settings> settings_to_keep() const {
        const std::scoped_lock lock(mutex_);
        return settings_owner_;
    }
    /// Everything follows `next` from now on (follow_settings.cpp); sockets and threads are as they are. Not on a worker's
    /// thread, one at a time. Names pools that cannot follow: their servers would be others.
    [[nodiscard]] std::vector<std::string> replace_settings(std::shared_ptr<const config::settings> next);

    struct pool_answer {
        std::shared_ptr<shared_pool> pool;
        bool crowded = false;  ///< there is none because automatic pools are at their cap
    };
    /// The pool for this database and user; null if the configuration admits none or there are too many.
    [[nodiscard]] pool_answer pool_for(std::string_view database, std::string_view user);
    [[nodiscard]] std::vector<std::shared_ptr<shared_pool>> pools() const;

    /// A pool whose policies were changed while running.
    struct changed_pool {
        std::shared_ptr<shared_pool> pool;
        live_policies::value before;
        live_policies::value after;
    };
    /// Changes the pools with these keys; null: all of them, and those that will be made. Lasts until the configuration
    /// is loaded again, also for a pool that is dropped and made anew meanwhile. Thread-safe; one change at a time.
    std::vector<changed_pool> change_policies(const policy_change& change, const std::vector<std::string>* keys);
    /// What pools to come will begin with, where the configuration says nothing of its own for them.
    [[nodiscard]] config::policies policies_to_come() const;
    /// The cluster of these hosts: one per list that the configuration has, made at its first use.
    [[nodiscard]] std::shared_ptr<cluster> cluster_for(const std::vector<config::host_port>& hosts);
    [[nodiscard]] std::vector<std::shared_ptr<cluster>> clusters() const;
    /// What the pools of a cluster have in common now, those to come included.
    [[nodiscard]] config::cluster_values values_of(const cluster& which) const;
    /// Tells every cluster what its pools have in common now. After policies were changed.
    void tell_clusters() const;
    /// Makes the clusters of all hosts that the configuration names and begins to watch. After the workers are there.
    void start_monitor();
    /// When it returns, no worker gets a letter about a cluster any more.
    void stop_monitor() { monitor_.stop(); }

    /// Derives the verifiers of configured users that have plain passwords: a PBKDF2 each, so before listening (D40), and again
    /// with replace_settings().
    void derive_verifiers();
    /// Users that only servers know (auth.query).
    [[nodiscard]] credential_lookup& lookups() { return *lookups_; }
    [[nodiscard]] const credential_lookup& lookups() const { return *lookups_; }
    /// Null: no such user, or none that could sign in by SCRAM.
    [[nodiscard]] std::optional<scram_verifier> verifier_of(std::string_view user) const;

    /// Counts one more client of this user and database; false names the cap that is reached.
    [[nodiscard]] bool admit(const std::string& user, const std::string& database, std::string& cap);
    void leave(const std::string& user, const std::string& database);

    permit_counter clients;  ///< all of them, from accept on
    permit_counter unauthenticated;
    permit_counter servers;                         ///< limits.max_server_connections
    permit_counter cancels;                         ///< limits.max_cancels: requests on their way to servers
    permit_counter fences;                          ///< fence.max_cancels: the same for lost connections
    permit_counter checks;                          ///< passwords being tried on connections outside of any pool
    permit_counter console_clients;                 ///< admin.max_console_clients
    std::atomic<std::uint64_t> console_refused{0};  ///< beyond that
    permit_counter waiting;                         ///< hold.max_clients: clients that wait for a server
    std::atomic<std::uint64_t> waiting_bytes{0};    ///< what they have sent ahead: hold.max_bytes
    source_limits sources;                          ///< passwords being tried, by where the clients come from
    database_marks marks;                           ///< what operators said about databases
    /// Takes clients of the console; thread-safe, set before the first worker starts. Empty: there is no console.
    std::function<void(console_arrival)> enter_console;
    /// A cancel request for none of our clients: the process before this one may have its client (takeover.hpp).
    /// Thread-safe, set before the first worker starts. Empty: there was none.
    std::function<void(std::int32_t pid, const std::string& key)> cancel_elsewhere;
    std::atomic<bool> draining{false};
    current_tls client_tls;
    current_tls server_tls;
    current_tls admin_tls;
    std::string mock_secret;  ///< salts of unknown users (P13)
    std::vector<worker*> workers;
    net::io_engine io_engine = net::io_engine::epoll;  // of the workers; set before they are made
    helper_thread helper;

private:
    using verifier_map = std::map<std::string, scram_verifier, std::less<>>;
    [[nodiscard]] verifier_map verifiers_for(const config::settings& next) const;
    [[nodiscard]] static bool follow(shared_pool& pool, const config::settings& next);
    [[nodiscard]] std::atomic<std::uint64_t>& schema_version_of(const pool_plan& plan);
    [[nodiscard]] std::shared_ptr<cluster> cluster_here(const std::vector<config::host_port>& hosts);
    [[nodiscard]] std::optional<monitor_login> login_for(const std::vector<config::host_port>& hosts,
                                                         std::size_t refused) const;

    std::atomic<const config::settings*> settings_;
    /// By a hash of hosts and database: two that share one only forget more than they must.
    std::array<std::atomic<std::uint64_t>, 256> schema_versions_{};
    mutable std::mutex mutex_;
    std::shared_ptr<const config::settings> settings_owner_;  // of what settings_ points to
    std::vector<std::pair<std::chrono::steady_clock::time_point, std::shared_ptr<const config::settings>>> former_;
    std::unordered_map<std::string, std::shared_ptr<shared_pool>> pools_;
    std::uint64_t pools_made_ = 0;
    policy_change change_of_all_;
    std::map<std::string, policy_change> change_of_pool_;  // by key; what all pools got is in it, too
    std::map<std::string, std::uint32_t, std::less<>> clients_of_user_;
    std::map<std::string, std::uint32_t, std::less<>> clients_of_database_;
    verifier_map verifiers_;
    std::map<std::string, std::shared_ptr<cluster>> clusters_;        // by the hosts' addresses; guarded by mutex_
    std::map<std::string, std::vector<config::host_port>> hosts_of_;  // by the same
    monitor monitor_;                                                 // its thread ends before anything that it calls
    std::unique_ptr<credential_lookup> lookups_;  // the last member: it ends the helper, and holds clusters
};

[[nodiscard]] net::keepalive_rules keepalive_of(const config::keepalive_settings& from);
[[nodiscard]] net::dial_options dial_options_of(const config::connect_settings& from);

/// `count` bytes nobody can guess; at most 256.
[[nodiscard]] std::string random_bytes(std::size_t count);
/// A number in [0, 1), for jitter.
[[nodiscard]] double random_share();

}  // namespace pgsteady
