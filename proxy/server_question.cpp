#include "proxy/server_question.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include "proxy/worker/proxy_state.hpp"
#include "proxy/worker/server_connection.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace pgsteady {

namespace {

using tls_mode = server_login::tls_mode;

constexpr std::uint32_t most_frame = 1024 * 1024;
constexpr std::size_t most_answer = 16 * 1024 * 1024;
constexpr std::size_t most_columns = 32;
constexpr std::size_t most_text = 1024;
constexpr std::string_view terminate("X\0\0\0\4", 5);

/// The unnamed statement and portal: the extended protocol takes one statement, not several.
void put_single_statement(std::string& out, std::string_view sql, const std::optional<std::string>& parameter) {
    {
        const frame_builder frame(out, frontend::parse);
        put_cstring(out, "");
        put_cstring(out, sql);
        put_u16(out, 0);
    }
    {
        const frame_builder frame(out, frontend::bind);
        put_cstring(out, "");
        put_cstring(out, "");
        put_u16(out, 0);  // parameters as text
        put_u16(out, parameter ? 1 : 0);
        if (parameter) {
            put_i32(out, static_cast<std::int32_t>(parameter->size()));
            out.append(*parameter);
        }
        put_u16(out, 0);  // results likewise
    }
    {
        const frame_builder frame(out, frontend::execute);
        put_cstring(out, "");
        put_i32(out, 0);
    }
    const frame_builder frame(out, frontend::sync);
}

}  // namespace

server_question::server_question(net::event_loop& loop, const config::settings& all,
                                 std::shared_ptr<const net::tls_context> tls, settings what)
    : loop_(loop), all_(all), tls_(std::move(tls)), what_(std::move(what)) {}

server_question::~server_question() {
    loop_.cancel_timer(patience_timer_);
    if (reusable()) (void)stream_->write(terminate);
}

void server_question::begin() {
    begun_at_ = signed_in_at_ = ended_at_ = net::clock::now();
    arm_patience();
    dial({});
}

void server_question::arm_patience() {
    loop_.cancel_timer(patience_timer_);
    patience_timer_ = loop_.add_timer(net::clock::now() + what_.patience, [this] {
        if (!over_) fail(sqlstate::sqlclient_unable_to_establish_connection, "no answer in time");
    });
}

void server_question::dial(std::optional<tls_mode> tls) {
    tls_override_ = tls;
    handshaking_ = false;
    stream_.reset();
    login_.reset();
    in_.clear();
    dialling_ =
        net::dial(loop_, what_.host.host, what_.host.port, begun_at_ + what_.patience, dial_options_of(all_.connect),
                  [this](const net::dial_result& result) { on_dialled(result); });
}

void server_question::end(std::optional<error_fields> problem) {
    if (over_) return;
    over_ = true;
    problem_ = std::move(problem);
    ended_at_ = net::clock::now();
    gone_ = true;
    if (stream_ != nullptr) {
        if (!problem_) (void)stream_->write(terminate);
        stream_->close(problem_.has_value());
    }
    if (what_.ended) what_.ended();
}

/// Answered, or refused by a server that goes on.
void server_question::rest() {
    if (!what_.stays) return end(std::move(problem_));
    over_ = true;
    ended_at_ = net::clock::now();
    loop_.cancel_timer(patience_timer_);
    if (what_.ended) what_.ended();
}

void server_question::ask_again(std::string parameter) {
    what_.parameter = std::move(parameter);
    over_ = false;
    reused_ = true;
    problem_.reset();
    row_.clear();
    rows_ = bytes_taken_ = 0;
    in_.clear();
    arm_patience();
    answers_due_ = 1;
    std::string out;
    put_single_statement(out, what_.query, what_.parameter);
    (void)stream_->write(out);
}

void server_question::fail(std::string_view sqlstate, std::string message) {
    end(plain_error(sqlstate, std::move(message)));
}

void server_question::on_dialled(const net::dial_result& result) {
    if (over_) return;
    if (result.fd < 0) return fail(sqlstate::sqlclient_unable_to_establish_connection, result.problem);
    stream_ = net::stream::adopt(loop_, result.fd, this, net::stream::preparation::prepared);
    if (stream_ == nullptr) return fail(sqlstate::insufficient_resources, "cannot watch a socket");
    server_login::settings how = sign_in_of(all_.backends);
    how.user = what_.who.user;
    how.database = what_.who.database;
    how.password = what_.who.password;
    how.secret = what_.who.secret;
    how.md5_hash = what_.who.md5_hash;
    how.tls = what_.host.host.starts_with('/') ? tls_mode::disable : tls_override_.value_or(how.tls);
    how.peer_is_loopback_or_unix = stream_->peer_is_local();
    how.nonce_material = random_bytes(24);
    login_ = std::make_unique<server_login>(std::move(how));
    std::string out;
    const server_login::step first = login_->begin(out);
    if (first == server_login::step::start_tls) return begin_handshake();
    (void)stream_->write(out);
}

void server_question::on_readable() {
    if (stream_ == nullptr || gone_) return;
    if (over_) {  // who speaks without being asked takes its leave, or its settings have changed: the next one is new
        gone_ = true;
        return stream_->close(true);
    }
    if (handshaking_ && !shake_hands()) return;
    std::array<char, 16 * 1024> chunk{};
    while (!over_ && !handshaking_ && stream_ != nullptr) {
        const net::io_result got = stream_->read(chunk);
        if (got.result == net::io_result::kind::would_block) return;
        if (!got.ok()) return fail(sqlstate::connection_failure, "the server closed the connection");
        bytes_taken_ += got.bytes;
        if (bytes_taken_ > most_answer) return fail(sqlstate::program_limit_exceeded, "the answer is too large");
        in_.append(chunk.data(), got.bytes);
        if (login_ != nullptr) sign_in();
        if (login_ == nullptr && !over_ && stream_ != nullptr) read_answer();
    }
}

void server_question::sign_in() {
    std::string out;
    std::size_t used = 0;
    const server_login::step step = login_->feed(in_, used, out);
    in_.erase(0, used);
    if (!out.empty()) (void)stream_->write(out);
    switch (step) {
        case server_login::step::need_more: return;
        case server_login::step::ready: return ask();
        case server_login::step::failed: {
            const error_fields why = login_->failure();
            if (login_->failure_is_from_server() && try_other_encryption(why.sqlstate)) return;
            return end(why);
        }
        case server_login::step::start_tls: break;
    }
    if (!in_.empty()) return fail(sqlstate::protocol_violation, "unexpected data before the TLS handshake");  // P2
    begin_handshake();
}

void server_question::begin_handshake() {
    if (tls_ == nullptr || !stream_->start_tls_client(*tls_, what_.host.host))
        return fail(sqlstate::sqlclient_unable_to_establish_connection, "TLS cannot be begun");
    handshaking_ = true;
    if (shake_hands()) on_readable();
}

/// libpq's second attempt, as pools make it.
bool server_question::try_other_encryption(std::string_view refusal) {
    if (tls_override_ || what_.host.host.starts_with('/')) return false;
    if (!refusal.empty() && refusal != sqlstate::invalid_authorization_specification) return false;
    const tls_mode mode = tls_mode_of(all_.backends.tls.sslmode);
    const bool encrypted = refusal.empty() || login_->tls_in_use();
    if (mode == tls_mode::prefer && encrypted) dial(tls_mode::disable);
    else if (mode == tls_mode::allow && !encrypted) dial(tls_mode::require);
    else return false;
    return true;
}

bool server_question::shake_hands() {
    const net::stream::handshake state = stream_->continue_handshake();
    if (state == net::stream::handshake::in_progress) return false;
    handshaking_ = false;
    if (state == net::stream::handshake::failed) {
        const std::string problem = "TLS: " + stream_->handshake_problem();
        if (!try_other_encryption({})) fail(sqlstate::sqlclient_unable_to_establish_connection, problem);
        return false;
    }
    std::string out;
    const server_login::step next =
        login_->tls_established(stream_->tls_server_end_point(), stream_->tls_application_protocol(), out);
    if (next == server_login::step::failed) {
        end(login_->failure());
        return false;
    }
    (void)stream_->write(out);
    return true;
}

std::string server_question::parameter(std::string_view name) const {
    for (const auto& [known, value] : parameters_)
        if (known == name) return value;
    return {};
}

void server_question::ask() {
    parameters_ = login_->parameters();
    login_.reset();
    signed_in_at_ = net::clock::now();
    std::string out;
    if (!what_.preparation.empty() || what_.parameter) {
        answers_due_ = what_.preparation.empty() ? 1 : 2;
        if (!what_.preparation.empty()) put_query(out, what_.preparation);
        put_single_statement(out, what_.query, what_.parameter);
    } else if (!what_.untrusted) {
        answers_due_ = 1;
        put_query(out, what_.query);
    } else if (parameter("is_superuser") != "off") {
        return fail("42501", "a query of one's own is never run as a superuser");
    } else {
        answers_due_ = 2;
        put_query(out, fmt::format("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", what_.patience.count()));
        put_single_statement(out, what_.query, {});
    }
    (void)stream_->write(out);
}

void server_question::read_answer() {
    std::string_view rest = in_;
    while (!over_) {
        const frame_header header = read_frame_header(rest, most_frame);
        if (header.state == frame_header::status::malformed)
            return fail(sqlstate::protocol_violation, "the answer is malformed or too large");
        if (header.state == frame_header::status::need_more || rest.size() < header.total) break;
        take_frame(header.type, rest.substr(frame_header_size, header.total - frame_header_size));
        rest.remove_prefix(header.total);
    }
    in_.erase(0, in_.size() - rest.size());
}

void server_question::take_frame(char type, std::string_view body) {
    switch (type) {
        case backend_message::data_row:
            if (rows_++ == 0) take_row(body);
            return;
        case backend_message::error_response: {
            error_fields why;
            (void)parse_error_fields(body, why);
            if (!what_.stays || why.is_fatal() || answers_due_ > 1) return end(std::move(why));
            problem_ = std::move(why);  // its ReadyForQuery follows
            return;
        }
        case backend_message::copy_in_response:
        case backend_message::copy_both_response:
            return fail(sqlstate::feature_not_supported, "the query asks for data");
        case backend_message::ready_for_query:
            if (--answers_due_ == 0) rest();
            return;
        default: return;
    }
}

void server_question::take_row(std::string_view body) {
    wire_reader row(body);
    const std::size_t columns = row.u16().value_or(0);
    for (std::size_t at = 0; at < columns && at < most_columns; ++at) {
        const auto size = row.i32();
        const auto text = size && *size >= 0 ? row.bytes(static_cast<std::size_t>(*size)) : std::nullopt;
        row_.push_back(text ? std::optional(std::string(text->substr(0, most_text))) : std::nullopt);
    }
}

}  // namespace pgsteady
