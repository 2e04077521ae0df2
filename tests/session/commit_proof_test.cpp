// What counts as shown when a COMMIT is lost (D23): yes only where nothing can have been written.
#include "proxy/session/commit_proof.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

commit_evidence judged(const std::vector<std::string>& texts, const commit_facts& facts = {}) {
    return judge_transaction(texts, facts).what;
}

constexpr commit_evidence no = commit_evidence::none;
constexpr commit_evidence yes = commit_evidence::read_only;
constexpr commit_evidence ask = commit_evidence::ask;

}  // namespace

TEST_CASE("D23: a transaction in which nothing was executed has nothing to ask for") {
    for (const std::vector<std::string>& texts : {std::vector<std::string>{"begin"},
                                                  {"BEGIN", "savepoint a", "release a"},
                                                  {"start transaction isolation level serializable"},
                                                  {"begin", "set work_mem to '1MB'"}}) {
        CHECK(judged(texts) == yes);
    }
}

TEST_CASE("D23: READ ONLY is PostgreSQL's own word for it") {
    CHECK(judged({"begin read only", "select f()", "insert into a values (1)"}) ==
          yes);  // it was refused, or is a temporary table
    CHECK(judged({"begin", "set transaction read only", "select f()"}) ==
          ask);  // said too late for what was not refused
    CHECK(judged({"begin", "select f()"}, {.read_only_default = true}) == yes);
    CHECK(judged({"begin read write", "insert into a values (1)"}, {.read_only_default = true}) == no);
    CHECK(judged({"begin read only", "select set_config('role', 'b', true)", "select f()"}) == yes);
}

TEST_CASE("D23: what changes READ ONLY, or escapes it, takes the word away") {
    for (const char* text : {"set transaction read write", "begin read write"})
        CHECK(judged({"begin read only", text, "insert into a values (1)"}) == no);
    for (const char* text :
         {"set transaction_read_only = off", "set local transaction_read_only to off", "reset transaction_read_only",
          "select set_config('transaction_read_only', 'off', true)", "do $$begin perform 1; end$$", "call p()",
          "commit; begin; insert into a values (1)", "set U&\"transaction\\005fread_only\" = off", "execute a",
          "rollback to a", "load 'x'", "deallocate a"})
        CHECK(judged({"begin read only", text}) == no);
    for (const char* text :
         {"notify a", "select pg_notify('a', 'b')", "select PG_NOTIFY('a', 'b')", "select lo_create(0)",
          "select pg_logical_emit_message(true, 'a', 'b')", "listen a", "create temp table a (b int)"})
        CHECK(judged({"begin read only", text}) == no);
}

TEST_CASE("D12: functions that are not trusted are asked for, READ ONLY or not") {
    CHECK(judged({"begin read only", "select f()"}, {.trusts_functions = false}) == ask);
    CHECK(judged({"begin read only", "insert into a values (1)"}, {.trusts_functions = false}) == no);
}

TEST_CASE("D23: without READ ONLY, every statement has to read by form") {
    const commit_judgement found =
        judge_transaction({"begin", "select f(a) from t", "savepoint a", "show work_mem", "set local search_path to b",
                           "copy u to stdout", "select f(a) from t"},
                          {});
    CHECK(found.what == ask);
    CHECK(found.reads.functions.size() == 1);
    CHECK(found.reads.relations.size() == 2);
    for (const char* text :
         {"insert into a values (1)", "select nextval('a')", "select 1 for update", "select * into a from b",
          "with x as (delete from a returning 1) select 1 from x", "notify a", "listen a", "fetch a",
          "declare a cursor for select 1", "lock table a", "create table a (b int)", "select pg_advisory_lock(1)",
          "select pg_notify('a', 'b')", "select set_config('a.b', 'c', false)", "not in the grammar",
          "prepare transaction 'a'", "copy a from stdin", "vacuum"})
        CHECK(judged({"begin", "select 1", text}) == no);
}

TEST_CASE("D23: under SERIALIZABLE a COMMIT may fail although nothing was written") {
    CHECK(judged({"begin isolation level serializable, read only", "select 1"}) == no);
    CHECK(judged({"begin read only", "select 1"}, {.serializable_default = true}) == no);
    CHECK(judged({"begin isolation level repeatable read, read only", "select 1"}, {.serializable_default = true}) ==
          yes);
    CHECK(judged({"begin", "set transaction isolation level serializable", "select 1"}) == no);
    CHECK(judged({"begin", "set local transaction_isolation = 'serializable'", "select 1"}) == no);
}

TEST_CASE("D23: what did not begin with a BEGIN of its own, or is too much, is not judged") {
    CHECK(judged({}) == no);
    CHECK(judged({"select 1"}) == no);
    CHECK(judged({"begin; select 1"}) == no);
    std::vector<std::string> many = {"begin read only"};
    for (std::size_t i = 0; i < max_journal_texts; ++i) many.push_back("select " + std::to_string(i));
    CHECK(judged(many) == no);
    many.pop_back();
    CHECK(judged(many) == yes);
    CHECK(judged({"begin read only", "select 1 /*" + std::string(max_journal_text_bytes, 'x') + "*/"}) == no);
}

TEST_CASE("settings' values are read as far as they are clear") {
    CHECK(may_be_serializable("serializable"));
    CHECK(may_be_serializable("anything"));
    CHECK_FALSE(may_be_serializable("read committed"));
}
