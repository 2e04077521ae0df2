// Fuzzes a whole sign-in from the client's side. The first byte chooses method and settings; the rest is what the
// client sends, once whole and once byte by byte. Nobody may get in but by trust or by the caller's word, and both
// ways must end alike.

#include "protocol/client_login.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace pgsteady;
using step = client_login::step;
using auth_method = client_login::auth_method;

namespace {

const std::string random_bytes(32, 'r');

client_login::credentials credentials_for(std::uint8_t choice) {
    static const scram_verifier verifier = make_scram_verifier("secret", "a salt", 1);
    client_login::credentials found;
    found.method = static_cast<auth_method>(choice % 5);
    found.known_user = (choice & 0x20) != 0;
    if (found.method == auth_method::scram) found.verifier = verifier;
    if (found.method == auth_method::md5) found.md5_hash = "md5" + std::string(32, 'a');
    return found;
}

client_login::settings settings_for(std::uint8_t choice) {
    client_login::settings settings;
    settings.tls_available = (choice & 0x40) != 0;
    settings.is_loopback_or_unix = (choice & 0x80) != 0;
    settings.max_password_bytes = 1024;
    settings.mock_iterations = 1;
    return settings;
}

struct outcome {
    step last;
    std::string written;
};

outcome sign_in(std::uint8_t choice, std::string_view in, std::size_t piece) {
    client_login login(settings_for(choice));
    outcome result{step::need_more, {}};
    std::string unread;
    for (std::size_t at = 0; at < in.size(); at += piece) {
        unread += in.substr(at, piece);
        for (bool moved = true; moved;) {
            std::size_t consumed = 0;
            const std::size_t before = result.written.size();
            result.last = login.feed(unread, consumed, result.written);
            if (consumed > unread.size() || result.written.size() - before > 32 * 1024) std::abort();
            unread.erase(0, consumed);
            moved = consumed > 0 && !unread.empty();
            if (result.last == step::lookup_user) {
                result.last = login.provide_credentials(credentials_for(choice), random_bytes, result.written);
                moved = !unread.empty();
            } else if (result.last == step::check_password) {
                result.last = login.password_checked(login.take_password() == "right", nullptr, result.written);
            } else if (result.last == step::start_tls && unread.empty()) {
                login.tls_established("hash");
                result.last = step::need_more;
            }
            if (result.last == step::failed || result.last == step::authenticated ||
                result.last == step::cancel_request) {
                return result;
            }
        }
    }
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 16 * 1024) return 0;
    const std::uint8_t choice = data[0];
    const std::string_view in(reinterpret_cast<const char*>(data) + 1, size - 1);
    const outcome by_byte = sign_in(choice, in, 1);
    const outcome whole = sign_in(choice, in, in.size() + 1);

    const auto method = credentials_for(choice).method;
    const bool may_get_in =
        method == auth_method::passthrough || (method == auth_method::trust && credentials_for(choice).known_user);
    if (whole.last == step::authenticated && !may_get_in) std::abort();
    // Bytes behind a request for encryption are an attack when they come with it, and in time when they come later.
    const bool asked_encryption = by_byte.written.starts_with("N") || by_byte.written.starts_with("S");
    if (!asked_encryption && (whole.last != by_byte.last || whole.written != by_byte.written)) std::abort();
    return 0;
}
