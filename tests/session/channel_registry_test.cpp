// Who listens to what through one shared connection, and what it has yet to be told (D18, P22).
#include "proxy/session/channel_registry.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace pgsteady;

namespace {

using names = std::set<std::string>;
using listeners = channel_registry::listeners;
using namespace std::chrono_literals;

const channel_registry::time_point start{1h};

/// Clients 1 and 2 both have "a".
channel_registry two_listeners() {
    channel_registry all;
    all.follow(1, {"a"});
    all.follow(2, {"a"});
    (void)all.next_query();
    (void)all.answered();
    return all;
}

}  // namespace

TEST_CASE("D18: the union of the channels is listened to, each once, and given up with its last listener") {
    channel_registry all;
    CHECK(!all.wants_server());
    CHECK(!all.next_query());
    all.follow(1, {"a", "B c"});
    CHECK(all.wants_server());
    CHECK(all.next_query() == "LISTEN \"B c\"; LISTEN \"a\"");
    CHECK(!all.next_query());  // an answer is owed
    (void)all.answered();
    all.follow(2, {"a"});
    CHECK(!all.next_query());
    CHECK(all.who_hears("a") == std::set<channel_registry::listener>{1, 2});
    all.follow(1, {});
    CHECK(all.next_query() == "UNLISTEN \"B c\"");
    (void)all.answered();
    CHECK(all.who_hears("a") == std::set<channel_registry::listener>{2});
    CHECK(all.who_hears("B c").empty());
    all.forget(2);
    CHECK(all.next_query() == "UNLISTEN \"a\"");
    (void)all.answered();
    CHECK(all.channels() == 0);
    CHECK(!all.wants_server());
}

TEST_CASE("D18: a channel that is wanted again while it is being given up is asked for once more") {
    channel_registry all = two_listeners();
    all.forget(1);
    all.forget(2);
    CHECK(all.next_query() == "UNLISTEN \"a\"");
    all.follow(3, {"a"});
    all.await(3, true, start);
    CHECK(all.answered().served.empty());
    CHECK(all.next_query() == "LISTEN \"a\"");
    CHECK(all.answered().served == listeners{3});
}

TEST_CASE("D18: who waits is served by an answer to what was asked after it began, not by an earlier one") {
    channel_registry all;
    all.follow(1, {"a"});
    all.await(1, true, start);
    (void)all.next_query();
    all.follow(2, {"b"});
    all.await(2, true, start);
    all.await(3, false, start);  // listens to nothing
    CHECK(all.answered().served == listeners{1});
    CHECK(all.next_query() == "LISTEN \"b\"");
    CHECK(all.answered().served == listeners{2, 3});
    all.await(2, false, start);
    CHECK(all.next_query() == "");
    CHECK(all.answered().served == listeners{2});
}

TEST_CASE("2.7, T18: after a loss all channels are asked for again, and those who had listened hear of the gap, once") {
    channel_registry all = two_listeners();
    all.follow(3, {"new"});
    all.await(3, true, start);
    all.await(1, false, start);
    (void)all.next_query();
    CHECK(all.lost() == listeners{1});  // without a server there is nothing to wait for
    CHECK(!all.asked());
    all.forget(2);
    CHECK(all.next_query() == "LISTEN \"a\"; LISTEN \"new\"");
    const channel_registry::round again = all.answered();
    CHECK(again.served == listeners{3});
    CHECK(again.gap == listeners{1});
    all.await(1, false, start);
    (void)all.next_query();
    CHECK(all.answered().gap.empty());
}

TEST_CASE("D18: who has waited for too long waits no more") {
    channel_registry all;
    all.follow(1, {"a"});
    all.await(1, true, start);
    all.await(2, true, start + 2s);
    CHECK(all.overdue(start + 1s) == listeners{1});
    CHECK(all.overdue(start + 1s).empty());
    (void)all.next_query();
    CHECK(all.answered().served == listeners{2});
}

TEST_CASE("D18: many channels are asked for in several strings, and whoever waits is served by the last of its own") {
    channel_registry all;
    names many;
    for (int i = 0; i < 1001; ++i) many.insert("c" + std::to_string(i));
    all.follow(1, many);
    all.await(1, true, start);
    (void)all.next_query();
    CHECK(all.answered().served.empty());
    (void)all.next_query();
    CHECK(all.answered().served == listeners{1});
}
