// What a text says about transactions when only the text is left.
#include "proxy/session/leading_word.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace pgsteady;

TEST_CASE("the first word, behind space, comments and semicolons") {
    CHECK(leading_word("select 1") == "SELECT");
    CHECK(leading_word(" \n;; Commit;") == "COMMIT");
    CHECK(leading_word("-- a comment\n/* and /* another */ one */begin") == "BEGIN");
    CHECK(leading_word("") == "");
    CHECK(leading_word(" ; -- nothing") == "");
    CHECK(leading_word("/* never closed") == "");
    CHECK(leading_word("/*") == "");
    CHECK(leading_word("(select 1)") == "(");
    CHECK(leading_word("rollback to s") == "ROLLBACK");
}

TEST_CASE("texts that end the whole transaction") {
    for (const char* text : {"commit", "COMMIT;", " end ", "rollback work", "abort transaction", "/* x */ commit work;",
                             "rollback and no chain"})
        CHECK_MESSAGE(ends_transaction(text), text);
    for (const char* text :
         {"", "select 1", "begin", "rollback to s", "rollback work to savepoint s", "commit prepared 'x'",
          "rollback prepared 'x'", "commit and chain", "rollback and chain", "committed", "endx", "rollback; select 1",
          "commit; insert into t values (1)", "rollback; rollback"})
        CHECK_MESSAGE(!ends_transaction(text), text);
}

TEST_CASE("D23: texts that may commit, also as one of several statements") {
    for (const char* text : {"commit", "end", "COMMIT AND CHAIN", "insert into t values (1); commit",
                             "begin; select 1; end", "commit prepared 'x'", "/* x */ commit"})
        CHECK_MESSAGE(contains_commit(text), text);
    for (const char* text :
         {"", "select 1", "rollback", "rollback;", "begin", "select 'commit'", "select commit from t",
          "begin; set transaction read only", "BEGIN; insert into t values (1)", "savepoint a; select 1; release a"})
        CHECK_MESSAGE(!contains_commit(text), text);
    // After a ROLLBACK the rest of the string commits by itself.
    CHECK(contains_commit("begin; rollback; insert into t values (1)"));
    CHECK(contains_commit("BEGIN; SELECT 1; END"));
}

TEST_CASE("D33: texts that write by form, and those that only look like it") {
    for (const char* text : {"insert into t values (1)", " INSERT INTO t DEFAULT VALUES", "-- x\nupdate t set a = 1",
                             "/* x */ delete from t", "merge into t using s on true when matched then delete",
                             "with x as (insert into t values (1) returning a) select * from x",
                             "WITH x AS (SELECT 1) UPDATE t SET a = 2"})
        CHECK_MESSAGE(writes_by_form(text), text);
    for (const char* text :
         {"", "select 1", "select insert from t", "inserted", "values (1)",
          "with x as (select updated_at from t) select 1", "with x as (select 1) select * from t for update",
          "with x as (select 1) select 1 for no key update", "with", "create table t (a int)", "/* insert */"})
        CHECK_MESSAGE(!writes_by_form(text), text);
}
