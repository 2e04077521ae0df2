// See credential_lookup.hpp.
#include "proxy/worker/credential_lookup.hpp"

#include "config/resolve.hpp"

#include "proxy/worker/lookup_line.hpp"
#include "proxy/worker/proxy_state.hpp"

#include <chrono>
#include <utility>

namespace pgsteady {

namespace {

constexpr std::size_t longest_name = 63;  // of a role: NAMEDATALEN - 1

role_cache::rules cache_rules(const config::auth_query_settings& from) {
    return {from.max_age, from.keep, from.max_names};
}

std::string key_of(const lookup_place& where, const std::string& user) {
    std::string key;
    for (const config::host_port& each : where.hosts) key += each.host + ':' + std::to_string(each.port) + ',';
    return key + '\0' + where.database + '\0' + user;
}

std::map<std::string, config::auth_query_settings> others_of(const config::settings& all) {
    std::map<std::string, config::auth_query_settings> found;
    for (const auto& [name, database] : all.databases)
        if (database.asks_otherwise()) found.emplace(name, config::auth_query_of(all, name));
    return found;
}

}  // namespace

credential_lookup::credential_lookup(proxy_state& state)
    : state_(state),
      cache_(cache_rules(state.settings().auth.query)),
      rules_(state.settings().auth.query),
      others_(others_of(state.settings())) {}

credential_lookup::~credential_lookup() { state_.helper.stop(); }

std::optional<role_answer> credential_lookup::ask(const lookup_place& where, const std::string& user, callback done) {
    static const auto no_such_role = std::make_shared<const role_secret>();
    if (user.size() > longest_name || where.hosts.empty()) return role_answer{no_such_role};
    const std::string key = key_of(where, user);
    if (auto known = remembered(key)) return role_answer{std::move(known), true};
    state_.helper.run([this, key, where, user, done = std::move(done)]() mutable {
        std::unique_ptr<lookup_line>& line = lines_[key_of(where, {})];
        if (line == nullptr) line = std::make_unique<lookup_line>(*this, state_, where);
        line->ask(key, user, std::move(done));
    });
    return std::nullopt;
}

void credential_lookup::suspect(const lookup_place& where, const std::string& user,
                                const role_cache::secret_ptr& which) {
    const std::scoped_lock lock(mutex_);
    cache_.suspect(key_of(where, user), which);
}

void credential_lookup::follow_settings() {
    const config::auth_query_settings& now = state_.settings().auth.query;
    std::map<std::string, config::auth_query_settings> others = others_of(state_.settings());
    const std::scoped_lock lock(mutex_);
    if (rules_ == now && others_ == others) return;
    rules_ = now;
    others_ = std::move(others);
    cache_.clear();
    cache_.set_rules(cache_rules(now));
}

credential_lookup::status credential_lookup::now() const {
    status seen{found_, unknown_, failed_, remembered_, kept_};
    const std::scoped_lock lock(mutex_);
    seen.known_roles = cache_.known();
    seen.unknown_names = cache_.unknown();
    return seen;
}

role_cache::secret_ptr credential_lookup::remembered(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    role_cache::secret_ptr known = cache_.fresh(key, std::chrono::steady_clock::now());
    if (known != nullptr) ++remembered_;
    return known;
}

role_cache::secret_ptr credential_lookup::known_last(const std::string& key) const {
    const std::scoped_lock lock(mutex_);
    return cache_.last(key, std::chrono::steady_clock::now());
}

void credential_lookup::remember(const std::string& key, role_cache::secret_ptr secret) {
    ++(secret->known ? found_ : unknown_);
    const std::scoped_lock lock(mutex_);
    cache_.put(key, std::move(secret), std::chrono::steady_clock::now());
}

}  // namespace pgsteady
