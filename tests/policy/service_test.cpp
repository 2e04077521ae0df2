// What happens to statements: by what is known, and by each pool's own patience.
#include "proxy/policy/service.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const std::chrono::steady_clock::time_point start{100h};

/// The primary was lost at `start`; a standby may be read.
cluster_view lost() {
    cluster_view view;
    view.informed = true;
    view.writes = write_way::missing;
    view.lost_since = start;
    view.readable = {1};
    return view;
}

}  // namespace

TEST_CASE("D6: one mode for each way that writes can go") {
    cluster_view view = lost();
    view.writes = write_way::flow;
    CHECK(judge_service(view, {}, start + 1h) == service_mode::normal);
    view.writes = write_way::held;
    CHECK(judge_service(view, {}, start + 1h) == service_mode::holding);
    view.writes = write_way::off;
    CHECK(judge_service(view, {}, start) == service_mode::read_only);
    CHECK(judge_service(view, {30s, false}, start) == service_mode::read_only);  // nobody may write, whoever may read
    for (const write_way each : {write_way::flow, write_way::held, write_way::off}) {
        view.writes = each;
        CHECK_FALSE(next_service_change(view, {}, start).has_value());
    }
}

TEST_CASE("D1: storage that fails is no affair of a pool that has breakers or read-only mode switched off") {
    cluster_view view = lost();
    view.writes = write_way::failing;
    CHECK(judge_service(view, {}, start) == service_mode::read_only);
    CHECK(judge_service(view, {30s, false, true}, start) == service_mode::normal);
    CHECK(judge_service(view, {30s, true, false}, start) == service_mode::normal);
}

TEST_CASE("D1, D3: of one outage each pool makes what its own patience and switches say") {
    const cluster_view view = lost();
    const service_rules usual{30s, true};
    const service_rules hasty{2s, true};
    const service_rules endless{0ms, true};
    const service_rules never{2s, false};
    CHECK(judge_service(view, usual, start + 2s) == service_mode::holding);
    CHECK(judge_service(view, hasty, start + 1999ms) == service_mode::holding);
    CHECK(judge_service(view, hasty, start + 2s) == service_mode::read_only);
    CHECK(judge_service(view, usual, start + 30s) == service_mode::read_only);
    CHECK(judge_service(view, endless, start + 24h) == service_mode::holding);
    CHECK(judge_service(view, never, start + 24h) == service_mode::holding);
    CHECK(next_service_change(view, hasty, start + 1s) == start + 2s);
    CHECK_FALSE(next_service_change(view, hasty, start + 2s).has_value());  // it has come
    CHECK_FALSE(next_service_change(view, endless, start).has_value());
}

TEST_CASE("without anybody to read from, writes wait until no host has answered for so long: then it is offline") {
    cluster_view view = lost();
    view.readable.clear();
    CHECK(judge_service(view, {}, start + 1h) == service_mode::holding);
    view.deaf_since = start + 10s;
    CHECK(judge_service(view, {}, start + 39s) == service_mode::holding);
    CHECK(next_service_change(view, {}, start + 31s) == start + 40s);
    CHECK(judge_service(view, {}, start + 40s) == service_mode::offline);
    CHECK(judge_service(view, {2s, true}, start + 12s) == service_mode::offline);
    CHECK(judge_service(view, {0ms, true}, start + 24h) == service_mode::holding);
}

TEST_CASE("a host that is alone and was never anything but a standby is read at once") {
    cluster_view view = lost();
    view.lone_standby = true;
    CHECK(judge_service(view, {}, start) == service_mode::read_only);
    CHECK(judge_service(view, {30s, false}, start) == service_mode::holding);
}

TEST_CASE("D1: a pool of standbys serves without a read-only mode, too, and then from the start") {
    cluster_view view = lost();
    view.standbys_only = true;
    CHECK(judge_service(view, {30s, false}, start) == service_mode::read_only);
    CHECK(judge_service(view, {0s, false}, start) == service_mode::read_only);
    CHECK(judge_service(view, {}, start) == service_mode::holding);  // one of them may be about to be promoted
    view.readable.clear();
    CHECK(judge_service(view, {30s, false}, start) == service_mode::holding);
}
