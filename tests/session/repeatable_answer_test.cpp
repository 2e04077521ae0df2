// What may have been answered before a transaction gives way (D30).
#include "proxy/session/repeatable_answer.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("D30: rows, counts and what is computed of them are answered the same again") {
    for (const char* const text :
         {"begin", "savepoint s", "set local work_mem = '5MB'",
          "select id, balance from accounts where id = 1 for update", "select sum(balance), count(*) from accounts",
          "update accounts set balance = balance + 1 where id = 2", "insert into log values ('a')",
          "select upper(name) from t", "select pg_catalog.lower(name) from t", ""}) {
        CAPTURE(text);
        CHECK(answers_the_same_again(text));
    }
}

TEST_CASE("D30: what a clock, a sequence, chance or an unknown function has told is not") {
    for (const char* const text :
         {"select now()", "select current_timestamp", "select LOCALTIME", "select clock_timestamp()", "select random()",
          "select gen_random_uuid()", "select nextval('s')", "select txid_current()", "select pg_backend_pid()",
          "insert into orders default values returning id", "select mine(1)", "select other.lower('a')",
          "fetch 5 from c", "select current_setting('pgsteady.x')", "select 1 from where"}) {
        CAPTURE(text);
        CHECK_FALSE(answers_the_same_again(text));
    }
}
