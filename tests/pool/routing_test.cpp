// Where servers are looked for under every kind of view: who is given what, where a dial goes, what is dropped.
#include "proxy/pool/routing.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

/// Two hosts, the first one a primary on timeline 3, the second a standby within its limits.
cluster_view usual() {
    cluster_view view;
    view.informed = true;
    view.primary = 0;
    view.readable = {1};
    view.timeline = 3;
    view.sample = 10;
    view.hosts.resize(2);
    view.hosts[0].role = host_role::primary;
    view.hosts[1].role = host_role::standby;
    for (host_view& each : view.hosts) each.tried = each.reachable = true;
    return view;
}

/// The primary is lost, the standby may be read.
cluster_view without_primary() {
    cluster_view view = usual();
    view.mode = service_mode::holding;
    view.primary.reset();
    view.hosts[0].reachable = false;
    view.hosts[0].breaker = breaker_state::open;
    view.hosts[1].replayed_sample = 10;
    return view;
}

cluster_view unknown() {
    cluster_view view;
    view.hosts.resize(3);
    return view;
}

}  // namespace

TEST_CASE("in normal mode everything goes to the primary, standby or not") {
    const cluster_view view = usual();
    CHECK_FALSE(primary_withheld(view));
    CHECK_FALSE(reads_on_standbys(view));
    CHECK(group_for(view, server_need::read_only, 0) == server_need::primary);
    CHECK(primary_to_dial(view, 1) == dial_target{0, true});
}

TEST_CASE("D3: once the primary is lost, reads go to a standby at once and writes wait") {
    const cluster_view view = without_primary();
    CHECK(primary_withheld(view));
    CHECK_FALSE(primary_to_dial(view, 0).has_value());
    CHECK(group_for(view, server_need::read_only, 0) == server_need::read_only);
    CHECK(group_for(view, server_need::primary, 0) == server_need::primary);
    CHECK(standby_for(view, 0) == 1);
}

TEST_CASE("D28: a session reads from a standby only what is not older than what it wrote") {
    cluster_view view = without_primary();
    CHECK(standby_for(view, 9) == 1);
    CHECK_FALSE(standby_for(view, 10).has_value());
    CHECK(group_for(view, server_need::read_only, 10) == server_need::primary);  // waits
    view.hosts[1].complete = true;
    CHECK(standby_for(view, 10) == 1);
}

TEST_CASE("the best standby first, as the view lists them") {
    cluster_view view = without_primary();
    view.hosts.push_back(view.hosts[1]);
    view.readable = {2, 1};
    CHECK(standby_for(view, 0) == 2);
    view.hosts[1].complete = true;
    CHECK(standby_for(view, 10) == 1);
    view.hosts[2].breaker = breaker_state::open;  // listed all the same: there is no better one
    CHECK(standby_for(view, 0) == 2);
    view.readable = {7};  // a view that names a host it does not list
    CHECK_FALSE(standby_for(view, 0).has_value());
}

TEST_CASE("D6: nobody is given a primary's server while the operator holds, or while writes are off") {
    cluster_view view = usual();
    view.held_by_operator = true;
    view.mode = service_mode::holding;
    CHECK(primary_withheld(view));
    CHECK_FALSE(primary_to_dial(view, 0).has_value());
    CHECK(group_for(view, server_need::read_only, 0) == server_need::read_only);
    CHECK(is_current_primary(view, 0, 3));  // what is open stays open, at rest
    view = usual();
    view.mode = service_mode::read_only;
    CHECK(primary_withheld(view));
    view = unknown();
    view.held_by_operator = true;
    CHECK(primary_withheld(view));
}

TEST_CASE("D10: while roles are not known, dials find the primary, whatever the breakers say") {
    cluster_view view = unknown();
    CHECK_FALSE(primary_withheld(view));
    CHECK(primary_to_dial(view, 2) == dial_target{2, false});
    view.mode = service_mode::holding;
    for (host_view& each : view.hosts) each.breaker = breaker_state::open;
    CHECK(primary_to_dial(view, 1) == dial_target{1, false});
    CHECK(primary_to_dial(cluster_view{}, 0) == dial_target{0, false});  // nobody watches at all
}

TEST_CASE("the primary is not dialled while its breaker is open") {
    cluster_view view = usual();
    view.hosts[0].breaker = breaker_state::open;
    CHECK_FALSE(primary_to_dial(view, 0).has_value());
    view.hosts[0].breaker = breaker_state::half_open;
    CHECK(primary_to_dial(view, 0).has_value());
}

TEST_CASE("D27: what is not on the primary's timeline or not the primary's host is never written to") {
    cluster_view view = usual();
    CHECK(is_current_primary(view, 0, 3));
    CHECK(is_current_primary(view, 0, 4));  // promoted a moment ago: the view will follow
    CHECK(is_current_primary(view, 0, 0));  // not known
    CHECK_FALSE(is_current_primary(view, 0, 2));
    CHECK_FALSE(is_current_primary(view, 1, 3));
    view.primary.reset();
    CHECK_FALSE(is_current_primary(view, 0, 3));
    view = unknown();
    CHECK(is_current_primary(view, 2, 1));
    view.timeline = 2;  // from what pools reported
    CHECK_FALSE(is_current_primary(view, 2, 1));
}

TEST_CASE("standbys' servers are used while reads go there, and only on those within their limits") {
    cluster_view view = without_primary();
    CHECK(is_readable(view, 1));
    CHECK_FALSE(is_readable(view, 0));
    view.readable.clear();
    CHECK_FALSE(is_readable(view, 1));
    CHECK_FALSE(is_readable(usual(), 1));
}

TEST_CASE("D4: a pause between dials ends when something became dialable, and not at every view") {
    const cluster_view up = usual();
    const cluster_view down = without_primary();
    CHECK(worth_dialling_at_once(down, up));
    CHECK(worth_dialling_at_once(up, down));  // the standby may be read now
    CHECK_FALSE(worth_dialling_at_once(up, up));
    CHECK_FALSE(worth_dialling_at_once(down, down));
    cluster_view moved = up;
    moved.primary = 1;
    CHECK(worth_dialling_at_once(up, moved));
    cluster_view sampled = up;
    ++sampled.sample;
    CHECK_FALSE(worth_dialling_at_once(up, sampled));
    cluster_view reached = unknown();
    reached.hosts[1].reachable = true;
    CHECK(worth_dialling_at_once(unknown(), reached));
    cluster_view tripped = up;
    tripped.hosts[0].breaker = breaker_state::open;
    CHECK_FALSE(worth_dialling_at_once(up, tripped));
    CHECK(worth_dialling_at_once(tripped, up));
}

TEST_CASE(
    "D21: of a server that refused to write, only what was asked after that counts, and only the monitor's word") {
    using time_point = cluster_view::time_point;
    using namespace std::chrono_literals;
    const time_point asked = time_point{} + 1h;
    cluster_view view = usual();
    view.hosts[0].asked_at = asked - 1ms;
    CHECK(news_of(view, 0, 3, asked) == role_news::pending);
    view.hosts[0].asked_at = asked + 1ms;
    CHECK(news_of(view, 0, 3, asked) == role_news::unchanged);
    CHECK(news_of(view, 0, 2, asked) == role_news::changed);  // opened to an older timeline
    CHECK(news_of(view, 1, 3, asked) == role_news::changed);  // the other host is the primary now
    view.hosts[0].role = host_role::unknown;
    CHECK(news_of(view, 0, 3, asked) == role_news::pending);
    CHECK(news_of(without_primary(), 0, 3, asked) == role_news::changed);
    CHECK(news_of(unknown(), 0, 3, asked) == role_news::unknowable);
    CHECK(news_of(view, 9, 3, asked) == role_news::unknowable);
    view = without_primary();
    view.held_by_operator = true;  // nothing is known of a primary while it is moved
    view.primary.reset();
    CHECK(news_of(view, 0, 3, asked) == role_news::pending);
}
