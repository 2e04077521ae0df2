// The client's half of SCRAM against a hostile server: challenge and end, split at a newline.
// No server that lacks the keys is ever trusted; the first byte chooses the settings.
#include "protocol/scram_client.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

using namespace pgsteady;

namespace {

constexpr std::string_view nonce = "0123456789abcdefghij";

scram_secret known_secret() {
    scram_secret secret;
    secret.client_key.fill(1);
    secret.server_key.fill(2);
    secret.salt = "salt";
    secret.iterations = 1;
    return secret;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) return 0;
    const unsigned choice = static_cast<unsigned char>(input[0]);
    input.remove_prefix(1);

    scram_client::settings settings;
    settings.nonce = nonce;
    settings.max_iterations = 2;  // so that the fuzzer explores instead of computing
    settings.use_plus = (choice & 1) != 0;
    settings.server_offered_plus = (choice & 2) != 0;
    settings.tls_active = (choice & 4) != 0;
    if ((choice & 8) != 0) settings.channel_binding_data = "certificate hash";

    const std::size_t split = std::min(input.find('\n'), input.size());
    std::string challenge(input.substr(0, split));
    // Few random challenges repeat our nonce, so most inputs are given it.
    if ((choice & 16) == 0) challenge.insert(0, "r=" + std::string(nonce));
    const std::string_view end = input.substr(std::min(split + 1, input.size()));

    auto client = (choice & 32) != 0 ? scram_client("password", settings) : scram_client(known_secret(), settings);
    if (client.first().empty()) std::abort();
    const bool derives = client.needs_derivation(challenge);
    if (derives && (choice & 32) == 0) std::abort();
    std::string reply;
    std::string problem;
    if (client.challenge(challenge, reply, problem) == scram_status::more) {
        if (reply.empty() || reply.size() > 2 * max_scram_message_bytes) std::abort();
        if (client.finish(end, problem) != scram_status::failed) std::abort();
    }
    if (problem.empty() || client.secret()) std::abort();
    return 0;
}
