// What is concluded about a cluster, told as stories under a fake clock: what the monitor's connections met, what follows.
#include "proxy/policy/cluster_policy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

cluster_rules default_rules() { return {}; }
recovery_verdict verdict_of(failure_kind kind) { return judge(kind, failure_phase::dialling); }

/// A cluster and a clock. Each step concludes, as the shell does.
struct story {
    explicit story(std::size_t hosts, cluster_rules rules = default_rules())
        : policy(names(hosts), rules, {std::chrono::steady_clock::time_point(1h), 0.5}), now(1h) {
        settle();
    }

    static std::vector<std::string> names(std::size_t count) {
        std::vector<std::string> result;
        for (std::size_t i = 0; i < count; ++i) result.push_back(std::string(1, static_cast<char>('a' + i)) + ":5432");
        return result;
    }
    [[nodiscard]] moment at() const { return {std::chrono::steady_clock::time_point(now), 0.5}; }
    void settle() {
        changed = policy.conclude(at()) || changed;
        for (cluster_event& each : policy.take_events()) events.push_back(each.name);
    }
    void pass(std::chrono::steady_clock::duration time) {
        now += time;
        settle();
    }

    static probe_result primary(std::uint32_t timeline = 1, std::uint64_t written = 100 * mib) {
        probe_result found;
        found.role = host_role::primary;
        found.timeline = timeline;
        found.system_identifier = "7001";
        found.started_at = "2026-01-01";
        found.written = written;
        found.latency = 300us;
        return found;
    }
    static probe_result standby(std::uint64_t replayed = 100 * mib, std::uint32_t timeline = 1) {
        probe_result found = primary(timeline);
        found.role = host_role::standby;
        found.written.reset();
        found.received = replayed;
        found.replayed = replayed;
        found.since_replayed = 2h;  // an idle primary: says nothing
        found.streaming = true;
        found.receiver_name = "walreceiver";
        return found;
    }

    void connect(std::size_t host) {
        policy.host(host).connecting(at());
        now += 1ms;
        policy.host(host).connected(at());
    }
    void ask(std::size_t host, const probe_result& found) {
        policy.asked(host, at());
        now += 1ms;
        policy.answered(host, found, at());
        settle();
    }
    /// Signed in, asked once.
    void up(std::size_t host, const probe_result& found) {
        connect(host);
        ask(host, found);
    }
    void drop(std::size_t host, failure_kind kind = failure_kind::closed) {
        policy.host(host).disconnected(verdict_of(kind), "gone", at());
        settle();
    }
    void refuse(std::size_t host, failure_kind kind = failure_kind::refused) {
        policy.host(host).connecting(at());
        now += 1ms;
        policy.host(host).connect_failed(verdict_of(kind), std::string(to_string(kind)), at());
        settle();
    }
    /// The server process ends and nobody listens.
    void dies(std::size_t host) {
        drop(host);
        refuse(host);
    }
    void misses(std::size_t host) {
        policy.asked(host, at());
        now += 1s;
        policy.host(host).missed(at());
        settle();
    }
    void dial_times_out(std::size_t host) {
        policy.host(host).connecting(at());
        now += 1s;
        policy.host(host).connect_failed(verdict_of(failure_kind::timed_out), "no answer", at());
        settle();
    }
    void reports(host_report seen) {
        policy.report(seen, at());
        settle();
    }

    [[nodiscard]] const cluster_view& view() const { return policy.view(); }
    [[nodiscard]] service_mode mode() const { return view().mode; }
    [[nodiscard]] long told(const std::string& name) const { return std::count(events.begin(), events.end(), name); }
    [[nodiscard]] std::chrono::steady_clock::duration wait_for(std::size_t host) const {
        const host_errand next = policy.next_errand(host, at().now);
        REQUIRE(next.kind != host_errand::what::none);
        return std::max(next.due - at().now, std::chrono::steady_clock::duration{});
    }
    [[nodiscard]] std::optional<std::chrono::steady_clock::duration> next_conclusion() const {
        const auto when = policy.next_conclusion(at().now);
        return when ? std::optional(*when - at().now) : std::nullopt;
    }
    bool take_change() { return std::exchange(changed, false); }

    cluster_policy policy;
    std::chrono::steady_clock::duration now;
    std::vector<std::string> events;
    bool changed = false;
};

using optional_host = std::optional<std::size_t>;
using hosts = std::vector<std::size_t>;

/// A primary and a standby that follows it.
story pair_of_hosts(cluster_rules rules = default_rules()) {
    story tale(2, rules);
    tale.up(0, story::primary());
    tale.up(1, story::standby());
    tale.take_change();
    tale.events.clear();
    return tale;
}

}  // namespace

TEST_CASE("before anything is known, nothing is held up") {
    story tale(2);
    CHECK(tale.mode() == service_mode::normal);
    CHECK_FALSE(tale.view().informed);
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.view().hosts[1].address == "b:5432");
    CHECK(tale.wait_for(0) == 0s);
}

TEST_CASE("roles are discovered") {
    story tale(2);
    tale.up(1, story::primary(3));
    tale.up(0, story::standby(100 * mib, 3));
    CHECK(tale.view().primary == optional_host(1));
    CHECK(tale.view().readable == hosts{0});
    CHECK(tale.view().timeline == 3);
    CHECK(tale.view().informed);
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.told("primary_found") == 1);
}

TEST_CASE("at the start, a primary is not chosen before the others had their say") {
    story tale(2);
    tale.up(0, story::primary(1));
    CHECK_FALSE(tale.view().primary);
    REQUIRE(tale.next_conclusion());
    SUBCASE("another one with a newer history wins") {
        tale.up(1, story::primary(2));
        CHECK(tale.view().primary == optional_host(1));
        CHECK(tale.told("old_primary") == 1);
        CHECK_FALSE(tale.view().two_primaries);
    }
    SUBCASE("but not for long") {
        tale.pass(cluster_policy::settle_for);
        CHECK(tale.view().primary == optional_host(0));
    }
    SUBCASE("one that refuses has had it") {
        tale.refuse(1);
        CHECK(tale.view().primary == optional_host(0));
    }
}

TEST_CASE("D27: at the start two primaries on one timeline get no writes") {
    story tale(2);
    tale.up(0, story::primary(2));
    tale.up(1, story::primary(2));
    CHECK(tale.view().two_primaries);
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.mode() == service_mode::read_only);
}

TEST_CASE("P55: a terminated backend of the monitor is not a failed host") {
    story tale = pair_of_hosts();
    tale.drop(0, failure_kind::admin_shutdown);
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.wait_for(0) == 0s);  // dialled again at once
    for (int i = 0; i < 5; ++i) {   // not even if it is terminated again and again before it could ask
        tale.connect(0);
        tale.drop(0, failure_kind::admin_shutdown);
        CHECK(tale.wait_for(0) == 250ms);
    }
    tale.up(0, story::primary());
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.events.empty());
}

TEST_CASE("a primary whose port is closed is lost at once, and found again when it is back") {
    story tale = pair_of_hosts();
    tale.dies(0);
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.mode() == service_mode::holding);
    CHECK(tale.view().cause == "the primary a:5432 was lost: refused");
    CHECK(tale.view().readable == hosts{1});
    CHECK_FALSE(tale.view().hosts[0].silent);
    CHECK(tale.told("primary_lost") == 1);
    CHECK(tale.told("mode_changed") == 1);
    CHECK(tale.take_change());
    CHECK(tale.view().hosts[0].role == host_role::unknown);  // it was one

    tale.pass(50ms);
    tale.refuse(0, failure_kind::not_ready);
    CHECK(tale.mode() == service_mode::holding);
    tale.pass(50ms);
    probe_result again = story::primary();
    again.started_at = "2026-01-02";
    tale.up(0, again);
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.view().cause.empty());
    CHECK(tale.told("host_restarted") == 1);
    CHECK(tale.told("primary_found") == 1);
    CHECK(tale.told("primary_moved") == 0);
}

TEST_CASE("57P03 means up but not ready: held, not silent") {
    story tale = pair_of_hosts();
    tale.drop(0, failure_kind::crash_shutdown);
    tale.refuse(0, failure_kind::not_ready);
    CHECK(tale.mode() == service_mode::holding);
    CHECK_FALSE(tale.view().hosts[0].silent);
    CHECK(tale.view().hosts[0].breaker == breaker_state::open);
}

TEST_CASE("T23: exhausted slots say nothing against a host") {
    story tale = pair_of_hosts();
    tale.drop(0, failure_kind::admin_shutdown);
    for (int i = 0; i < 20; ++i) {
        tale.refuse(0, failure_kind::too_many_connections);
        tale.reports({0, host_report::what::open_failed, verdict_of(failure_kind::too_many_connections),
                      host_role::unknown, 0, "53300"});
        tale.pass(1s);
    }
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
    CHECK(tale.view().hosts[0].reachable);
    CHECK(tale.mode() == service_mode::normal);
}

TEST_CASE("one connection that fails without a plain word condemns nobody, two do") {
    for (const failure_kind kind :
         {failure_kind::reset, failure_kind::closed, failure_kind::unreachable, failure_kind::tls_failed}) {
        CAPTURE(to_string(kind));
        story tale = pair_of_hosts();
        tale.drop(0);
        tale.refuse(0, kind);
        CHECK(tale.view().primary == optional_host(0));
        CHECK(tale.wait_for(0) <= 25ms);
        tale.refuse(0, kind);
        CHECK_FALSE(tale.view().primary);
    }
}

TEST_CASE("F12: a black-holed primary is lost after three probes without an answer") {
    story tale = pair_of_hosts();
    tale.misses(0);
    CHECK(tale.view().primary == optional_host(0));
    tale.dial_times_out(0);
    CHECK(tale.view().primary == optional_host(0));
    CHECK_FALSE(tale.view().hosts[0].silent);
    tale.dial_times_out(0);
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.view().hosts[0].silent);
    CHECK_FALSE(tale.view().hosts[0].reachable);
    CHECK(tale.mode() == service_mode::holding);
    CHECK(tale.view().hosts[0].breaker == breaker_state::open);
}

TEST_CASE("a slow answer, or a connection that a pool opens, is a sign of life") {
    story tale = pair_of_hosts();
    for (int i = 0; i < 10; ++i) {
        tale.misses(0);
        tale.up(0, story::primary());
    }
    for (int i = 0; i < 10; ++i) {
        tale.misses(0);
        tale.reports({0, host_report::what::opened, {}, host_role::primary, 1, {}});
    }
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.mode() == service_mode::normal);
}

TEST_CASE("a promoted standby is adopted once the primary is lost") {
    story tale = pair_of_hosts();
    tale.dies(0);
    CHECK(tale.wait_for(1) <= 50ms);
    tale.ask(1, story::standby());
    CHECK(tale.mode() == service_mode::holding);
    tale.ask(1, story::primary(2));
    CHECK(tale.view().primary == optional_host(1));
    CHECK(tale.view().timeline == 2);
    CHECK(tale.view().readable.empty());
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.told("primary_moved") == 1);

    SUBCASE("T37: the old primary that comes back is never written to") {
        tale.up(0, story::primary(1, 200 * mib));
        CHECK(tale.view().primary == optional_host(1));
        CHECK_FALSE(tale.view().two_primaries);
        CHECK(tale.mode() == service_mode::normal);
        CHECK(tale.told("old_primary") == 1);
        tale.ask(0, story::primary(1, 200 * mib));
        CHECK(tale.told("old_primary") == 1);
        CHECK(tale.view().readable.empty());
        // Not even when it is all that is left.
        tale.dies(1);
        CHECK_FALSE(tale.view().primary);
        CHECK(tale.mode() == service_mode::holding);
        tale.ask(0, story::primary(1, 200 * mib));
        CHECK_FALSE(tale.view().primary);
    }
    SUBCASE("it may come back as a standby") {
        tale.up(0, story::standby(100 * mib, 2));
        CHECK(tale.view().readable == hosts{0});
    }
}

TEST_CASE("D27: a standby promoted while the primary lives moves nothing") {
    story tale = pair_of_hosts();
    tale.ask(1, story::primary(2));
    CHECK(tale.view().primary == optional_host(0));
    CHECK_FALSE(tale.view().two_primaries);  // not before the primary has confirmed that it lives
    CHECK(tale.wait_for(0) <= host_watch::least_gap);
    SUBCASE("it does: two primaries") {
        tale.pass(5ms);
        tale.ask(0, story::primary(1));
        CHECK(tale.view().two_primaries);
        CHECK(tale.mode() == service_mode::read_only);
        CHECK(tale.told("two_primaries") == 1);
        CHECK(tale.view().primary == optional_host(0));
        CHECK(tale.view().write == breaker_state::open);
        SUBCASE("the old one goes: the new one is adopted") {
            tale.dies(0);
            CHECK(tale.view().primary == optional_host(1));
            CHECK(tale.mode() == service_mode::normal);
            CHECK(tale.told("one_primary") == 1);
        }
        SUBCASE("the new one goes: the old one serves") {
            tale.dies(1);
            CHECK(tale.view().primary == optional_host(0));
            CHECK(tale.mode() == service_mode::normal);
        }
        SUBCASE("an operator decides") {
            REQUIRE(tale.policy.force("write", breaker_force::closed, tale.at()));
            tale.settle();
            CHECK(tale.mode() == service_mode::normal);
            CHECK(tale.view().primary == optional_host(0));
        }
    }
    SUBCASE("it has gone silent: its successor is adopted, and nobody sees read-only mode") {
        tale.misses(0);
        tale.dial_times_out(0);
        tale.dial_times_out(0);
        CHECK(tale.view().primary == optional_host(1));
        CHECK(tale.mode() == service_mode::normal);
        CHECK(tale.told("two_primaries") == 0);
    }
}

TEST_CASE("switchover: the primary comes back as a standby") {
    story tale = pair_of_hosts();
    tale.policy.hold(true);
    tale.settle();
    CHECK(tale.mode() == service_mode::holding);
    CHECK(tale.view().held_by_operator);
    CHECK(tale.view().primary == optional_host(0));
    tale.drop(0);
    tale.up(0, story::standby());
    CHECK_FALSE(tale.view().primary);
    tale.ask(1, story::primary(2));
    CHECK(tale.view().primary == optional_host(1));
    CHECK(tale.mode() == service_mode::holding);
    tale.policy.hold(false);
    tale.settle();
    CHECK(tale.mode() == service_mode::normal);
}

TEST_CASE("D21: 25006 from a pool makes the monitor look at once, and it says what it finds") {
    story tale = pair_of_hosts();
    CHECK(tale.wait_for(0) > 900ms);
    tale.pass(100ms);
    tale.reports(
        {0, host_report::what::not_primary, verdict_of(failure_kind::read_only), host_role::unknown, 0, "25006"});
    CHECK(tale.wait_for(0) == 0s);
    CHECK(tale.view().primary == optional_host(0));
    SUBCASE("the role is the same") {
        tale.ask(0, story::primary());
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("it was demoted") {
        tale.ask(0, story::standby());
        CHECK_FALSE(tale.view().primary);
    }
}

TEST_CASE("2.12: several sessions lost within a second open the host's breaker, and condemn nobody by themselves") {
    story tale = pair_of_hosts();
    tale.pass(500ms);
    const auto lose = [&tale](int times, failure_kind kind, failure_phase doing = failure_phase::statement) {
        for (int i = 0; i < times; ++i) tale.reports({0, host_report::what::lost, judge(kind, doing), {}, 0, "gone"});
    };
    SUBCASE("one or two are looked into") {
        lose(2, failure_kind::admin_shutdown);
        CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
        tale.pass(1001ms);
        lose(2, failure_kind::admin_shutdown);
        CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
        CHECK(tale.wait_for(0) == 0s);
    }
    SUBCASE("what PostgreSQL ends by its own rules is no loss") {
        lose(5000, failure_kind::session_ended);
        lose(5000, failure_kind::statement_error);
        CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
    }
    SUBCASE("idle connections that a firewall forgets count only as a burst") {
        for (int i = 0; i < 50; ++i) {
            lose(1, failure_kind::reset, failure_phase::resting);
            tale.pass(600ms);
        }
        CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
        lose(3, failure_kind::reset, failure_phase::resting);
        CHECK(tale.view().hosts[0].breaker == breaker_state::open);
    }
    SUBCASE("thousands at once are one trip, and two answers close it") {
        lose(5000, failure_kind::closed);
        CHECK(tale.view().hosts[0].breaker == breaker_state::open);
        CHECK(tale.view().hosts[0].trips_total == 1);
        CHECK(tale.view().primary == optional_host(0));
        CHECK(tale.mode() == service_mode::normal);
        CHECK(tale.wait_for(0) == host_watch::listens);  // it may yet say what happened, if nobody asks
        tale.pass(host_watch::listens / 2);
        lose(1, failure_kind::closed);
        CHECK(tale.wait_for(0) == host_watch::listens / 2);
        tale.ask(0, story::primary());
        CHECK(tale.view().hosts[0].breaker == breaker_state::half_open);
        CHECK(tale.wait_for(0) <= 5ms);
        tale.ask(0, story::primary());
        CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
    }
}

TEST_CASE(
    "2.12: half of at least twenty dials within ten seconds open a host's breaker, T23: whatever slots are exhausted") {
    story tale = pair_of_hosts();
    const auto dial = [&tale](failure_kind kind) {
        const auto what = kind == failure_kind::none ? host_report::what::opened : host_report::what::open_failed;
        tale.reports({0, what, verdict_of(kind), host_role::primary, 1, "dial"});
    };
    for (int i = 0; i < 200; ++i) {
        dial(failure_kind::too_many_connections);
        dial(failure_kind::login_refused);
    }
    CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
    for (int i = 0; i < 9; ++i) {  // 9 of 18, and what the monitor has seen itself
        dial(failure_kind::reset);
        dial(failure_kind::none);
    }
    CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
    for (int i = 0; i < 3; ++i) {
        dial(failure_kind::reset);
        dial(failure_kind::reset);
        dial(failure_kind::none);
    }
    CHECK(tale.view().hosts[0].breaker == breaker_state::open);
    CHECK(tale.policy.host(0).fuse().cause() == breaker_cause::failure_rate);
}

TEST_CASE("new connections refused with 57P03 make the monitor's own be opened anew: a smart shutdown is seen") {
    story tale = pair_of_hosts();
    tale.reports({0, host_report::what::open_failed, verdict_of(failure_kind::not_ready), {}, 0, "shutting down"});
    CHECK(tale.policy.next_errand(0, tale.at().now).kind == host_errand::what::reconnect);
    tale.drop(0, failure_kind::none);
    tale.refuse(0, failure_kind::not_ready);
    CHECK_FALSE(tale.view().primary);
}

TEST_CASE("D3: reads go to a standby at once, read-only mode begins when writes have waited for hold_timeout") {
    story tale = pair_of_hosts();
    tale.dies(0);
    CHECK(tale.mode() == service_mode::holding);
    CHECK(tale.view().readable == hosts{1});
    CHECK(tale.next_conclusion() == 30s);
    tale.pass(29s);
    tale.ask(1, story::standby());
    CHECK(tale.mode() == service_mode::holding);
    tale.pass(1s);
    CHECK(tale.mode() == service_mode::read_only);
    CHECK(tale.view().write_trips_total == 1);
    SUBCASE("it leaves by itself with the first verified primary") {
        tale.up(0, story::primary());
        CHECK(tale.mode() == service_mode::normal);
        CHECK(tale.view().write == breaker_state::closed);
    }
    SUBCASE("without a standby it is offline once nothing was reachable for so long") {
        tale.dies(1);
        CHECK(tale.view().readable.empty());
        CHECK(tale.mode() == service_mode::holding);
        tale.pass(30s);
        CHECK(tale.mode() == service_mode::offline);
        tale.up(1, story::standby());
        CHECK(tale.mode() == service_mode::read_only);
    }
}

TEST_CASE("D1: with read_only off it stays holding") {
    story tale = pair_of_hosts();
    config::cluster_values values;
    values.read_only.enabled = false;
    tale.policy.set_values(values, tale.at());
    tale.dies(0);
    tale.pass(1h);
    CHECK(tale.mode() == service_mode::holding);
    CHECK_FALSE(tale.next_conclusion());  // never one that has passed: the timer would spin
    CHECK(tale.view().readable.empty());  // and reads wait, too
    tale.policy.set_values({}, tale.at());
    tale.settle();
    CHECK(tale.mode() == service_mode::read_only);
    CHECK(tale.view().readable == std::vector<std::size_t>{1});
}

TEST_CASE("D1, D3: patience that is changed while the primary is lost counts at once") {
    story tale = pair_of_hosts();
    tale.dies(0);
    tale.pass(5s);
    CHECK(tale.mode() == service_mode::holding);
    config::cluster_values values;
    values.hold_timeout = 2s;
    tale.policy.set_values(values, tale.at());
    tale.settle();
    CHECK(tale.mode() == service_mode::read_only);
    values.hold_timeout = 60s;
    tale.policy.set_values(values, tale.at());
    tale.settle();
    CHECK(tale.mode() == service_mode::holding);
    REQUIRE(tale.next_conclusion().has_value());
}

TEST_CASE("an operator begins read-only mode by opening the way for writes") {
    story tale = pair_of_hosts();
    REQUIRE(tale.policy.force("write", breaker_force::open, tale.at()));
    tale.settle();
    CHECK(tale.mode() == service_mode::read_only);
    REQUIRE(tale.policy.force("write", breaker_force::automatic, tale.at()));
    tale.settle();
    CHECK(tale.mode() == service_mode::normal);
    CHECK_FALSE(tale.policy.force("c:5432", breaker_force::open, tale.at()));
    REQUIRE(tale.policy.force("a:5432", breaker_force::open, tale.at()));
    tale.settle();
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.mode() == service_mode::holding);
}

TEST_CASE("2.9, 2.12: storage that fails makes it read-only, and it is left by itself once writes work again") {
    story tale = pair_of_hosts();
    const auto fails = [&tale](std::size_t host, int times = 1) {
        for (int i = 0; i < times; ++i) tale.reports({host, host_report::what::storage_failing, {}, {}, 1, {}});
    };
    fails(1, 30);  // of a standby, or of what was the primary once
    CHECK(tale.mode() == service_mode::normal);
    fails(0, 2);
    CHECK(tale.mode() == service_mode::normal);
    fails(0);
    CHECK(tale.mode() == service_mode::read_only);
    CHECK(tale.view().writes == write_way::failing);
    CHECK(tale.view().write == breaker_state::open);
    CHECK(tale.view().cause.find("53100") != std::string::npos);
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.view().readable == hosts{1});
    CHECK(tale.told("storage_failing") == 1);
    CHECK(tale.told("primary_lost") == 0);
    const auto try_to_write = [&tale](write_attempt how) {
        tale.ask(0, story::primary());
        REQUIRE(tale.policy.next_errand(0, tale.at().now).kind == host_errand::what::try_to_write);
        CHECK(tale.policy.next_errand(1, tale.at().now).kind == host_errand::what::ask);
        tale.policy.trying_to_write(0, tale.at());
        CHECK(tale.policy.next_errand(0, tale.at().now).kind == host_errand::what::none);
        tale.policy.tried_to_write(0, how, tale.at());
        tale.policy.host(0).probe_refused({}, tale.at());
        tale.settle();
    };
    CHECK(tale.policy.next_errand(0, tale.at().now).kind == host_errand::what::ask);
    REQUIRE(tale.next_conclusion().has_value());
    CHECK(*tale.next_conclusion() <= 1200ms);
    tale.pass(1200ms);
    try_to_write(write_attempt::failed);
    CHECK(tale.mode() == service_mode::read_only);
    tale.pass(2400ms);
    try_to_write(write_attempt::wrote);
    CHECK(tale.mode() == service_mode::read_only);
    CHECK(tale.view().write == breaker_state::half_open);
    try_to_write(write_attempt::wrote);
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.view().write == breaker_state::closed);
    CHECK(tale.told("storage_works") == 1);
}

TEST_CASE("2.13: with storage that fails and no standby the primary itself serves reads") {
    story tale(1);
    tale.up(0, story::primary());
    CHECK(tale.view().readable.empty());
    for (int i = 0; i < 3; ++i) tale.reports({0, host_report::what::storage_failing, {}, {}, 1, {}});
    CHECK(tale.mode() == service_mode::read_only);
    CHECK(tale.view().readable == hosts{0});
    CHECK(tale.view().shows_all(tale.view().hosts[0], 99));
    SUBCASE("an operator who insists on writing may") {
        REQUIRE(tale.policy.force("write", breaker_force::closed, tale.at()));
        tale.settle();
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("D1: with read_only off nothing changes") {
        config::cluster_values values;
        values.read_only.enabled = false;
        tale.policy.set_values(values, tale.at());
        tale.settle();
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("when the primary is lost, that is what counts") {
        tale.dies(0);
        CHECK(tale.mode() == service_mode::holding);
        CHECK(tale.view().readable.empty());
        tale.up(0, story::primary());
        CHECK(tale.mode() == service_mode::normal);  // adopted anew: its disk may have been seen to
    }
    SUBCASE("D10: without an account that could try, time alone opens the way") {
        tale.drop(0);
        tale.refuse(0, failure_kind::login_refused);
        tale.reports({0, host_report::what::opened, {}, host_role::primary, 1, {}});
        CHECK(tale.mode() == service_mode::read_only);
        tale.pass(1200ms);
        CHECK(tale.mode() == service_mode::normal);
    }
}

TEST_CASE("a lone host is what it says") {
    story tale(1);
    SUBCASE("a standby from the start serves reads") {
        tale.up(0, story::standby());
        CHECK(tale.mode() == service_mode::read_only);
        CHECK(tale.view().readable == hosts{0});
        tale.ask(0, story::primary(2));
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("even if it shows nothing but its role") {
        probe_result bare;
        bare.role = host_role::standby;
        tale.up(0, bare);
        CHECK(tale.mode() == service_mode::read_only);
    }
    SUBCASE("one name for two nodes: writes wait for the promotion") {
        tale.up(0, story::primary(1));
        tale.drop(0);
        tale.up(0, story::standby());
        CHECK(tale.mode() == service_mode::holding);
        tale.ask(0, story::primary(2));
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("down, it is held for, then offline, then back") {
        tale.up(0, story::primary());
        tale.dies(0);
        CHECK(tale.mode() == service_mode::holding);
        tale.pass(30s);
        CHECK(tale.mode() == service_mode::offline);
        tale.up(0, story::primary());
        CHECK(tale.mode() == service_mode::normal);
        CHECK(tale.view().primary == optional_host(0));
    }
}

TEST_CASE("another system's primary is never adopted, until an operator says so") {
    story tale = pair_of_hosts();
    tale.dies(0);
    probe_result stranger = story::primary(9);
    stranger.system_identifier = "8002";
    tale.up(0, stranger);
    CHECK_FALSE(tale.view().primary);
    CHECK(tale.told("other_system") == 1);
    tale.policy.recover(tale.at());
    tale.settle();
    CHECK_FALSE(tale.view().primary);  // the standby of the adopted system is still there
    tale.dies(1);
    tale.policy.recover(tale.at());
    tale.settle();
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.told("identity_forgotten") == 1);
}

TEST_CASE("lag decides who may be read") {
    story tale(4);
    tale.up(0, story::primary(1, 100 * mib));
    tale.up(1, story::standby(95 * mib));
    tale.up(2, story::standby(100 * mib));
    tale.up(3, story::standby(80 * mib));
    tale.settle();
    CHECK(tale.view().readable == hosts{2, 1});
    CHECK(tale.view().hosts[1].lag_bytes == 5 * mib);
    CHECK(tale.view().hosts[3].lag_bytes == 20 * mib);
    SUBCASE("time counts only while something is missing") {
        CHECK(tale.view().hosts[2].lag_time == 0ms);
        probe_result late = story::standby(99 * mib);
        late.received = 100 * mib;
        late.since_replayed = 31s;
        tale.ask(2, late);
        CHECK(tale.view().hosts[2].lag_time == 31s);
        CHECK(tale.view().readable == hosts{1});
    }
    SUBCASE("with the primary gone, one that has replayed all it received is as good as can be") {
        tale.dies(0);
        probe_result cut = story::standby(100 * mib);
        cut.streaming = false;
        cut.since_replayed = 10min;
        tale.ask(2, cut);
        CHECK(tale.view().hosts[2].lag_time == 0ms);
        CHECK(tale.view().readable.front() == 2);
    }
}

TEST_CASE("D1: standbys of which no primary is known are read without a read-only mode, until there is a primary") {
    cluster_rules rules;
    rules.read_only.enabled = false;
    story s(2, rules);
    s.up(0, story::standby());
    CHECK(s.policy.view().readable.empty());  // the other one may be the primary
    s.refuse(1);
    CHECK(s.policy.view().readable.empty());
    s.up(1, story::standby());
    CHECK(s.policy.view().standbys_only);
    CHECK(s.policy.view().readable.size() == 2);
    CHECK(s.policy.view().mode == service_mode::read_only);
    s.dies(0);
    CHECK(s.policy.view().readable == std::vector<std::size_t>{1});
    s.ask(1, story::primary(2));
    CHECK_FALSE(s.policy.view().standbys_only);
    CHECK(s.policy.view().mode == service_mode::normal);
    CHECK(s.policy.view().readable.empty());
}

TEST_CASE("a standby that follows the old primary is not read") {
    story tale(3);
    tale.up(0, story::primary());
    tale.up(1, story::standby());
    tale.up(2, story::standby());
    tale.dies(0);
    tale.ask(1, story::primary(2));
    tale.ask(2, story::standby(100 * mib, 1));
    CHECK(tale.view().readable.empty());
    tale.ask(2, story::standby(100 * mib, 2));
    CHECK(tale.view().readable == hosts{2});
}

TEST_CASE("D28: a standby shows a session's writes once a later sample is replayed") {
    story tale = pair_of_hosts();
    const std::uint64_t wrote_at = tale.policy.newest_sample();
    REQUIRE(wrote_at > 0);
    const auto shows = [&] { return tale.view().shows_all(tale.view().hosts[1], wrote_at); };
    CHECK(tale.view().shows_all(tale.view().hosts[1], 0));
    tale.ask(1, story::standby(500 * mib));  // whatever it has: no sample was taken after the write
    CHECK_FALSE(shows());
    tale.ask(0, story::primary(1, 101 * mib));
    tale.ask(1, story::standby(100 * mib));
    tale.ask(1, story::standby(101 * mib));
    CHECK(shows());
}

TEST_CASE("D28: a sample that was asked for before the write does not cover it") {
    story tale = pair_of_hosts();
    tale.policy.asked(0, tale.at());
    const std::uint64_t wrote_at = tale.policy.newest_sample();  // written while the answer is under way
    tale.now += 1ms;
    tale.policy.answered(0, story::primary(1, 100 * mib), tale.at());
    tale.settle();
    tale.ask(1, story::standby(100 * mib));
    CHECK_FALSE(tale.view().shows_all(tale.view().hosts[1], wrote_at));
    tale.ask(0, story::primary(1, 100 * mib));
    CHECK(tale.view().shows_all(tale.view().hosts[1], wrote_at));
}

TEST_CASE("D28: a synchronous standby that has replayed all it received is complete when the primary is lost") {
    story tale(2);
    probe_result first = story::primary();
    first.replicas = {{"walreceiver", "", "sync"}};
    first.synchronous_names = "*";
    tale.up(0, first);
    tale.up(1, story::standby());
    tale.ask(0, first);
    CHECK_FALSE(tale.view().hosts[1].complete);  // commits go on
    SUBCASE("once it was asked after the loss") {
        tale.dies(0);
        CHECK_FALSE(tale.view().hosts[1].complete);
        probe_result behind = story::standby(99 * mib);
        behind.received = 100 * mib;
        behind.streaming = false;
        tale.ask(1, behind);
        CHECK_FALSE(tale.view().hosts[1].complete);
        tale.take_change();
        tale.ask(1, story::standby(100 * mib));
        CHECK(tale.view().hosts[1].complete);
        CHECK(tale.take_change());
        CHECK(tale.view().shows_all(tale.view().hosts[1], tale.policy.newest_sample()));
    }
    SUBCASE("not an asynchronous one") {
        first.replicas = {{"walreceiver", "", "async"}};
        tale.ask(0, first);
        tale.dies(0);
        tale.ask(1, story::standby());
        CHECK_FALSE(tale.view().hosts[1].complete);
    }
    SUBCASE("not where the account may not see it") {
        first.replicas = {{"walreceiver", "", ""}};
        tale.ask(0, first);
        tale.dies(0);
        tale.ask(1, story::standby());
        CHECK_FALSE(tale.view().hosts[1].complete);
    }
    SUBCASE("not one whose receiver was gone for long") {
        probe_result cut = story::standby();
        cut.streaming = false;
        for (int i = 0; i < 8; ++i) {
            tale.pass(1s);
            tale.ask(1, cut);
        }
        tale.dies(0);
        tale.ask(1, cut);
        CHECK_FALSE(tale.view().hosts[1].complete);
    }
}

TEST_CASE("D4: cadence: a second at rest, 50 ms while something waits, 250 ms after ten seconds") {
    story tale = pair_of_hosts();
    tale.ask(0, story::primary());
    CHECK(tale.wait_for(0) == 1s);
    tale.policy.waiting(3, 7, tale.at());
    CHECK(tale.wait_for(0) == 50ms);
    tale.pass(10s);
    tale.ask(0, story::primary());
    CHECK(tale.wait_for(0) == 250ms);
    tale.policy.waiting(3, 0, tale.at());
    CHECK(tale.wait_for(0) == 1s);
}

TEST_CASE("D4, P50: a host that refuses is dialled less and less, without slowing another") {
    story tale = pair_of_hosts();
    tale.dies(1);
    std::vector<std::int64_t> pauses;
    for (int i = 0; i < 12; ++i) {
        pauses.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(tale.wait_for(1)).count());
        tale.pass(tale.wait_for(1));
        tale.refuse(1);
        CHECK(tale.wait_for(0) <= 1s);
    }
    CHECK(pauses.front() <= 13);
    CHECK(std::is_sorted(pauses.begin(), pauses.end()));
    CHECK(pauses.back() == 500);  // half of a second: the chance is always 0.5
    tale.pass(10s);
    for (int i = 0; i < 5; ++i) tale.refuse(1);
    CHECK(tale.wait_for(1) == 2500ms);
    CHECK(tale.mode() == service_mode::normal);
    tale.policy.waiting(0, 1, tale.at());
    CHECK(tale.wait_for(1) == 50ms);
    // Reports do not make it knock faster.
    tale.policy.waiting(0, 0, tale.at());
    tale.reports({1, host_report::what::open_failed, verdict_of(failure_kind::refused), {}, 0, "refused"});
    CHECK(tale.wait_for(1) == 2500ms);
}

TEST_CASE("2.12: the way for writes remembers why it was closed last") {
    story tale = pair_of_hosts();
    CHECK(tale.view().write_opened_by.empty());
    tale.dies(0);
    tale.pass(5s);
    CHECK(tale.view().write == breaker_state::open);
    CHECK(tale.view().write_opened_by == "no_writable_host");
    story held = pair_of_hosts();
    CHECK(held.policy.force("write", breaker_force::open, held.at()));
    held.settle();
    CHECK(held.view().write_opened_by == "forced");
    CHECK(held.policy.force("write", breaker_force::automatic, held.at()));
    held.settle();
    CHECK(held.view().write == breaker_state::closed);
    CHECK(held.view().write_opened_by == "forced");
}

TEST_CASE("P50: pauses between dials that a reload has changed count from the next failure on") {
    story tale = pair_of_hosts();
    tale.dies(1);
    for (int i = 0; i < 12; ++i) tale.refuse(1);
    CHECK(tale.wait_for(1) == 500ms);
    config::cluster_values values;
    values.backoff.max = 200ms;
    tale.policy.set_values(values, tale.at());
    CHECK(tale.wait_for(1) == 500ms);
    tale.refuse(1);
    CHECK(tale.wait_for(1) == 100ms);
}

TEST_CASE("the breaker of a host opens with its failures and closes with two probes in a row, at once") {
    story tale = pair_of_hosts();
    tale.drop(1);
    for (int i = 0; i < 5; ++i) tale.refuse(1);
    CHECK(tale.view().hosts[1].breaker == breaker_state::open);
    CHECK(tale.view().hosts[1].trips_total == 1);
    CHECK(tale.view().hosts[1].opened_by == "consecutive");
    CHECK(tale.view().hosts[1].last_failure == "host_refuses");
    CHECK(tale.view().hosts[0].opened_by.empty());
    CHECK(tale.told("breaker_opened") == 1);
    tale.take_change();
    tale.connect(1);
    tale.settle();
    CHECK(tale.view().hosts[1].breaker == breaker_state::open);  // an attempt is nothing to act on
    CHECK_FALSE(tale.take_change());
    tale.ask(1, story::standby());
    CHECK(tale.view().hosts[1].breaker == breaker_state::half_open);
    CHECK(tale.wait_for(1) <= 5ms);
    tale.ask(1, story::standby());
    CHECK(tale.view().hosts[1].breaker == breaker_state::closed);
    CHECK(tale.view().readable == hosts{1});
    CHECK(tale.told("breaker_closed") == 1);
}

TEST_CASE("T25, P49: breakers of all hosts at once take nobody's primary away") {
    story tale = pair_of_hosts();
    for (int i = 0; i < 30; ++i)
        for (const std::size_t host : {0U, 1U})
            tale.reports({host, host_report::what::open_failed, verdict_of(failure_kind::timed_out), {}, 0, "slow"});
    CHECK(tale.view().hosts[0].breaker == breaker_state::open);
    CHECK(tale.view().hosts[1].breaker == breaker_state::open);
    CHECK(tale.view().primary == optional_host{0});
    CHECK(tale.view().writes == write_way::flow);
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.told("primary_lost") == 0);
    for (int i = 0; i < 2; ++i) tale.ask(0, story::primary());
    CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
}

TEST_CASE("a host that lets the monitor in and hangs up is dialled less and less, too") {
    story tale = pair_of_hosts();
    tale.drop(1);
    for (int i = 0; i < 8; ++i) {
        tale.connect(1);
        tale.drop(1);
    }
    CHECK(tale.wait_for(1) == 500ms);
    CHECK(tale.view().hosts[1].breaker == breaker_state::open);
    CHECK_FALSE(tale.view().hosts[1].reachable);
}

TEST_CASE("numbers alone are no change that pools must hear of") {
    story tale = pair_of_hosts();
    tale.take_change();
    for (std::uint64_t i = 1; i < 5; ++i) {
        tale.ask(0, story::primary(1, 100 * mib + i));
        tale.ask(1, story::standby(100 * mib + i));
        CHECK_FALSE(tale.take_change());
    }
    CHECK(tale.view().hosts[0].wal_position == 100 * mib + 4);
    CHECK(tale.view().hosts[0].latency == 300us);
}

TEST_CASE("D10: without an account roles come from pools, and nothing is held up") {
    story tale(2);
    for (const std::size_t host : {0U, 1U}) tale.policy.host(host).without_account(tale.at());
    tale.settle();
    CHECK_FALSE(tale.view().informed);
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.wait_for(0) == 1s);
    tale.reports({1, host_report::what::opened, {}, host_role::primary, 4, {}});
    tale.pass(500ms);
    CHECK(tale.view().primary == optional_host(1));
    CHECK(tale.view().timeline == 4);
    CHECK_FALSE(tale.view().informed);
    SUBCASE("a failure makes it worth a connection") {
        tale.reports({1, host_report::what::lost, verdict_of(failure_kind::closed), {}, 0, "EOF"});
        CHECK(tale.policy.host(1).suspected());
        CHECK(tale.wait_for(1) == 0s);
        tale.refuse(1);
        CHECK_FALSE(tale.view().primary);
        CHECK(tale.mode() == service_mode::normal);  // the other one has not been tried
        tale.reports({0, host_report::what::open_failed, verdict_of(failure_kind::refused), {}, 0, "refused"});
        tale.refuse(0);
        CHECK(tale.mode() == service_mode::holding);
        tale.pass(30s);
        CHECK(tale.mode() == service_mode::offline);
        tale.policy.host(1).connecting(tale.at());
        tale.policy.host(1).touched(tale.at());
        tale.settle();
        CHECK(tale.mode() == service_mode::normal);
        CHECK_FALSE(tale.policy.host(1).suspected());
    }
    SUBCASE("25006 takes the role back") {
        tale.reports({1, host_report::what::not_primary, verdict_of(failure_kind::read_only), {}, 0, "25006"});
        CHECK_FALSE(tale.view().primary);
        CHECK(tale.mode() == service_mode::normal);
    }
    SUBCASE("an account that comes later informs it") {
        tale.up(0, story::standby(100 * mib, 4));
        tale.up(1, story::primary(4));
        CHECK(tale.view().informed);
    }
}

TEST_CASE("D10: an account that is refused is tried less and less, and pools are on their own") {
    story tale(1);
    std::chrono::steady_clock::duration longest{};
    for (int i = 0; i < 8; ++i) {
        tale.refuse(0, failure_kind::login_refused);
        CHECK(tale.policy.host(0).sign_ins_refused() == static_cast<std::size_t>(i + 1));
        longest = tale.wait_for(0);
        tale.pass(longest);
    }
    CHECK(longest == 32s);
    CHECK_FALSE(tale.view().informed);
    CHECK(tale.mode() == service_mode::normal);
    CHECK(tale.view().hosts[0].reachable);
    CHECK(tale.view().hosts[0].breaker == breaker_state::closed);
}

TEST_CASE("D10: what a pool found counts also if the monitor is refused only later") {
    story tale(1);
    tale.policy.host(0).connecting(tale.at());
    tale.reports({0, host_report::what::opened, {}, host_role::primary, 2, {}});
    CHECK_FALSE(tale.view().primary);
    tale.policy.host(0).connect_failed(verdict_of(failure_kind::login_refused), "28P01", tale.at());
    tale.settle();
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.view().timeline == 2);
}

TEST_CASE("D10: what a pool found counts also if it turns out only then that there is no account") {
    story tale(1);
    tale.reports({0, host_report::what::opened, {}, host_role::primary, 3, {}});
    tale.policy.host(0).without_account(tale.at());
    tale.settle();
    CHECK(tale.view().primary == optional_host(0));
    CHECK(tale.wait_for(0) == 1s);
}

TEST_CASE("reports about hosts that do not exist are not believed") {
    story tale(1);
    tale.reports({7, host_report::what::lost, verdict_of(failure_kind::closed), {}, 0, {}});
    CHECK(tale.mode() == service_mode::normal);
}
