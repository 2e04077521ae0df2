// The cache is bounded in bytes, forgets the least recently used, and never pulls a value from under its user.
#include "proxy/sql/effects_cache.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady;

namespace {

std::shared_ptr<const statement_effects> get(effects_cache& cache, const std::string& sql) {
    return cache.get(sql, scan_tokens(sql));
}

std::string setting(int i) { return "SET app.n = " + std::to_string(i); }

}  // namespace

TEST_CASE("the second request for a text is the same value") {
    effects_cache cache(1U << 20);
    const auto first = get(cache, "SET a.b = 1");
    CHECK(get(cache, "SET a.b = 1") == first);
    CHECK(cache.size() == 1);
    CHECK(first->settings.at(0).value == "1");
}

TEST_CASE("the limit in bytes holds and the least recently used goes first") {
    effects_cache cache(16U * 1024U);
    const auto kept = get(cache, setting(0));
    for (int i = 1; i < 200; ++i) {
        (void)get(cache, setting(i));
        CHECK(get(cache, setting(0)) == kept);
        CHECK(cache.bytes() <= 16U * 1024U);
    }
    CHECK(cache.size() < 60);
    CHECK(cache.size() > 5);
}

TEST_CASE("an evicted value lives as long as its user") {
    effects_cache cache(8U * 1024U);
    const auto mine = get(cache, setting(0));
    for (int i = 1; i < 100; ++i) (void)get(cache, setting(i));
    CHECK(mine->settings.at(0).value == "0");
    CHECK(get(cache, setting(0)) != mine);
}

TEST_CASE("what is too large for the cache is not kept") {
    effects_cache cache(16U * 1024U);
    (void)get(cache, "SET a.b = '" + std::string(4096, 'x') + "'");
    CHECK(cache.size() == 0);
    CHECK(cache.bytes() == 0);

    effects_cache off(0);
    CHECK(get(off, "SET a.b = 1")->settings.size() == 1);
    CHECK(off.size() == 0);
}
