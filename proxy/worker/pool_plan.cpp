// See pool_plan.hpp.
#include "proxy/worker/pool_plan.hpp"

#include "protocol/md5_auth.hpp"

#include "config/resolve.hpp"

#include <algorithm>

namespace pgsteady {

session_mode session_mode_of(config::pool_mode mode) {
    switch (mode) {
        case config::pool_mode::session: return session_mode::session;
        case config::pool_mode::transaction: return session_mode::transaction;
        case config::pool_mode::statement: return session_mode::statement;
    }
    return session_mode::transaction;
}

namespace {

/// Somebody may sign in with a password that only a server can judge.
bool may_ask_server(const config::auth_settings& auth) {
    if (!auth.by_rules()) return auth.method == config::auth_method::passthrough;
    return std::ranges::count(auth.hba, config::hba_rule::method::password, &config::hba_rule::how) > 0;
}

void add_server_credentials(const config::settings& all, const config::route& way, pool_plan& plan) {
    plan.server_user = way.server_user.empty() ? plan.user : way.server_user;
    plan.server_password = way.server_password;
    if (!way.server_user.empty()) return;
    const bool asks_server = may_ask_server(all.auth);
    const bool knows_users = all.auth.by_rules() || !asks_server;
    if (const auto user = all.users.find(plan.user); user != all.users.end() && knows_users) {
        plan.server_password = user->second.password;
        if (user->second.verifier.starts_with("md5")) plan.server_verifier = user->second.verifier;
    }
    if (plan.server_password.empty() && plan.user == all.backends.user) plan.server_password = all.backends.password;
    plan.password_from_client = plan.server_password.empty() && asks_server;
}

}  // namespace

std::optional<pool_plan> plan_pool(const config::settings& all, std::string_view database, std::string_view user) {
    std::optional<config::route> way = config::resolve(all, database, user);
    if (!way || way->hosts.empty()) return std::nullopt;
    pool_plan plan;
    plan.database = database;
    plan.user = user;
    add_server_credentials(all, *way, plan);
    plan.server_database = std::move(way->dbname);
    plan.hosts = std::move(way->hosts);
    plan.policies = std::move(way->rules);
    plan.mode = session_mode_of(plan.policies.pool.mode);
    plan.named = way->named;
    return plan;
}

namespace {

client_login::credentials credentials_by(config::auth_method how, const config::settings& all, std::string_view user) {
    using method = client_login::auth_method;
    client_login::credentials found;
    const auto known = all.users.find(user);
    found.known_user = known != all.users.end();
    switch (how) {
        case config::auth_method::trust:
            found.method = method::trust;
            found.known_user = true;
            return found;
        case config::auth_method::md5: found.method = method::md5; break;
        case config::auth_method::passthrough:
            found.method = method::passthrough;  // the server is asked, whatever is configured
            return found;
        case config::auth_method::automatic:
        case config::auth_method::scram_sha_256: found.method = method::scram; break;
    }
    if (!found.known_user) return found;
    const config::user_settings& own = known->second;
    if (own.verifier.starts_with("md5")) {  // such a verifier can be answered only by md5
        found.method = method::md5;
        found.md5_hash = own.verifier;
    } else if (found.method == method::md5) {
        found.md5_hash = own.password.empty() ? std::string() : md5_password_hash(user, own.password);
        if (!own.verifier.empty()) found.method = method::scram;
    }
    if (found.method == method::scram && !own.verifier.empty()) found.verifier = parse_scram_verifier(own.verifier);
    return found;
}

}  // namespace

config::auth_method method_of(const config::hba_rule& rule) {
    switch (rule.how) {
        case config::hba_rule::method::md5: return config::auth_method::md5;
        case config::hba_rule::method::password: return config::auth_method::passthrough;
        case config::hba_rule::method::trust:
        case config::hba_rule::method::cert: return config::auth_method::trust;
        case config::hba_rule::method::reject:
        case config::hba_rule::method::scram_sha_256: break;
    }
    return config::auth_method::scram_sha_256;
}

client_login::credentials credentials_of(const config::settings& all, config::auth_method how, std::string_view user) {
    return credentials_by(how, all, user);
}

bool is_looked_up(const config::settings& all, config::auth_method how, std::string_view database,
                  std::string_view user) {
    const bool stored = how == config::auth_method::scram_sha_256 || how == config::auth_method::md5;
    const auto known = all.users.find(user);
    const bool here = known != all.users.end() && !(known->second.password.empty() && known->second.verifier.empty());
    return stored && !here && config::auth_query_of(all, database).enabled();
}

lookup_place place_of_lookup(const config::settings& all, std::string_view database, std::string_view user) {
    std::optional<config::route> way = config::resolve(all, database, user);
    const auto entry = all.databases.find(database);
    const bool otherwise = entry != all.databases.end() && entry->second.asks_otherwise();
    return {way && !way->hosts.empty() ? std::move(way->hosts) : all.backends.hosts,
            otherwise ? std::string(database) : std::string()};
}

client_login::credentials credentials_of(config::auth_method how, std::string_view user, const role_secret& stored) {
    using method = client_login::auth_method;
    client_login::credentials found;
    found.method = method::scram;  // also for names that do not exist: what most roles have
    found.known_user = stored.known;
    found.verifier = stored.verifier;
    if (how != config::auth_method::md5 || stored.text.starts_with("SCRAM-SHA-256$") || !stored.known) return found;
    found.method = method::md5;
    found.md5_hash = is_md5_password_hash(stored.text) ? stored.text : md5_password_hash(user, stored.text);
    return found;
}

client_login::credentials console_credentials_of(const config::settings& all, std::string_view user) {
    const bool by_md5 = all.auth.method == config::auth_method::md5;
    return credentials_by(by_md5 ? config::auth_method::md5 : config::auth_method::scram_sha_256, all, user);
}

pool_rules rules_of(const config::pool_settings& from, const config::connect_backoff_settings& redial) {
    pool_rules rules;
    rules.size = from.size;
    rules.max_overflow = from.max_overflow;
    rules.min_size = from.min_size;
    rules.hold_timeout = from.hold_timeout;
    rules.lifetime = from.lifetime;
    rules.lifetime_jitter = from.lifetime_jitter;
    rules.idle_timeout = from.idle_timeout;
    rules.overflow_idle_timeout = from.overflow_idle_timeout;
    rules.probe_after_idle = from.probe_after_idle;
    rules.redial = {redial.initial, redial.max, redial.late_after, redial.late_max};
    return rules;
}

}  // namespace pgsteady
