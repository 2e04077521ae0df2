// The settings of server sessions that are ours: with them a server notices by itself that we are gone, so that nothing goes
// on there for nobody (recovery.md 2.7), and gives the rows of a large table in the same order twice (2.3). They are set
// after login, so RESET takes them back to the server's own values (P37): whatever may have done so is noted in
// server_link::own_settings_lost, and they are set again before the next client is served, but not more than once a second.
// Until then a lost proxy is noticed by what the server has by itself. A client that sets one of them has it as it likes.
// tcp_user_timeout is not among them: where the client does not read for so long, it ends the connection although
// everything is well.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace pgsteady {

namespace own_setting {
inline constexpr std::string_view connection_check = "client_connection_check_interval";
inline constexpr std::string_view keepalive_idle = "tcp_keepalives_idle";
inline constexpr std::string_view keepalive_interval = "tcp_keepalives_interval";
inline constexpr std::string_view keepalive_count = "tcp_keepalives_count";
/// Scans of large tables begin at their beginning, so that a result that is asked for again has the same order (T13).
inline constexpr std::string_view synchronized_scans = "synchronize_seqscans";
inline constexpr std::array all{connection_check, keepalive_idle, keepalive_interval, keepalive_count,
                                synchronized_scans};
}  // namespace own_setting

/// `name` in lower case.
[[nodiscard]] constexpr bool is_own_setting(std::string_view name) {
    return std::find(own_setting::all.begin(), own_setting::all.end(), name) != own_setting::all.end();
}

}  // namespace pgsteady
