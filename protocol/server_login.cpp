// Sign-in to a server; see server_login.hpp. Must never relay what was said in clear around the TLS answer (P2, P3)
// and never believe an AuthenticationOk that cuts SCRAM short (P17). Owned by whoever dials.

#include "protocol/server_login.hpp"

#include "protocol/constant_time.hpp"
#include "protocol/frame.hpp"
#include "protocol/md5_auth.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace pgsteady {

namespace {

constexpr std::int32_t auth_ok = 0;
constexpr std::int32_t auth_cleartext = 3;
constexpr std::int32_t auth_md5 = 5;
constexpr std::int32_t auth_sasl = 10;
constexpr std::int32_t auth_sasl_continue = 11;
constexpr std::int32_t auth_sasl_final = 12;

constexpr char negotiate_protocol_version = 'v';
constexpr std::string_view tls_application_protocol = "postgresql";

constexpr std::uint32_t message_length_max = 64 * 1024;
constexpr std::size_t login_bytes_max = 1024 * 1024;
constexpr std::size_t parameters_max = 256;
constexpr std::size_t md5_salt_bytes = 4;
constexpr std::size_t quoted_bytes_max = 200;

std::string method_name(std::int32_t code) {
    switch (code) {
        case 2: return "Kerberos V5";
        case 6: return "SCM credentials";
        case 7:
        case 8: return "GSSAPI";
        case 9: return "SSPI";
        default: return "code " + std::to_string(code);
    }
}

/// Text from a server that is not trusted yet, fit for a message of ours.
std::string quotable(std::string_view text) {
    std::string clean(text.substr(0, quoted_bytes_max));
    std::replace_if(
        clean.begin(), clean.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
    return clean;
}

void append_password_message(std::string& out, std::string_view text) {
    const frame_builder frame(out, frontend::password);
    put_cstring(out, text);
}

/// The mechanisms of AuthenticationSASL; nothing when the list is not terminated.
std::optional<std::vector<std::string_view>> read_mechanisms(std::string_view data) {
    std::vector<std::string_view> mechanisms;
    wire_reader reader(data);
    for (;;) {
        const auto mechanism = reader.cstring();
        if (!mechanism) return std::nullopt;
        if (mechanism->empty()) break;
        mechanisms.push_back(*mechanism);
    }
    if (!reader.at_end()) return std::nullopt;
    return mechanisms;
}

std::string join(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words) {
        if (!text.empty()) text += ", ";
        text += word;
    }
    return text;
}

}  // namespace

server_login::server_login(settings options) : settings_(std::move(options)) {}

server_login::~server_login() { forget_secrets(); }

// ---- the bytes before the first message ------------------------------------------------------------------------

server_login::step server_login::begin(std::string& out) {
    if (phase_ != phase::not_begun) return step::failed;
    if (settings_.tls == tls_mode::disable || settings_.tls == tls_mode::allow) {
        append_startup_message(out);
        return step::need_more;
    }
    if (begins_with_handshake()) {
        phase_ = phase::tls_pending;
        return step::start_tls;
    }
    append_ssl_request(out);
    phase_ = phase::tls_answer;
    return step::need_more;
}

/// As libpq: a mode that may go on in clear has to ask.
bool server_login::begins_with_handshake() const noexcept {
    return settings_.negotiation == tls_negotiation::direct && settings_.tls != tls_mode::prefer;
}

void server_login::append_startup_message(std::string& out) {
    parameter_list parameters{{"user", settings_.user}, {"database", settings_.database}};
    parameters.insert(parameters.end(), settings_.extra_startup.begin(), settings_.extra_startup.end());
    append_startup(out, parameters, settings_.newest_minor);
    phase_ = phase::authentication;
}

server_login::step server_login::tls_established(std::string end_point, std::string_view protocol, std::string& out) {
    if (phase_ != phase::tls_pending) return step::failed;
    if (begins_with_handshake() && protocol != tls_application_protocol) {
        // Without the name, the peer may be a server of another protocol that is made to read ours (ALPACA).
        return fail(sqlstate::sqlclient_unable_to_establish_connection,
                    "TLS without a request was accepted, but not as the protocol \"postgresql\"", {},
                    "It takes PostgreSQL 17 or newer; see backends.tls.negotiation.");
    }
    tls_in_use_ = true;
    end_point_ = std::move(end_point);
    append_startup_message(out);
    return step::need_more;
}

server_login::step server_login::feed_tls_answer(std::string_view in, std::size_t& consumed, std::string& out) {
    consumed = 1;
    if (in.front() != 'S' && in.front() != 'N') {
        // P3: whoever said this has proved nothing; its words go nowhere.
        return fail(sqlstate::sqlclient_unable_to_establish_connection,
                    in.front() == backend_message::error_response
                        ? "server sent an error instead of an answer to the TLS request"
                        : "invalid answer to the TLS request");
    }
    if (in.size() > 1) {  // P2: sent by a peer that could not know what comes next
        return fail(sqlstate::protocol_violation, "received unencrypted data after the answer to the TLS request",
                    "This could be either a server-software bug or evidence of an attempted man-in-the-middle attack.");
    }
    if (in.front() == 'S') {
        phase_ = phase::tls_pending;
        return step::start_tls;
    }
    if (settings_.tls != tls_mode::prefer) {
        return fail(sqlstate::sqlclient_unable_to_establish_connection,
                    "server does not support TLS, but sslmode " + std::string(to_string(settings_.tls)) + " needs it");
    }
    append_startup_message(out);
    return step::need_more;
}

// ---- messages --------------------------------------------------------------------------------------------------

server_login::step server_login::feed(std::string_view in, std::size_t& consumed, std::string& out) {
    consumed = 0;
    while (phase_ != phase::ready && phase_ != phase::failed) {
        const std::string_view unread = in.substr(consumed);
        if (phase_ == phase::not_begun) return fail(sqlstate::internal_error, "sign-in to the server was not begun");
        if (phase_ == phase::tls_pending && unread.empty()) return step::start_tls;
        if (phase_ == phase::tls_pending) {
            return fail(sqlstate::protocol_violation, "received unencrypted data before the TLS handshake");
        }
        if (unread.empty()) return step::need_more;
        if (phase_ == phase::tls_answer) return feed_tls_answer(unread, consumed, out);

        const frame_header header = read_frame_header(unread, message_length_max);
        if (header.state == frame_header::status::malformed) return on_bad_length(unread);
        if (header.state == frame_header::status::need_more || unread.size() < header.total) return step::need_more;
        consumed += header.total;
        bytes_taken_ += header.total;
        if (bytes_taken_ > login_bytes_max) return protocol_error("more than 1 MiB during sign-in");
        on_message(header.type, unread.substr(frame_header_size, header.total - frame_header_size), out);
    }
    return phase_ == phase::ready ? step::ready : step::failed;
}

/// A server that cannot fork says so in the form of protocol 2: 'E' and text, without a length.
server_login::step server_login::on_bad_length(std::string_view in) {
    if (in.front() == backend_message::error_response && bytes_taken_ == 0) {
        const std::string_view text = in.substr(1, in.find('\0') - 1);
        return fail(sqlstate::sqlserver_rejected_connection, "server refused the connection before sign-in",
                    quotable(text));
    }
    return protocol_error("message type \"" + quotable(in.substr(0, 1)) + "\" with length " +
                          std::to_string(load_u32(in.data() + 1)));
}

server_login::step server_login::on_message(char type, std::string_view body, std::string& out) {
    switch (type) {
        case backend_message::error_response: return on_error(body);
        case backend_message::notice_response: return step::need_more;  // nobody to show it to yet
        case negotiate_protocol_version:
            if (phase_ != phase::starting) return on_negotiation(body);
            break;
        case backend_message::authentication:
            if (phase_ != phase::starting) return on_authentication(body, out);
            break;
        case backend_message::parameter_status:
            if (phase_ == phase::starting) return on_parameter_status(body);
            break;
        case backend_message::backend_key_data:
            if (phase_ == phase::starting) return on_backend_key_data(body);
            break;
        case backend_message::ready_for_query:
            if (phase_ == phase::starting) return on_ready_for_query(body);
            break;
        default: break;
    }
    return protocol_error("unexpected message type \"" + quotable({&type, 1}) + "\"");
}

/// Less than what was asked for is as good: only the length of cancel keys depends on it. We ask for no options.
server_login::step server_login::on_negotiation(std::string_view body) {
    wire_reader reader(body);
    const auto version = reader.i32();
    const auto options = reader.i32();
    if (!version || !options || *options != 0) return protocol_error("malformed NegotiateProtocolVersion");
    // The documentation says the minor number, PostgreSQL sends the whole version.
    const std::int32_t minor = *version & 0xffff;
    const std::int32_t major = *version >> 16;
    if ((major != 0 && major != 3) || minor > settings_.newest_minor)
        return protocol_error("NegotiateProtocolVersion with a version that was not asked for");
    return step::need_more;
}

server_login::step server_login::on_error(std::string_view body) {
    error_fields fields;
    const bool well_formed = parse_error_fields(body, fields);
    if (!well_formed && fields.message.empty()) return protocol_error("malformed ErrorResponse");
    failure_is_from_server_ = true;
    return fail(std::move(fields));
}

server_login::step server_login::on_parameter_status(std::string_view body) {
    wire_reader reader(body);
    const auto name = reader.cstring();
    const auto value = reader.cstring();
    if (!name || !value || !reader.at_end()) return protocol_error("malformed ParameterStatus");
    const auto known = std::find_if(parameters_.begin(), parameters_.end(),
                                    [&](const auto& parameter) { return parameter.first == *name; });
    if (known != parameters_.end()) {
        known->second = *value;
        return step::need_more;
    }
    if (parameters_.size() == parameters_max) return protocol_error("too many ParameterStatus messages");
    parameters_.emplace_back(*name, *value);
    return step::need_more;
}

server_login::step server_login::on_backend_key_data(std::string_view body) {
    wire_reader reader(body);
    const auto pid = reader.i32();
    const std::string_view key = reader.rest();
    if (!pid || key.size() < cancel_key_bytes_min || key.size() > cancel_key_bytes_max) {
        return protocol_error("malformed BackendKeyData");
    }
    backend_pid_ = *pid;
    cancel_key_ = key;
    return step::need_more;
}

server_login::step server_login::on_ready_for_query(std::string_view body) {
    if (body != "I") return protocol_error("malformed ReadyForQuery");
    phase_ = phase::ready;
    forget_secrets();
    return step::ready;
}

// ---- authentication --------------------------------------------------------------------------------------------

server_login::step server_login::on_authentication(std::string_view body, std::string& out) {
    wire_reader reader(body);
    const auto code = reader.i32();
    const std::string_view data = reader.rest();
    if (!code || (*code == auth_ok && !data.empty())) return protocol_error("malformed authentication request");
    if (*code == auth_ok) return on_auth_ok();
    if (phase_ == phase::authentication) return on_auth_question(*code, data, out);
    if (phase_ == phase::scram_continue && *code == auth_sasl_continue) return on_scram_continue(data, out);
    if (phase_ == phase::scram_final && *code == auth_sasl_final) return on_scram_final(data);
    return protocol_error("authentication request " + std::to_string(*code) + " out of order");
}

server_login::step server_login::on_auth_ok() {
    if (phase_ != phase::authentication && phase_ != phase::auth_verdict) {
        return fail(sqlstate::invalid_authorization_specification,
                    "server ended SCRAM without proving that it knows the password");
    }
    if (settings_.binding == channel_binding::require && !bound_)
        return lack_of_binding("the server did not ask for it");
    phase_ = phase::starting;
    return step::need_more;
}

/// Before anything of the password has been sent.
server_login::step server_login::lack_of_binding(std::string_view why) {
    return fail(sqlstate::invalid_authorization_specification, "channel binding is required, but " + std::string(why),
                {}, "It takes TLS and a server that offers SCRAM-SHA-256-PLUS; see backends.tls.channel_binding.");
}

server_login::step server_login::on_auth_question(std::int32_t code, std::string_view data, std::string& out) {
    if (settings_.binding == channel_binding::require && code != auth_sasl)
        return lack_of_binding("the server asks for another kind of password");
    switch (code) {
        case auth_cleartext: return answer_cleartext(data, out);
        case auth_md5: return answer_md5(data, out);
        case auth_sasl: return answer_sasl(data, out);
        default: break;
    }
    return fail(sqlstate::feature_not_supported,
                "authentication method of the server is not supported: " + method_name(code));
}

/// D9: the peer's certificate was verified, or nobody can sit between us.
bool server_login::peer_may_learn_password() const noexcept {
    const bool verifies = settings_.tls == tls_mode::verify_ca || settings_.tls == tls_mode::verify_full;
    return settings_.peer_is_loopback_or_unix || (tls_in_use_ && verifies);
}

server_login::step server_login::refuse_to_reveal(std::string_view what) {
    return fail(sqlstate::invalid_authorization_specification,
                "refused to send " + std::string(what) + " password to an unverified server", {},
                "Use sslmode verify-full with a CA, or scram-sha-256 on the server.");
}

server_login::step server_login::lack_of_password(std::string_view method) {
    return fail(sqlstate::invalid_password, "server asks for " + std::string(method) +
                                                " authentication, but no password is known for user \"" +
                                                settings_.user + "\"");
}

server_login::step server_login::answer_cleartext(std::string_view data, std::string& out) {
    if (!data.empty()) return protocol_error("malformed AuthenticationCleartextPassword");
    if (!peer_may_learn_password()) return refuse_to_reveal("a cleartext");
    if (settings_.password.empty()) return lack_of_password("cleartext password");
    append_password_message(out, settings_.password);
    phase_ = phase::auth_verdict;
    return step::need_more;
}

server_login::step server_login::answer_md5(std::string_view data, std::string& out) {
    if (data.size() != md5_salt_bytes) return protocol_error("malformed AuthenticationMD5Password");
    if (!peer_may_learn_password()) return refuse_to_reveal("an md5");
    if (settings_.md5_hash.empty() && settings_.password.empty()) return lack_of_password("md5 password");
    const std::string hash =
        settings_.md5_hash.empty() ? md5_password_hash(settings_.user, settings_.password) : settings_.md5_hash;
    const std::string answer = md5_response(hash, data);
    if (answer.empty()) {
        return fail(sqlstate::internal_error, "could not compute the answer to an md5 password request",
                    "The stored hash has another form, or libcrypto refuses MD5.");
    }
    append_password_message(out, answer);
    phase_ = phase::auth_verdict;
    return step::need_more;
}

server_login::step server_login::answer_sasl(std::string_view data, std::string& out) {
    const auto mechanisms = read_mechanisms(data);
    if (!mechanisms) return protocol_error("malformed AuthenticationSASL");
    const auto offers = [&](std::string_view name) {
        return std::find(mechanisms->begin(), mechanisms->end(), name) != mechanisms->end();
    };
    if (!offers(scram_sha_256)) {
        return fail(sqlstate::feature_not_supported,
                    "SASL mechanisms of the server are not supported: " + quotable(join(*mechanisms)));
    }
    if (settings_.password.empty() && !settings_.secret) return lack_of_password("SCRAM-SHA-256");

    scram_client::settings options;
    options.nonce = settings_.nonce_material;
    options.max_iterations = settings_.max_scram_iterations;
    options.server_offered_plus = offers(scram_sha_256_plus);
    options.tls_active = tls_in_use_;
    options.use_plus = settings_.binding != channel_binding::disable;
    options.channel_binding_data = end_point_;
    bound_ = options.use_plus && options.server_offered_plus && tls_in_use_ && !end_point_.empty();
    if (settings_.binding == channel_binding::require && !bound_)
        return lack_of_binding(!tls_in_use_         ? "the connection is not encrypted"
                               : end_point_.empty() ? "the server's certificate has no hash to bind to"
                                                    : "the server does not offer it");
    if (settings_.password.empty()) {
        scram_.emplace(*settings_.secret, std::move(options));
    } else {
        scram_.emplace(settings_.password, settings_.secret, std::move(options));
    }
    const std::string first = scram_->first();
    {
        const frame_builder frame(out, frontend::password);
        put_cstring(out, scram_->mechanism());
        put_i32(out, static_cast<std::int32_t>(first.size()));
        out.append(first);
    }
    phase_ = phase::scram_continue;
    return step::need_more;
}

server_login::step server_login::on_scram_continue(std::string_view data, std::string& out) {
    std::string client_final;
    std::string problem;
    if (scram_->challenge(data, client_final, problem) != scram_status::more) {
        return fail(sqlstate::invalid_authorization_specification, "SCRAM sign-in to the server failed",
                    std::move(problem));
    }
    const frame_builder frame(out, frontend::password);
    out.append(client_final);
    phase_ = phase::scram_final;
    return step::need_more;
}

server_login::step server_login::on_scram_final(std::string_view data) {
    std::string problem;
    if (scram_->finish(data, problem) != scram_status::done) {
        return fail(sqlstate::invalid_authorization_specification, "server failed to prove that it knows the password",
                    std::move(problem));
    }
    phase_ = phase::auth_verdict;
    return step::need_more;
}

bool server_login::next_feed_derives_key(std::string_view in) const {
    if (phase_ != phase::scram_continue || !scram_) return false;
    // Notices may stand before the challenge.
    for (;;) {
        const frame_header header = read_frame_header(in, message_length_max);
        if (header.state != frame_header::status::ok || in.size() < header.total) return false;
        if (header.type == backend_message::authentication) {
            wire_reader body(in.substr(frame_header_size, header.total - frame_header_size));
            return body.i32() == auth_sasl_continue && scram_->needs_derivation(body.rest());
        }
        in.remove_prefix(header.total);
    }
}

// ---- ends ------------------------------------------------------------------------------------------------------

server_login::step server_login::fail(error_fields why) {
    failure_ = std::move(why);
    phase_ = phase::failed;
    forget_secrets();
    return step::failed;
}

server_login::step server_login::fail(std::string_view code, std::string message, std::string detail,
                                      std::string hint) {
    return fail(fatal_error(code, std::move(message), std::move(detail), std::move(hint)));
}

server_login::step server_login::protocol_error(std::string detail) {
    return fail(sqlstate::protocol_violation, "protocol error from the server during sign-in", std::move(detail));
}

void server_login::forget_secrets() {
    wipe(settings_.password);
    wipe(settings_.md5_hash);
    settings_.secret.reset();
}

const std::optional<scram_secret>& server_login::scram_secret_for_cache() const noexcept {
    static const std::optional<scram_secret> none;
    return phase_ == phase::ready && scram_ ? scram_->secret() : none;
}

std::string_view to_string(server_login::step value) {
    switch (value) {
        case server_login::step::need_more: return "need_more";
        case server_login::step::start_tls: return "start_tls";
        case server_login::step::ready: return "ready";
        case server_login::step::failed: return "failed";
    }
    return "unknown";
}

std::string_view to_string(server_login::tls_mode value) {
    switch (value) {
        case server_login::tls_mode::disable: return "disable";
        case server_login::tls_mode::allow: return "allow";
        case server_login::tls_mode::prefer: return "prefer";
        case server_login::tls_mode::require: return "require";
        case server_login::tls_mode::verify_ca: return "verify-ca";
        case server_login::tls_mode::verify_full: return "verify-full";
    }
    return "unknown";
}

}  // namespace pgsteady
