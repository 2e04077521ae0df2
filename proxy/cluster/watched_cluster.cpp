// See watched_cluster.hpp.
#include "proxy/cluster/watched_cluster.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

std::vector<std::string> addresses_of(const std::vector<config::host_port>& hosts) {
    std::vector<std::string> result;
    for (const config::host_port& each : hosts) result.push_back(each.host + ':' + std::to_string(each.port));
    return result;
}

cluster_rules rules_of(const cluster_options& from) {
    return {from.monitor, from.values.backoff, from.values.breaker, from.values.read_only, from.values.hold_timeout};
}

}  // namespace

watched_cluster::watched_cluster(std::shared_ptr<net::event_loop> loop, cluster_options options)
    : loop_(std::move(loop)),
      options_(std::move(options)),
      addresses_(addresses_of(options_.hosts)),
      crashes_(addresses_.size()),
      policy_(addresses_, rules_of(options_), moment{net::clock::now()}),
      chance_(std::random_device{}()),
      signed_in_(addresses_.size()) {
    view_ = std::make_shared<const cluster_view>(policy_.view());
}

watched_cluster::~watched_cluster() = default;

void watched_cluster::begin() {
    // Letters know it weakly: one that is never read must not keep the loop alive that keeps it.
    loop_->post([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        for (std::size_t i = 0; i < self->options_.hosts.size(); ++i)
            self->connections_.push_back(std::make_unique<monitor_connection>(
                *self->loop_, self->options_, self->options_.hosts[i],
                [here = self.get(), i](monitor_connection::outcome what) { here->on_outcome(i, std::move(what)); }));
        self->beat();
        self->settle_soon();
    });
}

void watched_cluster::end() {
    loop_->cancel_timer(timer_);
    loop_->cancel_timer(beat_);
    connections_.clear();
}

// ------------------------------------------------------------------------------------------ the facade

cluster::view_ptr watched_cluster::view() const {
    const std::scoped_lock lock(mutex_);
    return view_;
}

std::vector<cluster_event> watched_cluster::recent_events() const {
    const std::scoped_lock lock(mutex_);
    return {events_.begin(), events_.end()};
}

void watched_cluster::on_loop(std::function<void(cluster_policy&)> what) {
    loop_->post([weak = weak_from_this(), what = std::move(what)] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        what(self->policy_);
        self->settle_soon();
    });
}

void watched_cluster::report(host_report seen) {
    on_loop([this, seen = std::move(seen)](cluster_policy& policy) { policy.report(seen, now()); });
}

void watched_cluster::waiting(unsigned worker, std::size_t statements) {
    on_loop([this, worker, statements](cluster_policy& policy) { policy.waiting(worker, statements, now()); });
}

void watched_cluster::hold(bool on) {
    on_loop([on](cluster_policy& policy) { policy.hold(on); });
}

void watched_cluster::recover() {
    on_loop([this](cluster_policy& policy) { policy.recover(now()); });
}

bool watched_cluster::force(const std::string& scope, breaker_force how) {
    if (scope != "write" && std::find(addresses_.begin(), addresses_.end(), scope) == addresses_.end()) return false;
    on_loop([this, scope, how](cluster_policy& policy) { (void)policy.force(scope, how, now()); });
    return true;
}

void watched_cluster::set_values(const config::cluster_values& values) {
    on_loop([=, this](cluster_policy& policy) { policy.set_values(values, now()); });
}

// ------------------------------------------------------------------------------------------ on the loop

moment watched_cluster::now() { return {loop_->now(), std::uniform_real_distribution<double>(0.0, 1.0)(chance_)}; }

void watched_cluster::on_outcome(std::size_t index, monitor_connection::outcome what) {
    using kind = monitor_connection::outcome::what;
    host_watch& host = policy_.host(index);
    const moment at = now();
    switch (what.kind) {
        case kind::touched: host.touched(at); break;
        case kind::signed_in:
            signed_in_[index] = at.now;
            host.connected(at);
            break;
        case kind::connect_failed: policy_.connect_failed(index, what.verdict, std::move(what.words), at); break;
        case kind::answered: policy_.answered(index, std::move(what.found), at); break;
        case kind::refused: host.probe_refused(std::move(what.words), at); break;
        case kind::tried:
            policy_.tried_to_write(index, what.attempt, at);
            host.probe_refused({}, at);  // it lives, and its role stays what it was
            break;
        case kind::missed:
            policy_.tried_to_write(index, what.attempt, at);
            host.missed(at);
            break;
        case kind::ended:
            policy_.tried_to_write(index, what.attempt, at);
            note_crash(index, what.verdict);
            policy_.disconnected(index, what.verdict, std::move(what.words), at);
            break;
    }
    settle_soon();
}

/// The monitor's own connection is a witness, too: of one busy client nobody else might be told.
void watched_cluster::note_crash(std::size_t index, const recovery_verdict& verdict) {
    const net::time_point opened = signed_in_[index];
    if (verdict.name == verdict_name::server_crashed) crashes_.told_of_crash(index, opened, loop_->now());
    else if (verdict.name == verdict_name::connection_lost || verdict.name == verdict_name::tls_failed)
        crashes_.ended_silently(index, 0, {}, opened, loop_->now());
}

/// Conclusions are drawn once per turn, whatever has come in.
void watched_cluster::settle_soon() {
    if (settling_) return;
    settling_ = true;
    loop_->defer([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self == nullptr) return;
        self->settling_ = false;
        if (!self->connections_.empty()) self->settle();
    });
}

void watched_cluster::settle() {
    publish(policy_.conclude(now()));
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        const host_errand next = policy_.next_errand(i, loop_->now());
        if (next.kind != host_errand::what::none && next.due <= loop_->now()) run_errand(i, next.kind);
    }
    arm_timer();
}

void watched_cluster::publish(bool changed) {
    auto fresh = std::make_shared<const cluster_view>(policy_.view());
    std::vector<cluster_event> events = policy_.take_events();
    for (cluster_event& each : events) each.when = std::chrono::system_clock::now();
    {
        const std::scoped_lock lock(mutex_);
        view_ = fresh;
        for (const cluster_event& each : events) events_.push_back(each);
        while (events_.size() > most_events) events_.pop_front();
    }
    if (options_.tell)
        for (const cluster_event& each : events) options_.tell(each);
    if (changed && options_.changed) options_.changed(*this, fresh);
}

void watched_cluster::run_errand(std::size_t index, host_errand::what kind) {
    host_watch& host = policy_.host(index);
    if (kind == host_errand::what::ask) {
        policy_.asked(index, now());
        newest_sample_ = policy_.newest_sample();  // before the question leaves: see newest_sample()
        return connections_[index]->ask();
    }
    if (kind == host_errand::what::try_to_write) {
        policy_.trying_to_write(index, now());
        return connections_[index]->try_to_write();
    }
    if (kind == host_errand::what::reconnect) {
        connections_[index]->close();
        host.disconnected({}, {}, now());
    }
    std::optional<monitor_login> account = options_.login ? options_.login(host.sign_ins_refused()) : std::nullopt;
    if (!account && !host.suspected()) return host.without_account(now());
    host.connecting(now());
    connections_[index]->open(std::move(account));
}

/// Timers come behind the events of a turn: what had happened has been dealt with. A process that was stopped, or had no
/// processor, is shown by the beats that it missed.
void watched_cluster::beat() {
    policy_.awake(now());
    beat_ = loop_->add_timer(loop_->now() + lineage::blind_at_most / 2, [this] { beat(); });
}

void watched_cluster::arm_timer() {
    std::optional<net::time_point> soonest = policy_.next_conclusion(loop_->now());
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        const host_errand next = policy_.next_errand(i, loop_->now());
        if (next.kind == host_errand::what::none) continue;
        soonest = soonest ? std::min(*soonest, next.due) : next.due;
    }
    loop_->cancel_timer(timer_);
    timer_ = {};
    if (soonest) timer_ = loop_->add_timer(*soonest, [this] { settle_soon(); });
}

}  // namespace pgsteady
