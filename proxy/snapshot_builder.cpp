// See snapshot_builder.hpp.
#include "proxy/snapshot_builder.hpp"

#include "proxy/build_facts.hpp"
#include "proxy/operator_commands.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <unordered_map>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

void add(admin::histogram& sum, const duration_histogram& from) {
    if (sum.buckets.empty()) {
        sum.bounds.assign(duration_histogram::bounds_seconds.begin(), duration_histogram::bounds_seconds.end());
        sum.buckets.resize(sum.bounds.size() + 1);
    }
    for (std::size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i] += from.bucket(i);
    sum.sum += from.sum_seconds();
}

void add(admin::counter_totals& sum, const worker_counters& from) {
    sum.clients_accepted += from.clients_accepted.get();
    sum.clients_closed += from.clients_closed.get();
    sum.clients_refused += from.clients_refused.get();
    sum.logins_succeeded += from.logins_succeeded.get();
    sum.logins_failed += from.logins_failed.get();
    sum.client_bytes_in += from.client_bytes_in.get();
    sum.client_bytes_out += from.client_bytes_out.get();
    sum.server_bytes_in += from.server_bytes_in.get();
    sum.server_bytes_out += from.server_bytes_out.get();
    sum.servers_opened += from.servers_opened.get();
    sum.servers_closed += from.servers_closed.get();
    sum.servers_lost += from.servers_lost.get();
    sum.dials_failed += from.dials_failed.get();
    sum.checkouts += from.checkouts.get();
    sum.checkins += from.checkins.get();
    sum.waits += from.waits.get();
    sum.wait_timeouts += from.wait_timeouts.get();
    sum.cancels_received += from.cancels_received.get();
    sum.cancels_forwarded += from.cancels_forwarded.get();
    sum.restores += from.restores.get();
    sum.pins += from.pins.get();
}

/// COMMITs that a primary was asked about, by outcome and by what that rests on.
void add_in_doubt(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    constexpr std::array outcomes{"committed", "not_committed", "unknown"};
    std::uint64_t begun = 0;
    std::uint64_t ended = 0;
    for (const auto& each : workers) {
        begun += each->counters().in_doubt_begun.get();
        all.channels_dropped += each->counters().channels_dropped.get();
        const worker_counters& counted = each->counters();
        all.listeners_opened += counted.listeners_opened.get();
        all.listeners_closed += counted.listeners_closed.get();
        all.listeners_lost += counted.listeners_lost.get();
        all.notifications += counted.notifications.get();
        all.notifications_overflowed += counted.notifications_overflowed.get();
        all.captures += each->counters().captures.get();
        all.captures_impossible += each->counters().captures_impossible.get();
    }
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
        admin::outcome_total sum{outcomes.at(i), 0};
        for (std::size_t path = 0; path < static_cast<std::size_t>(in_doubt_path::count); ++path) {
            admin::retry_total row{std::string(to_string(static_cast<in_doubt_path>(path))), outcomes.at(i), 0};
            for (const auto& each : workers) row.count += each->counters().in_doubt.at(i).at(path).get();
            sum.count += row.count;
            if (row.count > 0) all.in_doubt_paths.push_back(std::move(row));
        }
        ended += sum.count;
        all.in_doubt.push_back(std::move(sum));
    }
    all.in_doubt.push_back({"captured", all.captures});
    all.in_doubt.push_back({"capture_impossible", all.captures_impossible});
    all.in_doubt_unresolved = begun - std::min(begun, ended);
}

/// What lost servers led to: statements sent again, and those whose clients were told what is, or is not, known.
void add_replays(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    for (std::size_t i = 0; i < replay_outcome_names.size(); ++i) {
        admin::outcome_total sum{replay_outcome_names[i], 0};
        for (const auto& each : workers) sum.count += each->counters().replays.at(i).get();
        all.replays.push_back(std::move(sum));
    }
    for (std::size_t i = 0; i < resume_outcome_names.size(); ++i) {
        admin::outcome_total sum{resume_outcome_names[i], 0};
        for (const auto& each : workers) sum.count += each->counters().resumes.at(i).get();
        all.resumes.push_back(std::move(sum));
    }
    for (const auto& each : workers) {
        const worker_counters& counted = each->counters();
        all.replayed_requests += counted.replayed_requests.get();
        all.transactions_gave_way += counted.gave_way.get();
        add(all.replay_seconds, counted.replay_seconds);
    }
}

void add_recoveries(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    std::uint64_t attempted = 0;
    std::uint64_t answered = 0;
    std::uint64_t withheld = 0;
    std::array<std::uint64_t, 4> lost{};  // R04, R06, R07, R08
    for (const auto& each : workers) {
        attempted += each->counters().retries.get();
        answered += each->counters().recovered.get();
        withheld += each->counters().withheld.get();
        all.incidents_total += each->counters().incidents.get();
        all.proofs_asked += each->counters().proofs_asked.get();
        all.proofs_known += each->counters().proofs_known.get();
        for (std::size_t i = 0; i < lost.size(); ++i) lost[i] += each->counters().lost[i].get();
    }
    all.retries = {{"attempted", attempted}, {"answered", answered}, {"result_lost", lost[1]}, {"withheld", withheld}};
    add_replays(all, workers);
    all.replays.push_back({"transaction_lost", lost[0]});
    all.in_doubt = {{"commit_unknown", lost[2]}, {"statement_unknown", lost[3]}};
    add_in_doubt(all, workers);
    admin::outcome_total cancelled{"cancelled", 0};
    for (std::size_t i = 0; i < fence_outcomes; ++i) {
        admin::outcome_total sum{std::string(to_string(static_cast<fence_outcome>(i))), 0};
        for (const auto& each : workers) sum.count += each->counters().fences.at(i).get();
        all.fences.push_back(std::move(sum));
    }
    for (const auto& each : workers) cancelled.count += each->counters().fence_cancels.get();
    all.fences.push_back(std::move(cancelled));
}

void add_operations(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    for (std::size_t operation = 0; operation < operation_names.size(); ++operation)
        for (const std::size_t outcome : {0U, 1U}) {
            admin::operation_totals row{operation_names[operation], outcome == 0 ? "success" : "error", 0, {}};
            for (const auto& each : workers) add(row.seconds, each->counters().requests[operation][outcome]);
            row.count = row.seconds.count();
            all.operations.push_back(std::move(row));
        }
}

std::string_view name_of(session_mode mode) {
    switch (mode) {
        case session_mode::session: return "session";
        case session_mode::transaction: return "transaction";
        case session_mode::statement: return "statement";
    }
    return "transaction";
}

admin::switch_status switches_of(const config::policies& now) {
    return {now.recovery.enabled, now.breaker.enabled, now.read_only.enabled, now.replay.enabled, now.guard.enabled};
}

admin::retry_status retry_of(const config::policies& now) {
    const auto seconds = [](config::milliseconds time) { return static_cast<double>(time.count()) / 1000; };
    return {now.retry.max_retries,
            seconds(now.retry.initial_delay),
            seconds(now.retry.max_delay),
            now.retry.multiplier,
            std::string(strategy_name(now.retry.strategy)),
            seconds(now.pool.hold_timeout),
            now.retry.jitter};
}

admin::pool_status status_of(const shared_pool& pool) {
    const live_policies::value now = pool.live.get();
    admin::pool_status made;
    made.database = pool.plan.database;
    made.user = pool.plan.user;
    made.mode = name_of(pool.plan.mode);
    made.size = now->pool.size;
    made.max_overflow = now->pool.max_overflow;
    made.paused = pool.paused;
    made.retry = retry_of(*now);
    made.switches = switches_of(*now);
    return made;
}

admin::pool_durations durations_of(const shared_pool& pool) {
    admin::pool_durations sum;
    for (const auto& part : pool.counts) {
        add(sum.queue_wait, part->queue_wait);
        add(sum.connect, part->connect);
        add(sum.auth, part->auth);
    }
    for (std::size_t operation = 0; operation < operation_names.size(); ++operation) {
        admin::pool_durations::by_operation row{operation_names[operation], {}, {}};
        for (const auto& part : pool.counts) add(row.total, part->total[operation]);
        if (row.total.count() == 0) continue;
        for (const auto& part : pool.counts) add(row.first_byte, part->first_byte[operation]);
        sum.operations.push_back(std::move(row));
    }
    return sum;
}

/// The rows of all workers for each pool become one, found by the pool's address.
class pool_sums {
public:
    explicit pool_sums(admin::snapshot& all) : all_(all) {}

    void add(const pool_snapshot& row) {
        if (const auto [at, made] = places_.try_emplace(row.pool.get(), pools_.size()); made) {
            pools_.push_back(row.pool);
            statuses_.push_back(status_of(*row.pool));
            pins_.emplace_back();
        }
        admin::pool_status& sum = statuses_[places_[row.pool.get()]];
        sum.clients += row.clients;
        sum.open += row.open;
        sum.active += row.active;
        sum.idle += row.idle;
        sum.dialling += row.dialling;
        all_.proof_cache_bytes += row.proof_cache_bytes;
        sum.waiting += row.waiting;
        sum.oldest_wait_seconds = std::max(sum.oldest_wait_seconds, row.oldest_wait_seconds);
        sum.checkouts += row.checkouts;
        sum.checkins += row.checkins;
        sum.waits += row.waits;
        sum.wait_seconds += row.wait_seconds;
        sum.consecutive_failures = std::max(sum.consecutive_failures, row.consecutive_failures);
        sum.in_transaction += row.in_transaction;
        sum.idle_in_transaction += row.idle_in_transaction;
        sum.oldest_transaction_seconds = std::max(sum.oldest_transaction_seconds, row.oldest_transaction_seconds);
        if (!row.last_problem.empty()) sum.last_problem = row.last_problem;
        if (!row.waits_for.empty()) sum.waits_for = row.waits_for;
        sum.testing += row.testing;
        sum.cancelling += row.cancelling;
        sum.requests += row.requests;
        sum.transactions += row.transactions;
        sum.bytes_in += row.bytes_in;
        sum.bytes_out += row.bytes_out;
        sum.executing_seconds += row.executing_seconds;
        sum.attached_seconds += row.attached_seconds;
        for (const auto& [mask, sessions] : row.pins)
            for (std::uint32_t bit = 1; bit != 0; bit <<= 1)
                if ((mask & bit) != 0) pins_[places_[row.pool.get()]][bit] += sessions;
        all_.servers += row.open;
    }

    void add_pinned(const shared_pool* pool, const session_snapshot& which) {
        const auto at = places_.find(pool);
        if (at != places_.end() && statuses_[at->second].pinned.size() < 100)
            statuses_[at->second].pinned.push_back({which.id, which.peer, which.state, which.pins});
    }

    /// In the order in which pools were made; the first `with_histograms` get theirs.
    void finish(std::size_t with_histograms) {
        std::vector<std::size_t> order(pools_.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::sort(order.begin(), order.end(), [this](auto a, auto b) { return pools_[a]->number < pools_[b]->number; });
        for (const std::size_t i : order) {
            admin::pool_status& status = statuses_[i];
            for (const auto& [bit, sessions] : pins_[i])
                status.pins.push_back({to_string(static_cast<pin_reason>(bit)), sessions});
            if (all_.pools.size() < with_histograms) status.durations = durations_of(*pools_[i]);
            all_.pools.push_back(std::move(status));
        }
    }

private:
    admin::snapshot& all_;
    std::unordered_map<const shared_pool*, std::size_t> places_;
    std::vector<std::shared_ptr<const shared_pool>> pools_;
    std::vector<admin::pool_status> statuses_;
    std::vector<std::map<std::uint32_t, std::uint64_t>> pins_;
};

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// How the pools' own dials go.
void judge_pools(admin::snapshot& all) {
    bool failing = false;
    bool serving = all.pools.empty();
    for (const admin::pool_status& each : all.pools) {
        failing |= each.consecutive_failures > 0;
        serving |= each.open > 0 || each.consecutive_failures == 0;
        all.consecutive_failures = std::max(all.consecutive_failures, each.consecutive_failures);
    }
    all.state = !serving  ? admin::service_state::disconnected
                : failing ? admin::service_state::degraded
                          : admin::service_state::connected;
}

admin::breaker_state state_of(breaker_state state) { return static_cast<admin::breaker_state>(state); }

admin::backend_status backend_of(const host_view& host) {
    admin::backend_status to;
    to.address = host.address;
    if (host.tried) to.reachable = host.reachable;
    to.last_problem = host.last_problem;
    to.role = to_string(host.role);
    if (host.lag_time) to.lag_seconds = std::chrono::duration<double>(*host.lag_time).count();
    if (host.latency) to.latency_seconds = std::chrono::duration<double>(*host.latency).count();
    if (host.timeline != 0) to.timeline = host.timeline;
    return to;
}

/// The worst first: what the breaker that stands for all of them shows.
void add_breaker(admin::snapshot& all, admin::breaker_status scope) {
    const auto badness = [](admin::breaker_state state) {
        return state == admin::breaker_state::open ? 2 : state == admin::breaker_state::half_open ? 1 : 0;
    };
    scope.threshold = all.breaker.threshold;
    if (badness(scope.state) > badness(all.breaker.state) || all.breaker.opened_by.empty()) {
        all.breaker.opened_by = scope.opened_by;
        all.breaker.last_failure = scope.last_failure;
    }
    if (badness(scope.state) > badness(all.breaker.state)) all.breaker.state = scope.state;
    all.breaker.failures = std::max(all.breaker.failures, scope.failures);
    all.breaker.failures_total += scope.failures_total;
    all.breaker.trips_total += scope.trips_total;
    all.breaker_scopes.push_back(std::move(scope));
}

/// What the monitor knows. With several clusters the worst mode is shown.
void add_cluster(admin::snapshot& all, const cluster_view& view) {
    bool down = false;
    for (const host_view& host : view.hosts) {
        all.backends.push_back(backend_of(host));
        add_breaker(all, {host.address, state_of(host.breaker), host.failures, 0, host.failures_total, host.trips_total,
                          std::string(host.opened_by), std::string(host.last_failure)});
        down |= host.tried && !host.reachable;
    }
    add_breaker(
        all, {"write", state_of(view.write), 0, 0, 0, view.write_trips_total, std::string(view.write_opened_by), {}});
    all.mode = std::max(all.mode, static_cast<admin::service_mode>(view.mode));
    admin::service_state state = down ? admin::service_state::degraded : admin::service_state::connected;
    if (view.mode == service_mode::holding) state = admin::service_state::recovering;
    if (view.mode == service_mode::read_only) state = admin::service_state::degraded;
    if (view.mode == service_mode::offline) state = admin::service_state::disconnected;
    all.state = std::max(all.state, state);
}

/// What befell server connections, by the verdict that log and breakers go by.
void add_failures(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    for (std::size_t verdict = 0; verdict < verdict_count; ++verdict) {
        std::uint64_t sum = 0;
        for (const auto& each : workers) sum += each->counters().failures[verdict].get();
        if (sum > 0) all.failures.push_back({std::string(to_string(static_cast<verdict_name>(verdict))), sum});
    }
}

/// Of pools whose breaker has ever opened. One pool that nobody gets into is not the state of all.
void add_pool_breaker(admin::snapshot& all, const shared_pool& pool) {
    const pool_fuse::status now = pool.fuse.now();
    if (now.trips_total == 0 && now.state == breaker_state::closed) return;
    all.breaker_scopes.push_back({pool_name_of(pool), state_of(now.state), now.failures, all.breaker.threshold,
                                  now.failures_total, now.trips_total, now.opened_by, now.last_failure});
}

/// What retries, holds, handshakes and the like have come to, over all workers.
void add_outcomes(admin::snapshot& all, const std::vector<std::unique_ptr<worker>>& workers) {
    for (std::size_t cause = 0; cause < retry_cause_names.size(); ++cause)
        for (std::size_t outcome = 0; outcome < retry_outcome_names.size(); ++outcome) {
            admin::retry_total row{retry_cause_names[cause], retry_outcome_names[outcome], 0};
            for (const auto& each : workers) row.count += each->counters().retry_causes[cause][outcome].get();
            all.retry_classes.push_back(std::move(row));
        }
    for (std::size_t outcome = 0; outcome < hold_outcome_names.size(); ++outcome) {
        admin::outcome_total row{hold_outcome_names[outcome], 0};
        for (const auto& each : workers) row.count += each->counters().holds[outcome].get();
        all.holds.push_back(std::move(row));
    }
    admin::tls_total clients{"client"};
    admin::tls_total servers{"server"};
    for (const auto& each : workers) {
        add(all.recovery_seconds, each->counters().recovery_seconds);
        clients.handshakes += each->counters().client_handshakes.get();
        clients.failed += each->counters().client_handshakes_failed.get();
        servers.handshakes += each->counters().server_handshakes.get();
        servers.failed += each->counters().server_handshakes_failed.get();
    }
    all.tls = {std::move(clients), std::move(servers)};
}

void add_incidents(admin::snapshot& all, const worker_snapshot& of) {
    for (const auto& each : of.incidents)
        all.incidents.push_back({each->when, each->number, of.index, each->serial, each->what});
}

void add_lookups(admin::snapshot& all, const credential_lookup::status& seen) {
    all.user_lookups = {{"found", seen.found},
                        {"unknown", seen.unknown},
                        {"remembered", seen.remembered},
                        {"kept", seen.kept},
                        {"failed", seen.failed}};
    all.users_remembered = {{"role", seen.known_roles}, {"unknown", seen.unknown_names}};
}

}  // namespace

admin::snapshot build_snapshot(const snapshot_sources& from) {
    admin::snapshot all;
    all.version = PGSTEADY_VERSION;
    all.build = build_facts();
    pool_sums sums(all);
    std::uint64_t statement_cache = 0;
    std::vector<std::future<worker_snapshot>> answers;
    for (const auto& each : from.workers) answers.push_back(each->ask_snapshot());
    const auto deadline = std::chrono::steady_clock::now() + 200ms;
    for (std::size_t i = 0; i < answers.size(); ++i) {
        add(all.totals, from.workers[i]->counters());
        add(all.wait_seconds, from.workers[i]->counters().wait_seconds);
        add(all.connect_seconds, from.workers[i]->counters().connect_seconds);
        admin::worker_status status{static_cast<unsigned>(i), 0, false};
        if (answers[i].wait_until(deadline) == std::future_status::ready) {
            const worker_snapshot said = answers[i].get();
            status.answered = true;
            status.clients = said.clients;
            all.clients += said.clients;
            statement_cache += said.statement_cache_bytes;
            add_incidents(all, said);
            for (const pool_snapshot& row : said.pools) sums.add(row);
            for (const auto& [pool, pinned] : said.pinned) sums.add_pinned(pool, pinned);
        }
        all.workers.push_back(status);
    }
    std::sort(all.incidents.begin(), all.incidents.end(), [](const auto& a, const auto& b) { return a.when < b.when; });
    all.old_metric_names = from.settings.admin.old_metric_names;
    sums.finish(from.settings.admin.histogram_pools);
    add_operations(all, from.workers);
    add_outcomes(all, from.workers);
    add_recoveries(all, from.workers);
    add_failures(all, from.workers);
    all.memory_resident_bytes = resident_bytes();
    all.console_clients = from.state.console_clients.used();
    add_lookups(all, from.state.lookups().now());
    all.console_refused_total = from.state.console_refused.load(std::memory_order_relaxed);
    all.memory = {{"analysed_statements", statement_cache},
                  {"waiting_clients_input", from.state.waiting_bytes.load(std::memory_order_relaxed)}};
    const config::settings& settings = from.settings;
    const config::policies now = from.state.policies_to_come();
    all.switches = switches_of(now);
    all.retry = retry_of(now);
    for (const std::shared_ptr<cluster>& each : from.state.clusters()) {
        const cluster::view_ptr view = each->view();
        all.held_by_operator |= view->held_by_operator;
        all.two_primaries |= view->two_primaries;
        if (!view->cause.empty()) all.mode_cause = view->cause;
        for (cluster_event& event : each->recent_events())
            all.events.push_back({event.when, std::move(event.name), std::move(event.sentence), event.warning});
    }
    std::sort(all.events.begin(), all.events.end(), [](const auto& a, const auto& b) { return a.when < b.when; });
    database_marks::value marks = from.state.marks.now();
    all.all_paused = marks.all_paused;
    all.paused_databases = std::move(marks.paused);
    all.disabled_databases = std::move(marks.disabled);
    all.breaker.threshold = settings.breaker.failure_threshold;
    judge_pools(all);
    all.replay_barriers = {{"completed", 0}, {"expired", 0}};
    for (const auto& each : from.state.clusters()) {
        add_cluster(all, *each->view());
        all.replay_barriers[0].count += each->replays().counted().completed;
        all.replay_barriers[1].count += each->replays().counted().expired;
    }
    for (const auto& each : from.state.pools()) add_pool_breaker(all, *each);
    return all;
}

}  // namespace pgsteady
