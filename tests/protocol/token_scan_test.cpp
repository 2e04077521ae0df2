// The token scan: what it must find, what it must not mind, and that it does not matter how the text is split.
#include "protocol/token_scan.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;
using namespace std::string_view_literals;

namespace {

struct row {
    std::string_view sql;
    token_hits hits;
};

void check(const std::vector<row>& rows, scan_mode mode = scan_mode::sql) {
    for (const row& each : rows) {
        CAPTURE(each.sql);
        CHECK(scan_tokens(each.sql, mode).bits == each.hits.bits);
    }
}

std::uint32_t count_statements(std::string_view sql) {
    token_scanner scanner;
    scanner.feed(sql);
    (void)scanner.finish();
    return scanner.statement_count();
}

constexpr token_hits nothing{};
constexpr token_hits rollback = token_hit::transaction | token_hit::savepoint;

}  // namespace

TEST_CASE("D12: ordinary statements have no hits") {
    check({
        {"", nothing},
        {"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;", nothing},
        {"UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2", nothing},
        {"INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b", nothing},
        {"DELETE FROM t USING u WHERE t.id = u.id RETURNING *", nothing},
        {"WITH x AS (SELECT 1) UPDATE t SET a = x.a FROM x", nothing},
        {"SELECT pg_advisory_xact_lock(1)", nothing},
        {"SELECT pg_try_advisory_xact_lock_shared(1, 2)", nothing},
        {"SELECT template, temperature, holder, loaded FROM pg_tempo", token_hit::temp},  // pg_temp* by prefix
        {"SELECT nextval('s'), setval('s', 1)", token_hit::sequence_use},
        {"SELECT * FROM t ORDER BY a LIMIT 10 OFFSET 5", nothing},
        {"CREATE TABLE t (a int)", nothing},
    });
}

TEST_CASE("D12: words that begin a statement count there and only there") {
    check({
        {"SET x = 1", token_hit::set},
        {"set x to 1", token_hit::set},
        {"  \n\t/* hi */ -- there\n SeT ROLE bob", token_hit::set},
        {"RESET ALL", token_hit::reset},
        {"SELECT 1; SET x = 1", token_hit::set},
        {"SELECT 1;;SET x = 1", token_hit::set},
        {"DISCARD ALL", token_hit::discard},
        {"PREPARE p AS SELECT 1", token_hit::prepare},
        {"DEALLOCATE p", token_hit::deallocate},
        {"LISTEN a", token_hit::listen},
        {"UNLISTEN *", token_hit::unlisten},
        {"NOTIFY a, 'b'", token_hit::notify},
        {"LOAD 'auto_explain'", token_hit::load},
        {"DO $$begin set x = 1; end$$", token_hit::do_block},
        {"CALL p()", token_hit::call},
        {"COPY t FROM STDIN", token_hit::copy},
        {"DECLARE c CURSOR FOR SELECT 1", token_hit::declare},
        {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", token_hit::declare | token_hit::hold},
        {"SELECT load, copy, call, reset, listen FROM t AS discard", nothing},
        {"ALTER DATABASE d SET x = 1", nothing},
    });
}

TEST_CASE("D12: words that count anywhere") {
    check({
        {"SELECT set_config('a', 'b', false)", token_hit::set_config},
        {"SELECT pg_catalog.\"set_config\"('a', 'b', false)", token_hit::set_config},
        {"SELECT SET_CONFIG($1, $2, $3)", token_hit::set_config},
        {"UPDATE pg_settings SET setting = '1' WHERE name = 'x'", token_hit::set_config},
        {"SELECT pg_advisory_lock(1)", token_hit::advisory},
        {"SELECT pg_advisory_lock_shared(1)", token_hit::advisory},
        {"SELECT pg_try_advisory_lock(1)", token_hit::advisory},
        {"SELECT pg_advisory_unlock_all()", token_hit::advisory},
        {"CREATE TEMP TABLE t (a int)", token_hit::temp},
        {"CREATE LOCAL TEMPORARY TABLE t (a int)", token_hit::temp},
        {"SELECT 1 INTO TEMP t", token_hit::temp},
        {"CREATE TABLE pg_temp.t (a int)", token_hit::temp},
        {"CREATE TABLE pg_temp_3.t (a int)", token_hit::temp},
        {"SELECT lastval()", token_hit::sequence_value},
        {"SELECT currval('s')", token_hit::sequence_value},
        {"SELECT setseed(0.5)", token_hit::setseed},
        {"SELECT lo_open(1, 2), loread(0, 5)", token_hit::large_object},
        {"CREATE TABLE t AS EXECUTE p", token_hit::execute},
        {"EXECUTE p(1)", token_hit::execute},
        {"SELECT dblink_connect_u('c', '')", token_hit::session_function},
    });
}

TEST_CASE("D12: EXPLAIN does not hide what it explains") {
    check({
        {"EXPLAIN ANALYZE EXECUTE p", token_hit::execute},
        {"EXPLAIN (ANALYZE, BUFFERS (ON)) DECLARE c CURSOR FOR SELECT 1", token_hit::declare},
        {"EXPLAIN ANALYZE VERBOSE CREATE TEMP TABLE t AS SELECT 1", token_hit::temp},
        {"EXPLAIN (SELECT set_config('a', 'b', false))", token_hit::set_config},
        {"EXPLAIN SELECT 1; SET x = 1", token_hit::set},
        {"EXPLAIN UPDATE t SET a = 1", nothing},
    });
}

TEST_CASE("D12: transaction control is seen and needs no parser") {
    check({
        {"BEGIN", token_hit::transaction},
        {"start transaction read only", token_hit::transaction},
        {"COMMIT", token_hit::transaction},
        {"END", token_hit::transaction},
        {"ROLLBACK TO a", rollback},
        {"ABORT", rollback},
        {"SAVEPOINT a", token_hit::savepoint},
        {"RELEASE a", token_hit::savepoint},
        {"SELECT CASE WHEN a THEN b END FROM t", nothing},
    });
    CHECK_FALSE(scan_tokens("BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT").has(needs_parser_mask));
    CHECK(scan_tokens("BEGIN").has(transaction_mask));
}

TEST_CASE("D12: words in literals and comments are no hits") {
    check({
        {"SELECT 'set_config'", nothing},
        {"SELECT 'it''s temp'", nothing},
        {"SELECT 'a;set x'", nothing},
        {"SELECT E'it\\'s temp', 1", nothing},
        {"SELECT E'a''\\' temp'", nothing},
        {"SELECT E'\\\\', temp", token_hit::temp},
        {"SELECT N'temp', B'01', X'ff'", nothing},
        {"SELECT U&'d\\0061t temp'", nothing},
        {"SELECT $$ temp $$", nothing},
        {"SELECT $a$ $b$ temp $$ $a temp $a$, 1", nothing},
        {"SELECT $a$ $a$a$ temp", token_hit::temp},
        {"SELECT $a$ $b$a$ || temp", token_hit::temp},
        {"SELECT a$b$ temp $b$", token_hit::temp},
        {"SELECT $1temp, $2 temp", token_hit::temp},
        {"SELECT /* temp /* lastval */ temp */ 1", nothing},
        {"SELECT /*/ temp */ 1", nothing},
        {"SELECT /**/ temp /***/", token_hit::temp},
        {"SELECT 1 -- temp\n", nothing},
        {"SELECT 1 -- x\r temp", token_hit::temp},
        {"SELECT 1 +-- temp\n 2 +/* temp */ 3", nothing},
        {"SELECT 'a' -- 'temp\n 'temp'", nothing},
        {"SELECT a - b / c, temp", token_hit::temp},
    });
}

TEST_CASE("D12: quoted identifiers hide no word and open no literal") {
    check({
        {"SELECT \"a'b\", temp, \"c'd\"", token_hit::temp},
        {"SELECT \"a\"\"--b\", temp", token_hit::temp},
        {"SELECT \"$a$\", temp", token_hit::temp},
        {"SELECT \"lastval\"()", token_hit::sequence_value},
        {"SELECT \"e'\", temp", token_hit::temp},
        {"SELECT U&\"\\0073et_config\"('a', 'b', false)", token_hit::unicode_quoted},
        {"SELECT u & \"x\"", nothing},
    });
}

TEST_CASE("D12: a literal with two possible ends is read both ways") {
    check({
        {"SELECT 'a\\' , 'b'", token_hit::ambiguous},
        {"SELECT 'a\\'b' || temp || '", token_hit::ambiguous | token_hit::temp},
        {"SELECT 'a\\', ' set_config('", token_hit::ambiguous | token_hit::set_config},
        {"SELECT 'a\\'; SET x = 1; --'", token_hit::ambiguous | token_hit::set},
        {"SELECT 'c:\\dir', temp", token_hit::temp},
        {"SELECT E'\x95\\', temp", token_hit::ambiguous | token_hit::temp},  // SJIS: 0x95 0x5c is one character
        {"SELECT E'\xc3\xa9\\n', temp", token_hit::temp},
        {"SELECT E'a'\n'b\\', lastval()", token_hit::ambiguous | token_hit::sequence_value},
        {"SELECT 'a\\', $$x$$lastval(), 1$$temp", token_hit::ambiguous | token_hit::sequence_value | token_hit::temp},
    });
    check({{"SELECT 'a\\' , 'temp'", nothing},
           {"SELECT 'a\\' , temp", token_hit::temp},
           {"SELECT E'a'\n'b\\', lastval() --'", token_hit::ambiguous | token_hit::sequence_value}},
          scan_mode::sql_standard);
    CHECK_FALSE(scan_tokens("SELECT 'a\\' , 'b'").has(needs_parser_mask));
}

TEST_CASE("D12: a dollar tag of any length cannot hide a word") {
    const std::string tag(100, 'x');
    const std::string sql = "SELECT $" + tag + "$ temp $" + tag + "$";
    CHECK(scan_tokens(sql).bits == (token_hit::ambiguous | token_hit::temp).bits);
}

TEST_CASE("D12: the body of a DO block") {
    check({{"DECLARE r record; BEGIN UPDATE t SET a = 1; FOR r IN SELECT 1 LOOP NULL; END LOOP; END",
            token_hit::declare | token_hit::transaction},
           {"BEGIN SET x = 1; END", token_hit::transaction | token_hit::set},
           {"BEGIN IF a THEN SET x = 1; END IF; END", token_hit::transaction | token_hit::set},
           {"BEGIN FOR r IN EXECUTE 'x' LOOP END LOOP; END", token_hit::transaction | token_hit::execute},
           {"BEGIN PERFORM set_config('a', 'b', false); END", token_hit::transaction | token_hit::set_config}},
          scan_mode::plpgsql);
}

TEST_CASE("statements are counted, empty ones not") {
    CHECK(count_statements("") == 0);
    CHECK(count_statements(" ; ;; -- x\n") == 0);
    CHECK(count_statements("SELECT 1") == 1);
    CHECK(count_statements("SELECT 1;") == 1);
    CHECK(count_statements("SELECT ';'; SELECT $$;$$ /* ; */") == 2);
    CHECK(count_statements("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3") == 2);
}

TEST_CASE("D12: the result does not depend on where the text is split") {
    const std::vector<std::string_view> texts = {
        "SELECT E'it\\'s ''x''', $a$ $b$a$ $$ ; $a$ || \"set_config\"(U&\"x\") /* /* ** / */ ; */ -- temp\n; SET x",
        "SELECT 'a\\' temp; SELECT lastval()",
        "EXPLAIN (ANALYZE, VERBOSE) EXECUTE p; PREPARE q AS SELECT $1::int - -2",
        "SELECT E'a' \n 'b\\', pg_create_physical_replication_slot('s', true, true)",
        "SELECT E'\x95\\' , currval('x')",
        "SELECT $longtag$ set_config $longta $longtag$ , $1, a$b$c, setseed(1)",
    };
    for (const auto mode : {scan_mode::sql, scan_mode::sql_standard, scan_mode::plpgsql, scan_mode::raw}) {
        for (const std::string_view text : texts) {
            CAPTURE(text);
            token_scanner whole(mode);
            whole.feed(text);
            const token_hits expected = whole.finish();
            for (std::size_t first = 0; first <= text.size(); ++first) {
                token_scanner pieces(mode);
                pieces.feed(text.substr(0, first));
                for (const char& byte : text.substr(first)) pieces.feed(std::string_view(&byte, 1));
                REQUIRE(pieces.finish().bits == expected.bits);
                REQUIRE(pieces.statement_count() == whole.statement_count());

                token_scanner halves(mode);
                halves.feed(text.substr(0, first));
                halves.feed(text.substr(first));
                REQUIRE(halves.finish().bits == expected.bits);
            }
        }
    }
}

TEST_CASE("a scanner can be used again") {
    token_scanner scanner;
    scanner.feed("SELECT 'a\\' $x");
    (void)scanner.finish();
    scanner.reset();
    scanner.feed("SELECT 'temp'");
    CHECK(scanner.finish().bits == 0);
    CHECK(scanner.statement_count() == 1);
}

TEST_CASE("P63: bytes that are no text do no harm") {
    check({
        {"\0SET x"sv, token_hit::set},
        {"\xff\xfe\x80 temp"sv, token_hit::temp},
        {"'"sv, nothing},
        {"E'\\"sv, nothing},
        {"$"sv, nothing},
        {"/*"sv, nothing},
        {"\""sv, nothing},
        {")))) ; SET x"sv, token_hit::set},
    });
}
