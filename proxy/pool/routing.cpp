// See routing.hpp.
#include "proxy/pool/routing.hpp"

#include <algorithm>

namespace pgsteady {

namespace {

bool may_be_dialled(const cluster_view& view, std::size_t host) {
    return host < view.hosts.size() && view.hosts[host].breaker != breaker_state::open;
}

}  // namespace

bool primary_withheld(const cluster_view& view) {
    if (view.held_by_operator || view.mode == service_mode::read_only) return true;
    return view.informed && (view.mode != service_mode::normal || !view.primary);
}

bool reads_on_standbys(const cluster_view& view) { return view.mode != service_mode::normal && !view.readable.empty(); }

std::optional<std::size_t> standby_for(const cluster_view& view, std::uint64_t wrote_at) {
    if (!reads_on_standbys(view)) return std::nullopt;
    for (const std::size_t host : view.readable)
        if (host < view.hosts.size() && view.shows_all(view.hosts[host], wrote_at)) return host;
    return std::nullopt;
}

server_need group_for(const cluster_view& view, server_need need, std::uint64_t wrote_at) {
    if (need == server_need::primary) return need;
    return standby_for(view, wrote_at) ? server_need::read_only : server_need::primary;
}

std::optional<dial_target> primary_to_dial(const cluster_view& view, std::size_t preferred) {
    if (primary_withheld(view)) return std::nullopt;
    if (!view.informed) return dial_target{preferred, false};  // breakers or not: the dial is the probe
    if (!may_be_dialled(view, *view.primary)) return std::nullopt;
    return dial_target{*view.primary, true};
}

bool is_current_primary(const cluster_view& view, std::size_t host, std::uint32_t timeline) {
    if (timeline != 0 && timeline < view.timeline) return false;
    if (!view.informed) return true;
    // While the operator holds, there may be no primary to compare with; what is open then rests.
    return view.primary ? *view.primary == host : view.held_by_operator;
}

role_news news_of(const cluster_view& view, std::size_t host, std::uint32_t timeline,
                  cluster_view::time_point asked_at) {
    if (!view.informed || host >= view.hosts.size()) return role_news::unknowable;
    if (!is_current_primary(view, host, timeline)) return role_news::changed;
    const host_view& seen = view.hosts[host];
    const bool confirmed = view.primary == host && seen.role == host_role::primary && seen.asked_at > asked_at;
    return confirmed ? role_news::unchanged : role_news::pending;
}

bool is_readable(const cluster_view& view, std::size_t host) {
    return reads_on_standbys(view) &&
           std::find(view.readable.begin(), view.readable.end(), host) != view.readable.end();
}

bool worth_dialling_at_once(const cluster_view& before, const cluster_view& now) {
    if (primary_withheld(before) && !primary_withheld(now)) return true;
    if (now.primary && before.primary != now.primary) return true;
    if (!reads_on_standbys(before) && reads_on_standbys(now)) return true;
    for (std::size_t host = 0; host < now.hosts.size(); ++host) {
        const bool knew = host < before.hosts.size();
        if (now.hosts[host].reachable && (!knew || !before.hosts[host].reachable)) return true;
        if (now.hosts[host].breaker == breaker_state::closed &&
            (!knew || before.hosts[host].breaker != breaker_state::closed))
            return true;
    }
    return false;
}

}  // namespace pgsteady
