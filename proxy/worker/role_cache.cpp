// See role_cache.hpp.
#include "proxy/worker/role_cache.hpp"

#include <utility>

namespace pgsteady {

const role_cache::entry* role_cache::find(const std::string& key) const {
    for (const shelf* each : {&known_, &unknown_})
        if (const auto at = each->of.find(key); at != each->of.end()) return &at->second;
    return nullptr;
}

role_cache::secret_ptr role_cache::fresh(const std::string& key, time_point now) const {
    const entry* found = find(key);
    const bool good = found != nullptr && !found->suspect && now - found->asked_at < rules_.max_age;
    return good ? found->secret : nullptr;
}

role_cache::secret_ptr role_cache::last(const std::string& key, time_point now) const {
    const entry* found = find(key);
    return found != nullptr && now - found->asked_at < rules_.keep ? found->secret : nullptr;
}

void role_cache::put(const std::string& key, secret_ptr secret, time_point now) {
    shelf& right = secret->known ? known_ : unknown_;
    (secret->known ? unknown_ : known_).drop(key);
    right.put(key, std::move(secret), now, rules_.most);
}

void role_cache::suspect(const std::string& key, const secret_ptr& which) {
    for (shelf* each : {&known_, &unknown_})
        if (const auto at = each->of.find(key); at != each->of.end() && at->second.secret == which)
            at->second.suspect = true;
}

void role_cache::clear() { known_ = unknown_ = shelf{}; }

void role_cache::shelf::drop(const std::string& key) {
    const auto at = of.find(key);
    if (at == of.end()) return;
    order.erase(at->second.place);
    of.erase(at);
}

void role_cache::shelf::put(const std::string& key, secret_ptr secret, time_point now, std::size_t most) {
    drop(key);
    while (!order.empty() && order.size() >= most) drop(std::string(order.front()));
    if (most == 0) return;
    order.push_back(key);
    of.emplace(key, entry{std::move(secret), now, false, std::prev(order.end())});
}

}  // namespace pgsteady
