// What is remembered of servers' answers about roles, at any time that a test likes.
#include "proxy/worker/role_cache.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

const role_cache::time_point start{1h};

role_cache::secret_ptr role(std::string text) {
    role_secret made;
    made.known = true;
    made.text = std::move(text);
    return std::make_shared<const role_secret>(std::move(made));
}

role_cache::secret_ptr nobody() { return std::make_shared<const role_secret>(); }

}  // namespace

TEST_CASE("D38: an answer is good for max_age, and for keep while nobody can be asked") {
    role_cache cache({1s, 1h, 10});
    CHECK(cache.fresh("a", start) == nullptr);
    const auto secret = role("md5");
    cache.put("a", secret, start);
    CHECK(cache.fresh("a", start + 999ms) == secret);
    CHECK(cache.fresh("a", start + 1s) == nullptr);
    CHECK(cache.last("a", start + 59min) == secret);
    CHECK(cache.last("a", start + 1h) == nullptr);
}

TEST_CASE("P13: a name that does not exist is remembered as long as one that does") {
    role_cache cache({1s, 1h, 10});
    cache.put("ghost", nobody(), start);
    cache.put("app", role("x"), start);
    for (const auto later : {0ms, 999ms, 1000ms}) {
        CAPTURE(later.count());
        CHECK((cache.fresh("ghost", start + later) == nullptr) == (cache.fresh("app", start + later) == nullptr));
    }
}

TEST_CASE("D38: a failed sign-in makes the answer it went by stale, and no later one") {
    role_cache cache({1h, 1h, 10});
    const auto former = role("before");
    const auto current = role("after");
    cache.put("a", former, start);
    cache.suspect("a", former);
    CHECK(cache.fresh("a", start) == nullptr);
    CHECK(cache.last("a", start) == former);
    cache.put("a", current, start);
    cache.suspect("a", former);
    CHECK(cache.fresh("a", start) == current);
}

TEST_CASE("D38: names that do not exist drive out each other, and no role") {
    role_cache cache({1h, 1h, 2});
    cache.put("app", role("x"), start);
    for (const char* name : {"a", "b", "c", "d"}) cache.put(name, nobody(), start);
    CHECK(cache.unknown() == 2);
    CHECK(cache.known() == 1);
    CHECK(cache.fresh("app", start) != nullptr);
    CHECK(cache.fresh("a", start) == nullptr);
    CHECK(cache.fresh("d", start) != nullptr);
}

TEST_CASE("the one asked for longest ago makes room, and asking again keeps it") {
    role_cache cache({1h, 1h, 2});
    cache.put("a", role("1"), start);
    cache.put("b", role("2"), start);
    cache.put("a", role("1"), start);
    cache.put("c", role("3"), start);
    CHECK(cache.fresh("a", start) != nullptr);
    CHECK(cache.fresh("b", start) == nullptr);
}

TEST_CASE("a role that is created or dropped is one of the two, never both") {
    role_cache cache({1h, 1h, 10});
    cache.put("a", nobody(), start);
    cache.put("a", role("x"), start);
    CHECK(cache.unknown() == 0);
    CHECK(cache.known() == 1);
    cache.put("a", nobody(), start);
    CHECK(cache.known() == 0);
    CHECK_FALSE(cache.last("a", start)->known);
    cache.clear();
    CHECK(cache.last("a", start) == nullptr);
}
