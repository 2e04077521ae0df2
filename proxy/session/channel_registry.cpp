// See channel_registry.hpp.
#include "proxy/session/channel_registry.hpp"

#include "proxy/session/settings.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

// Of one string; what is left comes with the next one.
constexpr std::size_t most_at_once = 1000;

void add(std::string& sql, std::string_view statement, const std::string& channel) {
    if (!sql.empty()) sql += "; ";
    sql += statement;
    sql += quote_identifier(channel);
}

}  // namespace

void channel_registry::follow(listener who, const std::set<std::string>& channels) {
    std::set<std::string>& had = of_client_[who];
    for (const std::string& each : had)
        if (!channels.contains(each)) leave(who, each);
    for (const std::string& each : channels) channels_[each].members.insert(who);
    had = channels;
    if (!channels.empty()) return;
    of_client_.erase(who);
    interrupted_.erase(who);
}

void channel_registry::leave(listener who, const std::string& name) {
    const auto at = channels_.find(name);
    if (at == channels_.end()) return;
    at->second.members.erase(who);
    if (at->second.members.empty() && at->second.now == state::wanted) channels_.erase(at);
}

void channel_registry::forget(listener who) {
    follow(who, {});
    std::erase_if(waits_, [who](const wait& each) { return each.who == who; });
}

void channel_registry::await(listener who, bool new_channel, time_point now) {
    std::erase_if(waits_, [who](const wait& each) { return each.who == who; });
    waits_.push_back({who, new_channel, false, now});
}

std::optional<std::string> channel_registry::next_query() {
    if (asked_) return std::nullopt;
    std::string sql;
    std::size_t count = 0;
    for (auto& [name, each] : channels_) {
        const bool goes = each.members.empty();
        if (!goes && each.now != state::wanted) continue;
        if (++count > most_at_once) break;
        add(sql, goes ? "UNLISTEN " : "LISTEN ", name);
        each.now = goes ? state::leaving : state::asked;
    }
    bool waited_for = false;
    for (wait& each : waits_) waited_for |= each.sent = is_asked_for(each.who);
    if (sql.empty() && !waited_for) return std::nullopt;
    asked_ = true;
    return sql;
}

/// All its channels are there, or are in what is about to be sent.
bool channel_registry::is_asked_for(listener who) const {
    const auto own = of_client_.find(who);
    if (own == of_client_.end()) return true;
    return std::all_of(own->second.begin(), own->second.end(), [this](const std::string& name) {
        const auto at = channels_.find(name);
        return at != channels_.end() && (at->second.now == state::asked || at->second.now == state::listening);
    });
}

channel_registry::round channel_registry::answered() {
    asked_ = false;
    round done;
    bool all_there = true;
    for (auto at = channels_.begin(); at != channels_.end();) {
        channel& each = at->second;
        if (each.now == state::asked) each.now = state::listening;
        if (each.now == state::leaving) each.now = state::wanted;
        if (each.now == state::wanted && each.members.empty()) {
            at = channels_.erase(at);
            continue;
        }
        all_there &= each.now == state::listening;
        ++at;
    }
    for (const wait& each : waits_)
        if (each.sent) done.served.push_back(each.who);
    std::erase_if(waits_, [](const wait& each) { return each.sent; });
    if (all_there) {
        done.gap.assign(interrupted_.begin(), interrupted_.end());
        interrupted_.clear();
    }
    return done;
}

channel_registry::listeners channel_registry::lost() {
    asked_ = false;
    listeners released;
    for (auto at = channels_.begin(); at != channels_.end();) {
        channel& each = at->second;
        if (each.now == state::listening) interrupted_.insert(each.members.begin(), each.members.end());
        each.now = state::wanted;
        at = each.members.empty() ? channels_.erase(at) : std::next(at);
    }
    std::erase_if(waits_, [&](wait& each) {
        each.sent = false;
        if (!each.new_channel) released.push_back(each.who);
        return !each.new_channel;
    });
    return released;
}

channel_registry::listeners channel_registry::overdue(time_point limit) {
    listeners late;
    std::erase_if(waits_, [&](const wait& each) {
        const bool is = each.since < limit;
        if (is) late.push_back(each.who);
        return is;
    });
    return late;
}

const std::set<channel_registry::listener>& channel_registry::who_hears(const std::string& name) const {
    static const std::set<listener> nobody;
    const auto at = channels_.find(name);
    return at != channels_.end() ? at->second.members : nobody;
}

}  // namespace pgsteady
