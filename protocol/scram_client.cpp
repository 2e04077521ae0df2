#include "protocol/scram_client.hpp"

#include "protocol/base64.hpp"
#include "protocol/constant_time.hpp"
#include "protocol/scram_keys.hpp"
#include "protocol/scram_message.hpp"

#include <utility>

namespace pgsteady {

namespace {

constexpr std::size_t max_quoted_server_text = 100;

struct server_challenge {
    std::string_view nonce;
    std::string salt;
    int iterations = 0;
};

/// Parses server-first-message: "r=" nonce ",s=" salt ",i=" iterations ["," extensions].
std::optional<server_challenge> parse_challenge(std::string_view message, std::string& problem) {
    const auto refuse = [&](std::string_view text) {
        problem = text;
        return std::nullopt;
    };
    if (!is_scram_message(message)) return refuse("malformed SCRAM challenge: bad length or zero byte");
    scram_attributes attributes(message);
    if (attributes.next_is('m')) return refuse("the server requires an unsupported SCRAM extension");
    const auto nonce = attributes.take('r');
    const auto salt_text = attributes.take('s');
    const auto iterations_text = attributes.take('i');
    if (!nonce || !salt_text || !iterations_text)
        return refuse("malformed SCRAM challenge: attributes 'r', 's' and 'i' expected");
    if (!attributes.skip_extensions()) return refuse("malformed SCRAM challenge: bad extension");
    if (!is_scram_printable(*nonce)) return refuse("malformed SCRAM challenge: non-printable characters in the nonce");

    auto salt = base64_decode(*salt_text);
    if (!salt || salt->empty()) return refuse("malformed SCRAM challenge: bad salt");
    const auto iterations = parse_iterations(*iterations_text);
    if (!iterations) return refuse("malformed SCRAM challenge: bad iteration count");
    return server_challenge{*nonce, *std::move(salt), *iterations};
}

/// saslname of RFC 5802: comma and equals sign are escaped.
std::string escape_name(std::string_view name) {
    std::string escaped;
    for (const char c : name) {
        if (c == ',') escaped += "=2C";
        else if (c == '=') escaped += "=3D";
        else escaped += c;
    }
    return escaped;
}

/// A hostile server's words, fit for a log line.
std::string quote_server_text(std::string_view text) {
    std::string quoted;
    for (const char c : text.substr(0, max_quoted_server_text)) quoted += c >= 0x20 && c <= 0x7e ? c : '?';
    return quoted;
}

bool fits(const std::optional<scram_secret>& keys, const std::string& salt, int iterations) {
    return keys && keys->salt == salt && keys->iterations == iterations;
}

}  // namespace

scram_client::scram_client(std::string password, settings options)
    : scram_client(std::move(password), std::nullopt, std::move(options)) {}

scram_client::scram_client(scram_secret secret, settings options)
    : keys_(std::move(secret)),
      settings_(std::move(options)),
      nonce_(printable_nonce(settings_.nonce).value_or(std::string())) {}

scram_client::scram_client(std::string password, std::optional<scram_secret> cached, settings options)
    : password_(std::move(password)),
      keys_(std::move(cached)),
      settings_(std::move(options)),
      nonce_(printable_nonce(settings_.nonce).value_or(std::string())) {}

scram_client::~scram_client() {
    if (password_) wipe(*password_);
}

scram_status scram_client::fail(std::string_view text, std::string& problem) {
    phase_ = phase::over;
    proven_.reset();
    problem = text;
    return scram_status::failed;
}

bool scram_client::binds_channel() const {
    return settings_.use_plus && settings_.server_offered_plus && settings_.tls_active &&
           !settings_.channel_binding_data.empty();
}

std::string scram_client::mechanism() const {
    return std::string(binds_channel() ? scram_sha_256_plus : scram_sha_256);
}

std::string scram_client::gs2_header() const {
    if (binds_channel()) return "p=tls-server-end-point,,";
    // P14: "y" means that we could bind and believe that the server cannot. Saying so lets a server
    // that did offer it notice that the offer was removed on its way.
    const bool could_bind = settings_.use_plus && settings_.tls_active && !settings_.channel_binding_data.empty() &&
                            !settings_.server_offered_plus;
    return could_bind ? "y,," : "n,,";
}

std::string scram_client::first() {
    if (phase_ != phase::expects_start || nonce_.empty()) return {};
    phase_ = phase::expects_challenge;
    first_bare_ = "n=" + escape_name(settings_.user) + ",r=" + nonce_;
    return gs2_header() + first_bare_;
}

bool scram_client::needs_derivation(std::string_view server_first) const {
    std::string ignored;
    const auto parsed = parse_challenge(server_first, ignored);
    return parsed && password_ && parsed->iterations <= settings_.max_iterations &&
           !fits(keys_, parsed->salt, parsed->iterations);
}

/// Afterwards keys_ hold the keys for this salt and count, and the password is gone.
bool scram_client::choose_keys(const std::string& salt, int iterations, std::string& problem) {
    const bool has_password = password_.has_value();
    if (has_password && !fits(keys_, salt, iterations)) keys_ = derive_scram_secret(*password_, salt, iterations);
    if (has_password) wipe(*password_);
    password_.reset();
    if (fits(keys_, salt, iterations)) return true;
    problem = has_password ? "libcrypto cannot derive the SCRAM keys"
                           : "the SCRAM keys of the client are for another salt or iteration count than the server's: "
                             "both must store the same verifier";
    return false;
}

scram_status scram_client::challenge(std::string_view server_first, std::string& client_final, std::string& problem) {
    if (nonce_.empty()) return fail("the SCRAM nonce has the wrong size", problem);
    if (phase_ != phase::expects_challenge) return fail("unexpected SCRAM challenge", problem);
    phase_ = phase::over;
    const auto parsed = parse_challenge(server_first, problem);
    if (!parsed) return scram_status::failed;
    if (parsed->nonce.size() <= nonce_.size() || !parsed->nonce.starts_with(nonce_))
        return fail("invalid SCRAM challenge: the nonce does not continue ours", problem);
    if (parsed->iterations > settings_.max_iterations)
        return fail("the server asks for " + std::to_string(parsed->iterations) + " SCRAM iterations, at most " +
                        std::to_string(settings_.max_iterations) + " are allowed",
                    problem);
    if (!choose_keys(parsed->salt, parsed->iterations, problem)) return scram_status::failed;

    std::string without_proof = "c=";
    without_proof += base64_encode(gs2_header() + (binds_channel() ? settings_.channel_binding_data : std::string()));
    without_proof.append(",r=").append(parsed->nonce);
    auth_message_ = first_bare_ + "," + std::string(server_first) + "," + without_proof;

    const auto stored_key = sha256(as_bytes(keys_->client_key));
    const auto signature = stored_key ? hmac_sha256(as_bytes(*stored_key), auth_message_) : std::nullopt;
    if (!signature) return fail("libcrypto cannot compute the SCRAM proof", problem);
    client_final = without_proof + ",p=" + base64_encode(as_bytes(exclusive_or(keys_->client_key, *signature)));
    phase_ = phase::expects_final;
    return scram_status::more;
}

scram_status scram_client::finish(std::string_view server_final, std::string& problem) {
    if (phase_ != phase::expects_final) return fail("unexpected end of the SCRAM exchange", problem);
    phase_ = phase::over;
    if (!is_scram_message(server_final))
        return fail("malformed end of the SCRAM exchange: bad length or zero byte", problem);
    scram_attributes attributes(server_final);
    if (const auto error = attributes.take('e'))
        return fail("the server ended the SCRAM exchange: " + quote_server_text(*error), problem);
    const auto verifier = attributes.take('v');
    if (!verifier || !attributes.skip_extensions())
        return fail("malformed end of the SCRAM exchange: attribute 'v' expected", problem);

    const auto claimed = base64_decode(*verifier);
    const auto expected = hmac_sha256(as_bytes(keys_->server_key), auth_message_);
    if (!claimed || !expected || !constant_time_equal(*claimed, as_bytes(*expected)))
        return fail("incorrect server signature: the server does not know the password", problem);
    proven_ = keys_;
    return scram_status::done;
}

}  // namespace pgsteady
