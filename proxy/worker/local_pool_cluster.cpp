// A pool's part on one worker follows what is known of the cluster, and what operators order. See local_pool.hpp.
#include "proxy/policy/client_errors.hpp"
#include "proxy/policy/service.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

/// So long a role that is read-only by itself is known as such.
constexpr auto role_memory = std::chrono::seconds(30);

/// What decides whether a server is where it should be.
bool places_changed(const cluster_view& before, const cluster_view& now) {
    return before.mode != now.mode || before.informed != now.informed || before.primary != now.primary ||
           before.timeline != now.timeline || before.readable != now.readable ||
           before.held_by_operator != now.held_by_operator;
}

}  // namespace

void local_pool::report(host_report seen) { shared->backends_of->report(std::move(seen)); }

void local_pool::not_primary(const server_connection& server) {
    report({.host = server.link.host,
            .seen = host_report::what::not_primary,
            .timeline = server.link.timeline,
            .words = {}});
}

void local_pool::storage_failing(const server_connection& server) {
    report({.host = server.link.host,
            .seen = host_report::what::storage_failing,
            .timeline = server.link.timeline,
            .words = {}});
}

role_news local_pool::news_of_role(const server_connection& server, pool_time asked_at) {
    const cluster::view_ptr newest = shared->backends_of->view();
    const role_news news = news_of(*newest, server.link.host, server.link.timeline, asked_at);
    if (news == role_news::changed) on_view(newest);  // before its letter: nobody is to be given such a server now
    if (news == role_news::unchanged) {
        facts.read_only_by_itself = true;
        forget_role_at_ = worker_.loop().now() + role_memory;
    }
    return news;
}

void local_pool::forget_role(pool_time now) {
    if (forget_role_at_ == pool_time{} || now < forget_role_at_) return;
    forget_role_at_ = {};
    facts.read_only_by_itself = false;
}

std::string local_pool::why_unfit(const server_connection& server) const {
    const server_link& link = server.link;
    if (server.serves() == server_need::read_only) {
        if (!link.standby && view_->primary != link.host) return "is no standby any more";
        return is_readable(*view_, link.host) ? "" : "is not to be read from";
    }
    // Roles are discovered, never configured. A host that is alone serves what it can, whatever it is.
    if (link.standby && (shared->plan.hosts.size() > 1 || view_->informed)) return "is a standby";
    if (link.standby || is_current_primary(*view_, link.host, link.timeline)) return {};
    if (link.timeline != 0 && link.timeline < view_->timeline)
        return fmt::format("is an old primary (timeline {}, the cluster is at {})", link.timeline, view_->timeline);
    return "is not the current primary";
}

std::vector<std::shared_ptr<server_connection>> local_pool::all_servers() const {
    std::vector<std::shared_ptr<server_connection>> all;
    all.reserve(servers_.size());
    for (const auto& [server, owned] : servers_) all.push_back(owned);
    return all;
}

/// What the cluster tells, by this pool's own patience and switches (D1, D3).
cluster::view_ptr local_pool::own_view() const {
    const service_rules patience{rules_->pool.hold_timeout, rules_->read_only.enabled, rules_->breaker.enabled};
    const service_mode mode = judge_service(*seen_, patience, worker_.loop().now());
    const bool reads = rules_->read_only.enabled || seen_->readable.empty() || seen_->standbys_only;
    if (mode == seen_->mode && rules_->breaker.enabled && reads) return seen_;
    auto own = std::make_shared<cluster_view>(*seen_);
    if (!reads) own->readable.clear();
    if (mode != seen_->mode) own->since = view_ != nullptr && view_->mode == mode ? view_->since : worker_.loop().now();
    own->mode = mode;
    if (!rules_->breaker.enabled)
        for (host_view& each : own->hosts) each.breaker = breaker_state::closed;
    return own;
}

void local_pool::on_view(cluster::view_ptr now) {
    if (now->version < seen_->version) return;
    seen_ = std::move(now);
    take_view();
}

/// Time alone, or an operator, may have changed what this pool makes of what is known. True: it has.
bool local_pool::follow_time() {
    const live_policies::value rules = shared->live.get();
    const bool ordered = rules != rules_;
    if (!ordered && seen_->writes != write_way::missing) return false;
    if (ordered) {
        rules_ = rules;
        shared->fuse.set_rules(rules_->breaker, worker_.loop().now());
        follow_live_policies();
    }
    const service_mode before = view_->mode;
    const service_rules patience{rules_->pool.hold_timeout, rules_->read_only.enabled, rules_->breaker.enabled};
    if (!ordered && judge_service(*seen_, patience, worker_.loop().now()) == before) return false;
    take_view();
    return view_->mode != before;
}

/// What sessions are told of the view.
void local_pool::settle_service() {
    facts.service = view_->mode;
    facts.only_standbys = view_->standbys_only && !(rules_->read_only.enabled && rules_->recovery.enabled);
}

void local_pool::take_view() {
    const cluster::view_ptr before = std::exchange(view_, own_view());
    settle_service();
    if (before->primary != view_->primary || before->timeline != view_->timeline) facts.catalogue.forget();
    if (places_changed(*before, *view_)) {
        forget_role(pool_time::max());
        drop_misplaced();
    }
    if (before->primary != view_->primary) tell_of_successor();
    if (primary_withheld(*view_)) note_outage();
    end_what_is_silent();
    reroute_waiters();
    for (group* each : {&primaries_, &standbys_})
        if (withheld(*each)) each->core.mark_held();
    if (before->mode != view_->mode) writes_end_ = view_->mode == service_mode::read_only;
    if (worth_dialling_at_once(*before, *view_)) {
        worker_.ramp_of(shared->backends_of.get()).begin(worker_.loop().now());
        primaries_.core.dial_now();
        standbys_.core.dial_now();
    }
    serve_waiting(primaries_);
    serve_waiting(standbys_);
    publish();
    start_dials();
    try_waiting_passwords();
    listener_.look();
}

/// In read-only mode nobody waits for a primary (recovery.md 2.13). One incident for all whom it meets here.
void local_pool::refuse_writes() {
    if (!std::exchange(writes_end_, false)) return;
    const auto whom = primaries_.core.dismiss([](const pool_waiter& who) { return who.need == server_need::primary; });
    if (whom.empty()) return;
    const std::string incident = worker_.tell_incident("{} clients of {} waited for a primary: {}", whom.size(),
                                                       shared->plan.label(), what_is_missing());
    refuse_all(whom, client_errors::read_only("the statement", incident));
}

/// Whether a server is on a host that is not what it is wanted for any more.
bool local_pool::misplaced(const server_connection& server) const {
    const server_link& link = server.link;
    if (server.serves() == server_need::read_only) return !is_readable(*view_, link.host);
    if (link.standby) return view_->informed;  // a standby that is alone, from before its role was known
    return !is_current_primary(*view_, link.host, link.timeline);
}

/// Idle ones go at once, busy ones when they are given back.
void local_pool::drop_misplaced() {
    for (const std::shared_ptr<server_connection>& server : all_servers()) {
        if (server->condemned || server->now() == server_connection::phase::closed || !misplaced(*server)) continue;
        const bool was_idle = group_of(*server).core.remove_idle(*server);
        server->no_longer_wanted();
        if (was_idle) lost_idle(*server);
    }
}

void local_pool::end_what_is_silent() {
    const bool any =
        std::any_of(view_->hosts.begin(), view_->hosts.end(), [](const host_view& each) { return each.silent; });
    if (!any) return;
    for (const std::shared_ptr<server_connection>& server : all_servers()) {
        const std::size_t host = server->link.host;
        if (host < view_->hosts.size() && view_->hosts[host].silent) server->host_is_silent();
    }
}

/// A path that swallows packets, to one server process or to all: in seconds, where the kernel would take minutes.
void local_pool::end_what_is_unacknowledged(pool_time now) {
    const std::chrono::milliseconds limit = worker_.shared().settings().connect.tcp_user_timeout;
    if (limit.count() <= 0 || now < next_look_) return;
    next_look_ = now + std::min<pool_duration>(limit / 4, std::chrono::seconds(1));
    for (const std::shared_ptr<server_connection>& server : all_servers())
        if (server->unacknowledged(limit, now)) server->host_is_silent();
}

void local_pool::reroute_waiters() {
    const auto belongs_to = [this](server_need kind) {
        return [this, kind](const pool_waiter& who) { return group_for(*view_, who.need, who.wrote_at) == kind; };
    };
    if (primaries_.core.waiting() > 0 && reads_on_standbys(*view_))
        primaries_.core.move_waiters(standbys_.core, belongs_to(server_need::read_only));
    if (standbys_.core.waiting() > 0) standbys_.core.move_waiters(primaries_.core, belongs_to(server_need::primary));
}

std::size_t local_pool::waiting_for_cluster() const {
    std::size_t count = untried_.size();
    for (const group* each : {&primaries_, &standbys_}) {
        if (each->core.waiting() == 0 || shared->paused) continue;
        // A breaker that opened without a dial of ours having failed is no less in the way.
        if (blocked(*each) || !target(*each)) count += each->core.waiting();
    }
    return count;
}

void local_pool::on_orders() {
    if (shared->paused) primaries_.core.mark_held(), standbys_.core.mark_held();
    primaries_.core.set_generation(shared->generation);
    standbys_.core.set_generation(shared->generation);
    for (const std::shared_ptr<server_connection>& server : all_servers()) {
        group& of = group_of(*server);
        const bool goes = shared->paused || of.core.is_spent(*server, worker_.loop().now());
        if (goes && of.core.remove_idle(*server)) lost_idle(*server);
    }
    serve_waiting(primaries_);
    serve_waiting(standbys_);
    start_dials();
    try_waiting_passwords();
    worker_.settle();
}

}  // namespace pgsteady
