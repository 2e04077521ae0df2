// The ledger: equal values are one object, differences come in an order that a server accepts, quoting.
#include "proxy/session/settings.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

std::string sql(settings_table& table, std::vector<settings::pair> from, std::vector<settings::pair> to) {
    const settings_ptr had = table.of(std::move(from));
    const settings_ptr wanted = table.of(std::move(to));
    return restore_sql(differences(*had, *wanted));
}

}  // namespace

TEST_CASE("equal settings are one object, in whatever order and case they were given") {
    settings_table table;
    const settings_ptr one = table.of({{"work_mem", "1MB"}, {"DateStyle", "ISO"}});
    CHECK(one == table.of({{"datestyle", "ISO"}, {"WORK_MEM", "1MB"}}));
    CHECK(one == table.of({{"work_mem", "2MB"}, {"datestyle", "ISO"}, {"work_mem", "1MB"}}));
    CHECK(one != table.of({{"work_mem", "1MB"}}));
    CHECK(table.of({}) == table.none());
    CHECK(*one->find("datestyle") == "ISO");
    CHECK(one->find("nothing") == nullptr);
}

TEST_CASE("P36: going back is putting the former pointer back") {
    settings_table table;
    const settings_ptr before = table.of({{"work_mem", "1MB"}});
    const settings_ptr changed = table.with(before, "work_mem", "2MB");
    CHECK(changed != before);
    CHECK(table.with(changed, "Work_Mem", "1MB") == before);
    CHECK(table.with(before, "work_mem", std::nullopt) == table.none());
    CHECK(table.with(before, "unknown", std::nullopt) == before);
}

TEST_CASE("values that could run into each other stay apart") {
    settings_table table;
    CHECK(table.of({{"a", "b"}, {"c", "d"}}) != table.of({{"a", "b1:c1:d"}}));
    CHECK(table.of({{"a.b", "1:x"}}) != table.of({{"a.b", "1"}, {"x", ""}}));
    CHECK(table.of({{"a", ""}}) != table.none());
}

TEST_CASE("P59: what nobody holds any more is forgotten") {
    settings_table table;
    for (int i = 0; i < 10'000; ++i) (void)table.of({{"app.n", std::to_string(i)}});
    CHECK(table.size() < 200);
}

TEST_CASE("P27: the planner's key changes with search_path and role, and not with the rest") {
    settings_table table;
    const settings_ptr plain = table.of({{"work_mem", "1MB"}});
    CHECK(plain->planner_key() == table.none()->planner_key());
    const settings_ptr path = table.with(plain, "search_path", "a");
    CHECK(path->planner_key() != plain->planner_key());
    CHECK(table.with(path, "search_path", "b")->planner_key() != path->planner_key());
    CHECK(table.with(plain, "role", "a")->planner_key() != path->planner_key());
}

TEST_CASE("what a server lacks, as SQL") {
    settings_table table;
    CHECK(sql(table, {}, {}) == "");
    CHECK(sql(table, {{"a", "1"}}, {{"a", "1"}}) == "");
    CHECK(sql(table, {}, {{"a", "1"}, {"b", "2"}}) ==
          "SELECT pg_catalog.set_config('a','1',false),pg_catalog.set_config('b','2',false)");
    CHECK(sql(table, {{"a", "1"}, {"b", "2"}}, {{"b", "3"}}) ==
          "RESET \"a\";SELECT pg_catalog.set_config('b','3',false)");
    CHECK(sql(table, {{"app.user", "1"}}, {}) == "RESET \"app\".\"user\";");
}

TEST_CASE("roles are given up first and taken on last") {
    settings_table table;
    CHECK(sql(table, {{"role", "r"}}, {{"a", "1"}}) == "RESET ROLE;SELECT pg_catalog.set_config('a','1',false)");
    CHECK(sql(table, {}, {{"role", "r"}, {"z", "1"}}) ==
          "SELECT pg_catalog.set_config('z','1',false),pg_catalog.set_config('role','r',false)");
    CHECK(sql(table, {{"role", "r"}, {"a", "1"}}, {{"role", "r"}, {"a", "2"}}) ==
          "RESET ROLE;SELECT pg_catalog.set_config('a','2',false),pg_catalog.set_config('role','r',false)");
    CHECK(sql(table, {{"role", "r"}, {"a", "1"}}, {{"role", "r"}, {"a", "1"}}) == "");
}

TEST_CASE("a role survives a change of session_authorization, which resets it") {
    settings_table table;
    CHECK(
        sql(table, {{"session_authorization", "a"}, {"role", "r"}}, {{"session_authorization", "b"}, {"role", "r"}}) ==
        "RESET ROLE;RESET SESSION AUTHORIZATION;SELECT pg_catalog.set_config('session_authorization','b',false),"
        "pg_catalog.set_config('role','r',false)");
    CHECK(sql(table, {{"session_authorization", "a"}}, {}) == "RESET SESSION AUTHORIZATION;");
    CHECK(sql(table, {}, {{"session_authorization", "b"}}) ==
          "SELECT pg_catalog.set_config('session_authorization','b',false)");
}

TEST_CASE("text cannot leave its quotes") {
    CHECK(quote_literal("it's") == "'it''s'");
    CHECK(quote_literal("back\\slash'") == " E'back\\\\slash'''");
    CHECK(quote_literal("") == "''");
    CHECK(quote_identifier("a\"b") == "\"a\"\"b\"");
}

TEST_CASE("a restore is ASCII, whatever the encoding of the client before") {
    settings_table table;
    CHECK(sql(table, {}, {{"app.name", "J\xc3\xbcrgen's"}}) ==
          "SELECT pg_catalog.set_config('app.name',pg_catalog.convert_from(pg_catalog.decode("
          "'4ac3bc7267656e2773','hex'),'UTF8'),false)");
    CHECK(is_utf8_encoding("utf-8"));
    CHECK(is_utf8_encoding("Unicode"));
    CHECK_FALSE(is_utf8_encoding("LATIN1"));
    CHECK_FALSE(is_utf8_encoding(""));
    CHECK(hides_backslash("Shift_JIS"));
    CHECK(hides_backslash("GB18030"));
    CHECK_FALSE(hides_backslash("EUC_JP"));
    CHECK_FALSE(hides_backslash("UTF8"));
}
