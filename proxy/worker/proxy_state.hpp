// What all workers share: the configuration, caps, permits per pool, and the way to each other's
// mailboxes. Touched at sign-in, dial and failure, never per message (D41).
#pragma once

#include "config/config.hpp"
#include "protocol/scram_common.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/pool/permits.hpp"
#include "proxy/worker/pool_plan.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace pgsteady {

class worker;

/// A pool as all workers see it. Created at the first sign-in, kept until the process ends or the pool is dropped.
class shared_pool {
public:
    shared_pool(pool_plan plan, std::size_t workers);

    const pool_plan plan;
    permit_counter permits;
    std::vector<std::atomic<std::uint32_t>> idle;     ///< by worker
    std::vector<std::atomic<std::uint32_t>> waiting;  ///< by worker
    std::atomic<std::uint32_t> clients{0};
    std::atomic<std::size_t> preferred_host{0};       ///< where the primary was found last

    /// What servers are signed in to with.
    struct secrets {
        std::string password;
        std::optional<scram_secret> scram;
    };
    [[nodiscard]] secrets current_secrets() const;
    void learn_password(std::string password);
    void learn_scram(const scram_secret& secret);
    /// Keys recovered from a client's own sign-in: used where no password is known (verifier pass-through).
    void offer_scram(const scram_secret& secret);
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

class proxy_state {
public:
    proxy_state(std::shared_ptr<const config::settings> all, std::size_t workers);

    [[nodiscard]] const config::settings& settings() const { return *settings_; }

    /// The pool for this database and user; null if the configuration admits none, or automatic pools are at their cap.
    [[nodiscard]] std::shared_ptr<shared_pool> pool_for(std::string_view database, std::string_view user);
    [[nodiscard]] std::vector<std::shared_ptr<shared_pool>> pools() const;

    /// Verifiers of configured users, derived once (D40). Null: no such user or no SCRAM.
    [[nodiscard]] std::optional<scram_verifier> verifier_of(std::string_view user);

    /// Counts one more client of this user and database; false names the cap that is reached.
    [[nodiscard]] bool admit(const std::string& user, const std::string& database, std::string& cap);
    void leave(const std::string& user, const std::string& database);

    permit_counter clients;           ///< all of them, from accept on
    permit_counter unauthenticated;
    permit_counter servers;           ///< limits.max_server_connections
    std::atomic<bool> draining{false};
    std::shared_ptr<const net::tls_context> client_tls;
    std::shared_ptr<const net::tls_context> server_tls;
    std::string mock_secret;          ///< salts of unknown users (P13)
    std::vector<worker*> workers;

private:
    std::shared_ptr<const config::settings> settings_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<shared_pool>> pools_;
    std::map<std::string, std::uint32_t, std::less<>> clients_of_user_;
    std::map<std::string, std::uint32_t, std::less<>> clients_of_database_;
    std::map<std::string, scram_verifier, std::less<>> verifiers_;
};

[[nodiscard]] net::keepalive_rules keepalive_of(const config::keepalive_settings& from);
[[nodiscard]] net::dial_options dial_options_of(const config::connect_settings& from);

/// `count` bytes nobody can guess.
[[nodiscard]] std::string random_bytes(std::size_t count);
/// A number in [0, 1), for jitter.
[[nodiscard]] double random_share();

}  // namespace pgsteady
