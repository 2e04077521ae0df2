// SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS (show.hpp): who is connected, what each does, why it waits.
#include "proxy/console/show.hpp"

#include <fmt/chrono.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

namespace pgsteady {
namespace {

using type = console_type;
using console_columns = std::vector<console_column>;

// The first columns of all four tables.
const console_columns connection_columns{{"type"},
                                         {"user"},
                                         {"database"},
                                         {"state"},
                                         {"addr"},
                                         {"port", type::int4},
                                         {"local_addr"},
                                         {"local_port", type::int4},
                                         {"connect_time"},
                                         {"request_time"},
                                         {"wait", type::int4},
                                         {"wait_us", type::int4},
                                         {"close_needed", type::int4},
                                         {"ptr"},
                                         {"link"},
                                         {"remote_pid", type::int4},
                                         {"tls"},
                                         {"application_name"}};

const console_columns socket_columns{{"recv_pos", type::int4},  {"pkt_pos", type::int4},     {"pkt_remain", type::int4},
                                     {"send_pos", type::int4},  {"send_remain", type::int4}, {"pkt_avail", type::int4},
                                     {"send_avail", type::int4}};

console_columns with(console_columns first, const console_columns& more) {
    first.insert(first.end(), more.begin(), more.end());
    return first;
}

std::string time_text(const console_view& view, double seconds_ago) {
    const auto ago =
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::duration<double>(seconds_ago));
    return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(view.taken_at - ago)));
}

/// "10.0.0.1:5432" and "[::1]:5432" apart; what has no port is a Unix socket.
std::pair<std::string, int> address_of(const std::string& peer) {
    const std::size_t colon = peer.rfind(':');
    if (colon == std::string::npos || peer.starts_with('/')) return {"unix", 0};
    int port = 0;
    std::from_chars(peer.data() + colon + 1, peer.data() + peer.size(), port);
    std::string host = peer.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return {std::move(host), port};
}

/// A name for a server that a client's link can be compared with.
std::string server_name(const std::string& backend, std::int32_t pid) { return fmt::format("{}/{}", backend, pid); }

void add_client(console_row& row, const console_view& view, const admin::session_status& of, const char* state) {
    const auto [host, port] = address_of(of.peer);
    const double waits = std::floor(of.wait_seconds);
    row.add("C").add(of.user).add(of.database).add(state).add(host).add(port);
    if (host == "unix") row.add("unix");
    else row.add(view.listen_address);
    row.add(view.listen_port).add(time_text(view, of.age_seconds)).add(time_text(view, of.silent_seconds));
    row.add(static_cast<std::int64_t>(waits)).add(static_cast<std::int64_t>((of.wait_seconds - waits) * 1e6)).add(0);
    row.add(std::to_string(of.id)).add(of.server.empty() ? std::string() : server_name(of.server, of.server_pid));
    row.add(0).add(of.tls).add(of.application_name);
}

const char* client_state(const admin::session_status& of) {
    if (of.state == "waiting") return "waiting";
    return of.state == "signing_in" ? "login" : "active";  // idle ones are active to PgBouncer 1.18, too
}

/// In PgBouncer's words.
const char* server_state(const admin::server_status& of) {
    if (of.state == "serving") return "active";
    if (of.state == "idle") return "idle";
    if (of.state == "resetting" || of.state == "probing") return "tested";
    if (of.state == "cooling" || of.state == "barrier" || of.state == "abandoned") return "being_canceled";
    return of.state == "leaving" ? "used" : "new";
}

void add_server(console_row& row, const console_view& view, const admin::server_status& of, const char* state) {
    row.add("S").add(of.user).add(of.database).add(state);
    if (of.host.starts_with('/')) row.add("unix");
    else row.add(of.host);
    row.add(of.port).add("").add(0);
    row.add(time_text(view, of.age_seconds)).add(time_text(view, of.idle_seconds)).add(0).add(0).add(of.condemned);
    row.add(server_name(of.host + ':' + std::to_string(of.port), of.pid));
    row.add(of.client == 0 ? std::string() : std::to_string(of.client)).add(of.pid);
    row.add(of.tls ? "yes" : "");
    const auto client = std::find_if(view.clients.begin(), view.clients.end(),
                                     [&](const auto& each) { return of.client != 0 && each.id == of.client; });
    row.add(client == view.clients.end() ? std::string() : client->application_name);
}

void add_text_or_null(console_row& row, const std::string& text) {
    if (text.empty()) row.null();
    else row.add(text);
}

console_table sockets(const console_view& view, bool active_only) {
    console_table made;
    made.columns = with(connection_columns, socket_columns);
    const auto add_positions = [](console_row& row) {
        for (std::size_t i = 0; i < socket_columns.size(); ++i) row.add(0);
    };
    for (const admin::session_status& each : view.clients) {
        if (active_only && each.state == "idle") continue;
        console_row& row = made.row();
        add_client(row, view, each,
                   each.state == "waiting"      ? "cl_waiting"
                   : each.state == "signing_in" ? "cl_login"
                                                : "cl_active");
        add_positions(row);
    }
    for (const admin::server_status& each : view.servers) {
        if (active_only && each.state == "idle") continue;
        console_row& row = made.row();
        add_server(row, view, each, (std::string("sv_") + server_state(each)).c_str());
        add_positions(row);
    }
    return made;
}

}  // namespace

console_table clients_table(const console_view& view) {
    console_table made;
    made.columns = with(connection_columns, {{"id", type::int8}, {"activity"}, {"waits_for"}, {"pinned"}});
    for (const admin::session_status& each : view.clients) {
        console_row& row = made.row();
        add_client(row, view, each, client_state(each));
        row.add(each.id).add(each.state);
        add_text_or_null(row, each.waits_for);
        add_text_or_null(row, each.pinned);
    }
    return made;
}

console_table servers_table(const console_view& view) {
    console_table made;
    made.columns =
        with(connection_columns,
             {{"prepared_statements", type::int4}, {"pool_user"}, {"activity"}, {"role"}, {"lag", type::numeric}});
    for (const admin::server_status& each : view.servers) {
        console_row& row = made.row();
        add_server(row, view, each, server_state(each));
        row.add(each.prepared).add(each.pool_user).add(each.state).add(each.standby ? "standby" : "primary");
        const std::string address = each.host + ':' + std::to_string(each.port);
        const auto host = std::find_if(view.now.backends.begin(), view.now.backends.end(),
                                       [&](const auto& known) { return known.address == address; });
        if (host != view.now.backends.end() && host->lag_seconds) row.add(fmt::format("{:.3f}", *host->lag_seconds));
        else row.null();
    }
    return made;
}

console_table sockets_table(const console_view& view) { return sockets(view, false); }
console_table active_sockets_table(const console_view& view) { return sockets(view, true); }

}  // namespace pgsteady
