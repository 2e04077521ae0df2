#include "protocol/scram_common.hpp"

#include "protocol/base64.hpp"
#include "protocol/constant_time.hpp"
#include "protocol/saslprep.hpp"
#include "protocol/scram_keys.hpp"
#include "protocol/scram_message.hpp"

#include <utility>

namespace pgsteady {

namespace {

/// PostgreSQL's SCRAM_DEFAULT_SALT_LEN: a mock salt of another length would stand out.
constexpr std::size_t mock_salt_bytes = 16;

/// The text up to `end`, which is taken away with it; nothing if `end` does not occur.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
    const std::size_t length = text.find(end);
    if (length == std::string_view::npos) return std::nullopt;
    const auto taken = text.substr(0, length);
    text.remove_prefix(length + 1);
    return taken;
}

std::optional<scram_key> decode_key(std::string_view text) {
    const auto bytes = base64_decode(text);
    return bytes ? as_key(*bytes) : std::nullopt;
}

}  // namespace

std::optional<scram_verifier> parse_scram_verifier(std::string_view text) {
    if (text.size() > max_scram_message_bytes) return std::nullopt;
    const auto scheme = take_until(text, '$');
    const auto iterations_text = take_until(text, ':');
    const auto salt_text = take_until(text, '$');
    const auto stored_text = take_until(text, ':');
    if (scheme != scram_sha_256 || !iterations_text || !salt_text || !stored_text) return std::nullopt;

    const auto iterations = parse_iterations(*iterations_text);
    auto salt = base64_decode(*salt_text);
    const auto stored_key = decode_key(*stored_text);
    const auto server_key = decode_key(text);
    if (!iterations || !salt || salt->empty() || !stored_key || !server_key) return std::nullopt;
    return scram_verifier{*std::move(salt), *iterations, *stored_key, *server_key};
}

std::string format_scram_verifier(const scram_verifier& verifier) {
    std::string text(scram_sha_256);
    text.append("$").append(std::to_string(verifier.iterations));
    text.append(":").append(base64_encode(verifier.salt));
    text.append("$").append(base64_encode(as_bytes(verifier.stored_key)));
    text.append(":").append(base64_encode(as_bytes(verifier.server_key)));
    return text;
}

std::optional<scram_secret> derive_scram_secret(std::string_view password, std::string_view salt, int iterations) {
    std::string prepared = saslprep_or_raw(password);
    const auto salted = salted_password(prepared, salt, iterations);
    wipe(prepared);
    if (!salted) return std::nullopt;
    const auto client_key = hmac_sha256(as_bytes(*salted), "Client Key");
    const auto server_key = hmac_sha256(as_bytes(*salted), "Server Key");
    if (!client_key || !server_key) return std::nullopt;
    return scram_secret{*client_key, *server_key, std::string(salt), iterations};
}

scram_verifier make_scram_verifier(std::string_view password, std::string_view salt, int iterations) {
    // No known key hashes to zero bytes, so what is returned on failure lets nobody in.
    scram_verifier verifier{std::string(salt), iterations, {}, {}};
    const auto secret = derive_scram_secret(password, salt, iterations);
    if (!secret) return verifier;
    const auto stored_key = sha256(as_bytes(secret->client_key));
    if (!stored_key) return verifier;
    verifier.stored_key = *stored_key;
    verifier.server_key = secret->server_key;
    return verifier;
}

scram_verifier mock_scram_verifier(std::string_view user, std::string_view server_secret, int iterations) {
    const auto digest = hmac_sha256(server_secret, user).value_or(scram_key{});
    return scram_verifier{std::string(as_bytes(digest).substr(0, mock_salt_bytes)), iterations, {}, {}};
}

}  // namespace pgsteady
