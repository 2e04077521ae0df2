// Sign-in of a client; see client_login.hpp. Must never let two causes that an attacker could tell apart (unknown
// user, wrong password) differ in text, code or number of messages (P13). Texts follow PostgreSQL's auth.c and
// postmaster.c where there is one. Owned by the session.

#include "protocol/client_login.hpp"

#include "protocol/constant_time.hpp"
#include "protocol/frame.hpp"
#include "protocol/md5_auth.hpp"
#include "protocol/sqlstate.hpp"
#include "protocol/wire.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace pgsteady {

namespace {

constexpr char tls_handshake = 0x16;  // the first byte of its first record (RFC 8446, 5.1)
constexpr std::int32_t auth_ok = 0;
constexpr std::int32_t auth_cleartext = 3;
constexpr std::int32_t auth_md5 = 5;
constexpr std::int32_t auth_sasl = 10;
constexpr std::int32_t auth_sasl_continue = 11;
constexpr std::int32_t auth_sasl_final = 12;

constexpr std::uint32_t served_major = 3;
constexpr char negotiate_protocol_version = 'v';

constexpr std::size_t random_bytes_min = 32;
constexpr std::size_t md5_salt_bytes = 4;

constexpr std::string_view attack_detail =
    "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";

void append_authentication(std::string& out, std::int32_t code, std::string_view data = {}) {
    const frame_builder frame(out, backend_message::authentication);
    put_i32(out, code);
    out.append(data);
}

bool is_protocol_option(std::string_view name) { return name.starts_with("_pq_."); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// PostgreSQL's parse_bool for the values that mean no: "0" and any unambiguous prefix of false, no, off.
bool is_false(std::string_view value) {
    if (value.empty()) return false;
    if (value == "0") return true;
    std::string text(value);
    std::transform(text.begin(), text.end(), text.begin(), lower);
    using std::string_view_literals::operator""sv;
    return "false"sv.starts_with(text) || "no"sv.starts_with(text) || (text.size() > 1 && "off"sv.starts_with(text));
}

error_fields internal_failure(std::string message) { return fatal_error(sqlstate::internal_error, std::move(message)); }

error_fields protocol_failure(std::string message, std::string_view detail = {}) {
    return fatal_error(sqlstate::protocol_violation, std::move(message), std::string(detail));
}

error_fields unsupported_version(std::uint16_t major, std::uint16_t minor) {
    return fatal_error(sqlstate::feature_not_supported, "unsupported frontend protocol " + std::to_string(major) + "." +
                                                            std::to_string(minor) + ": server supports 3.0 to 3.2");
}

std::string_view sqlstate_of(scram_failure failure) {
    switch (failure) {
        case scram_failure::malformed: return sqlstate::protocol_violation;
        case scram_failure::unsupported: return sqlstate::feature_not_supported;
        case scram_failure::channel_binding: return sqlstate::invalid_authorization_specification;
        case scram_failure::wrong_proof: return sqlstate::invalid_password;
        case scram_failure::none:
        case scram_failure::internal: break;
    }
    return sqlstate::internal_error;
}

}  // namespace

client_login::client_login(settings options) : settings_(std::move(options)) {}

client_login::~client_login() {
    wipe(password_);
    wipe(credentials_.md5_hash);
}

// ---- startup ---------------------------------------------------------------------------------------------------

client_login::step client_login::feed(std::string_view in, std::size_t& consumed, std::string& out) {
    consumed = 0;
    switch (phase_) {
        case phase::startup: return feed_startup(in, consumed, out);
        case phase::tls_pending:
            if (in.empty() || direct_tls_) return step::start_tls;
            // No ErrorResponse: S is on its way, so the client would only see noise where its handshake belongs.
            phase_ = phase::failed;
            failure_ = protocol_failure("received unencrypted data after SSL request", attack_detail);
            failure_cause_ = failure_.message;
            return step::failed;
        case phase::lookup: return step::lookup_user;
        case phase::checking: return step::check_password;
        case phase::cancel: return step::cancel_request;
        case phase::done: return step::authenticated;
        case phase::failed: return step::failed;
        case phase::md5_answer:
        case phase::clear_answer:
        case phase::scram_first:
        case phase::scram_final: break;
    }
    return feed_answer(in, consumed, out);
}

client_login::step client_login::feed_startup(std::string_view in, std::size_t& consumed, std::string& out) {
    if (settings_.tls_available && !ssl_asked_ && !gssenc_asked_ && !tls_in_use_ && in.starts_with(tls_handshake)) {
        direct_tls_ = ssl_asked_ = gssenc_asked_ = true;
        phase_ = phase::tls_pending;
        return step::start_tls;
    }
    std::string problem;
    const parse_status status = parse_startup(in, consumed, startup_, problem);
    if (status == parse_status::need_more) return step::need_more;
    if (status == parse_status::malformed) return fail(protocol_failure(problem), problem, out);
    switch (startup_.kind) {
        case startup_kind::ssl_request:
        case startup_kind::gssenc_request: return on_encryption_request(startup_.kind, consumed < in.size(), out);
        case startup_kind::cancel_request: phase_ = phase::cancel; return step::cancel_request;
        case startup_kind::startup: break;
    }
    return on_startup_message(out);
}

client_login::step client_login::on_encryption_request(startup_kind kind, bool more_bytes, std::string& out) {
    const bool is_ssl = kind == startup_kind::ssl_request;
    bool& asked = is_ssl ? ssl_asked_ : gssenc_asked_;
    if (asked) {
        // As in PostgreSQL, a second request is read as what it poses as: a protocol version.
        return fail(unsupported_version(1234, is_ssl ? 5679 : 5680), "encryption requested twice", out);
    }
    asked = true;
    if (more_bytes) {  // P1: sent before our answer, so by a peer that could not know it
        const std::string_view request = is_ssl ? "SSL" : "GSSAPI encryption";
        std::string message = "received unencrypted data after " + std::string(request) + " request";
        return fail(protocol_failure(message, attack_detail), message, out);
    }
    if (!is_ssl || !settings_.tls_available) {
        out.push_back('N');
        return step::need_more;
    }
    out.push_back('S');
    gssenc_asked_ = true;  // one encryption is enough
    phase_ = phase::tls_pending;
    return step::start_tls;
}

void client_login::tls_established(std::string channel_binding_data) {
    if (phase_ != phase::tls_pending) return;
    tls_in_use_ = true;
    channel_binding_data_ = std::move(channel_binding_data);
    phase_ = phase::startup;
}

client_login::step client_login::on_startup_message(std::string& out) {
    if (startup_.major != 3) {
        const error_fields refusal = unsupported_version(startup_.major, startup_.minor);
        return fail(refusal, refusal.message, out);
    }
    negotiate_version(out);
    if (auto objection = objection_to_startup()) {
        std::string cause = objection->message;
        return fail(std::move(*objection), std::move(cause), out);
    }
    phase_ = phase::lookup;
    return step::lookup_user;
}

/// P38: one NegotiateProtocolVersion at most, naming every option that we do not know, which is all of them.
void client_login::negotiate_version(std::string& out) {
    auto& parameters = startup_.parameters;
    const auto first_option = std::stable_partition(parameters.begin(), parameters.end(),
                                                    [](const auto& entry) { return !is_protocol_option(entry.first); });
    if (startup_.minor <= newest_minor && first_option == parameters.end()) return;
    {
        const frame_builder frame(out, negotiate_protocol_version);
        put_u32(out, (served_major << 16) | protocol_minor());
        put_i32(out, static_cast<std::int32_t>(parameters.end() - first_option));
        for (auto option = first_option; option != parameters.end(); ++option) put_cstring(out, option->first);
    }
    parameters.erase(first_option, parameters.end());
}

bool client_login::wants_replication() const {
    const std::string_view value = startup_.parameter("replication");
    return !value.empty() && !is_false(value);
}

std::optional<error_fields> client_login::objection_to_startup() const {
    if (startup_.parameter("user").empty()) {
        return fatal_error(sqlstate::invalid_authorization_specification,
                           "no PostgreSQL user name specified in startup packet");
    }
    if (settings_.tls_required && !tls_in_use_) {
        return fatal_error(sqlstate::invalid_authorization_specification, "connection requires TLS for " + identity(),
                           {}, "Connect with sslmode=require or stronger.");
    }
    return std::nullopt;
}

// ---- the caller's answers --------------------------------------------------------------------------------------

client_login::step client_login::provide_credentials(credentials found, std::string_view random_bytes,
                                                     std::string& out) {
    if (phase_ == phase::failed) return step::failed;
    if (phase_ != phase::lookup)
        return fail(internal_failure("sign-in out of order"), "credentials not asked for", out);
    if (random_bytes.size() < random_bytes_min) {
        return fail(internal_failure("could not generate random salt"), "fewer than 32 random bytes", out);
    }
    credentials_ = std::move(found);
    switch (credentials_.method) {
        case auth_method::trust: break;
        case auth_method::md5: return begin_md5(random_bytes, out);
        case auth_method::scram: return begin_scram(random_bytes, out);
        case auth_method::passthrough: return begin_passthrough(out);
        case auth_method::reject: {
            std::string message = "connection rejected for " + identity();
            return fail(fatal_error(sqlstate::invalid_authorization_specification, message), message, out);
        }
    }
    if (credentials_.known_user) return succeed(out);
    std::string message = "role \"" + user() + "\" does not exist";
    return fail(fatal_error(sqlstate::invalid_authorization_specification, message), message, out);
}

client_login::step client_login::begin_md5(std::string_view random_bytes, std::string& out) {
    md5_salt_ = random_bytes.substr(0, md5_salt_bytes);
    append_authentication(out, auth_md5, md5_salt_);
    phase_ = phase::md5_answer;
    return step::need_more;
}

client_login::step client_login::begin_scram(std::string_view random_bytes, std::string& out) {
    const bool doomed = !credentials_.known_user || !credentials_.verifier;
    scram_server::settings options;
    options.nonce = random_bytes.substr(0, random_bytes_min);
    options.plus_advertised = offers_plus();
    options.channel_binding_data = channel_binding_data_;
    options.tls_active = tls_in_use_;
    options.doomed = doomed;
    scram_.emplace(
        doomed ? mock_scram_verifier(user(), settings_.mock_secret, settings_.mock_iterations) : *credentials_.verifier,
        std::move(options));

    std::string mechanisms;
    if (offers_plus()) put_cstring(mechanisms, scram_sha_256_plus);
    put_cstring(mechanisms, scram_sha_256);
    put_u8(mechanisms, 0);
    append_authentication(out, auth_sasl, mechanisms);
    phase_ = phase::scram_first;
    return step::need_more;
}

client_login::step client_login::begin_passthrough(std::string& out) {
    if (!tls_in_use_ && !settings_.is_loopback_or_unix) {
        std::string message = "password sign-in requires TLS for " + identity();
        return fail(fatal_error(sqlstate::invalid_authorization_specification, message, {},
                                "Connect with sslmode=require or stronger."),
                    message, out);
    }
    append_authentication(out, auth_cleartext);
    phase_ = phase::clear_answer;
    return step::need_more;
}

client_login::step client_login::password_checked(bool ok, const error_fields* why, std::string& out) {
    if (phase_ == phase::failed) return step::failed;
    if (phase_ != phase::checking) return fail(internal_failure("sign-in out of order"), "no password to check", out);
    if (ok) return succeed(out);
    if (why == nullptr) return fail_password("the server refused the password", out);
    // P13: which of its rules a server applied is not for a stranger to know.
    if (why->sqlstate.empty() || sqlstate::is_class(why->sqlstate, "28")) {
        return fail_password("the server refused the sign-in: " + why->message, out);
    }
    return fail(fatal_error(why->sqlstate, why->message, why->detail, why->hint), why->message, out);
}

client_login::step client_login::refuse(error_fields why, std::string& out) {
    if (phase_ == phase::failed) return step::failed;
    if (phase_ == phase::done) return step::authenticated;
    why.severity = "FATAL";
    std::string cause = why.message;
    return fail(std::move(why), std::move(cause), out);
}

// ---- the client's answers --------------------------------------------------------------------------------------

client_login::step client_login::feed_answer(std::string_view in, std::size_t& consumed, std::string& out) {
    if (in.empty()) return step::need_more;
    if (in.front() != frontend::password) {
        const bool is_password = phase_ == phase::md5_answer || phase_ == phase::clear_answer;
        std::string message = std::string("expected ") + (is_password ? "password" : "SASL") +
                              " response, got message type " + std::to_string(static_cast<unsigned char>(in.front()));
        return fail(protocol_failure(message), message, out);
    }
    const std::size_t limit = std::min<std::size_t>(settings_.max_password_bytes, frame_length_limit - 4) + 4;
    const frame_header header = read_frame_header(in, static_cast<std::uint32_t>(limit));
    if (header.state == frame_header::status::malformed) {
        return fail(protocol_failure("invalid message length"), "password message of invalid length", out);
    }
    if (header.state == frame_header::status::need_more || in.size() < header.total) return step::need_more;
    consumed = header.total;
    const std::string_view body = in.substr(frame_header_size, header.total - frame_header_size);
    switch (phase_) {
        case phase::md5_answer: return on_md5_answer(body, out);
        case phase::clear_answer: return on_clear_answer(body, out);
        case phase::scram_first: return on_scram_first(body, out);
        default: return on_scram_final(body, out);
    }
}

/// The text of a PasswordMessage, or nothing after failing the login.
std::optional<std::string_view> client_login::password_of(std::string_view body, std::string& out) {
    wire_reader reader(body);
    const auto password = reader.cstring();
    if (!password || !reader.at_end()) {
        fail(protocol_failure("invalid password packet size"), "invalid password packet size", out);
        return std::nullopt;
    }
    if (password->empty()) {
        fail(fatal_error(sqlstate::invalid_password, "empty password returned by client"), "empty password", out);
        return std::nullopt;
    }
    return password;
}

client_login::step client_login::on_md5_answer(std::string_view body, std::string& out) {
    const auto answer = password_of(body, out);
    if (!answer) return step::failed;
    const bool has_hash = credentials_.known_user && is_md5_password_hash(credentials_.md5_hash);
    // Without a hash the same work is done on a stand-in, and its result is not looked at (P13).
    const std::string hash = has_hash ? credentials_.md5_hash : "md5" + std::string(32, '0');
    const std::string expected = md5_response(hash, md5_salt_);
    if (expected.empty()) return fail(internal_failure("could not compute MD5 hash"), "libcrypto refused MD5", out);
    const bool matches = constant_time_equal(*answer, expected);
    if (!has_hash) return fail_password("unknown user, or one without an md5 hash", out);
    return matches ? succeed(out) : fail_password("wrong password", out);
}

client_login::step client_login::on_clear_answer(std::string_view body, std::string& out) {
    const auto answer = password_of(body, out);
    if (!answer) return step::failed;
    password_ = *answer;
    phase_ = phase::checking;
    return step::check_password;
}

client_login::step client_login::on_scram_first(std::string_view body, std::string& out) {
    wire_reader reader(body);
    const auto mechanism = reader.cstring();
    const auto length = reader.i32();
    // A length of -1 means "no initial response"; SCRAM clients always have one.
    const std::string_view client_first = reader.rest();
    if (!mechanism || !length || *length < 0 || static_cast<std::size_t>(*length) != client_first.size()) {
        return fail(protocol_failure("malformed SASLInitialResponse"), "malformed SASLInitialResponse", out);
    }
    std::string server_first;
    std::string problem;
    if (scram_->start(*mechanism, client_first, server_first, problem) != scram_status::more) {
        return fail_scram(problem, out);
    }
    append_authentication(out, auth_sasl_continue, server_first);
    phase_ = phase::scram_final;
    return step::need_more;
}

client_login::step client_login::on_scram_final(std::string_view body, std::string& out) {
    std::string server_final;
    std::string problem;
    if (scram_->finish(body, server_final, problem) != scram_status::done) return fail_scram(problem, out);
    append_authentication(out, auth_sasl_final, server_final);
    return succeed(out);
}

// ---- ends ------------------------------------------------------------------------------------------------------

client_login::step client_login::succeed(std::string& out) {
    append_authentication(out, auth_ok);
    phase_ = phase::done;
    return step::authenticated;
}

client_login::step client_login::fail(error_fields shown, std::string cause, std::string& out) {
    append_error_response(out, shown);
    failure_ = std::move(shown);
    failure_cause_ = std::move(cause);
    wipe(password_);
    phase_ = phase::failed;
    return step::failed;
}

client_login::step client_login::fail_password(std::string cause, std::string& out) {
    return fail(fatal_error(sqlstate::invalid_password, "password authentication failed for user \"" + user() + "\""),
                std::move(cause), out);
}

client_login::step client_login::fail_scram(const std::string& problem, std::string& out) {
    const scram_failure why = scram_->failure();
    if (why != scram_failure::wrong_proof) return fail(fatal_error(sqlstate_of(why), problem), problem, out);
    if (!credentials_.known_user) return fail_password("unknown user", out);
    return fail_password(credentials_.verifier ? "wrong password" : "user has no SCRAM verifier", out);
}

// ---- accessors -------------------------------------------------------------------------------------------------

std::string client_login::user() const { return std::string(startup_.parameter("user")); }

std::string client_login::database() const {
    const std::string_view database = startup_.parameter("database");
    return database.empty() ? user() : std::string(database);
}

std::string client_login::take_password() {
    std::string taken = password_;  // not moved: that can leave the bytes behind
    wipe(password_);
    return taken;
}

const std::optional<scram_secret>& client_login::recovered_secret() const noexcept {
    static const std::optional<scram_secret> none;
    return phase_ == phase::done && scram_ ? scram_->recovered_secret() : none;
}

std::string client_login::identity() const {
    return "user \"" + user() + "\", database \"" + database() + "\", " +
           (tls_in_use_ ? "SSL encryption" : "no encryption");
}

bool client_login::offers_plus() const noexcept { return tls_in_use_ && !channel_binding_data_.empty(); }

std::string_view to_string(client_login::step value) {
    switch (value) {
        case client_login::step::need_more: return "need_more";
        case client_login::step::start_tls: return "start_tls";
        case client_login::step::lookup_user: return "lookup_user";
        case client_login::step::check_password: return "check_password";
        case client_login::step::cancel_request: return "cancel_request";
        case client_login::step::authenticated: return "authenticated";
        case client_login::step::failed: return "failed";
    }
    return "unknown";
}

std::string_view to_string(client_login::auth_method value) {
    switch (value) {
        case client_login::auth_method::trust: return "trust";
        case client_login::auth_method::md5: return "md5";
        case client_login::auth_method::scram: return "scram";
        case client_login::auth_method::passthrough: return "passthrough";
        case client_login::auth_method::reject: return "reject";
    }
    return "unknown";
}

}  // namespace pgsteady
