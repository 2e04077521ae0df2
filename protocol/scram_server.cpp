#include "protocol/scram_server.hpp"

#include "protocol/base64.hpp"
#include "protocol/constant_time.hpp"
#include "protocol/scram_keys.hpp"
#include "protocol/scram_message.hpp"

#include <utility>

namespace pgsteady {

namespace {

constexpr std::string_view end_point_binding = "tls-server-end-point";

}  // namespace

std::string_view to_string(scram_failure failure) {
    switch (failure) {
        case scram_failure::none: return "none";
        case scram_failure::malformed: return "malformed";
        case scram_failure::unsupported: return "unsupported";
        case scram_failure::channel_binding: return "channel_binding";
        case scram_failure::wrong_proof: return "wrong_proof";
        case scram_failure::internal: return "internal";
    }
    return "unknown";
}

scram_server::scram_server(scram_verifier verifier, settings options)
    : verifier_(std::move(verifier)), settings_(std::move(options)) {}

scram_status scram_server::fail(scram_failure why, std::string_view text, std::string& problem) {
    phase_ = phase::over;
    recovered_.reset();
    failure_ = why;
    problem = text;
    return scram_status::failed;
}

scram_status scram_server::start(std::string_view mechanism, std::string_view client_first, std::string& server_first,
                                 std::string& problem) {
    if (phase_ != phase::expects_first)
        return fail(scram_failure::malformed, "unexpected SASLInitialResponse", problem);
    plus_chosen_ = mechanism == scram_sha_256_plus && offers_plus();
    if (!plus_chosen_ && mechanism != scram_sha_256)
        return fail(scram_failure::malformed, "client selected an invalid SASL authentication mechanism", problem);
    const auto own_nonce = printable_nonce(settings_.nonce);
    if (!own_nonce) return fail(scram_failure::internal, "the SCRAM nonce has the wrong size", problem);
    if (!is_scram_message(client_first))
        return fail(scram_failure::malformed, "malformed SCRAM message (bad length or zero byte)", problem);

    std::string_view rest = client_first;
    if (!read_gs2_header(rest, problem)) return scram_status::failed;
    if (!read_client_first_bare(rest, problem)) return scram_status::failed;

    nonce_ += *own_nonce;
    server_first_ =
        "r=" + nonce_ + ",s=" + base64_encode(verifier_.salt) + ",i=" + std::to_string(verifier_.iterations);
    server_first = server_first_;
    phase_ = phase::expects_final;
    return scram_status::more;
}

bool scram_server::offers_plus() const {
    return settings_.plus_advertised && settings_.tls_active && !settings_.channel_binding_data.empty();
}

/// gs2-cbind-flag "," [authzid] ",": takes it off the message and checks what the flag claims.
bool scram_server::read_gs2_header(std::string_view& message, std::string& problem) {
    const auto refuse = [&](scram_failure why, std::string_view text) {
        fail(why, text, problem);
        return false;
    };
    const std::size_t flag_length = message.find(',');
    if (flag_length == std::string_view::npos)
        return refuse(scram_failure::malformed, "malformed SCRAM message (comma expected)");
    const auto flag = message.substr(0, flag_length);
    const auto after_flag = message.substr(flag_length + 1);

    if (flag.starts_with("p=")) {
        if (!plus_chosen_)
            return refuse(scram_failure::malformed,
                          "malformed SCRAM message (channel binding data with SCRAM-SHA-256 without channel binding)");
        if (flag.substr(2) != end_point_binding)
            return refuse(scram_failure::malformed, "unsupported SCRAM channel-binding type");
    } else if (flag == "n" || flag == "y") {
        if (plus_chosen_)
            return refuse(scram_failure::malformed,
                          "malformed SCRAM message (SCRAM-SHA-256-PLUS without channel binding data)");
        // P14: "y" says "you do not offer PLUS". If we did, someone between us removed the offer.
        if (flag == "y" && settings_.plus_advertised)
            return refuse(scram_failure::channel_binding, "SCRAM channel binding negotiation error");
    } else {
        return refuse(scram_failure::malformed, "malformed SCRAM message (unexpected channel-binding flag)");
    }

    if (after_flag.starts_with("a"))
        return refuse(scram_failure::unsupported, "client uses authorization identity, but it is not supported");
    if (!after_flag.starts_with(","))
        return refuse(scram_failure::malformed,
                      "malformed SCRAM message (unexpected attribute in client-first-message)");

    gs2_header_ = message.substr(0, flag_length + 2);
    message.remove_prefix(gs2_header_.size());
    return true;
}

/// "n=" user "," "r=" nonce ["," extensions]. The user is ignored: the startup packet names it.
bool scram_server::read_client_first_bare(std::string_view bare, std::string& problem) {
    const auto refuse = [&](scram_failure why, std::string_view text) {
        fail(why, text, problem);
        return false;
    };
    scram_attributes attributes(bare);
    if (attributes.next_is('m'))
        return refuse(scram_failure::unsupported, "client requires an unsupported SCRAM extension");
    if (!attributes.take('n'))
        return refuse(scram_failure::malformed, "malformed SCRAM message (attribute 'n' expected)");
    const auto nonce = attributes.take('r');
    if (!nonce) return refuse(scram_failure::malformed, "malformed SCRAM message (attribute 'r' expected)");
    if (!is_scram_printable(*nonce)) return refuse(scram_failure::malformed, "non-printable characters in SCRAM nonce");
    if (!attributes.skip_extensions())
        return refuse(scram_failure::malformed, "malformed SCRAM message (attribute expected)");
    nonce_ = *nonce;
    client_first_bare_ = bare;
    return true;
}

scram_status scram_server::finish(std::string_view client_final, std::string& server_final, std::string& problem) {
    const auto malformed = [&](std::string_view text) { return fail(scram_failure::malformed, text, problem); };
    if (phase_ != phase::expects_final) return malformed("unexpected SASLResponse");
    if (!is_scram_message(client_final)) return malformed("malformed SCRAM message (bad length or zero byte)");

    scram_attributes attributes(client_final);
    const auto binding = attributes.take('c');
    const auto nonce = attributes.take('r');
    if (!binding || !nonce) return malformed("malformed SCRAM message (attributes 'c' and 'r' expected)");
    if (!attributes.skip_extensions('p') || attributes.at_end())
        return malformed("malformed SCRAM message (attribute 'p' expected)");
    const auto without_proof = client_final.substr(0, client_final.size() - attributes.rest().size() - 1);
    const auto proof_text = attributes.take('p');
    if (!attributes.at_end()) return malformed("malformed SCRAM message (garbage after the proof)");

    // The client repeats the very header it began with, and with PLUS what it saw of our channel.
    const std::string expected = gs2_header_ + (plus_chosen_ ? settings_.channel_binding_data : std::string());
    if (*binding != base64_encode(expected)) {
        if (plus_chosen_) return fail(scram_failure::channel_binding, "SCRAM channel binding check failed", problem);
        return malformed("unexpected SCRAM channel-binding attribute in client-final-message");
    }
    if (*nonce != nonce_) return malformed("invalid SCRAM response (nonce does not match)");
    const auto proof_bytes = base64_decode(*proof_text);
    const auto proof = proof_bytes ? as_key(*proof_bytes) : std::nullopt;
    if (!proof) return malformed("malformed SCRAM message (malformed proof in client-final-message)");

    return check_proof(without_proof, *proof, server_final, problem);
}

scram_status scram_server::check_proof(std::string_view without_proof, const scram_key& proof,
                                       std::string& server_final, std::string& problem) {
    phase_ = phase::over;
    const std::string auth_message = client_first_bare_ + "," + server_first_ + "," + std::string(without_proof);
    const auto client_signature = hmac_sha256(as_bytes(verifier_.stored_key), auth_message);
    const auto server_signature = hmac_sha256(as_bytes(verifier_.server_key), auth_message);
    if (!client_signature || !server_signature)
        return fail(scram_failure::internal, "libcrypto cannot compute HMAC-SHA-256", problem);
    const scram_key client_key = exclusive_or(proof, *client_signature);
    const auto stored_key = sha256(as_bytes(client_key));
    if (!stored_key) return fail(scram_failure::internal, "libcrypto cannot compute SHA-256", problem);

    const bool proved = constant_time_equal(as_bytes(*stored_key), as_bytes(verifier_.stored_key));
    if (!proved || settings_.doomed) return fail(scram_failure::wrong_proof, "password authentication failed", problem);

    recovered_ = scram_secret{client_key, verifier_.server_key, verifier_.salt, verifier_.iterations};
    server_final = "v=" + base64_encode(as_bytes(*server_signature));
    return scram_status::done;
}

}  // namespace pgsteady
