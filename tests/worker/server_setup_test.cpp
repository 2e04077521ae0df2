// What a new server session is asked and told, and what is understood of its answer.
#include "proxy/worker/server_setup.hpp"

#include "proxy/session/own_settings.hpp"

#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;

namespace {

std::string row(const std::vector<std::string>& columns) {
    std::string body;
    put_u16(body, static_cast<std::uint16_t>(columns.size()));
    for (const std::string& each : columns) {
        put_i32(body, static_cast<std::int32_t>(each.size()));
        body += each;
    }
    return body;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the set-up row: role, incarnation, timeline, the role's own read-only setting, and which backend is ours") {
    server_link link;
    take_setup_row(row({"f", "2026-01-01 00:00:00+00", "0000002A", "on", "read committed", "1763799449123456"}), link);
    CHECK_FALSE(link.standby);
    CHECK(link.started_at == "2026-01-01 00:00:00+00");
    CHECK(link.timeline == 42);
    CHECK(link.read_only_default);
    CHECK_FALSE(link.serializable_default);
    CHECK(link.backend_started == 1763799449123456);
    take_setup_row(row({"t", "later"}), link);  // the short form
    CHECK(link.standby);
    CHECK(link.backend_started == 0);
    CHECK(link.serializable_default);  // for all that is known
    take_setup_row(row({"t", "later", "xyz", "", "", "12x"}), link);
    CHECK(link.timeline == 0);
    take_setup_row("\0", link);
    take_setup_row(std::string("\0\5\x7f\xff", 4), link);
}

TEST_CASE("2.6: the set-up row says which life of the server it is, and whether a capture means there what it should") {
    const std::vector<std::string> common{"f", "2026-01-01 00:00:00+00", "0000002A", "off", "read committed", "1"};
    const auto with = [&](std::vector<std::string> more) {
        std::vector<std::string> all = common;
        all.insert(all.end(), more.begin(), more.end());
        server_link link;
        take_setup_row(row(all), link);
        return link;
    };
    const server_link works = with({"1767225600123456", "0/15286B8", "1767225600000001", "works"});
    CHECK(works.may_capture);
    CHECK(works.life.started_at == 1767225600123456);
    CHECK(works.life.recovered_to == 0x15286B8U);
    CHECK(works.life.statistics_since == 1767225600000001);
    CHECK(works.life.timeline == 42);
    CHECK_FALSE(with({"1767225600123456", "", "", "works"}).life.recovered_to.has_value());
    CHECK_FALSE(with({"1767225600123456", "", "", "the engine keeps its WAL in its own way"}).may_capture);
    CHECK_FALSE(with({"", "", "", "works"}).may_capture);
    CHECK_FALSE(with({}).may_capture);
    CHECK_FALSE(with({}).capture_problem.empty());
    CHECK_FALSE(with({"x", "y", "z", ""}).may_capture);
}

TEST_CASE("D11: only what the server's version knows is set, and what its client has chosen stays") {
    config::settings all;
    settings_table table;
    const settings_ptr none = table.none();
    const std::string sql = own_settings_query(all, 150000, false, *none);
    for (const std::string_view name : own_setting::all) CHECK(has(sql, name));
    CHECK(has(sql, "'client_connection_check_interval', '1000ms', false"));
    CHECK(has(sql, "'tcp_keepalives_idle', '5', false"));
    CHECK_FALSE(has(sql, "tcp_user_timeout"));  // it would end sessions whose client does not read for a while
    CHECK_FALSE(has(own_settings_query(all, 130000, false, *none), "client_connection_check_interval"));
    CHECK(has(own_settings_query(all, 130000, false, *none), "tcp_keepalives_idle"));
    CHECK_FALSE(has(own_settings_query(all, 150000, true, *none), "tcp_keepalives_idle"));
    CHECK(has(sql, "'synchronize_seqscans', 'off', false"));  // T13
    all.replay.enabled = false;
    CHECK_FALSE(has(own_settings_query(all, 150000, false, *none), "synchronize_seqscans"));
    const settings_ptr chosen = table.of({{"client_connection_check_interval", "0"}, {"tcp_keepalives_count", "9"}});
    const std::string rest = own_settings_query(all, 150000, false, *chosen);
    CHECK_FALSE(has(rest, "client_connection_check_interval"));
    CHECK_FALSE(has(rest, "tcp_keepalives_count"));
    CHECK(has(rest, "SELECT pg_catalog.set_config('tcp_keepalives_idle'"));
    all.connect.keepalive.idle = std::chrono::milliseconds(0);
    CHECK(own_settings_query(all, 130000, false, *none).empty());
    all.fence.connection_check = std::chrono::milliseconds(0);
    CHECK(own_settings_query(all, 150000, false, *none).empty());
}
