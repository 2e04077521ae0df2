// The pool's decisions, with time and chance as arguments: who gets which server, who waits, when one is
// dialled, when one is closed.
#include "proxy/pool/pool.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace pgsteady;
using namespace std::chrono_literals;
using dial_answer = pool::dial_answer;

namespace {

struct pool_fixture {
    explicit pool_fixture(pool_rules with = {}, std::uint32_t process_limit = 0)
        : rules(with),
          permits(with.size + with.max_overflow),
          process(process_limit),
          under_test(rules, permits, process) {}

    /// Dials and adopts one.
    void open(pooled_server& server) {
        REQUIRE(under_test.may_dial_extra());
        under_test.dial_ended(true, now, 0.5);
        under_test.adopt(server, now, 0.5);
    }
    int dials(bool keep_warm = false) {
        int count = 0;
        while (under_test.may_dial(now, keep_warm) == dial_answer::yes) ++count;
        return count;
    }

    pool_rules rules;
    permit_counter permits;
    permit_counter process;
    pool under_test;
    pool_time now = pool_time{} + 1h;
};

pool_rules small() {
    pool_rules rules;
    rules.size = 2;
    rules.max_overflow = 1;
    return rules;
}

}  // namespace

TEST_CASE("idle servers are handed out last in, first out") {
    pool_fixture fix;
    std::array<pooled_server, 3> servers;
    for (pooled_server& each : servers) {
        fix.open(each);
        CHECK(fix.under_test.put_idle(each, fix.now));
        fix.now += 1s;
    }
    CHECK(fix.under_test.idle() == 3);
    CHECK(fix.under_test.longest_idle() == &servers[0]);
    CHECK(fix.under_test.take_idle(fix.now).server == &servers[2]);
    CHECK(fix.under_test.take_idle(fix.now).server == &servers[1]);
    CHECK(fix.under_test.remove_idle(servers[0]));
    CHECK_FALSE(fix.under_test.remove_idle(servers[0]));
    CHECK(fix.under_test.take_idle(fix.now).server == nullptr);
    CHECK(fix.under_test.open() == 3);
}

TEST_CASE("a server that has been idle long must prove to be alive first") {
    pool_fixture fix;
    pooled_server server;
    fix.open(server);
    REQUIRE(fix.under_test.put_idle(server, fix.now));
    CHECK_FALSE(fix.under_test.take_idle(fix.now + 30s).probe_first);
    REQUIRE(fix.under_test.put_idle(server, fix.now));
    CHECK(fix.under_test.take_idle(fix.now + 31s).probe_first);
    pool_rules never;
    never.probe_after_idle = 0s;
    pool_fixture off(never);
    off.open(server);
    REQUIRE(off.under_test.put_idle(server, off.now));
    CHECK_FALSE(off.under_test.take_idle(off.now + 24h).probe_first);
}

TEST_CASE("D41: who waits first is served first, and may leave from anywhere") {
    pool_fixture fix;
    std::array<pool_waiter, 4> waiters;
    for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
    CHECK(fix.under_test.waiting() == 4);
    fix.under_test.leave(waiters[1]);
    fix.under_test.leave(waiters[1]);
    CHECK(fix.under_test.first_waiter() == &waiters[0]);
    CHECK(fix.under_test.next_waiter() == &waiters[0]);
    CHECK_FALSE(waiters[0].queued);
    CHECK(fix.under_test.next_waiter() == &waiters[2]);
    CHECK(fix.under_test.dismiss_all() == std::vector<pool_waiter*>{&waiters[3]});
    CHECK(fix.under_test.next_waiter() == nullptr);
}

TEST_CASE("D40: whose client wants it waits for less than others, wherever it stands, and even if they wait for ever") {
    for (const pool_duration limit : {pool_duration(30s), pool_duration(0s)}) {
        pool_rules rules;
        rules.hold_timeout = limit;
        pool_fixture fix(rules);
        std::array<pool_waiter, 3> waiters;
        waiters[1].waits_at_most = 2s;
        for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
        CHECK(fix.under_test.expired(fix.now + 1s).empty());
        CHECK(fix.under_test.expired(fix.now + 2s) == std::vector<pool_waiter*>{&waiters[1]});
        CHECK(fix.under_test.expired(fix.now + 29s).empty());
        CHECK(fix.under_test.waiting() == 2);
        for (pool_waiter& each : waiters)
            if (each.queued) fix.under_test.leave(each);
    }
}

TEST_CASE("D30: behind the barrier replays alone are served, whoever came first; time goes on for all") {
    pool_fixture at;
    std::array<pool_waiter, 3> who;
    who[1].replays = who[2].replays = true;
    for (std::size_t i = 0; i < who.size(); ++i) at.under_test.enqueue(who[i], at.now + i * 1ms);
    at.under_test.serve_replays(true, true);
    CHECK(at.under_test.first_waiter() == &who[0]);
    CHECK(at.under_test.first_to_serve() == &who[1]);
    CHECK(at.under_test.next_waiter() == &who[1]);
    CHECK(at.under_test.next_waiter() == &who[2]);
    CHECK(at.under_test.next_waiter() == nullptr);
    CHECK(at.under_test.first_to_serve() == nullptr);
    CHECK(at.dials() == 1);
    at.under_test.dial_abandoned();
    pooled_server idle;
    at.open(idle);
    REQUIRE(at.under_test.put_idle(idle, at.now));
    CHECK(at.dials() == 0);  // there is one for it, once it is let in
    CHECK(at.under_test.expired(at.now + 1h) == std::vector<pool_waiter*>{&who[0]});
    at.under_test.enqueue(who[0], at.now);
    at.under_test.serve_replays(false, false);
    CHECK(at.under_test.next_waiter() == &who[0]);
}

TEST_CASE("D30: a replay is served before new work that has waited for longer") {
    pool_fixture at;
    std::array<pool_waiter, 3> who;
    who[1].replays = true;
    for (std::size_t i = 0; i < who.size(); ++i) at.under_test.enqueue(who[i], at.now + i * 1ms);
    at.under_test.serve_replays(true, false);
    CHECK(at.under_test.first_to_serve() == &who[1]);
    CHECK(at.under_test.next_waiter() == &who[1]);
    CHECK(at.under_test.next_waiter() == &who[0]);
    CHECK(at.under_test.first_to_serve() == &who[2]);
}

TEST_CASE("a wait ends after hold_timeout, and never if that is off (P51)") {
    pool_fixture fix;
    std::array<pool_waiter, 2> waiters;
    fix.under_test.enqueue(waiters[0], fix.now);
    fix.under_test.enqueue(waiters[1], fix.now + 1s);
    CHECK(fix.under_test.expired(fix.now + 29s).empty());
    CHECK(fix.under_test.expired(fix.now + 30s) == std::vector<pool_waiter*>{&waiters[0]});
    CHECK(fix.under_test.waiting() == 1);
    pool_rules off;
    off.hold_timeout = 0s;
    pool_fixture patient(off);
    pool_waiter waiter;
    patient.under_test.enqueue(waiter, patient.now);
    CHECK(patient.under_test.expired(patient.now + 1000h).empty());
    patient.under_test.leave(waiter);
}

TEST_CASE("as many dials as there are waiters, within size, overflow and the process") {
    pool_fixture fix(small());
    std::array<pool_waiter, 5> waiters;
    CHECK(fix.dials() == 0);
    fix.under_test.enqueue(waiters[0], fix.now);
    CHECK(fix.dials() == 1);
    CHECK(fix.dials() == 0);
    for (std::size_t i = 1; i < 5; ++i) fix.under_test.enqueue(waiters[i], fix.now);
    CHECK(fix.dials() == 2);  // size 2 and overflow 1, one is under way
    CHECK(fix.permits.used() == 3);
    (void)fix.under_test.dismiss_all();

    pool_fixture crowded({}, 1);
    crowded.under_test.enqueue(waiters[0], crowded.now);
    crowded.under_test.enqueue(waiters[1], crowded.now);
    CHECK(crowded.under_test.may_dial(crowded.now, false) == dial_answer::yes);
    CHECK(crowded.under_test.may_dial(crowded.now, false) == dial_answer::process_full);
    CHECK(crowded.permits.used() == 1);
    (void)crowded.under_test.dismiss_all();
}

TEST_CASE("min_size is kept warm where asked for") {
    pool_rules rules;
    rules.min_size = 3;
    pool_fixture fix(rules);
    CHECK(fix.dials(false) == 0);
    CHECK(fix.dials(true) == 3);
    std::array<pooled_server, 3> servers;
    for (pooled_server& each : servers) {
        fix.under_test.dial_ended(true, fix.now, 0.5);
        fix.under_test.adopt(each, fix.now, 0.5);
    }
    CHECK(fix.dials(true) == 0);
    fix.under_test.closed(servers[0]);
    CHECK(fix.dials(true) == 1);
}

TEST_CASE("not more dials at a time than dial_limit") {
    pool_rules rules;
    rules.dial_limit = 2;
    pool_fixture fix(rules);
    std::array<pool_waiter, 5> waiters;
    for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
    CHECK(fix.dials() == 2);
    fix.under_test.dial_ended(true, fix.now, 0.5);
    CHECK(fix.dials() == 1);
    (void)fix.under_test.dismiss_all();
}

TEST_CASE("D4: a backend that does not answer is tried by one dial at a time, after a pause") {
    pool_fixture fix;
    std::array<pool_waiter, 5> waiters;
    for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
    CHECK(fix.dials() == 5);
    for (int i = 0; i < 5; ++i) fix.under_test.dial_ended(false, fix.now, 1.0);
    CHECK(fix.permits.used() == 0);
    CHECK(fix.process.used() == 0);
    CHECK(fix.under_test.consecutive_failures() == 5);
    CHECK(fix.under_test.next_dial() == fix.now + 400ms);
    CHECK(fix.under_test.backing_off(fix.now));
    CHECK(fix.dials() == 0);
    fix.now += 400ms;
    CHECK(fix.dials() == 1);
    fix.under_test.dial_ended(true, fix.now, 1.0);
    CHECK(fix.under_test.consecutive_failures() == 0);
    CHECK(fix.dials() == 5);
    (void)fix.under_test.dismiss_all();
}

TEST_CASE("an event that says the backend is back ends the pause") {
    pool_fixture fix;
    pool_waiter waiter;
    fix.under_test.enqueue(waiter, fix.now);
    REQUIRE(fix.dials() == 1);
    fix.under_test.dial_ended(false, fix.now, 1.0);
    CHECK(fix.dials() == 0);
    fix.under_test.dial_now();
    CHECK(fix.dials() == 1);
    fix.under_test.leave(waiter);
}

TEST_CASE("a dial that was abandoned says nothing about the backend") {
    pool_fixture fix;
    REQUIRE(fix.under_test.may_dial_extra());
    fix.under_test.dial_abandoned();
    CHECK(fix.under_test.consecutive_failures() == 0);
    CHECK(fix.permits.used() == 0);
    CHECK(fix.under_test.dialling() == 0);
}

TEST_CASE("D4: pauses double from 25 ms to 1 s, later to 5 s, with full jitter and never none") {
    const redial_rules rules;
    CHECK(redial_pause(rules, 1, 0s, 1.0) == 25ms);
    CHECK(redial_pause(rules, 2, 0s, 1.0) == 50ms);
    CHECK(redial_pause(rules, 6, 0s, 1.0) == 800ms);
    CHECK(redial_pause(rules, 7, 0s, 1.0) == 1s);
    CHECK(redial_pause(rules, 1'000'000, 0s, 1.0) == 1s);
    CHECK(redial_pause(rules, 1'000'000, 11s, 1.0) == 5s);
    CHECK(redial_pause(rules, 3, 0s, 0.5) == 50ms);
    CHECK(redial_pause(rules, 3, 0s, 0.0) == 1ms);
}

TEST_CASE("P51: lifetimes are spread, and 0 means forever") {
    pool_fixture fix;
    std::array<pooled_server, 2> servers;
    for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(fix.under_test.may_dial_extra());
        fix.under_test.dial_ended(true, fix.now, 0);
        fix.under_test.adopt(servers[i], fix.now, static_cast<double>(i));
    }
    CHECK(servers[0].retire_at == fix.now + 60min);
    CHECK(servers[1].retire_at == fix.now + 54min);
    CHECK_FALSE(fix.under_test.is_spent(servers[1], fix.now + 53min));
    CHECK(fix.under_test.is_spent(servers[1], fix.now + 54min));
    CHECK_FALSE(fix.under_test.put_idle(servers[1], fix.now + 54min));
    pool_rules forever;
    forever.lifetime = 0s;
    pool_fixture old(forever);
    pooled_server server;
    old.open(server);
    CHECK(old.under_test.put_idle(server, old.now + 10'000h));
}

TEST_CASE("condemned servers and those of a former generation are not used again") {
    pool_fixture fix;
    std::array<pooled_server, 2> servers;
    for (pooled_server& each : servers) fix.open(each);
    servers[0].condemned = true;
    CHECK_FALSE(fix.under_test.put_idle(servers[0], fix.now));
    REQUIRE(fix.under_test.put_idle(servers[1], fix.now));
    fix.under_test.set_generation(1);
    CHECK(fix.under_test.to_close(fix.now) == std::vector<pooled_server*>{&servers[1]});
    pooled_server fresh;
    fix.open(fresh);
    CHECK(fix.under_test.put_idle(fresh, fix.now));
}

TEST_CASE("overflow is closed soon, the rest when it is not needed, never below min_size") {
    pool_rules rules = small();
    rules.min_size = 1;
    pool_fixture fix(rules);
    std::array<pooled_server, 3> servers;
    for (pooled_server& each : servers) {
        fix.open(each);
        REQUIRE(fix.under_test.put_idle(each, fix.now));
    }
    CHECK(fix.under_test.to_close(fix.now + 9s).empty());
    const auto overflow = fix.under_test.to_close(fix.now + 10s);
    CHECK(overflow == std::vector<pooled_server*>{&servers[0]});
    CHECK(fix.permits.used() == 2);  // returned at once, and not again when it has closed
    fix.under_test.closed(servers[0]);
    CHECK(fix.permits.used() == 2);
    CHECK(fix.process.used() == 2);
    CHECK(fix.under_test.to_close(fix.now + 599s).empty());
    CHECK(fix.under_test.to_close(fix.now + 600s) == std::vector<pooled_server*>{&servers[1]});
    fix.under_test.closed(servers[1]);
    CHECK(fix.under_test.to_close(fix.now + 30min).empty());
    CHECK(fix.under_test.idle() == 1);
    CHECK(fix.under_test.open() == 1);
}

TEST_CASE("all idle servers can be taken out at once") {
    pool_fixture fix;
    std::array<pooled_server, 2> servers;
    for (pooled_server& each : servers) {
        fix.open(each);
        REQUIRE(fix.under_test.put_idle(each, fix.now));
    }
    CHECK(fix.under_test.take_all_idle().size() == 2);
    CHECK(fix.under_test.idle() == 0);
    CHECK(fix.under_test.open() == 2);
}

TEST_CASE(
    "D3: a statement that comes back has waited already: its place and its deadline are those of its first wait") {
    pool_fixture fix;
    std::array<pool_waiter, 3> waiters;
    fix.under_test.enqueue(waiters[0], fix.now);
    fix.under_test.enqueue(waiters[1], fix.now + 2s);
    fix.under_test.enqueue(waiters[2], fix.now + 1s);
    CHECK(waiters[2].deadline == fix.now + 31s);
    CHECK(fix.under_test.expired(fix.now + 31s) == std::vector<pool_waiter*>{&waiters[0], &waiters[2]});
    CHECK(fix.under_test.next_waiter() == &waiters[1]);
}

TEST_CASE("a waiter moves between queues and leaves whichever it is in") {
    pool_fixture writes;
    pool_fixture reads;
    std::array<pool_waiter, 4> waiters;
    for (std::size_t i = 0; i < 4; ++i) {
        waiters[i].need = i % 2 == 0 ? server_need::primary : server_need::read_only;
        writes.under_test.enqueue(waiters[i], writes.now + std::chrono::seconds(i));
    }
    writes.under_test.move_waiters(reads.under_test,
                                   [](const pool_waiter& who) { return who.need == server_need::read_only; });
    CHECK(writes.under_test.waiting() == 2);
    CHECK(reads.under_test.first_waiter() == &waiters[1]);
    CHECK(waiters[1].deadline == writes.now + 31s);
    pool::leave(waiters[1]);
    CHECK(reads.under_test.waiting() == 1);
    // Back again: the order is that of the waits.
    reads.under_test.move_waiters(writes.under_test, [](const pool_waiter&) { return true; });
    CHECK(writes.under_test.dismiss_all() == std::vector<pool_waiter*>{&waiters[0], &waiters[2], &waiters[3]});
}

TEST_CASE("D28: a waiter gets only a server that will do, and a server goes to the first for whom it will") {
    pool_fixture fix;
    std::array<pooled_server, 2> servers;
    for (pooled_server& each : servers) {
        fix.open(each);
        REQUIRE(fix.under_test.put_idle(each, fix.now));
    }
    const pool_match match = [&](const pooled_server& server, const pool_waiter& who) {
        return who.wrote_at == 0 || &server == &servers[0];
    };
    std::array<pool_waiter, 2> waiters;
    waiters[0].wrote_at = 7;
    CHECK(fix.under_test.take_idle_for(waiters[0], match, fix.now).server == &servers[0]);
    CHECK(fix.under_test.take_idle_for(waiters[0], match, fix.now).server == nullptr);
    for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
    CHECK(fix.under_test.next_waiter_for(servers[1], match) == &waiters[1]);
    CHECK(fix.under_test.next_waiter_for(servers[1], match) == nullptr);
    CHECK(fix.under_test.next_waiter_for(servers[0], match) == &waiters[0]);
}

TEST_CASE("who waits long is told once, and again only in another wait") {
    pool_fixture fix;
    std::array<pool_waiter, 2> waiters;
    fix.under_test.enqueue(waiters[0], fix.now);
    fix.under_test.enqueue(waiters[1], fix.now + 3s);
    CHECK(fix.under_test.to_notice(fix.now + 4s, 5s).empty());
    CHECK(fix.under_test.to_notice(fix.now + 6s, 5s) == std::vector<pool_waiter*>{&waiters[0]});
    CHECK(fix.under_test.to_notice(fix.now + 8s, 5s) == std::vector<pool_waiter*>{&waiters[1]});
    CHECK(fix.under_test.to_notice(fix.now + 9s, 5s).empty());
    pool::leave(waiters[0]);
    fix.under_test.enqueue(waiters[0], fix.now + 20s);
    CHECK(fix.under_test.to_notice(fix.now + 25s, 5s) == std::vector<pool_waiter*>{&waiters[0]});
    (void)fix.under_test.dismiss_all();
}

TEST_CASE("T23: a full server is asked again after a pause, and is not a failure") {
    pool_fixture fix;
    std::array<pool_waiter, 3> waiters;
    for (pool_waiter& each : waiters) fix.under_test.enqueue(each, fix.now);
    REQUIRE(fix.dials() == 3);
    fix.under_test.dial_crowded_out(fix.now, 1s);
    CHECK(fix.under_test.consecutive_failures() == 0);
    CHECK(fix.under_test.backing_off(fix.now));
    CHECK(fix.permits.used() == 2);
    fix.now += 1s;
    CHECK(fix.dials() == 1);
    (void)fix.under_test.dismiss_all();
}

TEST_CASE("a password that could not be tried counts like a dial that failed") {
    pool_fixture fix;
    fix.under_test.failed_elsewhere(fix.now, 1.0);
    CHECK(fix.under_test.consecutive_failures() == 1);
    CHECK(fix.under_test.next_dial() == fix.now + 25ms);
    CHECK(fix.permits.used() == 0);
}
