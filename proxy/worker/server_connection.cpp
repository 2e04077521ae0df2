// See server_connection.hpp.
#include "proxy/worker/server_connection.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/farewell.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/server_setup.hpp"
#include "proxy/worker/shared_listener.hpp"
#include "proxy/worker/worker.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace pgsteady {

namespace {

using tls_mode = server_login::tls_mode;

constexpr std::string_view terminate("X\0\0\0\4", 5);

// The best of five sizes for large results (bench/README.md).
constexpr std::size_t read_size = 128 * 1024;
constexpr int reads_per_turn = 4;

int version_number(const parameter_list& parameters) {
    for (const auto& [name, value] : parameters)
        if (name == "server_version") return std::atoi(value.c_str()) * 10000;
    return 0;
}

open_failure cannot_connect(std::string message, const recovery_verdict& verdict) {
    return {.why = plain_error(sqlstate::sqlclient_unable_to_establish_connection, std::move(message)),
            .verdict = verdict};
}

open_failure cannot_connect(std::string message, failure_kind kind) {
    return cannot_connect(std::move(message), judge(kind, failure_phase::dialling));
}

/// The dial names the address; whose it is has to be said if that is a name.
std::string problem_of(const net::dial_result& from, const std::string& backend) {
    return from.problem.find(backend) != std::string::npos ? from.problem : backend + ": " + from.problem;
}

server_login::channel_binding binding_of(config::channel_binding wanted) {
    using binding = server_login::channel_binding;
    switch (wanted) {
        case config::channel_binding::disable: return binding::disable;
        case config::channel_binding::prefer: return binding::prefer;
        case config::channel_binding::require: return binding::require;
    }
    return binding::require;
}

}  // namespace

server_login::tls_mode tls_mode_of(config::server_tls_mode mode) {
    switch (mode) {
        case config::server_tls_mode::disable: return tls_mode::disable;
        case config::server_tls_mode::allow: return tls_mode::allow;
        case config::server_tls_mode::require: return tls_mode::require;
        case config::server_tls_mode::verify_ca: return tls_mode::verify_ca;
        case config::server_tls_mode::verify_full: return tls_mode::verify_full;
        case config::server_tls_mode::automatic:
        case config::server_tls_mode::prefer: return tls_mode::prefer;
    }
    return tls_mode::prefer;
}

server_login::settings sign_in_of(const config::backend_settings& from) {
    server_login::settings how;
    how.tls = tls_mode_of(from.tls.sslmode);
    how.binding = binding_of(from.tls.binding);
    if (from.tls.negotiation == config::tls_negotiation::direct)
        how.negotiation = server_login::tls_negotiation::direct;
    if (from.max_protocol_version == config::protocol_version::v3_2) how.newest_minor = 2;
    return how;
}

std::string_view to_string(server_connection::phase now) {
    constexpr auto names =
        std::to_array<std::string_view>({"dialling", "signing_in", "setting_up", "preparing", "idle", "serving",
                                         "cooling", "resetting", "preparing_again", "probing", "barrier", "settling",
                                         "fencing", "searching", "abandoned", "leaving", "closed"});
    static_assert(names.size() == static_cast<std::size_t>(server_connection::phase::closed) + 1);
    return names[static_cast<std::size_t>(now)];
}

server_connection::server_connection(worker& at, local_pool& pool, server_need serves)
    : worker_(&at), pool_(&pool), serves_(serves) {
    link.applied = at.tables().settings.none();
    link.reported = at.tables().reported.of({});
}

server_connection::~server_connection() = default;

net::time_point server_connection::deadline() const {
    const auto limit = worker_->shared().settings().connect.timeout;
    return open_started_ + (limit.count() > 0 ? limit : std::chrono::milliseconds(std::chrono::hours(24 * 365)));
}

// ------------------------------------------------------------------------------------------ opening

void server_connection::open(std::optional<trial> trying, dial_target where) {
    trial_ = std::move(trying);
    link.host = where.host % pool_->shared->plan.hosts.size();
    host_fixed_ = where.fixed;
    open_started_ = worker_->loop().now();
    open_timer_ = worker_->loop().add_timer(deadline(), [this] {
        fail_open(cannot_connect("connection to " + link.backend_name + " timed out", failure_kind::timed_out));
    });
    dial_host();
}

void server_connection::dial_host() {
    phase_ = phase::dialling;
    host_ = pool_->shared->plan.hosts[link.host];
    link.backend_name = host_.host + ':' + std::to_string(host_.port);
    dialling_ = net::dial(worker_->loop(), host_.host, host_.port, deadline(),
                          dial_options_of(worker_->shared().settings().connect),
                          [this](net::dial_result result) { on_dialled(std::move(result)); });
}

void server_connection::on_dialled(net::dial_result result) {
    if (result.fd < 0)
        return try_next_host(
            cannot_connect(problem_of(result, link.backend_name),
                           result.unresolved ? failure_kind::unreachable : classify_io(result.error_number, false)));
    stream_ = net::stream::adopt(worker_->loop(), result.fd, this, net::stream::preparation::prepared);
    if (stream_ == nullptr)
        return fail_open({.why = plain_error(sqlstate::insufficient_resources,
                                             std::string("cannot watch a socket: ") + std::strerror(errno))});
    const config::settings& all = worker_->shared().settings();
    const shared_pool::secrets secrets = pool_->shared->current_secrets();
    server_login::settings how = sign_in_of(all.backends);
    const bool as_client = trial_ && trial_->replication == nullptr;
    how.user = as_client ? pool_->shared->plan.user : pool_->shared->plan.server_user;
    how.database = pool_->shared->plan.server_database;
    how.tls = host_.host.starts_with('/') ? tls_mode::disable : tls_override_.value_or(how.tls);
    how.peer_is_loopback_or_unix = stream_->peer_is_local();
    how.password = as_client ? trial_->password : secrets.password;
    if (!as_client) how.secret = secrets.scram;
    if (!as_client) how.md5_hash = secrets.md5_hash;
    if (trial_ && trial_->replication != nullptr) how.extra_startup = *trial_->replication;
    how.nonce_material = random_bytes(24);
    login_ = std::make_unique<server_login>(std::move(how));
    phase_ = phase::signing_in;
    sign_in_started_ = worker_->loop().now();
    std::string out;
    const server_login::step first = login_->begin(out);
    send(out);
    login_step(first);
}

void server_connection::sign_in(std::string_view in, std::size_t& used) {
    if (login_->next_feed_derives_key(in)) {
        used = in.size();
        return derive_key(in);
    }
    std::string out;
    const server_login::step step = login_->feed(in, used, out);
    send(out);
    if (step == server_login::step::start_tls && used < in.size())  // bytes in clear behind the S (P2)
        return fail_open({.why = plain_error(sqlstate::protocol_violation, "unexpected data before the TLS handshake"),
                          .verdict = judge(failure_kind::protocol_violation, failure_phase::dialling)});
    login_step(step);
}

void server_connection::login_step(server_login::step step) {
    switch (step) {
        case server_login::step::need_more: return;
        case server_login::step::start_tls: return begin_handshake();
        case server_login::step::ready: return begin_setup();
        case server_login::step::failed: break;
    }
    const error_fields why = login_->failure();
    const bool from_server = login_->failure_is_from_server();
    if (from_server && try_other_encryption(why.sqlstate)) return;
    open_failure failure{.why = why, .from_server = from_server};
    if (from_server) failure.verdict = judge(signal_of(why, failure_phase::dialling));
    return failure.verdict.strikes_pool ? fail_open(std::move(failure)) : try_next_host(std::move(failure));
}

/// The stream goes to the helper and comes back encrypted, or broken (D40).
void server_connection::begin_handshake() {
    const std::shared_ptr<const net::tls_context> context = worker_->shared().server_tls.get();
    if (context == nullptr || !stream_->start_tls_client(*context, host_.host))
        return fail_open(cannot_connect("TLS to " + link.backend_name + ": " + stream_->handshake_problem(),
                                        failure_kind::tls_failed));
    at_helper_ = true;
    stream_->set_handler(nullptr);
    stream_->leave_loop();
    worker_->shared().helper.shake_hands(
        std::move(stream_),
        [home = worker_, server = weak_from_this(), attempt = attempt_](auto stream, net::stream::handshake result) {
            auto letter = std::make_shared<std::unique_ptr<net::stream>>(std::move(stream));
            home->post([server, attempt, letter, result] {
                const auto alive = server.lock();
                if (alive != nullptr && alive->attempt_ == attempt) alive->handshake_done(std::move(*letter), result);
            });
        });
}

void server_connection::handshake_done(std::unique_ptr<net::stream> stream, net::stream::handshake result) {
    at_helper_ = false;
    stream_ = std::move(stream);
    stream_->set_handler(this);
    if (result != net::stream::handshake::done || !stream_->move_to(worker_->loop())) {
        const std::string problem = stream_->handshake_problem();
        worker_->counters().server_handshakes_failed.add();
        if (!try_other_encryption({}))
            try_next_host(
                cannot_connect("TLS to " + link.backend_name + ": " + (problem.empty() ? "timed out" : problem),
                               problem.empty() ? failure_kind::timed_out : failure_kind::tls_failed));
        return worker_->settle();
    }
    worker_->counters().server_handshakes.add();
    sign_in_started_ = worker_->loop().now();
    std::string out;
    const server_login::step next =
        login_->tls_established(stream_->tls_server_end_point(), stream_->tls_application_protocol(), out);
    send(out);
    if (next != server_login::step::need_more) {
        login_step(next);
        return worker_->settle();
    }
    on_readable();
}

/// The helper feeds the challenge to the sign-in, which costs it a PBKDF2 (D40).
void server_connection::derive_key(std::string_view in) {
    at_helper_ = true;
    auto login = std::make_shared<std::unique_ptr<server_login>>(std::move(login_));
    worker_->shared().helper.run(
        [home = worker_, server = weak_from_this(), attempt = attempt_, login, bytes = std::string(in)] {
            std::size_t used = 0;
            std::string out;
            const server_login::step step = (*login)->feed(bytes, used, out);
            home->post([server, attempt, login, step, rest = bytes.substr(used), out] {
                const auto alive = server.lock();
                if (alive != nullptr && alive->attempt_ == attempt)
                    alive->key_derived(std::move(*login), step, rest, out);
            });
        });
}

void server_connection::key_derived(std::unique_ptr<server_login> login, server_login::step step, std::string rest,
                                    std::string out) {
    at_helper_ = false;
    login_ = std::move(login);
    pending_in_ = std::move(rest);
    send(out);
    login_step(step);
    if (phase_ == phase::signing_in) read_some();
    worker_->settle();
}

/// libpq's second attempt on a new connection: prefer goes on in clear when the handshake fails (`refusal` empty) or
/// the server admits nobody this way, allow goes on with TLS when it admits nobody in clear.
bool server_connection::try_other_encryption(std::string_view refusal) {
    if (tls_override_ || host_.host.starts_with('/')) return false;
    if (!refusal.empty() && refusal != sqlstate::invalid_authorization_specification) return false;
    const tls_mode mode = tls_mode_of(worker_->shared().settings().backends.tls.sslmode);
    const bool encrypted = refusal.empty() || login_->tls_in_use();
    if (mode == tls_mode::prefer && encrypted) tls_override_ = tls_mode::disable;
    else if (mode == tls_mode::allow && !encrypted) tls_override_ = tls_mode::require;
    else return false;
    leave_host();
    dial_host();
    return true;
}

void server_connection::begin_setup() {
    net::clear_user_timeout(stream_->native_handle());  // unacknowledged() looks from now on
    link.backend_pid = login_->backend_pid();
    link.cancel_key = login_->cancel_key();
    link.server_version_num = version_number(login_->parameters());
    link.reported = worker_->tables().reported.of(login_->parameters());
    if (trial_ && !trial_->pooled) {
        worker_->loop().cancel_timer(open_timer_);
        phase_ = phase::idle;
        if (trial_->replication != nullptr) trial_->reported = login_->parameters();
        login_.reset();
        return pool_->trial_passed(*this);
    }
    pool_->counts.auth.observe(worker_->loop().now() - sign_in_started_);
    if (login_->scram_secret_for_cache() && !trial_) pool_->shared->learn_scram(*login_->scram_secret_for_cache());
    login_.reset();
    errand(setup_query(false), phase::setting_up, own_settings());
}

void server_connection::on_setup_done() {
    pool_->report({.host = link.host,
                   .seen = host_report::what::opened,
                   .role = link.standby ? host_role::standby : host_role::primary,
                   .timeline = link.timeline,
                   .words = {}});
    if (std::string unfit = pool_->why_unfit(*this); !unfit.empty())
        return go_to_next_host({.why = plain_error(sqlstate::cannot_connect_now, link.backend_name + ' ' + unfit),
                                .verdict = judge(failure_kind::not_ready, failure_phase::dialling)});
    if (pool_->connect_query.empty()) return on_prepared();
    errand(pool_->connect_query, phase::preparing);
}

/// A server on which the operator's own query fails is of no use: whoever waits for one is told the server's words.
void server_connection::on_connect_query_failed() {
    error_fields why = errand_problem_;
    if (why.sqlstate.empty()) why = plain_error(sqlstate::internal_error, "it left a transaction open");
    recovery_verdict verdict = judge(signal_of(why, failure_phase::dialling));
    why.message = "pool.connect_query failed: " + why.message;
    verdict.strikes_pool = true;
    give_up_opening({.why = std::move(why), .from_server = true, .verdict = verdict});  // says nothing against the host
}

void server_connection::on_prepared() {
    if (serves_ == server_need::primary) pool_->shared->preferred_host = link.host;
    worker_->loop().cancel_timer(open_timer_);
    phase_ = phase::idle;
    worker_->counters().servers_opened.add();
    const pool_duration took = worker_->loop().now() - open_started_;
    worker_->counters().connect_seconds.observe(took);
    pool_->counts.connect.observe(took);
    pool_->opened(*this);
    trial_.reset();
}

void server_connection::leave_host() {
    stream_.reset();
    login_.reset();
    at_helper_ = false;
    asked_less_ = false;
    ++attempt_;
    pending_in_.clear();
    unsent_.clear();
    link.tracker.reset();
    link.notes.clear();
    link.verdict = {};
    link.last_words.clear();
}

void server_connection::try_next_host(open_failure why) {
    pool_->report({.host = link.host,
                   .seen = host_report::what::open_failed,
                   .verdict = why.verdict,
                   .words = why.why.sqlstate + ' ' + why.why.message});
    go_to_next_host(std::move(why));
}

void server_connection::go_to_next_host(open_failure why) {
    const std::size_t hosts = pool_->shared->plan.hosts.size();
    leave_host();
    tls_override_.reset();
    if (host_fixed_ || ++hosts_tried_ >= hosts) return give_up_opening(why);
    link.host = (link.host + 1) % hosts;
    dial_host();
}

void server_connection::fail_open(open_failure why) {
    if (phase_ == phase::closed) return;
    pool_->report({.host = link.host,
                   .seen = host_report::what::open_failed,
                   .verdict = why.verdict,
                   .words = why.why.sqlstate + ' ' + why.why.message});
    give_up_opening(why);
}

void server_connection::give_up_opening(const open_failure& why) {
    if (phase_ == phase::closed) return;
    if (!why.superseded) {
        worker_->counters().dials_failed.add();
        worker_->counters().failures[static_cast<std::size_t>(why.verdict.name)].add();
    }
    close();
    pool_->open_failed(*this, why);
}

void server_connection::host_is_silent() {
    const std::string words = link.backend_name + " does not answer";
    if (phase_ == phase::closed) return;
    if (opening()) return go_to_next_host(cannot_connect(words, failure_kind::timed_out));
    on_lost(words, failure_kind::timed_out);
}

bool server_connection::unacknowledged(std::chrono::milliseconds limit, net::time_point now) {
    if (phase_ == phase::closed || opening() || stream_ == nullptr) return false;
    return acknowledgements_.lost(net::unacknowledged_for(stream_->native_handle()), now, limit);
}

void server_connection::no_longer_wanted() {
    if (phase_ == phase::closed) return;
    condemned = true;
    if (!opening()) return;
    open_failure why{.why = plain_error(sqlstate::cannot_connect_now, link.backend_name + " is not wanted any more")};
    why.superseded = true;
    give_up_opening(why);
}

// ------------------------------------------------------------------------------------------ serving

void server_connection::attach(client_connection& client) {
    client_ = &client;
    phase_ = phase::serving;
}

void server_connection::detach() {
    client_ = nullptr;
    if (phase_ == phase::serving) phase_ = phase::idle;
}

void server_connection::write(const gather& output) {
    if (stream_ == nullptr || output.empty()) return;
    worker_->counters().server_bytes_out.add(output.size());
    if (!unsent_.empty()) return output.append_to(unsent_);
    thread_local std::vector<iovec> pieces;
    output.to_iovec(pieces);
    const net::io_result sent = stream_->write(pieces);
    if (sent.bytes < output.size() && sent.result != net::io_result::kind::error) output.append_to(unsent_, sent.bytes);
}

void server_connection::send(std::string_view bytes) {
    if (bytes.empty()) return;
    gather output;
    output.copy(bytes);
    write(output);
}

void server_connection::resume_reading() {
    if (stream_ != nullptr && (stream_->readable() || !pending_in_.empty())) read_some();
}

void server_connection::offer_again() {
    if (client_ == nullptr || stream_ == nullptr) return;
    const auto self = shared_from_this();
    const std::shared_ptr<client_connection> client = client_->shared_from_this();
    const std::string kept = std::exchange(pending_in_, {});
    std::size_t used = 0;
    client->server_bytes(kept, used);
    if (stream_ != nullptr && used < kept.size()) pending_in_.assign(kept, used);
    client->server_bytes_taken();
    resume_reading();
}

void server_connection::on_readable() {
    read_some();
    worker_->settle();
}

void server_connection::on_writable() {
    if (stream_ == nullptr) return;
    if (!unsent_.empty()) {
        const net::io_result sent = stream_->write(unsent_);
        if (sent.result == net::io_result::kind::error) return;  // the reader will see it
        unsent_.erase(0, sent.bytes);
        if (unsent_.empty()) unsent_.shrink_to_fit();
    }
    if (unsent_.empty() && client_ != nullptr) client_->server_writable();
    worker_->settle();
}

void server_connection::read_some() {
    if (at_helper_) return;
    std::string& scratch = worker_->scratch();
    for (int round = 0; round < reads_per_turn && stream_ != nullptr; ++round) {
        if (client_ != nullptr && client_->write_blocked()) {  // back-pressure: no more than the client takes
            if (client_->holding_answer() && stream_->hangup_seen()) end_with_held_answer();
            return;
        }
        const std::size_t had = pending_in_.size();
        if (scratch.size() < had + read_size) scratch.resize(had + read_size);
        if (had > 0) std::memcpy(scratch.data(), pending_in_.data(), had);
        const net::io_result got = stream_->read({scratch.data() + had, read_size});
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return on_end(got);
        worker_->counters().server_bytes_in.add(got.bytes);
        const std::string_view in(scratch.data(), had + got.bytes);
        std::size_t used = 0;
        std::shared_ptr<client_connection> client;
        if (phase_ == phase::signing_in) {
            sign_in(in, used);
        } else if (phase_ == phase::abandoned || phase_ == phase::leaving) {
            used = in.size();  // nobody wants it
        } else if (client_ != nullptr) {
            client = client_->shared_from_this();
            client->server_bytes(in, used);
        } else if (listener_ != nullptr) {
            used = listener_->server_bytes(in);
        } else {
            used = take_unattached(in);
        }
        if (stream_ != nullptr && !at_helper_) {
            if (used < in.size()) pending_in_.assign(in.substr(used));
            else if (!pending_in_.empty()) pending_in_.clear(), pending_in_.shrink_to_fit();
        }
        if (client != nullptr) client->server_bytes_taken();  // only now: it reads into the same scratch buffer
        if (stream_ == nullptr || at_helper_ || !stream_->readable()) return;
    }
    if (stream_ != nullptr && stream_->readable())  // a fair share: the rest in the next turn, if it is still here
        worker_->loop().defer([self = weak_from_this(), stay = stay_.load()] {
            if (const auto alive = self.lock(); alive != nullptr && alive->stay_ == stay) alive->on_readable();
        });
}

void server_connection::on_end(const net::io_result& how) {
    const std::string what = how.result == net::io_result::kind::eof ? "server closed the connection"
                             : how.tls_problem != nullptr            ? how.tls_problem
                                                                     : std::strerror(how.error_number);
    on_lost(what, classify_io(how.error_number, how.tls_problem != nullptr));
}

/// It has ended while its answer was held: only what it said of its end counts. What is left to read is bounded by the
/// socket's own buffer, since nothing was taken from it and nothing more can come.
void server_connection::end_with_held_answer() {
    const auto self = shared_from_this();
    std::string& scratch = worker_->scratch();
    if (scratch.size() < read_size) scratch.resize(read_size);
    net::io_result got = stream_->read({scratch.data(), read_size});
    for (; got.ok(); got = stream_->read({scratch.data(), read_size})) {
        worker_->counters().server_bytes_in.add(got.bytes);
        pending_in_.append(scratch, 0, got.bytes);
    }
    if (got.result == net::io_result::kind::would_block) return;
    const std::string farewell = farewell_in(std::exchange(pending_in_, {}));
    const std::shared_ptr<client_connection> client = client_->shared_from_this();
    client->end_answer_hold();
    std::size_t used = 0;
    if (!farewell.empty()) client->take_server_bytes(farewell, used);
    if (stream_ != nullptr) on_end(got);
}

/// What a crash looks like from here, for finding out which statement it was (D25).
void server_connection::note_crash() {
    crash_watch& crashes = pool_->shared->backends_of->crashes();
    const pool_time now = worker_->loop().now();
    const bool crashed = link.verdict.name == verdict_name::server_crashed;
    const bool panics = crashed && link.last_words.starts_with("PANIC");
    if (crashed && !panics) return crashes.told_of_crash(link.host, opened, now);
    const bool bare =
        link.verdict.name == verdict_name::connection_lost || link.verdict.name == verdict_name::tls_failed;
    if (!panics && !bare) return;
    const session* talk = client_ != nullptr ? client_->conversation() : nullptr;
    const std::vector<std::uint64_t> in_flight =
        talk != nullptr ? talk->statements_in_flight() : std::vector<std::uint64_t>{};
    crashes.ended_silently(link.host, client_ != nullptr ? client_->serial() : 0, in_flight, opened, now);
}

failure_phase server_connection::doing() const {
    if (opening()) return failure_phase::dialling;
    return client_ != nullptr ? link.doing() : failure_phase::resting;
}

void server_connection::on_lost(std::string_view what, failure_kind kind) {
    if (!link.verdict) link.verdict = judge(kind, doing());  // else the server has said why
    if (phase_ == phase::closed) return;
    if (phase_ == phase::leaving) return pool_->left(*this);
    if (client_ != nullptr && client_->relays()) return client_->server_lost(what);  // perhaps as it was told to
    const std::string words = link.last_words.empty() ? std::string(what) : link.last_words;
    if (opening()) return try_next_host(cannot_connect(link.backend_name + ": " + words, link.verdict));
    pool_->report({.host = link.host, .seen = host_report::what::lost, .verdict = link.verdict, .words = words});
    worker_->counters().failures[static_cast<std::size_t>(link.verdict.name)].add();
    note_crash();
    if (travelling_) return close();  // no pool has it now; the one that it travels to will see
    if (listener_ != nullptr) return std::exchange(listener_, nullptr)->server_lost(words);
    client_connection* client = client_;
    pool_->last_problem = link.backend_name + ": " + words;
    if (client != nullptr) {
        worker_->counters().servers_lost.add();
        client->server_lost(words);  // gives us back to the pool as broken
        return;
    }
    pool_->lost_idle(*this);
}

// ------------------------------------------------------------------------------------------ its end

void server_connection::leave() {
    (void)stream_->write(terminate);
    phase_ = phase::leaving;
    open_timer_ =
        worker_->loop().add_timer(worker_->loop().now() + std::chrono::seconds(1), [this] { pool_->left(*this); });
}

void server_connection::close() {
    if (phase_ == phase::closed) return;
    if (stream_ != nullptr && link.at_rest() && (phase_ == phase::idle || phase_ == phase::serving))
        (void)stream_->write(terminate);
    // With an RST, if the host does not answer: should it wake up, it is not to go on with what we have given up (2.8).
    // Likewise where something is still under way there.
    const bool abruptly =
        link.verdict.name == verdict_name::no_answer || (!link.at_rest() && !opening() && phase_ != phase::leaving);
    if (phase_ == phase::fencing) pool_->fence_unanswered(fence_question_);
    phase_ = phase::closed;
    ++attempt_;
    worker_->loop().cancel_timer(open_timer_);
    dialling_.cancel();
    if (stream_ != nullptr) stream_->close(abruptly);
    stream_.reset();
}

void server_connection::begin_travel() { travelling_ = true; }

void server_connection::leave_worker() {
    dialling_ = {};  // it, and the timer, belong to the loop that is left
    open_timer_ = {};
    ++stay_;
    if (stream_ != nullptr) stream_->leave_loop();
}

void server_connection::move_to(worker& other, local_pool& pool) {
    worker_ = &other;
    pool_ = &pool;
    travelling_ = false;
    link.applied = other.tables().settings.of(link.applied->entries());
    link.reported = other.tables().reported.of(*link.reported);
    link.shown_of = link.shown = nullptr;
    if (stream_ == nullptr || !stream_->move_to(other.loop())) pool_->lost_idle(*this);  // it may have died on the way
}

}  // namespace pgsteady
