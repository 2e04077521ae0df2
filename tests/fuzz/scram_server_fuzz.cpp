// The server's half of SCRAM against a hostile client: two messages, split at the first newline.
// Nobody signs in without a proof, whatever the bytes; the first byte chooses the settings.
#include "protocol/scram_server.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace pgsteady;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    if (input.empty()) return 0;
    const unsigned choice = static_cast<unsigned char>(input[0]);
    input.remove_prefix(1);

    scram_server::settings settings;
    settings.nonce = "0123456789abcdefghij";
    settings.plus_advertised = (choice & 1) != 0;
    settings.tls_active = (choice & 2) != 0;
    settings.doomed = (choice & 4) != 0;
    if ((choice & 8) != 0) settings.channel_binding_data = "certificate hash";
    const auto mechanism = (choice & 16) != 0 ? scram_sha_256_plus : scram_sha_256;

    const std::size_t split = std::min(input.find('\n'), input.size());
    const std::string_view first = input.substr(0, split);
    const std::string_view second = input.substr(std::min(split + 1, input.size()));

    (void)parse_scram_verifier(input);
    scram_server server(mock_scram_verifier("user", "secret", 4096), settings);
    std::string reply;
    std::string problem;
    if (server.start(mechanism, first, reply, problem) == scram_status::more) {
        if (reply.size() > 2 * max_scram_message_bytes) std::abort();
        reply.clear();
        // A final message that is right up to its proof gets the deepest; build one now and then.
        std::string final_message(second);
        if ((choice & 32) != 0) final_message.insert(0, "c=biws,");
        if (server.finish(final_message, reply, problem) != scram_status::failed) std::abort();
    }
    if (!reply.empty() || problem.empty() || server.recovered_secret()) std::abort();
    return 0;
}
