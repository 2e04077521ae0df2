// See lineage.hpp.
#include "proxy/policy/lineage.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

incarnation incarnation_of(const probe_result& found) {
    incarnation is{found.started_micros, std::nullopt, found.statistics_since, found.timeline, found.system_identifier};
    if (found.role == host_role::primary) is.recovered_to = found.recovered_to;
    return is;
}

/// The same life of a server whose role may have changed in it.
bool same_life(const incarnation& a, const incarnation& b) {
    return a.started_at != 0 && a.started_at == b.started_at && a.statistics_since != 0 &&
           a.statistics_since == b.statistics_since && a.system == b.system;
}

}  // namespace

void lineage::answered(std::size_t host, const probe_result& found, time_point now) {
    const incarnation now_is = incarnation_of(found);
    watched& here = hosts_[host];
    if (now_is.started_at == 0 || now_is.system.empty() || found.role == host_role::unknown) {
        end_of(host);
        here = {};
    } else if (found.role == host_role::primary) {
        on_primary(host, now_is, now);
        here.replicas = found.replicas;
    } else {
        if (!here.standby) end_of(host);
        on_standby(host, now_is, found, now);
    }
    for (std::size_t i = 0; i < hosts_.size(); ++i)
        if (hosts_[i].standby) prove(i);
}

void lineage::disconnected(std::size_t host, time_point now) {
    watched& here = hosts_[host];
    if (!is_fresh(now)) return;
    if (here.is.started_at != 0 && now - here.answered_at <= interval_ + blind_at_most) here.certain_until = now;
}

void lineage::nobody(std::size_t host, time_point now) {
    watched& here = hosts_[host];
    if (here.is.started_at != 0 && now - here.certain_until <= blind_at_most) here.certain_until = now;
}

void lineage::on_primary(std::size_t host, const incarnation& now_is, time_point now) {
    watched& here = hosts_[host];
    const bool same = !here.standby && here.is.is(now_is);
    if (here.standby) {
        prove(host);
        const auto origin = origin_of(here);
        if (!same_life(here.is, now_is)) here.inherited.clear();
        // Until now nobody else can have served where the primary was: all that was replayed is that one's.
        else if (origin && now_is.recovered_to && now - hosts_[*origin].certain_until <= blind_at_most)
            inherit(here, *origin, hosts_[*origin].is, *now_is.recovered_to);
    } else if (!same && here.is.started_at != 0) {
        end_of(host);
        const bool next = now - here.certain_until <= blind_at_most && here.is.system == now_is.system &&
                          here.is.timeline == now_is.timeline;
        const bool clean = !now_is.recovered_to && here.is.statistics_since != 0 &&
                           here.is.statistics_since == now_is.statistics_since;
        if (next && now_is.recovered_to) inherit(here, host, here.is, *now_is.recovered_to);
        else if (next && clean) inherit(here, host, here.is, inheritance::everything);
        else here.inherited.clear();
    }
    here.is = now_is;
    here.standby = here.receiver_proven = false;
    here.receiver = 0;
    here.unproven.clear();
    here.answered_at = here.certain_until = is_fresh(now) ? now : awake_at_;
}

void lineage::on_standby(std::size_t host, const incarnation& now_is, const probe_result& found, time_point now) {
    watched& here = hosts_[host];
    if (!here.standby || !same_life(here.is, now_is)) {
        here.inherited.clear();
        here.unproven.clear();
        here.receiver = 0;
        here.receiver_proven = false;
    }
    here.is = now_is;
    here.standby = true;
    here.answered_at = here.certain_until = now;
    here.streams_as = {found.receiver_name, found.receiver_slot, {}};
    if (found.receiver_pid != here.receiver) here.receiver_proven = false;
    here.receiver = found.receiver_pid;
    const std::uint64_t position = std::max(found.received.value_or(0), found.replayed.value_or(0));
    if (position == 0) return;
    if (here.unproven.size() < max_unproven) here.unproven.push_back({now, position, found.receiver_pid});
    else if (here.receiver_proven) here.unproven.back() = {now, position, found.receiver_pid};
}

/// What a standby had while its primary was certain to be that one, or has got on the same connection since, is that one's.
void lineage::prove(std::size_t standby) {
    watched& here = hosts_[standby];
    const auto origin = origin_of(here);
    if (!origin) return;
    const watched& primary = hosts_[*origin];
    std::erase_if(here.unproven, [&](const sample& each) {
        const bool in_time = each.when <= primary.certain_until;
        const bool streamed = each.receiver != 0 && each.receiver == here.receiver;
        if (in_time && streamed && streams_from(primary, here)) here.receiver_proven = true;
        if (!in_time && !(streamed && here.receiver_proven)) return false;
        inherit(here, *origin, primary.is, each.position);
        return true;
    });
}

/// The primary that was there is there no more: who followed it may follow another one from now on.
void lineage::end_of(std::size_t primary) {
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        watched& each = hosts_[i];
        if (!each.standby || origin_of(each) != primary) continue;
        prove(i);
        each.unproven.clear();
        each.receiver_proven = false;
    }
}

std::optional<std::size_t> lineage::origin_of(const watched& standby) const {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
        const watched& each = hosts_[i];
        if (each.standby || each.is.started_at == 0 || each.is.system != standby.is.system) continue;
        if (each.is.timeline != standby.is.timeline) continue;
        if (found) return std::nullopt;
        found = i;
    }
    return found;
}

/// The primary has exactly one that calls itself so: what the standby receives does not come through another one.
bool lineage::streams_from(const watched& primary, const watched& standby) {
    const auto is_it = [&](const replica_row& each) {
        if (!standby.streams_as.slot.empty()) return each.slot == standby.streams_as.slot;
        return !standby.streams_as.application_name.empty() &&
               each.application_name == standby.streams_as.application_name;
    };
    return std::count_if(primary.replicas.begin(), primary.replicas.end(), is_it) == 1;
}

void lineage::inherit(watched& to, std::size_t host, const incarnation& from, std::uint64_t upto) {
    const auto at = std::find_if(to.inherited.begin(), to.inherited.end(),
                                 [&](const inheritance& each) { return each.host == host && each.from.is(from); });
    if (at != to.inherited.end()) {
        at->upto = std::max(at->upto, upto);
        return;
    }
    if (to.inherited.size() >= kept) to.inherited.erase(to.inherited.begin());
    to.inherited.push_back({host, from, upto});
}

}  // namespace pgsteady
