// Fuzzes a whole sign-in from the server's side. The first byte chooses the settings; the rest is what the server
// sends. A password must never leave towards a peer that may not see it (D9), nothing grows without bound (P9).

#include "protocol/server_login.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace pgsteady;
using step = server_login::step;
using tls_mode = server_login::tls_mode;

namespace {

constexpr std::string_view password = "correct horse";

server_login::settings settings_for(std::uint8_t choice) {
    server_login::settings settings;
    settings.user = "alice";
    settings.database = "shop";
    settings.tls = static_cast<tls_mode>(choice % 6);
    settings.peer_is_loopback_or_unix = (choice & 0x40) != 0;
    settings.password = password;
    settings.nonce_material = "eighteen+bytes+nonce";
    settings.max_scram_iterations = 2;
    return settings;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    auto settings = settings_for(data[0]);
    if (size % 3 == 0) settings.negotiation = server_login::tls_negotiation::direct;
    if (size % 2 == 0) settings.newest_minor = 2;
    const std::string_view agreed = size % 5 == 0 ? std::string_view() : "postgresql";
    const std::size_t piece = (data[0] & 0x80) != 0 ? 1 : size;
    if (piece == 1 && size > 4096) return 0;
    const std::string_view in(reinterpret_cast<const char*>(data) + 1, size - 1);

    server_login login(settings);
    std::string out;
    step last = login.begin(out);
    if (last == step::start_tls) last = login.tls_established({}, agreed, out);
    std::string unread;
    for (std::size_t at = 0; at < in.size() && (last == step::need_more || last == step::start_tls); at += piece) {
        unread += in.substr(at, piece);
        (void)login.next_feed_derives_key(unread);
        std::size_t consumed = 0;
        last = login.feed(unread, consumed, out);
        if (consumed > unread.size()) std::abort();
        unread.erase(0, consumed);
        if (last == step::start_tls) last = login.tls_established({}, agreed, out);
    }

    if (out.size() > 64 * 1024 || login.cancel_key().size() > 256 || login.parameters().size() > 256) std::abort();
    if (last == step::failed && login.failure().severity.empty() && !login.failure_is_from_server()) std::abort();
    const bool verified =
        login.tls_in_use() && (settings.tls == tls_mode::verify_ca || settings.tls == tls_mode::verify_full);
    const bool revealed = out.find(password) != std::string::npos;
    if (revealed && !verified && !settings.peer_is_loopback_or_unix) std::abort();
    return 0;
}
