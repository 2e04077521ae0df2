// See monitor_connection.hpp.
#include "proxy/cluster/monitor_connection.hpp"

#include "protocol/error_response.hpp"
#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/cluster/probe.hpp"

#include <array>
#include <cerrno>
#include <system_error>

namespace pgsteady {

namespace {

namespace msg = backend_message;
using tls_mode = server_login::tls_mode;

constexpr std::size_t most_input = 1024 * 1024;
constexpr std::string_view terminate("X\0\0\0\4", 5);

failure_kind kind_of(const net::dial_result& result) {
    if (result.error_number == ETIMEDOUT) return failure_kind::timed_out;
    return result.unresolved || result.error_number == 0 ? failure_kind::unreachable
                                                         : classify_io(result.error_number, false);
}

}  // namespace

monitor_connection::monitor_connection(net::event_loop& loop, const cluster_options& options, config::host_port host,
                                       std::function<void(outcome)> tell)
    : loop_(loop), options_(options), host_(std::move(host)), tell_(std::move(tell)) {}

monitor_connection::~monitor_connection() { close(); }

void monitor_connection::open(std::optional<monitor_login> account) {
    close();
    account_ = std::move(account);
    tls_override_.reset();
    level_ = 0;
    arm_deadline();
    dial();
}

void monitor_connection::close() {
    if (stream_ != nullptr && is_open()) (void)stream_->write(terminate);
    loop_.cancel_timer(deadline_);
    dialling_.cancel();
    stream_.reset();
    login_.reset();
    in_.clear();
    found_.reset();
    refusal_.clear();
    last_verdict_ = {};
    last_words_.clear();
    state_ = state::closed;
}

void monitor_connection::arm_deadline() {
    const auto limit =
        options_.monitor.timeout.count() > 0 ? options_.monitor.timeout : std::chrono::milliseconds(1'000);
    loop_.cancel_timer(deadline_);
    deadline_ = loop_.add_timer(net::clock::now() + limit, [this] { on_deadline(); });
}

void monitor_connection::on_deadline() {
    const bool asking = is_open();
    outcome missed{outcome::what::missed};
    if (state_ == state::writing) missed.attempt = write_attempt::failed;
    close();
    if (asking) return tell_(std::move(missed));
    tell_({outcome::what::connect_failed, judge(failure_kind::timed_out, failure_phase::dialling),
           "it did not answer in time"});
}

// ------------------------------------------------------------------------------------------ opening

void monitor_connection::dial() {
    state_ = state::dialling;
    // The deadline above is the only one.
    dialling_ = net::dial(loop_, host_.host, host_.port, net::clock::now() + std::chrono::hours(1),
                          options_.dial ? options_.dial() : net::dial_options{},
                          [this](net::dial_result result) { on_dialled(std::move(result)); });
}

void monitor_connection::on_dialled(net::dial_result result) {
    if (result.fd < 0) return fail(kind_of(result), result.problem);  // it says with whom
    stream_ = net::stream::adopt(loop_, result.fd, this, net::stream::preparation::prepared);
    if (stream_ == nullptr) return fail(failure_kind::out_of_resources, "cannot watch a socket");
    if (!account_) {
        close();
        return tell_({outcome::what::touched});
    }
    begin_login();
}

void monitor_connection::begin_login() {
    server_login::settings how = options_.sign_in;
    how.user = account_->user;
    how.database = account_->database;
    how.password = account_->password;
    how.secret = account_->secret;
    how.md5_hash = account_->md5_hash;
    how.tls = host_.host.starts_with('/') ? tls_mode::disable : tls_override_.value_or(how.tls);
    how.peer_is_loopback_or_unix = stream_->peer_is_local();
    how.nonce_material = options_.random_bytes(24);
    login_.emplace(std::move(how));
    state_ = state::signing_in;
    std::string out;
    const server_login::step first = login_->begin(out);
    send(out);
    if (first == server_login::step::start_tls) begin_handshake();
}

void monitor_connection::sign_in() {
    std::string out;
    std::size_t used = 0;
    const server_login::step step = login_->feed(in_, used, out);
    in_.erase(0, used);
    send(out);
    switch (step) {
        case server_login::step::need_more: return;
        case server_login::step::start_tls:
            if (!in_.empty())  // bytes in clear behind the S (P2)
                return fail(failure_kind::protocol_violation, "unexpected data before the TLS handshake");
            return begin_handshake();
        case server_login::step::ready:
            login_.reset();
            state_ = state::settling;
            return send_query(probe_settings(options_.monitor.timeout));
        case server_login::step::failed: break;
    }
    const error_fields why = login_->failure();
    if (!login_->failure_is_from_server()) {
        const bool garbage = classify(why) == failure_kind::protocol_violation;
        return fail(garbage ? failure_kind::protocol_violation : failure_kind::login_refused, why.message);
    }
    if (!try_other_encryption(why.sqlstate)) fail(judge(signal_of(why, failure_phase::dialling)), why.message);
}

void monitor_connection::begin_handshake() {
    const auto context = options_.tls_context ? options_.tls_context() : nullptr;
    if (context == nullptr || !stream_->start_tls_client(*context, host_.host))
        return fail(failure_kind::tls_failed, "TLS: " + stream_->handshake_problem());
    state_ = state::handshaking;
    shake_hands();
}

void monitor_connection::shake_hands() {
    switch (stream_->continue_handshake()) {
        case net::stream::handshake::in_progress: return;
        case net::stream::handshake::failed: {
            const std::string problem = stream_->handshake_problem();
            if (!try_other_encryption({})) fail(failure_kind::tls_failed, "TLS: " + problem);
            return;
        }
        case net::stream::handshake::done: break;
    }
    state_ = state::signing_in;
    std::string out;
    const server_login::step next =
        login_->tls_established(stream_->tls_server_end_point(), stream_->tls_application_protocol(), out);
    if (next == server_login::step::failed) return fail(failure_kind::tls_failed, login_->failure().message);
    send(out);
}

/// As in server_connection: libpq's second attempt of prefer and allow.
bool monitor_connection::try_other_encryption(std::string_view refusal) {
    if (tls_override_ || host_.host.starts_with('/')) return false;
    if (!refusal.empty() && refusal != sqlstate::invalid_authorization_specification) return false;
    const bool encrypted = refusal.empty() || login_->tls_in_use();
    if (options_.sign_in.tls == tls_mode::prefer && encrypted) tls_override_ = tls_mode::disable;
    else if (options_.sign_in.tls == tls_mode::allow && !encrypted) tls_override_ = tls_mode::require;
    else return false;
    stream_.reset();
    login_.reset();
    in_.clear();
    dial();
    return true;
}

// ------------------------------------------------------------------------------------------ reading

void monitor_connection::go_on() {
    if (state_ == state::handshaking) shake_hands();
    take_input();
}

/// Whatever is done with input may close this connection and open the next one: the stream tells.
void monitor_connection::take_input() {
    std::array<char, 16 * 1024> chunk{};
    const net::stream* const here = stream_.get();
    while (stream_ != nullptr && stream_.get() == here && state_ != state::handshaking) {
        const net::io_result got = stream_->read(chunk);
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return on_end(got);
        in_.append(chunk.data(), got.bytes);
        if (in_.size() > most_input) return fail(failure_kind::protocol_violation, "the server sends without end");
        while (state_ == state::signing_in && stream_.get() == here && !in_.empty()) {
            const std::size_t before = in_.size();
            sign_in();
            if (in_.size() == before) break;
        }
        if (stream_.get() == here && state_ >= state::settling) take_frames();
    }
}

void monitor_connection::take_frames() {
    const net::stream* const here = stream_.get();
    while (stream_ != nullptr && stream_.get() == here) {
        const frame_header header = read_frame_header(in_, most_input);
        if (header.state == frame_header::status::malformed)
            return fail(failure_kind::protocol_violation, "malformed message");
        if (header.state == frame_header::status::need_more || in_.size() < header.total) return;
        const std::string body = in_.substr(frame_header_size, header.total - frame_header_size);
        in_.erase(0, header.total);
        take_frame(header.type, body);
    }
}

void monitor_connection::take_frame(char type, std::string_view body) {
    switch (type) {
        case msg::data_row:
            if (state_ == state::asking) found_ = read_probe_row(body);
            return;
        case msg::notice_response: {
            // "terminating connection because of crash of another server process" comes as a WARNING, then EOF.
            error_fields said;
            (void)parse_error_fields(body, said);
            const recovery_verdict verdict = judge(signal_of(said, doing()));
            if (!verdict.connection_over) return;
            last_verdict_ = verdict;
            last_words_ = said.message;
            return;
        }
        case msg::error_response: return on_error(body);
        case msg::ready_for_query: return on_ready_for_query();
        default: return;  // RowDescription, CommandComplete, ParameterStatus
    }
}

void monitor_connection::on_error(std::string_view body) {
    error_fields said;
    (void)parse_error_fields(body, said);
    if (!said.is_fatal() && state_ == state::writing) {
        // A full disk, or a statement that hung until its timeout; anything else is the account's affair.
        const bool storage = sqlstate::is_class(said.sqlstate, "53") || said.sqlstate == sqlstate::io_error ||
                             said.sqlstate == sqlstate::query_canceled;
        attempt_ = storage ? write_attempt::failed : write_attempt::forbidden;
        return;
    }
    if (!said.is_fatal()) {
        refusal_ = said.message.empty() ? "the probe was refused" : said.message;
        return;
    }
    last_verdict_ = judge(signal_of(said, doing()));
    last_words_ = said.message;
}

void monitor_connection::on_ready_for_query() {
    if (state_ == state::settling) {
        loop_.cancel_timer(deadline_);
        refusal_.clear();  // settings are comfort
        state_ = state::resting;
        return tell_({outcome::what::signed_in});
    }
    if (state_ == state::writing) {
        loop_.cancel_timer(deadline_);
        state_ = state::resting;
        outcome tried{outcome::what::tried};
        tried.attempt = attempt_;
        return tell_(std::move(tried));
    }
    if (state_ != state::asking) return;
    if (!refusal_.empty() && level_ + 1 < probe_levels) {
        ++level_;
        refusal_.clear();
        found_.reset();
        return send_query(probe_query(level_));
    }
    loop_.cancel_timer(deadline_);
    state_ = state::resting;
    if (!found_) {
        std::string why = refusal_.empty() ? std::string("the probe has no answer") : std::move(refusal_);
        refusal_.clear();
        return tell_({outcome::what::refused, judge(failure_kind::statement_error, doing()), std::move(why)});
    }
    outcome good{outcome::what::answered};
    good.found = std::move(*found_);
    good.found.latency = std::chrono::duration_cast<std::chrono::microseconds>(net::clock::now() - asked_at_);
    found_.reset();
    tell_(std::move(good));
}

void monitor_connection::on_end(const net::io_result& got) {
    const bool was_open = is_open();
    recovery_verdict verdict = last_verdict_;
    std::string words = last_words_;
    if (!verdict) {
        const bool orderly = got.result == net::io_result::kind::eof;
        verdict =
            judge(orderly ? failure_kind::closed : classify_io(got.error_number, got.tls_problem != nullptr), doing());
        words = orderly                      ? "the server closed the connection"
                : got.tls_problem != nullptr ? got.tls_problem
                                             : std::generic_category().message(got.error_number);
    }
    close();
    tell_({was_open ? outcome::what::ended : outcome::what::connect_failed, verdict, std::move(words)});
}

// ------------------------------------------------------------------------------------------ asking

void monitor_connection::ask() {
    state_ = state::asking;
    found_.reset();
    refusal_.clear();
    arm_deadline();
    asked_at_ = net::clock::now();
    send_query(probe_query(level_));
}

void monitor_connection::try_to_write() {
    state_ = state::writing;
    attempt_ = write_attempt::wrote;
    arm_deadline();
    send_query(write_probe());
}

void monitor_connection::send_query(std::string_view sql) { send(query_frame(sql)); }

void monitor_connection::send(std::string_view bytes) {
    // What does not leave is missed by the deadline; an error is met by the reader.
    if (stream_ != nullptr && !bytes.empty()) (void)stream_->write(bytes);
}

void monitor_connection::fail(const recovery_verdict& why, std::string words) {
    const bool was_open = is_open();
    close();
    tell_({was_open ? outcome::what::ended : outcome::what::connect_failed, why, std::move(words)});
}

}  // namespace pgsteady
