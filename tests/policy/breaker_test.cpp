// The breaker as tables and stories under a clock of our own, and as a property over random lives with fixed seeds.
#include "proxy/policy/breaker.hpp"

#include "proxy/policy/loss_burst.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

using time_point = breaker::time_point;
const time_point start{100h};
constexpr double middle = 0.5;  // no jitter

recovery_verdict verdict_of(failure_kind kind) { return judge(kind, failure_phase::dialling); }

/// A breaker and its time, with a chance that leaves intervals as they are.
struct fixture {
    config::breaker_settings rules{};
    breaker subject{rules};
    time_point now = start;

    void fail(int times = 1, failure_kind kind = failure_kind::refused) {
        for (int time = 0; time < times; ++time) subject.on_failure(verdict_of(kind), now, middle);
    }
    void probe(failure_kind outcome, bool urgent = false) {
        REQUIRE(subject.begin_probe(now, urgent));
        subject.end_probe(verdict_of(outcome), now, middle);
    }
    [[nodiscard]] auto wait() const { return subject.next_probe().value() - now; }
    void sleep_out_the_interval() { now = subject.next_probe().value(); }
};

}  // namespace

TEST_CASE("D5: five failures in a row open it, four and a success do not") {
    fixture f;
    f.fail(4);
    CHECK(f.subject.allow());
    CHECK(f.subject.consecutive_failures() == 4);
    f.subject.on_success(f.now);
    CHECK(f.subject.consecutive_failures() == 0);
    f.fail(4);
    CHECK(f.subject.state() == breaker_state::closed);
    f.fail();
    CHECK(f.subject.state() == breaker_state::open);
    CHECK_FALSE(f.subject.allow());
    CHECK(f.subject.cause() == breaker_cause::consecutive);
    CHECK(f.subject.last_failure() == verdict_name::host_refuses);
    CHECK(f.subject.since() == start);
    CHECK(f.subject.trips_total() == 1);
    CHECK(f.subject.failures_total() == 9);
}

TEST_CASE("T23, T24: which failures move it, for every kind there is") {
    struct row {
        failure_kind kind;
        host_effect effect;
    };
    const row rows[] = {
        {failure_kind::none, host_effect::none},
        {failure_kind::closed, host_effect::counted},
        {failure_kind::reset, host_effect::counted},
        {failure_kind::refused, host_effect::counted},
        {failure_kind::timed_out, host_effect::counted},
        {failure_kind::unreachable, host_effect::counted},
        {failure_kind::tls_failed, host_effect::counted},
        {failure_kind::admin_shutdown, host_effect::burst},
        {failure_kind::crash_shutdown, host_effect::held},
        {failure_kind::not_ready, host_effect::held},
        {failure_kind::too_many_connections, host_effect::none},
        {failure_kind::login_refused, host_effect::none},
        {failure_kind::session_ended, host_effect::none},
        {failure_kind::read_only, host_effect::none},
        {failure_kind::out_of_resources, host_effect::none},
        {failure_kind::protocol_violation, host_effect::none},
        {failure_kind::statement_error, host_effect::none},
    };
    CHECK(std::size(rows) == static_cast<std::size_t>(failure_kind::statement_error) + 1);
    for (const row& each : rows) {
        CAPTURE(std::string(to_string(each.kind)));
        CHECK(verdict_of(each.kind).host == each.effect);
        fixture f;
        f.fail(100, each.kind);
        const bool opens = each.effect == host_effect::counted || each.effect == host_effect::held;
        CHECK(f.subject.allow() == !opens);
        CHECK(f.subject.failures_total() == (each.effect == host_effect::counted ? 100 : 0));
    }
}

TEST_CASE("T24: half of the statements fail by their own fault, and it stays closed") {
    fixture f;
    for (int statement = 0; statement < 1000; ++statement, f.now += 1ms) {
        f.subject.on_success(f.now);
        f.fail(1, failure_kind::statement_error);
        f.fail(1, failure_kind::too_many_connections);
    }
    CHECK(f.subject.allow());
    CHECK(f.subject.failures_total() == 0);
}

TEST_CASE("half of at least twenty attempts within ten seconds open it") {
    struct row {
        int good;
        int bad;
        bool opens;
    };
    for (const row& each :
         {row{10, 10, true}, row{10, 9, false}, row{11, 10, false}, row{4, 4, false}, row{15, 15, true}}) {
        CAPTURE(each.good);
        CAPTURE(each.bad);
        fixture f;
        // One good before each bad: no five in a row; surplus good ones come first.
        f.subject.on_success(f.now, static_cast<std::uint64_t>(each.good > each.bad ? each.good - each.bad : 0));
        for (int bad = 0; bad < each.bad; ++bad) {
            if (bad < each.good) f.subject.on_success(f.now);
            f.fail();
        }
        CHECK(f.subject.allow() == !each.opens);
        if (each.opens) CHECK(f.subject.cause() == breaker_cause::failure_rate);
    }
}

TEST_CASE("what is older than the window does not count towards the rate") {
    fixture f;
    for (int bad = 0; bad < 9; ++bad) {
        f.subject.on_success(f.now);
        f.fail();
    }
    f.now += 11s;
    f.subject.on_success(f.now);
    f.fail(2);
    CHECK(f.subject.allow());
}

TEST_CASE("D5: a breaker opens for 1 s, then twice as long after each failed probe, up to the cap") {
    fixture f;
    f.fail(5);
    for (const auto expected : {1s, 2s, 4s, 8s, 16s, 32s}) {
        CHECK(f.wait() == expected);
        f.sleep_out_the_interval();
        f.probe(failure_kind::refused);
    }
    for (int more = 0; more < 100; ++more) {
        CHECK(f.wait() == 50s);  // jitter takes it to 60 s and no further
        f.sleep_out_the_interval();
        f.probe(failure_kind::timed_out);
    }
    CHECK(f.subject.trips_total() == 1);
}

TEST_CASE("D5: the interval is jittered by a fifth to both sides and never above the cap") {
    for (const auto cap : {1000ms, 3000ms, 60'000ms, 0ms}) {
        for (const double chance : {-1.0, 0.0, 0.25, 0.5, 0.75, 0.999999, 2.0}) {
            config::breaker_settings rules;
            rules.timeout = cap;
            breaker subject{rules};
            time_point now = start;
            double uncapped = 1;
            subject.trip(breaker_cause::probes_missed, now, chance);
            for (int failed = 0; failed < 40; ++failed) {
                const std::chrono::duration<double> wait = subject.next_probe().value() - now;
                const double longest =
                    cap.count() > 0 ? std::min(uncapped, 1e-3 * double(cap.count()) / 1.2) : uncapped;
                CHECK(wait.count() >= 0.8 * longest - 1e-6);
                CHECK(wait.count() <= 1.2 * longest + 1e-6);
                if (cap.count() > 0) CHECK(wait <= cap);
                if (uncapped < 1 << 20) uncapped *= 2;
                now = subject.next_probe().value();
                REQUIRE(subject.begin_probe(now));
                subject.end_probe(verdict_of(failure_kind::refused), now, chance);
            }
        }
    }
}

TEST_CASE("the interval begins anew after a minute closed, not before") {
    for (const bool calm : {false, true}) {
        CAPTURE(calm);
        fixture f;
        f.fail(5);
        f.sleep_out_the_interval();
        f.probe(failure_kind::none);
        f.probe(failure_kind::none);
        REQUIRE(f.subject.allow());
        f.now += calm ? 60s : 59s;
        f.fail(5);
        CHECK(f.wait() == (calm ? 1s : 2s));
        CHECK(f.subject.trips_total() == 2);
    }
}

TEST_CASE("half-open admits exactly one probe at a time, and no ordinary work") {
    fixture f;
    f.fail(5);
    CHECK_FALSE(f.subject.may_probe(f.now));
    CHECK_FALSE(f.subject.may_probe(f.now + 999ms));
    CHECK_FALSE(f.subject.begin_probe(f.now + 999ms));
    CHECK(f.subject.state() == breaker_state::open);
    f.now += 1s;
    REQUIRE(f.subject.begin_probe(f.now));
    CHECK(f.subject.state() == breaker_state::half_open);
    CHECK_FALSE(f.subject.allow());
    CHECK_FALSE(f.subject.next_probe().has_value());
    CHECK_FALSE(f.subject.may_probe(f.now + 1h));
    CHECK_FALSE(f.subject.begin_probe(f.now, true));
    f.subject.end_probe(verdict_of(failure_kind::none), f.now, middle);
    CHECK(f.subject.state() == breaker_state::half_open);
    CHECK_FALSE(f.subject.allow());
    CHECK(f.wait() == 0s);
    f.probe(failure_kind::none);
    CHECK(f.subject.state() == breaker_state::closed);
    CHECK(f.subject.since() == f.now);
    CHECK(f.subject.consecutive_failures() == 0);
    f.fail(4);
    CHECK(f.subject.allow());  // it counts from zero
}

TEST_CASE("success_threshold successes in a row close it; a failure between them starts over") {
    fixture f;
    f.rules.success_threshold = 3;
    f.subject.set_rules(f.rules, f.now);
    f.fail(5);
    f.sleep_out_the_interval();
    f.probe(failure_kind::none);
    f.probe(failure_kind::none);
    f.probe(failure_kind::reset);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.wait() == 2s);
    f.sleep_out_the_interval();
    f.probe(failure_kind::none);
    f.probe(failure_kind::none);
    CHECK_FALSE(f.subject.allow());
    f.probe(failure_kind::none);
    CHECK(f.subject.allow());
}

TEST_CASE("a probe that was answered shows a host that is up, even if the answer is a refusal") {
    for (const failure_kind refused : {failure_kind::too_many_connections, failure_kind::login_refused,
                                       failure_kind::statement_error, failure_kind::read_only}) {
        fixture f;
        f.fail(5);
        f.sleep_out_the_interval();
        f.probe(refused);
        f.probe(refused);
        CHECK(f.subject.allow());
    }
    fixture f;
    f.fail(5);
    f.sleep_out_the_interval();
    f.probe(failure_kind::protocol_violation);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.wait() == 2s);
}

TEST_CASE("57P03 and 57P02 open it at once, and it asks again every 250 ms without waiting longer each time") {
    struct row {
        failure_kind kind;
        breaker_cause cause;
    };
    for (const row& each : {row{failure_kind::not_ready, breaker_cause::not_ready},
                            row{failure_kind::crash_shutdown, breaker_cause::server_crashed}}) {
        fixture f;
        f.fail(1, each.kind);
        CHECK(f.subject.state() == breaker_state::open);
        CHECK(f.subject.cause() == each.cause);
        CHECK(f.subject.last_failure() == verdict_of(each.kind).name);
        CHECK(f.subject.failures_total() == 0);
        for (int probe = 0; probe < 10; ++probe) {
            CHECK(f.wait() == 250ms);
            f.sleep_out_the_interval();
            f.probe(failure_kind::not_ready);
        }
        f.sleep_out_the_interval();
        f.probe(failure_kind::refused);
        CHECK(f.wait() == 1s);
    }
}

TEST_CASE("a host that was silent and now says 57P03 is asked again soon") {
    fixture f;
    f.fail(5);
    for (int probe = 0; probe < 5; ++probe) {
        f.sleep_out_the_interval();
        f.probe(failure_kind::refused);
    }
    CHECK(f.wait() == 32s);
    f.fail(1, failure_kind::not_ready);
    CHECK(f.wait() == 250ms);
    CHECK(f.subject.cause() == breaker_cause::consecutive);
    CHECK(f.subject.trips_total() == 1);
}

TEST_CASE("D4: while statements wait, probes do not sit the interval out, and do not lengthen it by failing") {
    fixture f;
    f.fail(5);
    const auto due = f.subject.next_probe();
    for (f.now += 50ms; f.now < *due; f.now += 50ms) {
        CHECK_FALSE(f.subject.may_probe(f.now));
        f.probe(failure_kind::refused, true);
        CHECK(f.subject.next_probe() == due);
    }
    f.probe(failure_kind::refused, true);  // this one was due
    CHECK(f.wait() == 2s);
    f.now += 50ms;
    f.probe(failure_kind::none, true);
    f.probe(failure_kind::none, true);
    CHECK(f.subject.allow());
}

TEST_CASE("late news from old connections neither close nor lengthen an open one") {
    fixture f;
    f.fail(5);
    f.subject.on_success(f.now, 1000);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.subject.consecutive_failures() == 5);  // status goes on telling why
    f.fail(50);
    CHECK(f.wait() == 1s);
    f.sleep_out_the_interval();
    REQUIRE(f.subject.begin_probe(f.now));
    f.subject.on_success(f.now, 1000);
    f.fail(50);
    CHECK(f.subject.state() == breaker_state::half_open);
    f.subject.end_probe(verdict_of(failure_kind::none), f.now, middle);
    f.probe(failure_kind::none);
    CHECK(f.subject.allow());
}

TEST_CASE("a probe that is given up leaves room for the next") {
    fixture f;
    f.fail(5);
    f.sleep_out_the_interval();
    REQUIRE(f.subject.begin_probe(f.now));
    f.subject.abandon_probe();
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.subject.failures_total() == 5);
    f.probe(failure_kind::none);
    REQUIRE(f.subject.begin_probe(f.now));
    f.subject.abandon_probe();
    CHECK(f.subject.state() == breaker_state::half_open);
    f.probe(failure_kind::none);
    CHECK(f.subject.allow());
}

TEST_CASE("a closed breaker does not restrict probes, and their outcomes count like any other") {
    fixture f;
    CHECK(f.subject.begin_probe(f.now));
    CHECK(f.subject.begin_probe(f.now));
    CHECK_FALSE(f.subject.next_probe().has_value());
    for (int probe = 0; probe < 4; ++probe) f.subject.end_probe(verdict_of(failure_kind::timed_out), f.now, middle);
    CHECK(f.subject.allow());
    f.subject.end_probe(verdict_of(failure_kind::timed_out), f.now, middle);
    CHECK_FALSE(f.subject.allow());
}

TEST_CASE("somebody else may trip it; an open one keeps its first cause") {
    fixture f;
    f.subject.trip(breaker_cause::loss_burst, f.now, middle);
    CHECK(f.subject.cause() == breaker_cause::loss_burst);
    f.subject.trip(breaker_cause::probes_missed, f.now + 500ms, middle);
    CHECK(f.subject.cause() == breaker_cause::loss_burst);
    CHECK(f.wait() == 1s);
    CHECK(f.subject.trips_total() == 1);
    f.sleep_out_the_interval();
    REQUIRE(f.subject.begin_probe(f.now));
    f.subject.trip(breaker_cause::probes_missed, f.now, middle);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.wait() == 2s);
    f.subject.end_probe(verdict_of(failure_kind::none), f.now, middle);  // its answer comes too late to close anything
    CHECK(f.subject.state() == breaker_state::open);
}

TEST_CASE("an operator forces it open, closed, and back to automatic") {
    fixture f;
    f.subject.force(breaker_force::open, f.now);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.subject.cause() == breaker_cause::forced);
    CHECK(f.subject.trips_total() == 0);
    CHECK_FALSE(f.subject.next_probe().has_value());
    for (int probe = 0; probe < 5; ++probe) f.probe(failure_kind::none);  // the monitor still looks
    f.subject.reset(f.now);
    CHECK(f.subject.state() == breaker_state::open);

    f.now += 1min;
    f.subject.force(breaker_force::automatic, f.now);
    CHECK(f.subject.state() == breaker_state::open);
    CHECK(f.wait() == 0s);
    f.probe(failure_kind::none);
    f.probe(failure_kind::none);
    CHECK(f.subject.allow());

    f.subject.force(breaker_force::closed, f.now);
    f.fail(50);
    f.fail(1, failure_kind::not_ready);
    f.subject.trip(breaker_cause::probes_missed, f.now, middle);
    CHECK(f.subject.allow());
    CHECK(f.subject.failures_total() == 50);
    f.subject.force(breaker_force::automatic, f.now);
    f.fail(4);
    CHECK(f.subject.allow());
    f.fail();
    CHECK_FALSE(f.subject.allow());

    f.subject.force(breaker_force::closed, f.now);
    CHECK(f.subject.allow());
    f.subject.force(breaker_force::open, f.now);
    CHECK_FALSE(f.subject.allow());
}

TEST_CASE("recover forgets the wait and how long it has become; reset closes") {
    fixture f;
    f.fail(5);
    for (int probe = 0; probe < 5; ++probe) {
        f.sleep_out_the_interval();
        f.probe(failure_kind::refused);
    }
    CHECK(f.wait() == 32s);
    f.subject.recover(f.now);
    CHECK(f.wait() == 0s);
    CHECK_FALSE(f.subject.allow());
    f.probe(failure_kind::refused);
    CHECK(f.wait() == 1s);
    f.subject.reset(f.now);
    CHECK(f.subject.allow());
    f.fail(5);
    CHECK(f.wait() == 1s);
}

TEST_CASE("D1: switched off, nothing opens it but an operator") {
    fixture f;
    f.fail(5);
    f.rules.enabled = false;
    f.subject.set_rules(f.rules, f.now);
    CHECK(f.subject.allow());
    f.fail(100);
    f.fail(1, failure_kind::crash_shutdown);
    f.subject.trip(breaker_cause::two_primaries, f.now, middle);
    CHECK(f.subject.allow());
    CHECK(f.subject.failures_total() == 105);
    f.subject.force(breaker_force::open, f.now);
    CHECK_FALSE(f.subject.allow());
    f.subject.force(breaker_force::automatic, f.now);
    CHECK(f.subject.allow());
}

TEST_CASE("P51: a window or a rate of 0 leaves consecutive failures alone to count") {
    for (const bool no_window : {false, true}) {
        fixture f;
        if (no_window) f.rules.window = 0ms;
        else f.rules.failure_rate = 0;
        f.subject.set_rules(f.rules, f.now);
        for (int attempt = 0; attempt < 1000; ++attempt) {
            f.subject.on_success(f.now);
            f.fail(4);
        }
        CHECK(f.subject.allow());
        f.fail();
        CHECK_FALSE(f.subject.allow());
    }
}

TEST_CASE("three losses within a second are a burst; one terminated backend is not (recovery.md 2.9)") {
    loss_burst burst;
    CHECK_FALSE(burst.add(start));
    CHECK_FALSE(burst.add(start + 500ms));
    CHECK(burst.add(start + 1s));
    CHECK_FALSE(burst.add(start + 1s));  // told once
    CHECK_FALSE(burst.add(start + 1s));
    CHECK(burst.add(start + 1s));
    // One in 600 ms for ever: never three within a second.
    loss_burst slow;
    for (int loss = 0; loss < 100; ++loss) CHECK_FALSE(slow.add(start + loss * 600ms));
    loss_burst storage{3, 10s};
    CHECK_FALSE(storage.add(start));
    storage.clear();
    CHECK_FALSE(storage.add(start + 5s));
    CHECK_FALSE(storage.add(start + 10s));
    CHECK(storage.add(start + 15s));
}

TEST_CASE(
    "property: whatever happens, it never admits work while not closed, nor two probes, and it closes once all is "
    "well") {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937 draw(seed);
        config::breaker_settings rules;
        rules.failure_threshold = static_cast<std::uint32_t>(1 + draw() % 6);
        rules.success_threshold = static_cast<std::uint32_t>(1 + draw() % 3);
        breaker subject{rules};
        time_point now = start;
        int probing = 0;
        bool forced = false;
        const auto chance = [&] { return static_cast<double>(draw() % 1000) / 1000; };
        const auto any_kind = [&] {
            return verdict_of(
                static_cast<failure_kind>(draw() % (static_cast<unsigned>(failure_kind::statement_error) + 1)));
        };
        for (int step = 0; step < 500; ++step) {
            now += std::chrono::milliseconds{draw() % 300};
            const breaker_state before = subject.state();
            switch (draw() % 12) {
                case 0: subject.on_success(now, draw() % 5); break;
                case 1:
                case 2:
                case 3: subject.on_failure(any_kind(), now, chance()); break;
                case 4: subject.trip(breaker_cause::loss_burst, now, chance()); break;
                case 5: subject.recover(now); break;
                case 6:
                    if (draw() % 20 == 0) {
                        subject.force(static_cast<breaker_force>(draw() % 3), now);
                        forced = subject.forced() != breaker_force::automatic;
                        probing = 0;
                    }
                    break;
                case 7:
                    subject.end_probe(draw() % 2 == 0 ? recovery_verdict{} : any_kind(), now, chance());
                    probing = 0;
                    break;
                default:
                    if (subject.begin_probe(now, draw() % 2 == 0) && before != breaker_state::closed && !forced) {
                        CHECK(probing == 0);
                        probing = 1;
                    }
            }
            if (subject.state() == breaker_state::open) probing = 0;
            CHECK(subject.allow() == (subject.state() == breaker_state::closed));
            if (const auto next = subject.next_probe()) CHECK(*next <= now + rules.timeout);
        }
        // The weather clears: by itself, within its cap.
        subject.force(breaker_force::automatic, now);
        subject.abandon_probe();
        for (unsigned probe = 0; probe < rules.success_threshold && !subject.allow(); ++probe) {
            const auto due = subject.next_probe();
            REQUIRE(due.has_value());
            now = std::max(now, *due);
            REQUIRE(subject.begin_probe(now));
            subject.end_probe(verdict_of(failure_kind::none), now, 0.5);
        }
        CHECK(subject.allow());
    }
}

TEST_CASE("every state, cause and wish has a name of its own") {
    std::set<std::string> names;
    for (int cause = 0; cause <= static_cast<int>(breaker_cause::forced); ++cause)
        names.insert(std::string(to_string(static_cast<breaker_cause>(cause))));
    CHECK(names.size() == static_cast<std::size_t>(breaker_cause::forced) + 1);
    CHECK_FALSE(names.contains("unknown"));
    CHECK(to_string(breaker_state::closed) == "closed");
    CHECK(to_string(breaker_state::open) == "open");
    CHECK(to_string(breaker_state::half_open) == "half_open");
    CHECK(to_string(breaker_force::automatic) == "automatic");
    CHECK(to_string(breaker_force::open) == "open");
    CHECK(to_string(breaker_force::closed) == "closed");
    CHECK(to_string(service_mode::normal) == "normal");
    CHECK(to_string(service_mode::holding) == "holding");
    CHECK(to_string(service_mode::read_only) == "read_only");
    CHECK(to_string(service_mode::offline) == "offline");
    CHECK(to_string(host_role::primary) == "primary");
    CHECK(to_string(host_role::standby) == "standby");
    CHECK(to_string(host_role::unknown) == "unknown");
}
