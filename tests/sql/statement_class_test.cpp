// The class of statements by form, and the names that the catalogue must confirm.
#include "proxy/sql/statement_class.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;

namespace {

struct row {
    std::string_view sql;
    statement_kind kind;
};

void check(const std::vector<row>& rows) {
    for (const row& each : rows) {
        CAPTURE(each.sql);
        CHECK(std::string(to_string(classify_statements(each.sql).kind)) == to_string(each.kind));
    }
}

std::string names(const std::vector<sql_name>& list) {
    std::string text;
    for (const sql_name& each : list) {
        if (!text.empty()) text += " ";
        text += (each.schema.empty() ? "" : each.schema + ".") + each.name + (each.maybe_cte ? "?" : "");
    }
    return text;
}

}  // namespace

TEST_CASE("P63: what reads by form") {
    check({
        {"", statement_kind::reads},
        {"/* update */ SELECT 1", statement_kind::reads},
        {"SELECT * FROM t WHERE a = $1 ORDER BY random()", statement_kind::reads},
        {"VALUES (1), (2)", statement_kind::reads},
        {"TABLE t", statement_kind::reads},
        {"SHOW work_mem", statement_kind::reads},
        {"FETCH 10 FROM c", statement_kind::reads},
        {"EXPLAIN DELETE FROM t", statement_kind::reads},
        {"EXPLAIN (ANALYZE false) DELETE FROM t", statement_kind::reads},
        {"EXPLAIN ANALYZE SELECT 1", statement_kind::reads},
        {"WITH w AS (SELECT 1) SELECT * FROM w", statement_kind::reads},
        {"COPY t TO STDOUT", statement_kind::reads},
        {"COPY (SELECT 1) TO STDOUT", statement_kind::reads},
        {"SELECT 1; SELECT 2", statement_kind::reads},
    });
}

TEST_CASE("P63: what writes, hidden or not") {
    check({
        {"INSERT INTO t VALUES (1)", statement_kind::writes},
        {"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", statement_kind::writes},
        {"SELECT * FROM t FOR UPDATE", statement_kind::writes},
        {"SELECT * FROM (SELECT * FROM t FOR KEY SHARE) x", statement_kind::writes},
        {"WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w", statement_kind::writes},
        {"SELECT 1 INTO t", statement_kind::writes},
        {"CREATE TABLE t AS SELECT 1", statement_kind::writes},
        {"EXPLAIN ANALYZE DELETE FROM t", statement_kind::writes},
        {"EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t", statement_kind::writes},
        {"COPY t FROM STDIN", statement_kind::writes},
        {"COPY (DELETE FROM t RETURNING *) TO STDOUT", statement_kind::writes},
        {"SELECT nextval('s')", statement_kind::writes},
        {"SELECT a FROM t WHERE pg_try_advisory_xact_lock(a)", statement_kind::writes},
        {"SELECT lo_create(0)", statement_kind::writes},
        {"SELECT pg_notify('a', 'b')", statement_kind::writes},
        {"EXECUTE p", statement_kind::writes},
        {"LOCK TABLE t", statement_kind::writes},
        {"NOTIFY a", statement_kind::writes},
        {"SELECT 1; DELETE FROM t", statement_kind::writes},
        {"SOMETHING new", statement_kind::writes},
    });
    CHECK_FALSE(classify_statements("SOMETHING new").parsed);

    const std::string_view doubtful = "SELECT 'a\\'; DELETE FROM t; --'";
    CHECK(classify_statements(doubtful).kind == statement_kind::writes);
    const std::string_view path = "SELECT 'C:\\'";
    CHECK(classify_statements(path, scan_tokens(path, scan_mode::sql_standard)).kind == statement_kind::reads);
}

TEST_CASE("P31: what reaches beyond one transaction") {
    check({
        {"VACUUM t", statement_kind::writes_beyond},
        {"CREATE INDEX CONCURRENTLY i ON t (a)", statement_kind::writes_beyond},
        {"CREATE INDEX i ON t (a)", statement_kind::writes},
        {"DROP INDEX CONCURRENTLY i", statement_kind::writes_beyond},
        {"CALL p()", statement_kind::writes_beyond},
        {"DO $$BEGIN END$$", statement_kind::writes_beyond},
        {"CREATE DATABASE d", statement_kind::writes_beyond},
        {"COPY t TO PROGRAM 'cat'", statement_kind::writes_beyond},
        {"COPY t TO '/tmp/x'", statement_kind::writes_beyond},
        {"PREPARE TRANSACTION 'g'", statement_kind::writes_beyond},
        {"COMMIT PREPARED 'g'", statement_kind::writes_beyond},
        {"BEGIN; SELECT 1; COMMIT", statement_kind::writes_beyond},
    });
}

TEST_CASE("transaction control and session state have classes of their own") {
    check({
        {"BEGIN", statement_kind::transaction_control},
        {"ROLLBACK TO a", statement_kind::transaction_control},
        {"SET x = 1", statement_kind::session_state},
        {"DISCARD ALL", statement_kind::session_state},
        {"PREPARE p AS DELETE FROM t", statement_kind::session_state},
        {"LISTEN a", statement_kind::session_state},
        {"DECLARE c CURSOR FOR SELECT 1", statement_kind::session_state},
        {"DECLARE c CURSOR FOR SELECT * FROM t FOR UPDATE", statement_kind::writes},
        {"SELECT set_config('a.b', 'c', false)", statement_kind::writes},
    });
    const statement_class each = classify_statements("SELECT 1; SET x = 1; BEGIN");
    CHECK(each.statements ==
          std::vector{statement_kind::reads, statement_kind::session_state, statement_kind::transaction_control});
}

TEST_CASE("D20: functions, operators and relations are listed for the catalogue") {
    const statement_class read = classify_statements(
        "WITH w AS (SELECT f(1) FROM app.t) SELECT app.g(a), f(2), random() FROM w JOIN u USING (a) WHERE a + 1 = 2");
    CHECK(read.kind == statement_kind::reads);
    CHECK(names(read.functions) == "f app.g");
    CHECK(names(read.operators) == "+ =");
    CHECK(names(read.relations) == "u w? app.t");
    CHECK_FALSE(read.denied_function);
    CHECK(names(classify_statements("SELECT app.random()").functions) == "app.random");
}

TEST_CASE("D20: what is called without parentheses is listed, too") {
    const statement_class read = classify_statements(
        "SELECT t.a, (t).b.c, s.t.*, random() FROM t WHERE a BETWEEN 1 AND 2 AND b <@ ANY (SELECT 1) ORDER BY a USING "
        ">>");
    CHECK(read.kind == statement_kind::reads);
    CHECK(names(read.operators) == "< <= <@ > >= >>");
    CHECK(names(read.attributes) == "a b c t");
    CHECK(names(read.harmless) == "random");
    CHECK(names(classify_statements("SELECT a, b FROM t").attributes) == "");
    CHECK(names(classify_statements("SELECT pg_catalog.random()").harmless) == "");
}

TEST_CASE("D20: marks for what form alone cannot settle") {
    CHECK(classify_statements("FETCH 1 FROM c").uses_cursor);
    CHECK_FALSE(classify_statements("SELECT 1").uses_cursor);
    CHECK(classify_statements("SELECT '1'::positive").names_types);
    CHECK(classify_statements("SELECT * FROM f() AS t(a positive)").names_types);
    CHECK_FALSE(classify_statements("SELECT a FROM t").names_types);
    CHECK(classify_statements("SELECT 'a'").ascii);
    CHECK_FALSE(classify_statements("SELECT '\xc3\xa4'").ascii);
}

TEST_CASE("P63: functions that run SQL given as text, whatever they are declared") {
    check({
        {"SELECT * FROM crosstab('select nextval(1)') AS t(a int)", statement_kind::writes},
        {"SELECT * FROM app.connectby('t', 'a', 'b', '1', 0) AS t(a int)", statement_kind::writes},
        {"SELECT table_to_xml('v', true, true, '')", statement_kind::writes},
        {"SELECT database_to_xml(true, true, '')", statement_kind::writes},
        {"SELECT xpath_table('a', 'b', 'c', 'd', 'e')", statement_kind::writes},
        {"SELECT ts_stat('select nextval(1)')", statement_kind::writes},
        {"SELECT t.crosstab FROM t", statement_kind::reads},
    });
}
