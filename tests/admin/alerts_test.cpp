// Alerts begin and end once each, whatever trembles in between.
#include "admin/alerts.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> names_of(const alerts& of) {
    std::vector<std::string> result;
    for (const alert& each : of.active()) result.push_back(each.name);
    return result;
}

observation calm() {
    observation seen = sample_observation();
    seen.recent.success_percent = 100;
    seen.recent.requests = 1000;
    return seen;
}

using names = std::vector<std::string>;

}  // namespace

TEST_CASE("Nothing is wrong while nothing is wrong") {
    alerts all;
    all.judge(calm());
    CHECK(all.active().empty());
    CHECK(all.resolved().empty());
}

TEST_CASE("A value that trembles between the thresholds raises one alert") {
    alerts all;
    observation seen = calm();
    seen.now.pools[0].active = 24;  // of 28
    all.judge(seen);
    REQUIRE(names_of(all) == names{"pool_saturation"});
    const alert raised = all.active()[0];
    CHECK(raised.about == "app/alice");
    CHECK(raised.since == seen.taken_at);
    CHECK(raised.value == doctest::Approx(24 * 100.0 / 28));
    CHECK(raised.advice != "");
    for (const std::uint32_t active : {22U, 24U, 21U, 20U}) {
        seen.now.pools[0].active = active;
        seen.taken_at += 5s;
        all.judge(seen);
        REQUIRE(all.active().size() == 1);
        CHECK(all.active()[0].since == raised.since);
    }
    seen.now.pools[0].active = 19;
    seen.taken_at += 5s;
    all.judge(seen);
    CHECK(all.active().empty());
    REQUIRE(all.resolved().size() == 1);
    CHECK(all.resolved()[0].until == seen.taken_at);
    seen.now.pools[0].active = 21;  // not enough to begin anew
    all.judge(seen);
    CHECK(all.active().empty());
}

TEST_CASE("D27 and an open breaker are critical and come first") {
    alerts all;
    observation seen = calm();
    seen.now.consecutive_failures = 3;
    seen.now.two_primaries = true;
    seen.now.breaker.state = breaker_state::open;
    all.judge(seen);
    CHECK(names_of(all) == names{"circuit_breaker_open", "two_primaries", "connection_failures"});
    seen.now.breaker.state = breaker_state::half_open;
    seen.now.consecutive_failures = 1;
    seen.now.two_primaries = false;
    all.judge(seen);
    CHECK(names_of(all) == names{"circuit_breaker_open", "connection_failures"});
    seen.now.breaker.state = breaker_state::closed;
    seen.now.consecutive_failures = 0;
    all.judge(seen);
    CHECK(all.active().empty());
    CHECK(all.resolved().size() == 3);
}

TEST_CASE("The success rate counts only when there are enough requests") {
    alerts all;
    observation seen = calm();
    seen.recent.success_percent = 50;
    seen.recent.requests = 19;
    all.judge(seen);
    CHECK(all.active().empty());
    seen.recent.requests = 20;
    all.judge(seen);
    CHECK(names_of(all) == names{"success_rate"});
    seen.recent.success_percent = 96;
    all.judge(seen);
    CHECK(all.active().size() == 1);
    seen.recent.success_percent = 98;
    all.judge(seen);
    CHECK(all.active().empty());
}

TEST_CASE("Lag is judged by backend, and an alert whose subject is gone ends") {
    alerts all;
    observation seen = calm();
    seen.now.backends[1].lag_seconds = 31;
    all.judge(seen);
    REQUIRE(names_of(all) == names{"replication_lag"});
    CHECK(all.active()[0].about == "db2:5432");
    seen.now.backends.pop_back();
    all.judge(seen);
    CHECK(all.active().empty());
}

TEST_CASE("A rejected configuration and a commit in doubt are told until they are mended") {
    alerts all;
    observation seen = calm();
    seen.now.reload.last_failed = true;
    seen.now.in_doubt_unresolved = 2;
    all.judge(seen);
    REQUIRE(names_of(all) == names{"in_doubt_commit", "reload_failed"});
    CHECK(all.active()[0].level == alert_level::critical);
    CHECK(all.active()[0].value == 2);
    seen.now.reload.last_failed = false;
    seen.now.in_doubt_unresolved = 0;
    all.judge(seen);
    CHECK(all.active().empty());
}

TEST_CASE("A certificate is warned of two weeks ahead, and critical once it has expired") {
    alerts all;
    observation seen = calm();
    const auto days = [](int count) { return std::chrono::hours(24 * count); };
    seen.now.certificates = {{"listen.tls.cert_file", seen.taken_at + days(15)},
                             {"backends.tls.cert_file", seen.taken_at + days(400)}};
    all.judge(seen);
    CHECK(all.active().empty());
    seen.taken_at += days(2);
    all.judge(seen);
    REQUIRE(names_of(all) == names{"certificate_expiry"});
    CHECK(all.active()[0].about == "listen.tls.cert_file");
    CHECK(all.active()[0].value == doctest::Approx(13));
    seen.taken_at += days(13);
    all.judge(seen);
    CHECK(names_of(all) == names{"certificate_expired"});
    seen.now.certificates[0].expires = seen.taken_at + days(90);
    all.judge(seen);
    CHECK(all.active().empty());
    CHECK(all.resolved().size() == 2);
}

TEST_CASE("What is kept of the past is bounded") {
    alerts all;
    observation seen = calm();
    for (int turn = 0; turn < 300; ++turn) {
        seen.now.two_primaries = turn % 2 == 0;
        all.judge(seen);
    }
    CHECK(all.resolved().size() == alerts::most_resolved);
}

TEST_CASE("An alert about what clients notice names their latest incidents, also after its end") {
    alerts all;
    observation seen = calm();
    const auto told = [&seen](std::chrono::seconds before, std::string number) {
        const std::uint64_t serial = seen.now.incidents.size() + 1;
        seen.now.incidents.push_back(
            {seen.taken_at - before, std::move(number), 0, serial, "client 4 lost its server"});
    };
    told(60s, "another day's");
    told(3s, "1");
    seen.now.breaker.state = breaker_state::open;
    seen.now.backends[0].lag_seconds = 99;
    all.judge(seen);
    REQUIRE(names_of(all) == names{"circuit_breaker_open", "replication_lag"});
    CHECK(all.active()[0].incidents == names{"1"});
    CHECK(all.active()[1].incidents.empty());
    seen.taken_at += 5s;
    for (const char* each : {"2", "3", "4", "5", "6"}) told(0s, each);
    all.judge(seen);
    CHECK(all.active()[0].incidents == names{"2", "3", "4", "5", "6"});
    seen.now.incidents.clear();
    seen.now.breaker.state = breaker_state::closed;
    all.judge(seen);
    REQUIRE(all.resolved().size() == 1);
    CHECK(all.resolved()[0].incidents == names{"2", "3", "4", "5", "6"});
}
