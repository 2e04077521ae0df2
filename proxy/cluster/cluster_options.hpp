// What the shell gives a cluster: its hosts, its rules, the way to sign in, and whom to tell. Plain values and callbacks.
#pragma once

#include "protocol/server_login.hpp"

#include "config/config.hpp"

#include "proxy/cluster/cluster.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/tls_context.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

/// The callbacks are called on the monitor's thread, none of them after monitor::stop() has returned.
struct cluster_options {
    std::vector<config::host_port> hosts;
    config::monitor_settings monitor;
    config::cluster_values values;

    /// How every server is signed in to; who does is asked of `login`.
    server_login::settings sign_in{};
    /// Asked at each handshake: certificates change. Unset or null: no TLS.
    std::function<std::shared_ptr<const net::tls_context>()> tls_context{};
    /// Asked at each dial; unset: the defaults.
    std::function<net::dial_options()> dial{};

    /// Asked at each dial; nothing: roles come from pools alone (D10). `refused`: so many sign-ins were refused in a row;
    /// where there is a choice of accounts, the next one is due.
    std::function<std::optional<monitor_login>(std::size_t refused)> login;
    /// So many bytes that nobody can guess.
    std::function<std::string(std::size_t)> random_bytes;
    /// Roles, mode or readable hosts have changed; numbers alone (lag, latency, samples) are only in view().
    std::function<void(const cluster&, const cluster::view_ptr&)> changed;
    std::function<void(const cluster_event&)> tell;
};

}  // namespace pgsteady
