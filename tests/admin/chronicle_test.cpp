// What is made of a row of observations: the curves, the recoveries, the journal.
#include "admin/chronicle.hpp"

#include "admin/past_documents.hpp"

#include "tests/admin/admin_support.hpp"

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// A clock of both kinds, and a proxy that is looked at.
struct story {
    observation seen = sample_observation();
    timeline::time_point now{std::chrono::hours(1)};
    chronicle past;

    story() {
        seen.now.incidents.clear();
        seen.now.incidents_total = 0;
    }
    void pass(milliseconds time) {
        now += time;
        seen.taken_at += time;
    }
    void look() { past.see(now, seen); }
    void event(const char* name, const char* sentence, bool warning = false) {
        seen.now.events.push_back({seen.taken_at, name, sentence, warning});
    }
    void incident(unsigned worker, std::uint64_t serial, std::string number) {
        seen.now.incidents.push_back({seen.taken_at, std::move(number), worker, serial, "client 4 lost its server"});
        ++seen.now.incidents_total;
    }
    void requests(std::uint64_t count, std::size_t bucket) {
        seen.now.operations[0].count += count;
        seen.now.operations[0].seconds.buckets[bucket] += count;
    }
};

std::vector<std::string> kinds(const chronicle& of) {
    std::vector<std::string> result;
    for (const journal_entry& each : of.entries().entries()) result.push_back(each.kind);
    return result;
}

}  // namespace

TEST_CASE("A moment is what happened between two observations; what was before the first is not counted") {
    story at;
    at.look();
    CHECK(at.past.curves().current().requests == 0);
    at.requests(50, 0);
    at.seen.now.operations[1].count += 5;
    at.pass(seconds(5));
    at.look();
    REQUIRE(at.past.curves().moments().size() == 1);
    const moment& first = at.past.curves().moments().front();
    CHECK(first.requests == 55);
    CHECK(first.errors == 5);
    CHECK(first.lasted == seconds(5));
    CHECK(first.p50.value() <= 0.001);
    CHECK(first.active == 5);
    CHECK(first.waiting == 2);
    at.pass(seconds(5));
    at.look();
    CHECK(at.past.curves().moments().back().requests == 0);
    CHECK_FALSE(at.past.curves().moments().back().p50.has_value());
}

TEST_CASE("The current moment is as of the last observation, and is not complete before five seconds") {
    story at;
    at.look();
    at.requests(8, 1);
    at.pass(seconds(2));
    at.look();
    CHECK(at.past.curves().moments().empty());
    CHECK(at.past.curves().current().requests == 8);
    CHECK(at.past.curves().current().p99.value() > 0.001);
    at.pass(seconds(3));
    at.look();
    CHECK(at.past.curves().moments().back().requests == 8);
    CHECK(at.past.curves().current().requests == 0);
}

TEST_CASE("A moment has the worst mode that was seen in it") {
    story at;
    at.look();
    at.pass(seconds(1));
    at.seen.now.mode = service_mode::holding;
    at.look();
    at.pass(seconds(4));
    at.seen.now.mode = service_mode::normal;
    at.look();
    CHECK(at.past.curves().moments().back().mode == service_mode::holding);
    at.pass(seconds(5));
    at.look();
    CHECK(at.past.curves().moments().back().mode == service_mode::normal);
}

TEST_CASE("An hour of moments is kept, and no more") {
    story at;
    for (std::size_t i = 0; i < timeline::most + 10; ++i) {
        at.look();
        at.pass(timeline::spacing);
    }
    CHECK(at.past.curves().moments().size() == timeline::most);
    const auto columns = timeline_document(at.past.curves()).at("moments").as_object();
    CHECK(columns.at("at").as_array().size() == timeline::most);
    CHECK(columns.at("mode").as_array().size() == timeline::most);
}

TEST_CASE("Totals that begin again do not make a moment of thousands") {
    story at;
    at.look();
    at.seen.now.operations[0].count = 3;
    at.seen.now.operations[0].seconds.buckets = {3, 0, 0};
    at.pass(seconds(5));
    at.look();
    CHECK(at.past.curves().moments().back().requests == 4);  // three, and the one that ended in an error
}

TEST_CASE("An outage is one story: what was lost, how long, what clients noticed") {
    story at;
    at.look();
    at.pass(milliseconds(500));
    at.event("primary_lost", "db1:5432: connection refused", true);
    at.look();
    REQUIRE(at.past.outages().all().size() == 1);
    CHECK_FALSE(at.past.outages().all().front().ended.has_value());
    CHECK(at.past.outages().all().front().clients == 9);
    at.seen.now.holds = {{"served", 14}, {"timed_out", 1}, {"ended", 2}};
    at.seen.now.retries = {{"answered", 3}, {"result_lost", 1}};
    at.pass(milliseconds(2300));
    at.event("primary_moved", "from db1:5432 to db2:5432");
    at.look();
    at.pass(seconds(1));
    at.seen.now.replays = {{"transaction_lost", 2}};
    at.look();
    const recovery& told = at.past.outages().all().front();
    CHECK(told.what == "db1:5432: connection refused");
    CHECK(told.how == "from db1:5432 to db2:5432");
    CHECK(told.lasted(at.seen.taken_at) == milliseconds(2300));
    CHECK(told.waited == 14);
    CHECK(told.gave_up == 1);
    CHECK(told.repeated == 3);
    CHECK(told.result_lost == 1);
    CHECK(told.told_to_retry == 2);
    CHECK(kinds(at.past) == std::vector<std::string>{"primary_lost", "primary_moved"});
}

TEST_CASE("What follows from an outage is counted for three seconds after it, then the journal tells the whole") {
    story at;
    at.look();
    at.event("primary_lost", "db1:5432: it does not answer", true);
    at.event("primary_found", "db1:5432");
    at.look();
    at.pass(seconds(2));
    at.seen.now.retries = {{"answered", 1}};
    at.look();
    CHECK(at.past.outages().all().front().repeated == 1);
    at.pass(seconds(2));
    at.look();
    CHECK(kinds(at.past) == std::vector<std::string>{"primary_lost", "primary_found", "recovery"});
    CHECK(at.past.entries().entries().back().what ==
          "a primary after 0.0 s: db1:5432; 1 request was answered by another server");
    at.seen.now.retries = {{"answered", 9}};
    at.look();
    CHECK(at.past.outages().all().front().repeated == 1);
}

TEST_CASE("Two outages in a row are two stories, and share no counts") {
    story at;
    at.look();
    at.event("primary_lost", "first", true);
    at.event("primary_found", "again");
    at.seen.now.retries = {{"answered", 5}};
    at.look();
    at.pass(seconds(1));
    at.event("primary_lost", "second", true);
    at.look();
    at.seen.now.retries = {{"answered", 7}};
    at.pass(seconds(1));
    at.look();
    const auto& all = at.past.outages().all();
    REQUIRE(all.size() == 2);
    CHECK(all[0].what == "second");
    CHECK(all[0].repeated == 2);
    CHECK(all[1].repeated == 5);
    CHECK(all[0].incident != all[1].incident);
}

TEST_CASE("Events, alerts and commands of an outage carry its incident; others carry none") {
    story at;
    at.look();
    at.past.command(at.seen.taken_at - seconds(10), "POST /api/v1/hold: held");
    at.event("primary_lost", "db1:5432: refused", true);
    at.event("mode_changed", "holding", true);
    at.look();
    at.past.alert_began({.name = "connection_failures", .about = {}, .advice = "look", .since = at.seen.taken_at});
    at.pass(seconds(30));
    at.event("primary_found", "db1:5432");
    at.look();
    at.pass(seconds(30));
    at.event("host_restarted", "db2:5432");
    at.look();
    std::vector<std::string> incidents;
    for (const journal_entry& each : at.past.entries().entries()) incidents.push_back(each.kind + '=' + each.incident);
    CHECK(incidents == std::vector<std::string>{"command=", "primary_lost=outage-1", "mode_changed=outage-1",
                                                "alert=outage-1", "primary_found=outage-1",
                                                "host_restarted=", "recovery=outage-1"});
}

TEST_CASE("What clients met has an entry each, under the number that they and the log have") {
    story at;
    at.look();
    at.incident(0, 1, "00000001");
    at.incident(1, 1, "01000001");
    at.look();
    at.look();
    at.incident(0, 2, "00000002");
    at.look();
    std::vector<std::string> told;
    for (const journal_entry& each : at.past.entries().entries()) {
        CHECK(each.kind == "incident");
        CHECK(each.level == alert_level::warning);
        REQUIRE(each.incidents.size() == 1);
        told.push_back(each.incidents.front());
    }
    CHECK(told == std::vector<std::string>{"00000001", "01000001", "00000002"});
    const auto shown = entry_document(at.past.entries().entries().back());
    CHECK(shown.at("incidents").as_array().front() == "00000002");
    CHECK(shown.at("what") == "client 4 lost its server");
}

TEST_CASE("A flood of incidents is one entry with their number, and five of their own") {
    story at;
    at.look();
    for (std::uint64_t serial = 951; serial <= 1000; ++serial) at.incident(0, serial, std::to_string(serial));
    at.look();
    const auto& entries = at.past.entries().entries();
    REQUIRE(entries.size() == 6);
    CHECK(entries.front().kind == "incidents");
    CHECK(entries.front().what == "995 incidents more; the log has each");
    CHECK(entries.front().incidents.size() == chronicle::incidents_named);
    CHECK(entries.front().incidents.back() == "995");
    CHECK(entries.back().incidents == std::vector<std::string>{"1000"});
}

TEST_CASE("A recovery names what clients met from just before it until just after it, the latest of them") {
    story at;
    at.look();
    at.incident(0, 1, "long before");
    at.pass(seconds(60));
    at.look();
    at.incident(0, 2, "noticed first");
    at.pass(milliseconds(500));
    at.event("primary_lost", "db1:5432: refused", true);
    at.incident(0, 3, "in it");
    at.look();
    at.pass(seconds(1));
    at.event("primary_found", "db1:5432");
    at.look();
    at.pass(seconds(2));
    at.incident(1, 1, "waited in vain");
    at.look();
    at.pass(seconds(1));
    at.look();
    at.pass(seconds(9));
    at.incident(0, 4, "long after");
    at.look();
    const recovery& told = at.past.outages().all().front();
    CHECK(told.incidents == std::vector<std::string>{"noticed first", "in it", "waited in vain"});
    CHECK(told.incidents_total == 3);
    const auto& entries = at.past.entries().entries();
    const auto summary =
        std::find_if(entries.begin(), entries.end(), [](const auto& each) { return each.kind == "recovery"; });
    REQUIRE(summary != entries.end());
    CHECK(summary->incidents == told.incidents);
    CHECK(recoveries_document(at.past.outages(), at.seen.taken_at).front().at("incidents").as_array().size() == 3);
}

TEST_CASE("Of thousands, a recovery keeps the number and names twenty") {
    story at;
    at.look();
    at.event("primary_lost", "db1:5432: refused", true);
    for (std::uint64_t serial = 4901; serial <= 5000; ++serial) at.incident(0, serial, std::to_string(serial));
    at.seen.now.incidents_total = 5000;
    at.look();
    const recovery& told = at.past.outages().all().front();
    CHECK(told.incidents_total == 5000);
    CHECK(told.incidents.size() == recoveries::most_incidents);
    CHECK(told.incidents.back() == "5000");
}

TEST_CASE("An event is told once, however often it is seen, and a late one of another cluster is not missed") {
    story at;
    at.event("host_lost", "db2:5432", true);
    at.look();
    at.look();
    CHECK(kinds(at.past).size() == 1);
    const auto when = at.seen.taken_at;
    at.pass(seconds(1));
    at.event("host_found", "db2:5432");
    at.seen.now.events.insert(at.seen.now.events.begin() + 1, {when, "host_lost", "other:5432", true});
    at.look();
    CHECK(kinds(at.past) == std::vector<std::string>{"host_lost", "host_lost", "host_found"});
    at.seen.now.events.erase(at.seen.now.events.begin());
    at.look();
    CHECK(kinds(at.past).size() == 3);
}

TEST_CASE("The journal is bounded, its numbers go on, and what it says is printable") {
    journal entries;
    for (std::size_t i = 0; i < journal::most + 5; ++i) entries.add({.kind = "command", .what = "a\nb"});
    CHECK(entries.entries().size() == journal::most);
    CHECK(entries.entries().back().id == journal::most + 5);
    CHECK(entries.entries().front().id == 6);
    CHECK(entries.entries().back().what.find('\n') == std::string::npos);
    CHECK(journal_document(entries).front().at("id") == journal::most + 5);
}
