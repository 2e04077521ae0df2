// Shared statements: what makes two the same, and what a server keeps of them.
#include "proxy/session/statements.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

std::string tail(std::string_view sql, std::string_view types = std::string_view("\0\0", 2)) {
    return std::string(sql) + '\0' + std::string(types);
}

}  // namespace

TEST_CASE("P27: the same text, types and planner's settings are one statement, anything else is another") {
    statement_store store(7);
    const statement_ptr one = store.intern("path", tail("select 1"), nullptr);
    CHECK(one == store.intern("path", tail("select 1"), nullptr));
    CHECK(one != store.intern("other", tail("select 1"), nullptr));
    CHECK(one != store.intern("path", tail("select 2"), nullptr));
    CHECK(one != store.intern("path", tail("select 1", std::string_view("\0\1\0\0\0\x17", 6)), nullptr));
    CHECK(one->server_name == "pgsteady_7_1");
    CHECK(one->text() == "select 1");
}

TEST_CASE("names are never used twice, even when a statement is forgotten and comes again") {
    statement_store store(0);
    const std::string first = store.intern("", tail("a"), nullptr)->server_name;
    CHECK(store.intern("", tail("a"), nullptr)->server_name != first);
}

TEST_CASE("P59: statements that nobody holds are forgotten") {
    statement_store store(0);
    for (int i = 0; i < 10'000; ++i) (void)store.intern("", tail(std::to_string(i)), nullptr);
    CHECK(store.size() < 1'000);
}

TEST_CASE("a server's statements are counted in bytes, once each") {
    statement_store store(0);
    server_statements known;
    const statement_ptr one = store.intern("", tail("select 1"), nullptr);
    CHECK_FALSE(known.has(one));
    known.add(one);
    const std::size_t bytes = known.bytes();
    known.add(one);
    CHECK(known.bytes() == bytes);
    CHECK(known.has(one));
    known.remove(one);
    known.remove(one);
    CHECK(known.bytes() == 0);
    CHECK(known.size() == 0);
}

TEST_CASE("P26: the least recently used statements go first, down to the limit") {
    statement_store store(0);
    server_statements known;
    std::vector<statement_ptr> all;
    for (int i = 0; i < 100; ++i) {
        all.push_back(store.intern("", tail("select " + std::to_string(1000 + i)), nullptr));
        known.add(all.back());
    }
    CHECK(known.touch(*all[0]));
    CHECK(known.evict(known.bytes()).empty());
    const std::size_t limit = known.bytes() / 2;
    const std::vector<statement_ptr> gone = known.evict(limit);
    CHECK(known.bytes() <= limit);
    CHECK(gone.size() + known.size() == 100);
    CHECK(gone.front() == all[1]);
    CHECK(known.has(all[0]));
    CHECK(known.has(all[99]));
    for (const statement_ptr& each : gone) CHECK_FALSE(known.has(each));
}
