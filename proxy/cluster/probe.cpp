// See probe.hpp.
#include "proxy/cluster/probe.hpp"

#include "protocol/wire.hpp"

#include <array>
#include <charconv>

namespace pgsteady {

namespace {

// The timeline of a primary is in the name of the WAL file that it writes: the control file is behind for a while after a
// promotion (T3). A standby's is its receiver's, if the account may see it, else the control file's.
// Positions are taken as bytes. Replicas come as one text of rows (ASCII 30) and fields (ASCII 31).
const std::string basis =
    "SELECT n.recovery, "
    "CASE WHEN NOT n.recovery THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END, "
    "pg_postmaster_start_time()::text, "
    "CASE WHEN NOT n.recovery THEN pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text END, "
    "CASE WHEN n.recovery THEN pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::text END, "
    "CASE WHEN n.recovery THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::text END, "
    "CASE WHEN n.recovery THEN "
    "(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint::text END, "
    "current_setting('default_transaction_read_only')";
const std::string role = " FROM (SELECT pg_is_in_recovery() AS recovery) n";

const std::string full =
    basis +
    ", (SELECT system_identifier::text FROM pg_control_system()), "
    "r.received_tli::text, "
    "CASE WHEN n.recovery THEN (SELECT timeline_id::text FROM pg_control_checkpoint()) END, "
    "coalesce(substring(r.conninfo FROM '(?:^| )application_name=([^ ]+)'), "
    "substring(r.conninfo FROM '(?:^| )fallback_application_name=([^ ]+)')), "
    "r.slot_name, "
    "CASE WHEN NOT n.recovery THEN (SELECT string_agg(coalesce(s.application_name, '') || chr(31) || "
    "coalesce(p.slot_name, '') || chr(31) || coalesce(s.sync_state, ''), chr(30)) "
    "FROM pg_stat_replication s LEFT JOIN pg_replication_slots p ON p.active_pid = s.pid) END, "
    "current_setting('synchronous_standby_names'), "
    "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text, "
    "pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::text, "
    "(SELECT (extract(epoch FROM w.stats_reset) * 1000000)::bigint::text FROM pg_stat_bgwriter w), "
    "r.pid::text" +
    role + " LEFT JOIN pg_stat_wal_receiver r ON true";

const std::string less = basis + role;

const std::string least = "SELECT pg_is_in_recovery()";

enum column : std::size_t {
    in_recovery,
    written_timeline,
    started,
    written,
    received,
    replayed,
    since_replayed,
    read_only,
    identifier,
    received_timeline,
    control_timeline,
    receiver_application,
    receiver_slot,
    replicas,
    synchronous_names,
    started_micros,
    recovered,
    statistics_since,
    receiver_process,
    columns
};

using row_values = std::array<std::optional<std::string_view>, columns>;

template <typename Number>
std::optional<Number> number(const std::optional<std::string_view>& text, int base = 10) {
    Number value{};
    if (!text || text->empty()) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value, base);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
    return value;
}

std::string text_of(const std::optional<std::string_view>& value) { return std::string(value.value_or("")); }

std::string_view cut(std::string_view& rest, char separator) {
    const auto at = rest.find(separator);
    const std::string_view piece = rest.substr(0, at);
    rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
    return piece;
}

std::vector<replica_row> read_replicas(std::string_view all) {
    std::vector<replica_row> rows;
    while (!all.empty() && rows.size() < 256) {
        std::string_view row = cut(all, '\x1e');
        replica_row one;
        one.application_name = cut(row, '\x1f');
        one.slot = cut(row, '\x1f');
        one.sync_state = row;
        rows.push_back(std::move(one));
    }
    return rows;
}

std::optional<row_values> read_values(std::string_view body) {
    row_values values;
    wire_reader row(body);
    const auto count = row.u16();
    if (!count || *count == 0 || *count > columns) return std::nullopt;
    for (std::size_t i = 0; i < *count; ++i) {
        const auto size = row.i32();
        if (!size || *size < -1) return std::nullopt;
        if (*size == -1) continue;
        values[i] = row.bytes(static_cast<std::size_t>(*size));
        if (!values[i]) return std::nullopt;
    }
    return row.at_end() ? std::optional(values) : std::nullopt;
}

}  // namespace

std::string_view probe_query(std::size_t level) { return level == 0 ? full : level == 1 ? less : least; }

std::string_view write_probe() {
    // Rows that are stored as they are, in a file of its own: a hundred pages are asked of the file system one by one.
    return "CREATE TEMPORARY TABLE pgsteady_write_probe ON COMMIT DROP AS "
           "SELECT repeat('x', 1000) AS filler FROM generate_series(1, 128)";
}

std::string probe_settings(std::chrono::milliseconds timeout) {
    return "SET application_name = 'pgsteady monitor'; SET search_path = pg_catalog; SET client_encoding = 'UTF8'; "
           "SET default_transaction_isolation = 'read committed'; SET datestyle = 'ISO'; SET timezone = 'UTC'; "
           "SET statement_timeout = " +
           std::to_string(timeout.count());
}

std::optional<probe_result> read_probe_row(std::string_view body) {
    const std::optional<row_values> values = read_values(body);
    if (!values) return std::nullopt;
    const auto& row = *values;
    if (row[in_recovery] != "t" && row[in_recovery] != "f") return std::nullopt;
    probe_result found;
    found.role = row[in_recovery] == "t" ? host_role::standby : host_role::primary;
    found.system_identifier = text_of(row[identifier]);
    found.started_at = text_of(row[started]);
    found.written = number<std::uint64_t>(row[written]);
    found.received = number<std::uint64_t>(row[received]);
    found.replayed = number<std::uint64_t>(row[replayed]);
    if (const auto late = number<std::int64_t>(row[since_replayed]))
        found.since_replayed = std::chrono::milliseconds(std::max<std::int64_t>(*late, 0));
    const auto streamed = number<std::uint32_t>(row[received_timeline]);
    found.streaming = streamed.has_value();
    if (found.role == host_role::primary) found.timeline = number<std::uint32_t>(row[written_timeline], 16).value_or(0);
    else found.timeline = streamed ? *streamed : number<std::uint32_t>(row[control_timeline]).value_or(0);
    found.receiver_name = text_of(row[receiver_application]);
    found.receiver_slot = text_of(row[receiver_slot]);
    found.replicas = read_replicas(row[replicas].value_or(""));
    found.synchronous_names = text_of(row[synchronous_names]);
    found.read_only_by_default = row[read_only] == "on";
    found.started_micros = number<std::int64_t>(row[started_micros]).value_or(0);
    found.recovered_to = number<std::uint64_t>(row[recovered]);
    found.statistics_since = number<std::int64_t>(row[statistics_since]).value_or(0);
    found.receiver_pid = number<std::uint32_t>(row[receiver_process]).value_or(0);
    return found;
}

}  // namespace pgsteady
