// The probe's row: what each column becomes, and that a hostile one is no answer.
#include "proxy/cluster/probe.hpp"

#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

using cells = std::vector<std::optional<std::string>>;

std::string row(const cells& values) {
    std::string body;
    put_u16(body, static_cast<std::uint16_t>(values.size()));
    for (const auto& each : values) {
        put_i32(body, each ? static_cast<std::int32_t>(each->size()) : -1);
        if (each) body += *each;
    }
    return body;
}

const cells primary_row{"f",
                        "0000001A",
                        "2026-01-01 00:00:00+00",
                        "50331688",
                        {},
                        {},
                        {},
                        "off",
                        "7001",
                        {},
                        {},
                        {},
                        {},
                        "b\x1fslot_b\x1fsync\x1e"
                        "c\x1f\x1f"
                        "async",
                        "FIRST 1 (b, c)",
                        "1767225600123456",
                        "50331000",
                        "1767225600000001",
                        {}};
const cells standby_row{"t",
                        {},
                        "2026-01-01 00:00:00+00",
                        {},
                        "50331648",
                        "50331000",
                        "1500",
                        "on",
                        "7001",
                        "26",
                        "25",
                        "b",
                        "slot_b",
                        {},
                        "",
                        "1767225600123456",
                        "50331000",
                        {},
                        "4711"};

}  // namespace

TEST_CASE("a primary's row") {
    const auto found = read_probe_row(row(primary_row));
    REQUIRE(found);
    CHECK(found->role == host_role::primary);
    CHECK(found->timeline == 26);  // the file name is hexadecimal (T3)
    CHECK(found->system_identifier == "7001");
    CHECK(found->written == 50331688);
    CHECK_FALSE(found->replayed);
    CHECK_FALSE(found->streaming);
    REQUIRE(found->replicas.size() == 2);
    CHECK(found->replicas[0].application_name == "b");
    CHECK(found->replicas[0].slot == "slot_b");
    CHECK(found->replicas[0].sync_state == "sync");
    CHECK(found->replicas[1].slot.empty());
    CHECK(found->synchronous_names == "FIRST 1 (b, c)");
    CHECK(found->started_micros == 1767225600123456);
    CHECK(found->recovered_to == 50331000U);  // after a crash or a promotion
    CHECK(found->statistics_since == 1767225600000001);
    CHECK(found->receiver_pid == 0);
}

TEST_CASE("a standby's row") {
    auto found = read_probe_row(row(standby_row));
    REQUIRE(found);
    CHECK(found->role == host_role::standby);
    CHECK(found->timeline == 26);  // its receiver's, not the control file's
    CHECK(found->streaming);
    CHECK(found->received == 50331648);
    CHECK(found->replayed == 50331000);
    CHECK(found->since_replayed == 1500ms);
    CHECK(found->receiver_name == "b");
    CHECK(found->read_only_by_default);
    CHECK(found->statistics_since == 0);
    CHECK(found->receiver_pid == 4711);
    cells hidden = standby_row;
    hidden[9].reset();  // the account may not see the receiver
    found = read_probe_row(row(hidden));
    REQUIRE(found);
    CHECK(found->timeline == 25);
    CHECK_FALSE(found->streaming);
}

TEST_CASE("the lesser probes have fewer columns") {
    const auto found = read_probe_row(row({"f"}));
    REQUIRE(found);
    CHECK(found->role == host_role::primary);
    CHECK(found->timeline == 0);
    CHECK_FALSE(found->written);
    CHECK(probe_query(probe_levels - 1) == "SELECT pg_is_in_recovery()");
}

TEST_CASE("P9: what is no such row is no answer") {
    CHECK_FALSE(read_probe_row(""));
    CHECK_FALSE(read_probe_row(row({})));
    CHECK_FALSE(read_probe_row(row({"maybe"})));
    CHECK_FALSE(read_probe_row(row({std::nullopt, "00000001"})));
    CHECK_FALSE(read_probe_row(row(cells(20, "t"))));
    CHECK_FALSE(read_probe_row(row(primary_row) + "x"));
    for (const std::string& whole : {row(primary_row), row(standby_row)})
        for (std::size_t cut = 0; cut < whole.size(); ++cut) CHECK_FALSE(read_probe_row(whole.substr(0, cut)));
    std::string negative = row({"t"});
    negative[2] = '\xff', negative[3] = '\xff', negative[4] = '\xff', negative[5] = '\x00';
    CHECK_FALSE(read_probe_row(negative));
}

TEST_CASE("numbers that are none, or do not fit, are not known") {
    cells odd = primary_row;
    odd[1] = "nonsense";
    odd[3] = "99999999999999999999999";
    odd[6] = "-5";
    auto found = read_probe_row(row(odd));
    REQUIRE(found);
    CHECK(found->timeline == 0);
    CHECK_FALSE(found->written);
    CHECK(found->since_replayed == 0ms);  // the clock was set back
    odd[3] = "12abc";
    found = read_probe_row(row(odd));
    REQUIRE(found);
    CHECK_FALSE(found->written);
}

TEST_CASE("rows of replicas are bounded") {
    cells many = primary_row;
    many[13] = std::string();
    for (int i = 0; i < 5000; ++i)
        *many[13] +=
            "x\x1f\x1f"
            "async\x1e";
    const auto found = read_probe_row(row(many));
    REQUIRE(found);
    CHECK(found->replicas.size() == 256);
}
