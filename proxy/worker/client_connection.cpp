// See client_connection.hpp. Sign-in is in client_sign_in.cpp.
#include "proxy/worker/client_connection.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/policy/client_timeouts.hpp"
#include "proxy/policy/retry_schedule.hpp"
#include "proxy/policy/right_of_way.hpp"
#include "proxy/session/redact.hpp"
#include "proxy/sql/normalized.hpp"
#include "proxy/sql/statement_effects.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/server_connection.hpp"
#include "proxy/worker/worker.hpp"

#include <cstring>

namespace pgsteady {

namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr int reads_per_turn = 8;
constexpr auto listen_pause = std::chrono::seconds(1);
constexpr auto linger_time = std::chrono::milliseconds(500);
constexpr auto farewell_time = std::chrono::seconds(10);  // for a client that does not read
// What a client may have sent ahead while it waits for a server: beyond this its socket is left alone.
constexpr std::size_t ahead_limit = 128 * 1024;

timeout_limits limits_of(const config::timeout_settings& from) {
    return {from.statement, from.transaction, from.idle_in_transaction, from.client_idle};
}

}  // namespace

void client_connection::on_readable() {
    const auto self = shared_from_this();
    read_some();
    worker_.settle();
}

void client_connection::on_writable() {
    const auto self = shared_from_this();
    if (closed_ || handshaking_) return;
    if (!unsent_.empty()) {
        const net::io_result sent = stream_->write(unsent_);
        if (sent.result == net::io_result::kind::error) return close(end_reason::client_gone);
        unsent_.erase(0, sent.bytes);
        if (unsent_.empty()) unsent_.shrink_to_fit();
    }
    if (unsent_.empty() && !stream_->write_blocked()) {
        if (closing_ != end_reason::none) return finish_closing();
        if (session_ != nullptr) session_->deliver_if_idle(), flush();
        if (server_ != nullptr) server_->resume_reading();
    }
    worker_.settle();
}

void client_connection::read_some() {
    if (handshaking_) return;
    std::string& scratch = worker_.scratch();
    for (int round = 0; round < reads_per_turn && !closed_; ++round) {
        if (closing_ != end_reason::none) return discard_input();
        if (server_ != nullptr && server_->write_blocked()) return;  // back-pressure
        const std::size_t had = pending_in_.size();
        if (had >= ahead_limit) {  // its input is left alone, but if it has left, so does its place in the queue (T28)
            if (queued && stream_->hangup_seen()) close(end_reason::client_gone);
            return;
        }
        if (scratch.size() < had + read_size) scratch.resize(had + read_size);
        if (had > 0) std::memcpy(scratch.data(), pending_in_.data(), had);
        const net::io_result got = stream_->read({scratch.data() + had, read_size});
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return close(end_reason::client_gone);
        worker_.counters().client_bytes_in.add(got.bytes);
        if (pool_ != nullptr) pool_->served.bytes_in += got.bytes;
        take({scratch.data(), had + got.bytes});
        if (closed_ || handshaking_ || !stream_->readable()) return;
    }
    if (!closed_ && stream_->readable() && pending_in_.size() < ahead_limit)  // a fair share: the rest in the next turn
        read_later();
}

void client_connection::read_later() {
    worker_.loop().defer([self = weak_from_this()] {
        if (const auto alive = self.lock(); alive != nullptr && !alive->closed_) alive->on_readable();
    });
}

// The farewell is still being written: what the client says now is read only so that it can hear it.
void client_connection::discard_input() {
    std::string& scratch = worker_.scratch();
    for (int round = 0; round < reads_per_turn; ++round) {
        const net::io_result got = stream_->read({scratch.data(), read_size});
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return close(closing_);
    }
    read_later();
}

void client_connection::take(std::string_view in) {
    if (relaying_) return relay(in);
    if (session_ == nullptr) {
        const std::size_t used = sign_in(in);
        if (closed_) return;
        in.remove_prefix(used);
    }
    if (session_ == nullptr || !session_->ready() || pausing_ || awaiting_fence_) {
        pending_in_.assign(in);
        return;
    }
    converse(in);
}

/// Gives the session bytes until it wants no more, doing in between what it asks for.
void client_connection::converse(std::string_view in) {
    last_activity_ = worker_.loop().now();
    while (!closed_) {
        const std::size_t used = session_->on_client_bytes(in);
        in.remove_prefix(used);
        flush();
        const bool went_on = act();
        if (closed_) return;
        if (in.empty() || (used == 0 && !went_on) || session_->waiting()) break;
        if (server_ != nullptr && server_->write_blocked()) break;
    }
    (void)count_requests();  // those that needed no server
    if (active_since_ == pool_time{} && (session_->busy() || session_->waiting())) active_since_ = worker_.loop().now();
    if (in.empty()) {
        if (!pending_in_.empty()) pending_in_.clear(), pending_in_.shrink_to_fit();
    } else if (in.data() != pending_in_.data() || in.size() != pending_in_.size()) {
        pending_in_ = std::string(in);
    }
    if (queued) pool_->sent_ahead(*this, pending_in_.size());
}

/// Offers what the client had sent ahead.
void client_connection::offer_pending() {
    if (closed_ || pausing_ || awaiting_fence_ || pending_in_.empty() || session_ == nullptr || !session_->ready())
        return;
    const std::string ahead = std::move(pending_in_);
    pending_in_.clear();
    converse(ahead);
    if (!closed_ && pending_in_.size() < ahead_limit && stream_->readable()) read_some();
}

/// Does what the session asks for. True: something changed, so that input may be taken again.
bool client_connection::act() {
    const session_actions asked = session_->take_actions();
    bool changed = false;
    if (asked.channels_changed) pool_->listener().follow(*this, session_->shared_channels());
    if (asked.sync_listener) pool_->listener().sync(*this, session_->awaits_channel());
    if (asked.take_back) take_requests_back(asked);
    if (asked.restored) pool_->restored(*this);
    if (asked.loses_locks) pool_->hold_answers();
    if (asked.not_primary && server_ != nullptr) pool_->not_primary(*server_);
    if (asked.storage_failing && server_ != nullptr) pool_->storage_failing(*server_);
    if (asked.asks_role && server_ != nullptr) begin_role_wait();
    if (asked.give_back != session_actions::release::no && server_ != nullptr) {
        server_connection* server = detach_server();
        const bool gives_up = asked.give_back == session_actions::release::discard && !server->link.verdict;
        const bool working = asked.reason == end_reason::server_violation || !server->link.tracker.empty();
        if (gives_up && working) pool_->fence(server->identity(), fence_need::terminate, worker_.new_incident());
        if (draining_ && asked.give_back == session_actions::release::reuse) changed = false;
        pool_->give_back(*server, asked.give_back);
        changed = true;
    }
    if (asked.close_client) {
        close_when_flushed(asked.reason);
        return true;
    }
    if (asked.listen_later) listen_after_pause();
    if (asked.ask_later) ask_after_pause(*asked.ask_later);
    if (asked.want_server) {
        if (!session_->redoing()) forget_failure();
        waits_at_most = patience_of_retry();
        if (server_connection* server = pool_->request(*this, session_->need(), failed_since_)) {
            take_server(*server);
            changed = true;
        }
    }
    if (draining_ && session_->ready() && session_->idle() && pending_in_.empty()) {
        send_away();
        return true;
    }
    return changed;
}

/// What a lost server left unanswered is offered to the session again, before anything newer. The first time at once:
/// the wait for a server is the pause, and an event ends it (D4). Where that has not helped, or others are at the same
/// rows, after a drawn one.
void client_connection::take_requests_back(const session_actions& asked) {
    pending_in_.insert(0, session_->take_requests_back());
    ++retried_;
    retried_because_ = asked.conflict      ? retry_cause::conflict
                       : asked.not_primary ? retry_cause::role
                                           : retry_cause::connection;
    count_retries(retry_outcome::attempted, 1);
    if (failed_since_ == pool_time{}) failed_since_ = worker_.loop().now();
    if (asked.replays) begin_replay(asked);
    if (asked.attempt < 2 && !asked.conflict) return;
    const std::uint32_t attempt = asked.conflict ? asked.attempt : asked.attempt - 1;
    const auto pause = retry_pause(pool_->facts.retry, session_->limits().strategy, attempt, random_share());
    pausing_ = true;
    worker_.loop().cancel_timer(pause_timer_);
    pause_timer_ = worker_.loop().add_timer(worker_.loop().now() + pause, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr) return;
        alive->end_pause();
        alive->worker_.settle();
    });
}

/// What was to be sent again has been answered otherwise: what comes next has its own time to wait (D3).
void client_connection::forget_failure() {
    if (retried_ > 0) count_retries(retry_outcome::failed, 1);
    retried_ = 0;
    failed_since_ = {};
}

/// What a statement that is sent again may wait, if its client wants that to be less than others may; 0: it does not.
pool_duration client_connection::patience_of_retry() const {
    if (failed_since_ == pool_time{}) return {};
    const pool_duration wished = session_->limits().timeout;
    return wished != pool_duration(pool_->facts.hold_timeout) ? wished : pool_duration{};
}

void client_connection::end_pause() {
    pausing_ = false;
    worker_.loop().cancel_timer(pause_timer_);
    offer_pending();
}

/// An unfinished result is kept back for a while, not for good (D26).
void client_connection::watch_result() {
    const bool keeps = session_->keeps_result_back();
    if (keeps == keeping_result_) return;
    keeping_result_ = keeps;
    worker_.loop().cancel_timer(result_timer_);
    if (!keeps) return;
    result_timer_ =
        worker_.loop().add_timer(worker_.loop().now() + pool_->facts.retry.result_hold_time, [self = weak_from_this()] {
            const auto alive = self.lock();
            if (alive == nullptr || alive->closed_) return;
            alive->keeping_result_ = false;
            if (alive->awaiting_role_) return alive->watch_result();
            alive->session_->end_result_hold();
            alive->flush();
        });
}

/// It listens, has no server, and does nothing that would bring one: without a pause, a refusal would be asked for again.
void client_connection::listen_after_pause() {
    worker_.loop().cancel_timer(listen_timer_);
    listen_timer_ = worker_.loop().add_timer(worker_.loop().now() + listen_pause, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr || alive->closed_) return;
        alive->session_->resume_listening();
        (void)alive->act();
        alive->worker_.settle();
    });
}

/// What became of its COMMIT is not known yet, and may be soon.
void client_connection::ask_after_pause(pool_duration pause) {
    worker_.loop().cancel_timer(doubt_timer_);
    doubt_timer_ = worker_.loop().add_timer(worker_.loop().now() + pause, [self = weak_from_this()] {
        const auto alive = self.lock();
        if (alive == nullptr || alive->closed_) return;
        alive->session_->resume_resolving();
        alive->offer_pending();
        alive->worker_.settle();
    });
}

/// The cluster's mode has changed while it waits: what it waits for may be had elsewhere now (D3).
void client_connection::reconsider() {
    if (!queued || session_ == nullptr) return;
    session_->reconsider(pending_in_);
    if (session_->need() == need) return;
    const auto self = shared_from_this();
    const pool_time since = waits_since;
    const bool was_held = std::exchange(held, false);  // it goes on waiting, or is served: not an end
    pool_->leave_queue(*this);
    server_connection* server = pool_->request(*this, session_->need(), since);
    if (server == nullptr) return;
    if (was_held) worker_.counters().holds[static_cast<std::size_t>(hold_outcome::served)].add();
    take_server(*server);
    offer_pending();
}

void client_connection::take_server(server_connection& server) {
    server_ = &server;
    attached_since_ = worker_.loop().now();
    server.attach(*this);
    session_->on_server(server.link);
    if (barrier_number != 0) claim_rows_in(right_of_way::patience);
    flush();
    (void)act();
}

server_connection* client_connection::detach_server() {
    pool_->served.attached += worker_.loop().now() - attached_since_;
    if (answer_hold_.on()) end_answer_hold();
    return std::exchange(server_, nullptr);
}

void client_connection::grant(server_connection& server) {
    const auto self = shared_from_this();
    server_connection* granted = &server;
    if (server.now() == server_connection::phase::closed)  // it died in the same event, after it was promised
        granted = pool_->request(*this, need, waits_since);
    if (granted == nullptr) return;
    take_server(*granted);
    offer_pending();
}

void client_connection::refuse(const error_fields& why) {
    const auto self = shared_from_this();
    session_->refuse_waiting(why);
    flush();
    (void)act();
    offer_pending();
}

void client_connection::notice(const error_fields& what) {
    std::string out;
    append_notice_response(out, what);
    send(out);
}

void client_connection::server_bytes(std::string_view in, std::size_t& used) {
    last_activity_ = worker_.loop().now();
    if (relaying_) {
        used = in.size();
        gather output;
        output.view(in);
        return write(output);
    }
    if (last_activity_ < pool_->answers_held_until() && hold_answer()) return;
    const bool waited = active_since_ != pool_time{} && last_activity_ - active_since_ >= answer_hold::worth_asking;
    if (waited && ask_other_workers()) return;
    take_server_bytes(in, used);
}

void client_connection::take_server_bytes(std::string_view in, std::size_t& used) {
    if (first_byte_at_ == pool_time{}) first_byte_at_ = last_activity_;
    const bool slow = pool_->slow_after.count() > 0 && is_slow(last_activity_);
    if (slow) session_->remember_texts(true);
    used = session_->on_server_bytes(in);
    if (slow) session_->remember_texts(false);
    flush();
    watch_result();
    (void)count_requests();
    (void)act();
}

void client_connection::server_bytes_taken() {
    if (!pending_in_.empty()) offer_pending();
}

void client_connection::server_lost(std::string_view words) {
    const auto self = shared_from_this();
    if (relaying_) return close_when_flushed(end_reason::server_lost);  // what it said last has been passed on
    role_is_lost();
    if (server_ == nullptr) return;
    if (answer_hold_.on()) end_answer_hold();
    const server_connection* const lost = server_;
    const std::string incident =
        worker_.tell_incident("client {} ({}@{}) lost its server {}: {}: {}", serial_, user_, database_,
                              server_->link.backend_name, to_string(server_->link.verdict.name), words);
    pool_->follow_live_policies();
    fence_facts what{.how = server_->link.verdict.name, .working = session_->busy() || session_->in_transaction()};
    what.may_commit = server_->link.transaction_status == 'I';
    lost_backend whom = server_->identity();
    const bool on_primary = server_->serves() == server_need::primary;
    replay_incident_ = incident;
    session_->on_server_lost(words, incident);
    flush();
    watch_result();
    const request_report done = count_requests();
    if (done.commits_pending > 0) pool_->enter_barrier(*this);
    (void)act();
    if (server_ != nullptr && server_ == lost) {  // the session had ended already
        server_connection* server = detach_server();
        pool_->give_back(*server, session_actions::release::discard);
    }
    offer_pending();
    // What it goes on sending, in the middle of a COPY, was left in its socket while the server took nothing; no event tells of it.
    if (!closed_ && stream_ != nullptr && stream_->readable()) read_later();
    if (on_primary || awaiting_fence_) fence_lost(std::move(whom), what, done, incident);
}

/// What the lost server may still be doing is brought to its end, after the client has been served.
void client_connection::fence_lost(lost_backend whom, fence_facts what, const request_report& done,
                                   std::string incident) {
    const std::uint32_t commits = done.lost[2] + done.lost[3] + done.commits_pending;
    const bool told_nothing = session_->ended();  // its requests had no fate
    // Who waits for its end must be told of it, which nobody is of a cancel: a replay that had only sent its BEGIN, too.
    what.only_reads = !awaiting_fence_ && !told_nothing && commits + done.lost[0] == 0 &&
                      done.retries == done.reads_again && what.may_commit;
    what.may_commit = told_nothing || commits > 0;
    if (awaiting_fence_) return await_fence(std::move(whom), need_of(what), std::move(incident));
    pool_->fence(std::move(whom), need_of(what), std::move(incident));
}

void client_connection::server_writable() {
    if (closed_) return;
    const auto self = shared_from_this();
    offer_pending();
    if (!closed_ && stream_->readable()) read_some();
}

/// Besides the requests themselves: what hardly any of them has.
void client_connection::count_seldom(const request_report& done) {
    worker_counters& counters = worker_.counters();
    if (done.restores != 0) counters.restores.add(done.restores);
    if (done.pins != 0) counters.pins.add(done.pins);
    if (done.retries != 0) counters.retries.add(done.retries);
    if (done.changed_schema) pool_->shared->schema_version.fetch_add(1, std::memory_order_relaxed);
    if (done.proofs_asked != 0) counters.proofs_asked.add(done.proofs_asked);
    if (done.proofs_known != 0) counters.proofs_known.add(done.proofs_known);
    if (done.notifications_overflowed != 0) counters.notifications_overflowed.add(done.notifications_overflowed);
    if (done.channels_dropped != 0) counters.channels_dropped.add(done.channels_dropped);
    if (done.captures != 0) counters.captures.add(done.captures);
    if (done.withheld != 0) counters.withheld.add(done.withheld);
    count_replays(done);
    for (std::size_t i = 0; i < counters.lost.size(); ++i)
        if (done.lost[i] != 0) counters.lost[i].add(done.lost[i]);
}

/// What is done since the last call, counted.
request_report client_connection::count_requests() {
    if (!session_->reports()) return {};
    const request_report done = session_->take_report();
    worker_counters& counters = worker_.counters();
    if (done.seldom) count_seldom(done);
    if (barrier_number != 0) look_at_barrier(done);
    if (done.requests == 0) return done;
    counters.statements.add(done.requests);
    if (done.wrote) wrote_at = pool_->shared->backends_of->newest_sample();
    const pool_time now = worker_.loop().now();
    if (failed_since_ != pool_time{} && retried_ > 0) {
        count_retries(done.errors == 0 ? retry_outcome::answered : retry_outcome::failed, 1);
        if (done.errors == 0) counters.recovered.add(), counters.recovery_seconds.observe(now - failed_since_);
        retried_ = 0;
        failed_since_ = {};
    }
    count_durations(done, now);
    if (pool_->slow_after.count() > 0 && is_slow(now)) log_slow(now);
    // What a pipeline still has in it begins where this one ends.
    active_since_ = session_->busy() || session_->waiting() ? now : pool_time{};
    first_byte_at_ = {};
    note_transaction(now);
    statement_cancelled_ = false;
    answer_hold_.answered();
    return done;
}

void client_connection::count_durations(const request_report& done, pool_time now) {
    const auto operation = static_cast<std::size_t>(done.what);
    const pool_duration took = active_since_ != pool_time{} ? now - active_since_ : pool_duration::zero();
    const std::uint32_t errors = std::min(done.errors, done.requests);
    const std::size_t bucket = duration_histogram::bucket_of(took);
    worker_counters& counters = worker_.counters();
    if (errors != done.requests) counters.requests[operation][0].add(bucket, took, done.requests - errors);
    if (errors != 0) counters.requests[operation][1].add(bucket, took, errors);
    pool_->counts.total[operation].add(bucket, took, done.requests);
    pool_->served.requests += done.requests;
    pool_->served.transactions += done.transactions;
    if (took > pool_duration::zero()) pool_->served.executing += std::min(took, now - attached_since_);
    if (active_since_ == pool_time{} || first_byte_at_ < active_since_) return;
    const pool_duration first = first_byte_at_ - active_since_;
    pool_->counts.first_byte[operation].add(first == took ? bucket : duration_histogram::bucket_of(first), first, 1);
}

void client_connection::count_retries(retry_outcome outcome, std::uint64_t times) {
    worker_.counters().retry_causes[static_cast<std::size_t>(retried_because_)][static_cast<std::size_t>(outcome)].add(
        times);
}

bool client_connection::is_slow(pool_time now) const {
    return active_since_ != pool_time{} && now - active_since_ >= pool_->slow_after;
}

/// D39: without constants; what PostgreSQL's grammar does not know has no text here.
void client_connection::log_slow(pool_time now) {
    const auto milliseconds = [](pool_duration time) {
        return std::chrono::duration<double, std::milli>(time).count();
    };
    const std::string texts = session_->take_texts();
    const std::string shown = redacted(normalized_statement(texts));
    log::warning("slow statement: {:.1f} ms, the last {:.1f} of them its result; client {} ({}@{}) on {}: {}",
                 milliseconds(now - active_since_),
                 first_byte_at_ != pool_time{} ? milliseconds(now - first_byte_at_) : 0.0, serial_, user_, database_,
                 server_ != nullptr ? server_->link.backend_name : std::string("a server that is gone"),
                 shown.empty() ? fmt::format("(a text of {} bytes that cannot be shown)", texts.size()) : shown);
}

void client_connection::note_transaction(pool_time now) {
    if (!session_->in_transaction()) transaction_since_ = {};
    else if (transaction_since_ == pool_time{}) transaction_since_ = now;
}

void client_connection::flush() {
    session_tables& tables = worker_.tables();
    if (!tables.to_server.empty()) {
        if (server_ != nullptr) server_->write(tables.to_server);
        tables.to_server.clear();
    }
    if (!tables.to_client.empty()) {
        write(tables.to_client);
        tables.to_client.clear();
    }
}

void client_connection::write(const gather& output) {
    if (closed_) return;
    worker_.counters().client_bytes_out.add(output.size());
    if (pool_ != nullptr) pool_->served.bytes_out += output.size();
    if (!unsent_.empty()) return output.append_to(unsent_);
    thread_local std::vector<iovec> pieces;
    output.to_iovec(pieces);
    const net::io_result sent = stream_->write(pieces);
    if (sent.bytes < output.size() && sent.result != net::io_result::kind::error) output.append_to(unsent_, sent.bytes);
}

void client_connection::send(std::string_view bytes) {
    gather output;
    output.copy(bytes);
    if (!output.empty()) write(output);
}

/// A CancelRequest for this client (P43-P46).
void client_connection::cancel() {
    if (closed_ || session_ == nullptr) return;
    const auto self = shared_from_this();
    const bool again = session_->replaying() || session_->behind_barrier();
    if (again && !session_->is_awaited(pending_in_.size())) return;  // it asks for nothing that could be cancelled
    if (queued) {
        pool_->leave_queue(*this);
        refuse(client_errors::cancelled(cancelled_incident()));
    } else if (pausing_ || awaiting_fence_) {
        pausing_ = false;
        end_fence_wait();
        worker_.loop().cancel_timer(pause_timer_);
        refuse(client_errors::cancelled(cancelled_incident()));
    } else if (again) {
        // An answer of the server's to a cancel would be taken for another answer than the client was given.
        refuse(client_errors::cancelled(cancelled_incident()));
    } else if (server_ != nullptr && session_->busy()) {
        worker_.cancel_on_server(*server_);
    }
    worker_.settle();
}

std::string client_connection::cancelled_incident() {
    return worker_.tell_incident("client {} ({}@{}) has cancelled what was not sent to a server", serial_, user_,
                                 database_);
}

void client_connection::drain(bool by_force) {
    draining_ = true;
    if (closed_) return;
    const bool idle = (session_ == nullptr && !relaying_) ||
                      (session_ != nullptr && session_->ready() && session_->idle() && pending_in_.empty());
    if (idle || by_force) send_away();
}

/// R15, with the truth about what was under way.
void client_connection::send_away() {
    using enum statement_outcome;
    statement_outcome outcome = not_executed;
    if (session_ != nullptr && !session_->idle()) {
        const bool sent = server_ != nullptr && !server_->link.tracker.empty();
        if (sent || session_->redoing()) outcome = unknown;
        else if (session_->in_transaction()) outcome = rolled_back;
    }
    kill(client_errors::shutting_down(outcome, worker_.farewell_incident()), end_reason::shutdown);
}

void client_connection::kill(const error_fields& why, end_reason reason) {
    if (closed_ || closing_ != end_reason::none) return;
    const auto self = shared_from_this();
    if (session_ != nullptr) {
        session_->end(why, reason);
        flush();
        (void)session_->take_actions();
    } else if (login_ != nullptr && !handshaking_) {
        std::string out;
        (void)login_->refuse(why, out);
        send(out);
    }
    close_when_flushed(reason);
}

bool client_connection::has_timeouts() const {
    return pool_ != nullptr && session_ != nullptr && limits_of(pool_->timeouts).any();
}

void client_connection::check_timeouts(pool_time now) {
    if (closed_ || session_ == nullptr || !session_->ready() || pool_ == nullptr) return;
    client_activity doing;
    doing.working = session_->waiting() || (server_ != nullptr && !server_->link.tracker.empty());
    doing.running = session_->busy();
    doing.in_transaction = session_->in_transaction();
    note_transaction(now);
    doing.request_since = active_since_;
    doing.last_activity = last_activity_;
    doing.transaction_since = transaction_since_;
    switch (judge_timeouts(limits_of(pool_->timeouts), doing, now)) {
        case timeout_verdict::none: return;
        case timeout_verdict::cancel_statement:
            if (!std::exchange(statement_cancelled_, true)) worker_.cancel_on_server(*server_);
            return;
        case timeout_verdict::end_idle_in_transaction:
            return kill(client_errors::idle_in_transaction_timeout(), end_reason::idle_timeout);
        case timeout_verdict::end_transaction:
            return kill(client_errors::transaction_timeout(), end_reason::transaction_timeout);
        case timeout_verdict::end_idle: return kill(client_errors::idle_timeout(), end_reason::idle_timeout);
    }
}

void client_connection::close_when_flushed(end_reason reason) {
    if (closed_) return;
    if (stream_ == nullptr || closing_ != end_reason::none) return close(reason);
    closing_ = reason;
    give_up_server();
    if (unsent_.empty() && stream_->pending_ciphertext() == 0) return finish_closing();
    close_within(farewell_time);
}

/// Everything has been written. A client that was about to send something must still be able to read why it was ended:
/// closing over unread input would reset the connection and throw the farewell away.
void client_connection::finish_closing() {
    const bool unexpected = closing_ == end_reason::idle_timeout || closing_ == end_reason::transaction_timeout ||
                            closing_ == end_reason::statement_mode || closing_ == end_reason::protocol_violation ||
                            closing_ == end_reason::killed || closing_ == end_reason::out_of_memory;
    if (!unexpected || lingering_) return close(closing_);
    lingering_ = true;
    stream_->shutdown_write();
    close_within(linger_time);
    read_later();  // not now: a caller may still need the scratch buffer
}

void client_connection::close_within(pool_duration time) {
    worker_.loop().cancel_timer(end_timer_);
    end_timer_ = worker_.loop().add_timer(worker_.loop().now() + time, [this] { close(closing_); });
}

/// What the session holds goes back, or is closed with what it was doing.
void client_connection::give_up_server() {
    if (pool_ == nullptr) return;
    if (queued) pool_->leave_queue(*this);
    worker_.withdraw_grant(*this);
    if (std::exchange(relaying_, false)) return pool_->end_replication(*detach_server());
    const bool may_commit = session_ != nullptr && session_->may_be_committing();
    if (session_ != nullptr) session_->on_client_gone();
    const session_actions asked = session_ != nullptr ? session_->take_actions() : session_actions{};
    if (server_ == nullptr) return;
    server_connection* server = detach_server();
    const bool wanted =
        asked.give_back == session_actions::release::reuse || asked.give_back == session_actions::release::reset;
    if (wanted) pool_->give_back(*server, asked.give_back);
    else if (server->link.tracker.client_readies_owed() > 0) pool_->abandon(*server, may_commit);
    else pool_->give_back(*server, session_actions::release::discard);
}

void client_connection::close(end_reason reason) {
    if (closed_) return;
    const auto self = shared_from_this();
    closed_ = true;
    end_check();
    give_up_server();
    if (pool_ != nullptr) {
        pool_->leave_barrier(*this);
        pool_->listener().forget(*this);
        end_fence_wait();
        pool_->abandon_verification(*this);
        pool_->client_removed();
    }
    worker_.loop().cancel_timer(login_timer_);
    worker_.loop().cancel_timer(end_timer_);
    worker_.loop().cancel_timer(pause_timer_);
    worker_.loop().cancel_timer(result_timer_);
    worker_.loop().cancel_timer(listen_timer_);
    worker_.loop().cancel_timer(doubt_timer_);
    worker_.loop().cancel_timer(role_timer_);
    worker_.loop().cancel_timer(replay_timer_);
    worker_.loop().cancel_timer(claim_timer_);
    if (stream_ != nullptr) {
        if (stream_->tls()) stream_->shutdown_write();  // close_notify; without TLS closing says it all
        stream_->close(false);
    }
    if (session_ != nullptr) worker_.forget_cancel(session_->client_pid());
    if (admitted_) worker_.shared().leave(user_, database_);
    worker_.counters().clients_closed.add();
    if (worker_.shared().settings().log.connections && reason != end_reason::cancel_request)
        log::info("client {} from {} ended: {} user={} database={}", serial_, peer_, to_string(reason), user_,
                  database_);
    worker_.remove_client(*this);
}

}  // namespace pgsteady
