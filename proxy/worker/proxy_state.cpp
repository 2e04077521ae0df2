// See proxy_state.hpp.
#include "proxy/worker/proxy_state.hpp"

#include "protocol/constant_time.hpp"
#include "protocol/md5_auth.hpp"

#include "config/resolve.hpp"

#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <openssl/sha.h>

#include <unistd.h>

#include <algorithm>
#include <random>
#include <stdexcept>

namespace pgsteady {

std::string random_bytes(std::size_t count) {
    std::string bytes(count, '\0');
    // The kernel's own generator: one call, and less work than libcrypto's, which is a few times each sign-in.
    if (::getentropy(bytes.data(), count) != 0) throw std::runtime_error("no randomness available");
    return bytes;
}

double random_share() {
    thread_local std::minstd_rand generator(std::random_device{}());
    return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
}

net::keepalive_rules keepalive_of(const config::keepalive_settings& from) {
    using std::chrono::ceil;
    using std::chrono::seconds;  // the kernel knows no less
    return {ceil<seconds>(from.idle), ceil<seconds>(from.interval), static_cast<int>(from.count)};
}

net::dial_options dial_options_of(const config::connect_settings& from) {
    return {keepalive_of(from.keepalive), from.tcp_user_timeout};
}

namespace {

std::string digest_of(const std::string& salt, const std::string& password) {
    const std::string salted = salt + password;
    std::string digest(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(salted.data()), salted.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
    return digest;
}

std::vector<std::unique_ptr<pool_counters>> counters_for(std::size_t workers) {
    std::vector<std::unique_ptr<pool_counters>> result(workers);
    for (auto& each : result) each = std::make_unique<pool_counters>();
    return result;
}

}  // namespace

shared_pool::shared_pool(pool_plan from, std::size_t workers, std::shared_ptr<cluster> backends,
                         std::atomic<std::uint64_t>& version, const config::fence_settings& fence)
    : plan(std::move(from)),
      live(plan.policies),
      backends_of(std::move(backends)),
      schema_version(version),
      fuse(plan.policies.breaker),
      primaries(plan.policies.pool.size + plan.policies.pool.max_overflow, workers),
      standbys(plan.policies.pool.size + plan.policies.pool.max_overflow, workers),
      fences(fence.max_pending, fence.timeout),
      counts(counters_for(workers)) {
    secrets_.password = plan.server_password;
    secrets_.md5_hash = plan.server_verifier;
}

shared_pool::secrets shared_pool::current_secrets() const {
    const std::scoped_lock lock(mutex_);
    return secrets_;
}

bool shared_pool::has_credentials() const {
    const std::scoped_lock lock(mutex_);
    return !secrets_.password.empty() || secrets_.scram || !secrets_.md5_hash.empty();
}

void shared_pool::learn_password(std::string password) {
    const std::scoped_lock lock(mutex_);
    if (secrets_.password == password) return;
    secrets_.password = std::move(password);
    secrets_.scram.reset();
}

void shared_pool::learn_scram(const scram_secret& secret) {
    const std::scoped_lock lock(mutex_);
    secrets_.scram = secret;
}

bool shared_pool::offer_scram(const scram_secret& secret) {
    const std::scoped_lock lock(mutex_);
    if (!secrets_.password.empty() || secrets_.scram == secret) return false;
    secrets_.scram = secret;
    return true;
}

bool shared_pool::offer_stored(const role_secret& secret) {
    if (plan.server_user != plan.user || !plan.server_password.empty()) return false;
    const bool is_md5 = is_md5_password_hash(secret.text);
    if (!is_md5 && secret.text.starts_with("SCRAM-SHA-256$")) return false;  // the client's proof has the keys
    const std::scoped_lock lock(mutex_);
    std::string& kept = is_md5 ? secrets_.md5_hash : secrets_.password;
    if (kept == secret.text) return false;
    secrets_ = {};
    kept = secret.text;
    return true;
}

void shared_pool::forget_secrets() {
    const std::scoped_lock lock(mutex_);
    if (plan.password_from_client) secrets_.password.clear();
    secrets_.md5_hash = plan.server_verifier;
    secrets_.scram.reset();
    verified_digest_.clear();
}

bool shared_pool::recently_verified(const std::string& password, pool_time now, pool_duration reverify) const {
    const std::scoped_lock lock(mutex_);
    if (verified_digest_.empty() || reverify.count() == 0 || now - verified_at_ > reverify) return false;
    return constant_time_equal(verified_digest_, digest_of(plan.label(), password));
}

void shared_pool::remember_verified(const std::string& password, pool_time now) {
    const std::scoped_lock lock(mutex_);
    verified_digest_ = digest_of(plan.label(), password);
    verified_at_ = now;
}

proxy_state::proxy_state(std::shared_ptr<const config::settings> all, std::size_t workers_count)
    : clients(all->limits.max_clients),
      unauthenticated(all->limits.max_unauthenticated),
      servers(all->limits.max_server_connections),
      cancels(all->limits.max_cancels),
      fences(all->fence.max_cancels),
      checks(all->limits.max_handshakes),
      console_clients(all->admin.max_console_clients),
      waiting(all->hold.max_clients),
      sources(all->auth.passthrough),
      mock_secret(random_bytes(32)),
      helper(all->limits.max_handshakes),
      settings_(all.get()),
      settings_owner_(std::move(all)) {
    workers.reserve(workers_count);
    lookups_ = std::make_unique<credential_lookup>(*this);
}

proxy_state::pool_answer proxy_state::pool_for(std::string_view database, std::string_view user) {
    std::optional<pool_plan> plan = plan_pool(settings(), database, user);
    if (!plan) return {};
    const std::scoped_lock lock(mutex_);
    const auto at = pools_.find(plan->key());
    if (at != pools_.end()) return {at->second};
    const auto is_automatic = [](const auto& each) { return !each.second->plan.named; };
    if (!plan->named && settings().auto_pools.max != 0) {
        // Those that no worker has a part of any more make room.
        std::erase_if(pools_, [&](const auto& each) { return is_automatic(each) && each.second.use_count() == 1; });
        const auto automatic = std::count_if(pools_.begin(), pools_.end(), is_automatic);
        if (static_cast<std::size_t>(automatic) >= settings().auto_pools.max) return {nullptr, true};
    }
    const std::string key = plan->key();
    std::shared_ptr<cluster> backends = cluster_here(plan->hosts);
    std::atomic<std::uint64_t>& version = schema_version_of(*plan);
    auto made =
        std::make_shared<shared_pool>(std::move(*plan), workers.size(), std::move(backends), version, settings().fence);
    made->number = pools_made_++;
    config::policies now = made->plan.policies;
    const auto changed = change_of_pool_.find(key);
    (changed != change_of_pool_.end() ? changed->second : change_of_all_).apply_to(now);
    made->live.put(std::move(now));
    made->paused = marks.paused(made->plan.database);
    return {pools_.emplace(key, std::move(made)).first->second};
}

std::vector<proxy_state::changed_pool> proxy_state::change_policies(const policy_change& change,
                                                                    const std::vector<std::string>* keys) {
    const std::scoped_lock lock(mutex_);
    if (keys == nullptr) {
        change_of_all_.add(change);
        for (auto& [key, of_pool] : change_of_pool_) of_pool.add(change);
    }
    if (change_of_pool_.size() > 1000)
        std::erase_if(change_of_pool_, [this](const auto& each) { return !pools_.contains(each.first); });
    std::vector<changed_pool> result;
    for (const auto& [key, pool] : pools_) {
        if (keys != nullptr) {
            if (std::find(keys->begin(), keys->end(), key) == keys->end()) continue;
            change_of_pool_.try_emplace(key, change_of_all_).first->second.add(change);
        }
        live_policies::value before = pool->live.get();
        config::policies now = *before;
        change.apply_to(now);
        pool->live.put(std::move(now));
        result.push_back({pool, std::move(before), pool->live.get()});
    }
    return result;
}

config::policies proxy_state::policies_to_come() const {
    const std::scoped_lock lock(mutex_);
    config::policies result = settings();
    change_of_all_.apply_to(result);
    return result;
}

std::vector<std::shared_ptr<shared_pool>> proxy_state::pools() const {
    const std::scoped_lock lock(mutex_);
    std::vector<std::shared_ptr<shared_pool>> all;
    for (const auto& [key, pool] : pools_) all.push_back(pool);
    return all;
}

// ------------------------------------------------------------------------------------------ clusters

namespace {

std::string key_of(const std::vector<config::host_port>& hosts) {
    std::string key;
    for (const config::host_port& each : hosts) key += each.host + '\0' + std::to_string(each.port) + '\0';
    return key;
}

void tell_of(const cluster_event& event) {
    if (event.warning) log::warning("cluster: {}: {}", event.name, event.sentence);
    else log::info("cluster: {}: {}", event.name, event.sentence);
}

}  // namespace

std::atomic<std::uint64_t>& proxy_state::schema_version_of(const pool_plan& plan) {
    const std::size_t hash = std::hash<std::string>()(key_of(plan.hosts) + plan.server_database);
    return schema_versions_[hash % schema_versions_.size()];
}

/// How often a host is thought of that nobody is to ask.
constexpr std::chrono::milliseconds unasked_interval{1000};

std::shared_ptr<cluster> proxy_state::cluster_for(const std::vector<config::host_port>& hosts) {
    const std::scoped_lock lock(mutex_);
    return cluster_here(hosts);
}

std::shared_ptr<cluster> proxy_state::cluster_here(const std::vector<config::host_port>& hosts) {
    const std::string key = key_of(hosts);
    std::shared_ptr<cluster>& known = clusters_[key];
    if (known != nullptr) return known;
    hosts_of_.emplace(key, hosts);
    cluster_options how;
    how.hosts = hosts;
    how.monitor = settings().monitor;
    how.values = config::common_values(config::policies_on(settings(), hosts), settings().connect.backoff);
    how.sign_in = sign_in_of(settings().backends);
    how.tls_context = [this] { return server_tls.get(); };
    how.dial = [this] { return dial_options_of(settings().connect); };
    if (how.monitor.interval.count() > 0) {
        how.login = [this, hosts](std::size_t refused) { return login_for(hosts, refused); };
    } else {
        how.monitor.interval = unasked_interval;  // no account: roles come from the pools' connections (D10)
    }
    how.random_bytes = random_bytes;
    how.tell = tell_of;
    how.changed = [this](const cluster& which, const cluster::view_ptr& view) {
        for (worker* each : workers) each->post([each, whose = &which, view] { each->on_view(*whose, view); });
    };
    known = monitor_.watch(std::move(how));
    return known;
}

std::vector<std::shared_ptr<cluster>> proxy_state::clusters() const {
    const std::scoped_lock lock(mutex_);
    std::vector<std::shared_ptr<cluster>> all;
    for (const auto& [key, each] : clusters_) all.push_back(each);
    return all;
}

config::cluster_values proxy_state::values_of(const cluster& which) const {
    const std::scoped_lock lock(mutex_);
    std::vector<config::policies> all;
    for (const auto& [key, pool] : pools_)
        if (pool->backends_of.get() == &which) all.push_back(*pool->live.get());
    for (const auto& [key, known] : clusters_) {
        if (known.get() != &which) continue;
        for (config::policies& each : config::policies_on(settings(), hosts_of_.at(key))) {
            change_of_all_.apply_to(each);
            all.push_back(std::move(each));
        }
    }
    if (all.empty()) all.push_back(settings());
    return config::common_values(all, settings().connect.backoff);
}

void proxy_state::tell_clusters() const {
    for (const std::shared_ptr<cluster>& each : clusters()) each->set_values(values_of(*each));
}

/// The monitor's own account, else the backends', else what the pools of these hosts sign in with, in turn (D10).
std::optional<monitor_login> proxy_state::login_for(const std::vector<config::host_port>& hosts,
                                                    std::size_t refused) const {
    const config::monitor_settings& own = settings().monitor;
    const config::backend_settings& backends = settings().backends;
    std::string database = own.database.empty() ? backends.database : own.database;
    if (database.empty()) database = "postgres";
    if (!own.user.empty()) return monitor_login{own.user, own.password, database};
    if (!backends.user.empty()) return monitor_login{backends.user, backends.password, database};
    std::vector<std::shared_ptr<shared_pool>> able = pools();
    std::erase_if(able, [&](const auto& each) { return each->plan.hosts != hosts || !each->has_credentials(); });
    if (able.empty()) return std::nullopt;
    const shared_pool& chosen = *able[refused % able.size()];
    const shared_pool::secrets secrets = chosen.current_secrets();
    return monitor_login{chosen.plan.server_user, secrets.password, chosen.plan.server_database, secrets.scram,
                         secrets.md5_hash};
}

void proxy_state::start_monitor() {
    if (!settings().backends.hosts.empty()) (void)cluster_for(settings().backends.hosts);
    for (const auto& [name, database] : settings().databases)
        if (!database.hosts.empty()) (void)cluster_for(database.hosts);
    monitor_.start();
}

// ------------------------------------------------------------------------------------------ clients

void proxy_state::derive_verifiers() {
    verifier_map made = verifiers_for(settings());
    const std::scoped_lock lock(mutex_);
    verifiers_ = std::move(made);
}

std::optional<scram_verifier> proxy_state::verifier_of(std::string_view user) const {
    const std::scoped_lock lock(mutex_);
    const auto at = verifiers_.find(user);
    return at != verifiers_.end() ? std::optional(at->second) : std::nullopt;
}

bool proxy_state::admit(const std::string& user, const std::string& database, std::string& cap) {
    const std::optional<config::route> way = config::resolve(settings(), database, user);
    const std::uint32_t per_user = way ? way->max_clients_of_user : 0;
    const std::uint32_t per_database = way ? way->max_clients_of_database : 0;
    const std::scoped_lock lock(mutex_);
    std::uint32_t& of_user = clients_of_user_[user];
    std::uint32_t& of_database = clients_of_database_[database];
    if (per_user != 0 && of_user >= per_user) {
        cap = "limits.max_clients_per_user";
        return false;
    }
    if (per_database != 0 && of_database >= per_database) {
        cap = "limits.max_clients_per_database";
        return false;
    }
    ++of_user;
    ++of_database;
    return true;
}

void proxy_state::leave(const std::string& user, const std::string& database) {
    const std::scoped_lock lock(mutex_);
    if (const auto at = clients_of_user_.find(user); at != clients_of_user_.end() && --at->second == 0)
        clients_of_user_.erase(at);
    if (const auto at = clients_of_database_.find(database); at != clients_of_database_.end() && --at->second == 0)
        clients_of_database_.erase(at);
}

}  // namespace pgsteady
