// Texts that are one step of transaction control and nothing else.
#include "proxy/sql/transaction_text.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace pgsteady;

TEST_CASE("P31: only BEGIN, in all its spellings") {
    for (const std::string_view sql :
         {"begin", "BEGIN;", "begin work", "BEGIN TRANSACTION", "start transaction", "/* a */ begin -- b", "; begin ;;",
          "BEGIN WORK ISOLATION LEVEL SERIALIZABLE",
          "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE, DEFERRABLE", "BEGIN READ ONLY"}) {
        CAPTURE(sql);
        CHECK(is_only_begin(sql));
        CHECK_FALSE(is_only_commit(sql));
        CHECK_FALSE(is_only_rollback(sql));
    }
    for (const std::string_view sql :
         {"", "begin; select 1", "begin; begin", "select 1; begin", "begin; commit", "beginn", "'begin'", "savepoint a",
          "start", "begin isolation level none", "do $$begin end$$", "begin; something new", "prepare transaction 'a'",
          "-- begin", "set transaction read only"}) {
        CAPTURE(sql);
        CHECK_FALSE(is_only_begin(sql));
    }
}

TEST_CASE("D23: a BEGIN that cannot write says so itself") {
    for (const std::string_view sql :
         {"BEGIN READ ONLY", "start transaction isolation level serializable, read only, deferrable",
          "begin transaction read only;", "BEGIN READ ONLY READ ONLY"})
        CHECK(begin_is_read_only(sql));
    for (const std::string_view sql :
         {"BEGIN", "BEGIN READ WRITE", "BEGIN READ ONLY, READ WRITE", "BEGIN READ WRITE, READ ONLY",
          "BEGIN READ ONLY; SELECT 1", "COMMIT", "set transaction read only", "begin /* read only */"})
        CHECK_FALSE(begin_is_read_only(sql));
    CHECK(read_transaction_text("BEGIN READ WRITE").says == transaction_text::access::read_write);
    CHECK(read_transaction_text("BEGIN READ WRITE, READ ONLY").says == transaction_text::access::read_write);
    CHECK(read_transaction_text("BEGIN").says == transaction_text::access::unsaid);
}

TEST_CASE("D23, D29: only COMMIT; AND CHAIN is more than that") {
    for (const std::string_view sql :
         {"commit", "COMMIT;", "end", "END WORK", "commit transaction and no chain", "/**/commit"})
        CHECK(is_only_commit(sql));
    for (const std::string_view sql : {"commit and chain", "commit prepared 'a'", "select 1; commit", "commit; commit",
                                       "rollback", "commit; select 1", ""})
        CHECK_FALSE(is_only_commit(sql));
    CHECK(read_transaction_text("commit and chain").what == transaction_text::step::commit);
    CHECK(read_transaction_text("commit and chain").chain);
}

TEST_CASE("T20, T21: only ROLLBACK of the whole transaction") {
    for (const std::string_view sql :
         {"rollback", "ROLLBACK WORK;", "abort", "ABORT TRANSACTION AND NO CHAIN", "/* to a */ rollback"})
        CHECK(is_only_rollback(sql));
    for (const std::string_view sql : {"rollback to a", "rollback work to savepoint a", "rollback prepared 'a'",
                                       "rollback and chain", "rollback; select 1", "commit"})
        CHECK_FALSE(is_only_rollback(sql));
    CHECK(read_transaction_text("rollback and chain").chain);
    CHECK(read_transaction_text("rollback to a").what == transaction_text::step::none);
}

TEST_CASE("D23: isolation, and SET TRANSACTION") {
    using step = transaction_text::step;
    using access = transaction_text::access;
    using isolation = transaction_text::isolation;
    CHECK(read_transaction_text("begin").level == isolation::unsaid);
    CHECK(read_transaction_text("begin isolation level repeatable read").level == isolation::weaker);
    CHECK(read_transaction_text("begin isolation level serializable, read only").level == isolation::serializable);
    const transaction_text set = read_transaction_text("set transaction isolation level serializable read write");
    CHECK(set.what == step::characteristics);
    CHECK(set.says == access::read_write);
    CHECK(set.level == isolation::serializable);
    for (const std::string_view sql :
         {"set transaction_read_only = off", "set session characteristics as transaction read only",
          "set local work_mem to '1MB'", "set transaction snapshot 'x'", "set transaction read only; select 1"})
        CHECK_MESSAGE(read_transaction_text(sql).what == step::none, sql);
}

TEST_CASE("transaction texts: large ones are none") {
    CHECK(is_only_begin("begin /*" + std::string(60'000, 'x') + "*/"));
    CHECK_FALSE(is_only_begin("begin /*" + std::string(70'000, 'x') + "*/"));
}

TEST_CASE("D29: AND CHAIN and nothing else, and what a transaction says of itself") {
    for (const std::string_view sql :
         {"commit and chain", "ROLLBACK AND CHAIN;", "end work and chain", "abort and chain"})
        CHECK(is_only_chain(sql));
    for (const std::string_view sql : {"commit", "rollback and no chain", "commit and chain; select 1", "begin", ""})
        CHECK_FALSE(is_only_chain(sql));
    const auto said = read_transaction_text(
                          "begin isolation level serializable, isolation level repeatable read, read write read only")
                          .last;
    CHECK(said.isolation == "repeatable read");
    CHECK(said.read_only == true);
    CHECK_FALSE(said.deferrable.has_value());
    CHECK(read_transaction_text("set transaction not deferrable").last.deferrable == false);
    CHECK(read_transaction_text("start transaction deferrable read write").last.read_only == false);
    CHECK(read_transaction_text("begin").last.isolation.empty());
}
