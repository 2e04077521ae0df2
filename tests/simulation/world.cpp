// See world.hpp.
#include "tests/simulation/world.hpp"

#include "protocol/frame.hpp"

#include "proxy/policy/client_errors.hpp"

#include "tests/support/wire_builders.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pgsteady::simulation {

namespace {

constexpr micros tick_pause = 25'000;
constexpr micros letting_go = 50;              // from a backend's last words to the end of its locks
constexpr micros silence_noticed = 3'000'000;  // the monitor's verdict about a host that does not answer
constexpr micros fence_patience = 10'000'000;
constexpr micros ambush_reach = 1'500;             // a COMMIT takes about so long
constexpr micros keepalive_patience = 11'000'000;  // of the server's kernel

pool_rules rules_of(std::uint32_t size) {
    pool_rules rules;
    rules.size = size;
    rules.max_overflow = 0;
    return rules;
}

}  // namespace

world::world(std::uint64_t seed, std::uint32_t pool_size)
    : chance(seed), time(chance), tables(0), permits_(pool_size), process_(0), pool_size_(pool_size) {
    add_worker();
    hosts.push_back(std::make_unique<model_host>());
    primary().chance = &chance;
    primary().be_host(0);
    observe();
    facts.mode = session_mode::transaction;
    time.in(tick_pause, [this] { tick(); });
}

world::~world() = default;

void world::add_worker() { workers_.emplace_back(rules_of(pool_size_), permits_, process_); }

bool world::run(const std::function<bool()>& done, micros patience) {
    const micros until = time.now + patience;
    while (!done() && problems.empty()) {
        if (time.now > until || !time.step()) return done();
        settle();
    }
    return problems.empty();
}

void world::problem(std::string what) {
    trace("PROBLEM " + what);
    problems.push_back(std::move(what));
}

void world::trace(const std::string& line) {
    if (story) story->push_back(fmt::format("{:>10} {}", time.now, line));
}

// ------------------------------------------------------------------------------------------ pool

simulated_server* world::request(simulated_client& who, pool_time since) {
    pool& core = core_of(who.worker);
    const bool first = core.serves_only_replays() ? who.replays : core.waiting() == 0;
    const pool::checkout found = first ? core.take_idle(clock()) : pool::checkout{};
    if (found.server != nullptr) return static_cast<simulated_server*>(found.server);
    core.enqueue(who, since == pool_time{} ? clock() : since);
    return nullptr;
}

/// After an event: free servers go to those who wait, and what is missing is dialled.
void world::settle() {
    for (std::size_t worker = 0; worker < workers_.size(); ++worker) {
        pool& core = core_of(worker);
        serve_neighbours_replay(worker);
        while (core.first_to_serve() != nullptr) {
            const pool::checkout found = core.take_idle(clock());
            if (found.server == nullptr) break;
            static_cast<simulated_client*>(core.next_waiter())->grant(*static_cast<simulated_server*>(found.server));
        }
        look_at_barrier(worker);
        ask_neighbours(worker);
        while (core.may_dial(clock(), false) == pool::dial_answer::yes) start_dial(worker);
    }
}

/// It comes before whoever waits here for new work (D30).
void world::serve_neighbours_replay(std::size_t mine) {
    const auto waits = [this](std::size_t worker) {
        const pool_waiter* const first = core_of(worker).first_to_serve();
        return first != nullptr && first->replays;
    };
    if (core_of(mine).idle() == 0 || waits(mine)) return;
    for (std::size_t other = 0; other < workers_.size(); ++other)
        if (waits(other) && core_of(other).idle() == 0) return hand_over(mine, other);
}

/// Who has nobody to serve gives an idle server to a worker where somebody waits.
void world::ask_neighbours(std::size_t mine) {
    simulated_worker& asks = workers_[mine];
    if (asks.asking || asks.core.first_to_serve() == nullptr || asks.core.idle() > 0) return;
    for (std::size_t other = 0; other < workers_.size(); ++other) {
        if (core_of(other).idle() == 0) continue;
        asks.asking = true;
        return time.in(chance.between(10, letter_time), [this, other, mine] {
            workers_[mine].asking = false;
            hand_over(other, mine);
        });
    }
}

void world::hand_over(std::size_t from, std::size_t to) {
    const pool::checkout found = core_of(from).take_idle(clock());
    if (found.server == nullptr) return;
    auto& server = *static_cast<simulated_server*>(found.server);
    core_of(from).moved_away();
    core_of(to).moved_here();
    server.worker = to;
    ++handed_over;
    if (!core_of(to).put_idle(server, clock())) close(server, false);
}

void world::tick() {
    for (simulated_worker& each : workers_)
        for (pool_waiter* const late : each.core.expired(clock()))
            static_cast<simulated_client*>(late)->refuse(
                client_errors::no_server("the statement", std::chrono::seconds(30), "", "sim"));
    replicate();
    monitor.tick();
    if (primary().now_is != model_host::state::up) note_outage();  // by now the monitor has told
    if (chance.one_in(8)) primary().storage.flush_all();           // the WAL writer
    time.in(tick_pause, [this] { tick(); });
}

void world::start_dial(std::size_t worker) {
    time.in(calm ? 200 : chance.between(200, 5'000), [this, worker] { dial_done(worker); });
}

void world::dial_done(std::size_t worker) {
    pool& core = core_of(worker);
    model_host& host = primary();
    const bool out_of_reach = time.now < unreachable_until_;
    const bool lets_in = host.now_is == model_host::state::up && !host.stopping;
    if (!lets_in || out_of_reach || (sabotage_dials && chance.one_in(3)))
        return core.dial_ended(false, clock(), chance.share());
    servers.push_back(std::make_unique<simulated_server>());
    simulated_server& made = *servers.back();
    made.host = &host;
    made.worker = worker;
    made.backend = &host.connect();
    made.up = std::make_unique<byte_line>(
        time, chance,
        [this, &made](std::string_view bytes) {
            made.backend->receive(bytes);
            poke(*made.host);
        },
        [this, &made](bool reset) {
            made.backend->peer_closed(reset);
            poke(*made.host);
        });
    made.down = std::make_unique<byte_line>(
        time, chance, [this, &made](std::string_view bytes) { arrived(made, bytes); },
        [this, &made](bool reset) {
            server_gone(made, reset ? failure_kind::reset : failure_kind::closed,
                        reset ? "Connection reset by peer" : "server closed the connection");
        });
    made.up->calm = made.down->calm = calm;
    made.link.backend_pid = made.backend->pid;
    made.link.backend_name = fmt::format("host{}:5432", hosts.size());
    made.link.server_version_num = 150000;
    made.link.started_at = std::to_string(host.started);
    made.link.timeline = host.storage.timeline();
    made.link.life = host.life();
    made.link.may_capture = made.link.may_rewrite = true;
    made.link.backend_started = made.backend->pid;
    made.link.host = hosts.size() - 1;
    made.link.applied = tables.settings.none();
    const auto reported = made.backend->reported();
    made.link.reported = tables.reported.of({reported.begin(), reported.end()});
    core.dial_ended(true, clock(), chance.share());
    core.adopt(made, clock(), chance.share());
    if (on_dialled) on_dialled(made);
    trace(fmt::format("server {} opened on host {}", made.backend->pid, hosts.size()));
    if (!core.put_idle(made, clock())) close(made, false);
}

void world::give_back(simulated_server& server, session_actions::release how) {
    server.client = nullptr;
    const bool reuse = how == session_actions::release::reuse;
    if (reuse && !server.closed) {
        // Behind its last answer can be the beginning of what the server says by itself.
        const bool asynchronous =
            server.arrived.empty() || std::string_view("ENSA").find(server.arrived[0]) != std::string_view::npos;
        const bool rests = server.link.at_rest() && server.link.notes.empty() && asynchronous;
        if (!rests) problem("a server was given back that is not at rest");
        if (!server.backend->ended() && (server.backend->in_transaction() || !server.backend->clean()))
            problem(fmt::format("server {} was given back in a transaction, or listening", server.backend->pid));
        if (core_of(server.worker).put_idle(server, clock())) return;
    }
    if (how != session_actions::release::reuse && how != session_actions::release::reset) fence(server);
    close(server, !server.link.at_rest());
}

void world::close(simulated_server& server, bool abruptly) {
    if (server.closed) return;
    server.closed = true;
    trace(fmt::format("server {} closed{}", server.backend->pid, abruptly ? " abruptly" : ""));
    if (!abruptly) server.up->send(testing::client::terminate());
    server.up->end(abruptly);
    core_of(server.worker).closed(server);
}

/// What it was doing is brought to its end, as far as the proxy gets through; never what waits for a standby (T7).
void world::fence(simulated_server& whom) {
    if (!fences || whom.up->silent() || chance.one_in(4)) return;
    time.in(chance.between(1'000, 40'000), [this, &whom] {
        if (whom.host->now_is != model_host::state::up || whom.backend->ended() || whom.backend->waits_for_standby())
            return;
        trace(fmt::format("server {} is fenced", whom.backend->pid));
        whom.backend->terminate();
        poke(*whom.host);
    });
}

void world::end_of_backend(simulated_server& whom, std::function<void(bool)> told) {
    if (chance.one_in(10)) return time.in(chance.between(100, 5'000), [told] { told(false); });  // not allowed to
    pursue(whom, time.now + fence_patience, std::move(told));
}

void world::pursue(simulated_server& whom, micros until, std::function<void(bool)> told) {
    time.in(chance.between(100, 20'000), [this, &whom, until, told = std::move(told)]() mutable {
        if (whom.backend->ended()) return told(true);  // by itself, or with its server
        if (time.now > until) return told(false);
        if (!whom.backend->waits_for_standby()) {
            trace(fmt::format("server {} is fenced for a replay", whom.backend->pid));
            whom.backend->terminate();
            poke(*whom.host);
        }
        pursue(whom, until, std::move(told));
    });
}

std::size_t world::open_servers() const {
    return static_cast<std::size_t>(
        std::count_if(servers.begin(), servers.end(), [](const auto& each) { return !each->closed; }));
}

// ------------------------------------------------------------------------------------------ bytes

void world::to_backend(simulated_server& server, std::string_view bytes) {
    if (story) trace(fmt::format("to server {}: {}", server.backend->pid, testing::types_of(bytes)));
    server.up->send(bytes);
    if (ambushes_.empty() || bytes.find("commit") == std::string_view::npos) return;
    time.in(chance.between(0, ambush_reach), std::move(ambushes_.back()));
    ambushes_.pop_back();
}

void world::poke(model_host& host) {
    host.now = time.now;
    (void)host.settle();
    pass_on(host);
    const auto wake = host.next_wake();
    if (!wake || (host.woken_at > time.now && host.woken_at <= *wake)) return;
    host.woken_at = *wake;
    time.at(*wake, [this, &host] { poke(host); });
}

void world::pass_on(model_host& host) {
    for (const auto& each : servers) {
        if (each->host != &host) continue;
        if (each->backend->has_output()) {
            const std::string said = each->backend->take_output();
            if (!each->closed) each->down->send(said);
        }
        if (each->backend->ended() && !each->backend_told) {
            each->backend_told = true;
            each->down->end(false);
        }
    }
}

void world::arrived(simulated_server& at, std::string_view bytes) {
    if (at.closed) return;
    if (story) trace(fmt::format("from server {}: {} bytes", at.backend->pid, bytes.size()));
    at.arrived += bytes;
    if (at.client != nullptr) return at.client->server_bytes();
    if (!take_unattached(at)) server_gone(at, failure_kind::none, at.link.last_words);
}

/// Nobody has it: only a farewell or a ParameterStatus can come. False: it is ending.
bool world::take_unattached(simulated_server& at) {
    for (;;) {
        const frame_header header = read_frame_header(at.arrived);
        if (header.state != frame_header::status::ok || at.arrived.size() < header.total) return true;
        const std::string frame = at.arrived.substr(0, header.total);
        at.arrived.erase(0, header.total);
        if (header.type != backend_message::error_response && header.type != backend_message::notice_response) continue;
        error_fields fields;
        (void)parse_error_fields(std::string_view(frame).substr(frame_header_size), fields);
        const recovery_verdict verdict = judge(signal_of(fields, failure_phase::resting));
        if (!verdict.connection_over) continue;
        at.link.verdict = verdict;
        at.link.last_words = fields.severity + ' ' + fields.sqlstate + ' ' + fields.message;
        return false;
    }
}

void world::server_gone(simulated_server& at, failure_kind kind, std::string_view what) {
    if (at.closed) return;
    trace(fmt::format("server {} lost: {}", at.backend->pid, what));
    if (!at.link.verdict)
        at.link.verdict = judge(kind, at.client != nullptr ? at.link.doing() : failure_phase::resting);
    if (at.client != nullptr && at.client->holding_answer()) {
        at.client->take_farewell();
        if (at.closed) return;
    }
    const std::string words = at.link.last_words.empty() ? std::string(what) : at.link.last_words;
    if (at.client != nullptr) return at.client->server_lost(words);  // gives it back
    (void)core_of(at.worker).remove_idle(at);
    close(at, true);
}

// ------------------------------------------------------------------------------------------ what goes wrong

simulated_server* world::any_server(bool serving) {
    std::vector<simulated_server*> fit;
    for (const auto& each : servers)
        if (!each->closed && !each->backend->ended() && (!serving || each->client != nullptr))
            fit.push_back(each.get());
    return fit.empty() ? nullptr : fit[chance.below(fit.size())];
}

void world::lose(simulated_server& which, loss how) {
    if (which.closed) return;
    trace(fmt::format("FAULT server {}: {}", which.backend->pid,
                      how == loss::reset     ? "reset"
                      : how == loss::orderly ? "end of stream"
                                             : "silence"));
    if (how != loss::silence) {
        which.up->end(how == loss::reset);
        which.backend_told = true;
        which.down->end(how == loss::reset);
        return;
    }
    which.up->fall_silent();
    which.down->fall_silent();
    time.in(silence_noticed, [this, &which] { server_gone(which, failure_kind::timed_out, "does not answer"); });
    time.in(keepalive_patience, [this, &which] {
        which.backend->peer_closed(true);
        poke(*which.host);
    });
}

void world::terminate_backend(simulated_server& which) {
    trace(fmt::format("FAULT server {} is terminated", which.backend->pid));
    which.backend->terminate();
    poke(*which.host);
}

void world::crash_backend(simulated_server& which, micros recovery) {
    model_host& host = *which.host;
    if (host.now_is != model_host::state::up || host.stopping || which.backend->ended()) return;
    trace(fmt::format("FAULT server {} is killed", which.backend->pid));
    host.backend_crashes(*which.backend);
    life_over(host);
    poke(host);
    time.in(recovery, [this, &host] {
        if (host.now_is == model_host::state::recovering) came_up(host);
        trace("recovered");
    });
}

void world::restart_immediately(micros down, bool words) {
    model_host& host = primary();
    if (host.now_is != model_host::state::up || host.stopping) return;
    trace("FAULT the primary stops at once");
    host.stop_immediately(words);
    life_over(host);
    poke(host);
    time.in(down, [this, &host] {
        if (&host == &primary()) host.start(), came_up(host);
        trace("started");
    });
}

void world::restart_cleanly(micros down) {
    model_host& host = primary();
    if (host.now_is != model_host::state::up || host.stopping) return;
    trace("FAULT the primary is restarted");
    host.now = time.now;
    host.stop_fast();
    life_over(host);
    poke(host);
    time.in(down, [this, &host] {
        if (&host == &primary()) host.start(), came_up(host);
        trace("started");
    });
}

void world::stop_in_turn(micros within, micros down, bool switches) {
    model_host& host = primary();
    if (host.now_is != model_host::state::up || host.stopping) return;
    trace("FAULT the primary stops, and its backends one after another");
    host.stopping = true;
    std::vector<micros> pauses;
    for (std::size_t i = 0; i < host.backends.size(); ++i) pauses.push_back(chance.between(letting_go, within));
    end_in_turn(host, 0, std::move(pauses), [this, &host, down, switches] {
        if (host.now_is != model_host::state::up) return;
        host.now = time.now;
        host.stop_fast();
        life_over(host);
        poke(host);
        time.in(down, [this, &host, switches] {
            if (&host != &primary()) return;
            if (switches) promote(host, host.storage.end());
            else host.start(), came_up(host);
            trace("started");
        });
    });
}

/// Each says that it ends before it lets go of its locks.
void world::end_in_turn(model_host& host, std::size_t next, std::vector<micros> pauses, std::function<void()> over) {
    while (next < pauses.size() && host.backends[next]->ended()) ++next;
    if (host.now_is != model_host::state::up) {
        host.stopping = false;
        return;
    }
    if (next >= pauses.size()) return over();
    host.now = time.now;
    host.backends[next]->terminate();
    (void)host.backends[next]->advance();
    pass_on(host);
    time.in(letting_go, [this, &host] { poke(host); });
    const micros pause = pauses[next];
    time.in(pause, [this, &host, next, pauses = std::move(pauses), over = std::move(over)]() mutable {
        end_in_turn(host, next + 1, std::move(pauses), std::move(over));
    });
}

void world::standby_away(bool away) {
    if (std::exchange(standby_is_away, away) != away) ++receiver;
}

void world::life_over(const model_host& host) {
    ++receiver;
    if (&host == &primary()) note_outage();
    const auto at = std::find_if(hosts.begin(), hosts.end(), [&](const auto& each) { return each.get() == &host; });
    monitor.life_ended(static_cast<std::size_t>(at - hosts.begin()));
}

void world::came_up(model_host& host) {
    host.now_is = model_host::state::up;
    host.up_since = time.now;
    if (!outsiders) return;
    for (std::int64_t left = chance.between(0, 5); left > 0; --left) write_as_outsider(host.storage);
}

void world::write_as_outsider(model_storage& at) {
    const xid x = at.assign();
    (void)at.write(x);
    if (chance.one_in(4)) return at.abort(x);
    at.flush(at.write_commit(x, {{change::kind::log_row, fmt::format("outsider {}", ++outsiders_rows_), 0, 0}}));
    at.make_visible(x);
}

bool world::settled_in(const model_host& host) const {
    return host.up_since == 0 || time.now - host.up_since >= lineage::blind_at_most / std::chrono::microseconds(1);
}

// ------------------------------------------------------------------------------------------ COMMITs in doubt

void world::observe() {
    facts.system_of = [](std::size_t) { return std::string(model_host::system); };
    facts.observe = [this](in_doubt_facts& found, const commit_capture& captured) { monitor.inform(found, captured); };
    facts.resolved = [this](const in_doubt_report& what) { check_resolved(what); };
    facts.capture_failed = [this](std::string_view sqlstate) { problem("a capture failed: " + std::string(sqlstate)); };
}

/// What is said for certain is held against the log of the server that it was asked of, which tells transactions with the
/// same number apart.
void world::check_resolved(const in_doubt_report& what) {
    const std::string told = fmt::format("{} {}", to_string(what.found.what), to_string(what.found.path));
    ++resolved[told];
    trace(fmt::format("transaction {} of host {}: {}", what.captured.xid, what.captured.host + 1, told));
    const bool committed = what.found.what == in_doubt_outcome::committed;
    if (!committed && what.found.what != in_doubt_outcome::not_committed) return;
    const auto origin = static_cast<std::uint64_t>(what.captured.server.statistics_since);
    const bool there = hosts[what.facts.host]->storage.has_committed(origin, what.captured.xid);
    if (there != committed) problem(fmt::format("a COMMIT was judged {}, and that is not so", told));
}

void world::restart_twice_unseen(micros down) {
    if (primary().now_is != model_host::state::up || primary().stopping) return;
    const micros again = down + lineage::blind_at_most / std::chrono::microseconds(1) + chance.between(0, 500'000);
    monitor.sleep(again + 2 * down);
    unreachable_until_ = time.now + again + 1;
    restart_immediately(down, true);
    time.in(again, [this, down] { restart_immediately(down, true); });
}

/// Flushed log reaches the standby sooner or later.
void world::replicate() {
    if (standby_is_away) return;
    model_host& host = primary();
    const lsn flushed = host.storage.flushed();
    if (host.replicated >= flushed) return;
    time.in(chance.between(100, 3'000), [this, &host, flushed] {
        if (standby_is_away || &host != &primary() || host.now_is != model_host::state::up) return;
        host.replicated = std::max(host.replicated, std::min(flushed, host.storage.flushed()));
        poke(host);
    });
}

void world::fail_over(micros down) {
    model_host& old = primary();
    if (old.now_is != model_host::state::up || old.stopping) return;
    trace("FAULT the primary is gone, its standby takes over");
    const lsn received = old.replicated;
    old.stop_immediately(chance.one_in(2));
    life_over(old);
    poke(old);
    time.in(down, [this, &old, received] {
        promote(old, received);
        trace("promoted");
    });
}

void world::promote(model_host& old, lsn received) {
    for (std::string& row : old.storage.effects_behind(received)) lost_by_failover.push_back(std::move(row));
    auto next = std::make_unique<model_host>();
    next->chance = &chance;
    next->waits_for_standby = old.waits_for_standby;
    next->lazy_flush = old.lazy_flush;
    next->now = time.now;
    next->be_host(hosts.size());
    next->promote_from(old, received);
    hosts.push_back(std::move(next));
    came_up(primary());
    ++failovers;
}

}  // namespace pgsteady::simulation
