// See server_setup.hpp.
#include "proxy/worker/server_setup.hpp"

#include "protocol/wire.hpp"

#include "proxy/policy/in_doubt.hpp"
#include "proxy/session/commit_proof.hpp"
#include "proxy/session/own_settings.hpp"

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <vector>

namespace pgsteady {

namespace {

// Is it a primary, of which incarnation and timeline, does it let itself be written to, and which of its backends is ours?
// The timeline is the one it writes now: pg_control_checkpoint() lags behind a promotion (T3).
constexpr std::string_view whole_query =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time()::pg_catalog.text, "
    "CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN "
    "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8) END, "
    "pg_catalog.current_setting('default_transaction_read_only'), "
    "pg_catalog.current_setting('default_transaction_isolation'), "
    "(SELECT pg_catalog.round(extract(epoch FROM a.backend_start) * 1000000)::pg_catalog.int8 "
    "FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) AS a), "
    // Which life of the server it is (proxy/policy/incarnation.hpp), and whether a capture means there what it should:
    // engines that are no PostgreSQL underneath keep their WAL in other ways.
    "(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::pg_catalog.int8, "
    "pg_catalog.pg_last_wal_replay_lsn(), "
    "(extract(epoch FROM pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::pg_catalog.int8, "
    "CASE WHEN pg_catalog.to_regproc('pg_catalog.aurora_version') IS NOT NULL OR "
    "pg_catalog.current_setting('neon.tenant_id', true) IS NOT NULL OR "
    "pg_catalog.current_setting('alloydb.version', true) IS NOT NULL THEN 'the engine keeps its WAL in its own way' "
    "WHEN NOT coalesce(pg_catalog.has_function_privilege(coalesce("
    "pg_catalog.to_regprocedure('pg_catalog.pg_logical_emit_message(pg_catalog.bool, pg_catalog.text, "
    "pg_catalog.text)'), "
    "pg_catalog.to_regprocedure('pg_catalog.pg_logical_emit_message(pg_catalog.bool, pg_catalog.text, pg_catalog.text, "
    "pg_catalog.bool)')), 'EXECUTE'), false) THEN 'pg_logical_emit_message may not be called' "
    "ELSE 'works' END, "
    // What a rule adds to a statement is shown to a Query alone.
    "NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_type <> '1' AND r.oid >= 16384)";
constexpr std::string_view short_query =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time()::pg_catalog.text";

constexpr int first_with_connection_check = 140000;

std::int64_t number_of(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? value : 0;
}

/// Whole seconds, rounded up.
std::string seconds_of(std::chrono::milliseconds time) { return std::to_string((time.count() + 999) / 1000); }

}  // namespace

std::string_view setup_query(bool less) { return less ? short_query : whole_query; }

std::string_view next_column(wire_reader& row) {
    const auto size = row.i32();
    if (!size || *size <= 0) return {};
    return row.bytes(static_cast<std::size_t>(*size)).value_or(std::string_view());
}

void take_setup_row(std::string_view body, server_link& link) {
    wire_reader row(body);
    const auto columns = row.u16();
    if (!columns || *columns < 2) return;
    link.standby = next_column(row) == "t";
    link.started_at = next_column(row);
    const std::string timeline(next_column(row));
    link.timeline = static_cast<std::uint32_t>(std::strtoul(timeline.c_str(), nullptr, 16));
    link.read_only_default = next_column(row) == "on";
    link.serializable_default = *columns < 5 || may_be_serializable(next_column(row));
    const std::string_view started = next_column(row);
    link.backend_started = 0;
    (void)std::from_chars(started.data(), started.data() + started.size(), link.backend_started);
    link.life = {};
    link.life.timeline = link.timeline;
    link.life.started_at = number_of(next_column(row));
    link.life.recovered_to = read_wal_position(next_column(row));
    link.life.statistics_since = number_of(next_column(row));
    const std::string_view captures = next_column(row);
    link.may_capture = captures == "works" && link.life.started_at != 0 && !link.standby;
    link.capture_problem = link.may_capture || link.standby ? std::string_view() : captures;
    link.may_rewrite = next_column(row) == "t";
    if (*columns < 10) link.capture_problem = "the account may not ask which life of the server it is";
}

std::string own_settings_query(const config::settings& all, int version_num, bool unix_socket, const settings& chosen) {
    std::string sql;
    const auto add = [&](std::string_view name, const std::string& value) {
        if (chosen.find(name) != nullptr) return;
        sql += sql.empty() ? "SELECT " : ", ";
        sql += "pg_catalog.set_config(" + quote_literal(name) + ", " + quote_literal(value) + ", false)";
    };
    if (all.replay.enabled) add(own_setting::synchronized_scans, "off");
    if (all.fence.connection_check.count() == 0) return sql;
    if (version_num >= first_with_connection_check)
        add(own_setting::connection_check, std::to_string(all.fence.connection_check.count()) + "ms");
    const config::keepalive_settings& keepalive = all.connect.keepalive;
    if (unix_socket || keepalive.idle.count() == 0) return sql;
    add(own_setting::keepalive_idle, seconds_of(keepalive.idle));
    if (keepalive.interval.count() > 0) add(own_setting::keepalive_interval, seconds_of(keepalive.interval));
    add(own_setting::keepalive_count, std::to_string(keepalive.count));
    return sql;
}

}  // namespace pgsteady
