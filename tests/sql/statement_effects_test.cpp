// What analyse_effects() reads from texts: settings with the values PostgreSQL would store, pins, names, order.
#include "proxy/sql/statement_effects.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;

namespace {

constexpr std::uint32_t bit(pin_reason reason) { return static_cast<std::uint32_t>(reason); }

/// "name=value", "name=?" (ask the server), "name=$2", "name!" (reset); " local" appended. Joined with "; ".
std::string settings_of(std::string_view sql) {
    const statement_effects effects = analyse_effects(sql);
    if (!effects.parsed) return "not parsed";
    std::string text;
    for (const setting_change& each : effects.settings) {
        if (!text.empty()) text += "; ";
        text += each.name;
        if (each.kind == setting_change::action::reset) text += "!";
        else if (each.value) text += "=" + *each.value;
        else if (each.value_parameter > 0) text += "=$" + std::to_string(each.value_parameter);
        else text += "=?";
        if (each.local) text += " local";
    }
    return text;
}

std::uint32_t pins_of(std::string_view sql) { return analyse_effects(sql).pins; }

struct setting_row {
    std::string_view sql;
    std::string_view expected;
};

void check(const std::vector<setting_row>& rows) {
    for (const setting_row& each : rows) {
        CAPTURE(each.sql);
        CHECK(settings_of(each.sql) == each.expected);
    }
}

struct pin_row {
    std::string_view sql;
    std::uint32_t pins;
};

void check(const std::vector<pin_row>& rows) {
    for (const pin_row& each : rows) {
        CAPTURE(each.sql);
        CHECK(describe_pins(pins_of(each.sql)) == describe_pins(each.pins));
    }
}

}  // namespace

TEST_CASE("D12: SET gives the value that set_config() would take") {
    check({
        {"SET work_mem = '4MB'", "work_mem=4MB"},
        {"SET work_mem TO 4096", "work_mem=4096"},
        {"SET extra_float_digits = -1", "extra_float_digits=-1"},
        {"SET random_page_cost = 1.10", "random_page_cost=1.10"},
        {"SET enable_seqscan = off", "enable_seqscan=off"},
        {"SET enable_seqscan TO true", "enable_seqscan=true"},
        {"SET \"Application_Name\" = 'it''s'", "application_name=it's"},
        {"SET SESSION statement_timeout = 500", "statement_timeout=500"},
        {"SET LOCAL statement_timeout = '5s'", "statement_timeout=5s local"},
        {"SET datestyle = ISO, DMY", "datestyle=iso, dmy"},
        {"SET my.setting = Value", "my.setting=value"},
        {"SET x = 'a\\b'", "x=?"},
        {"SET x TO DEFAULT", "x!"},
        {"RESET x", "x!"},
    });
}

TEST_CASE("D12: lists of names are quoted as names") {
    check({
        {"SET search_path = app, public", "search_path=app, public"},
        {"SET search_path = \"$user\", Public, \"My Schema\"", "search_path=\"$user\", public, \"My Schema\""},
        {"SET search_path = ''", "search_path=\"\""},
        {"SET search_path TO 'a, b'", "search_path=\"a, b\""},
        {"SET search_path = \"a\"\"b\", \"select\", \"user\", \"name\"",
         "search_path=\"a\"\"b\", \"select\", \"user\", name"},
        {"SET SCHEMA 'app'", "search_path=app"},
        {"SET temp_tablespaces = fast, \"1st\"", "temp_tablespaces=fast, \"1st\""},
    });
}

TEST_CASE("D12: the special forms of SET are settings too") {
    check({
        {"SET TIME ZONE 'Europe/Vienna'", "timezone=Europe/Vienna"},
        {"SET TIME ZONE -7", "timezone=-7"},
        {"SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "timezone=?"},
        {"SET TIME ZONE LOCAL", "timezone!"},
        {"SET TIME ZONE DEFAULT", "timezone!"},
        {"SET TimeZone TO 'UTC'", "timezone=UTC"},
        {"SET NAMES 'LATIN1'", "client_encoding=LATIN1"},
        {"SET NAMES", "client_encoding!"},
        {"SET ROLE bob", "role=bob"},
        {"SET LOCAL ROLE 'Bob'", "role=Bob local"},
        {"SET ROLE NONE", "role!"},
        {"RESET ROLE", "role!"},
        {"SET SESSION AUTHORIZATION bob", "session_authorization=bob"},
        {"SET SESSION AUTHORIZATION DEFAULT", "session_authorization!"},
        {"SET XML OPTION DOCUMENT", "xmloption=DOCUMENT"},
        {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, NOT DEFERRABLE",
         "default_transaction_isolation=serializable; default_transaction_read_only=on; "
         "default_transaction_deferrable=off"},
    });
}

TEST_CASE("D12: what ends with its transaction is not the session's") {
    check({
        {"SET TRANSACTION READ ONLY", ""},
        {"SET transaction_read_only = on", ""},
        {"SET LOCAL transaction_isolation = 'serializable'", ""},
        {"SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", ""},
        {"SET CONSTRAINTS ALL DEFERRED", ""},
    });
}

TEST_CASE("D12: SET in definitions changes nothing here") {
    check({
        {"ALTER ROLE bob SET work_mem = '1GB'", ""},
        {"ALTER DATABASE d SET work_mem = '1GB'", ""},
        {"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = pg_temp AS 'select 1'", ""},
        {"UPDATE t SET a = 1", ""},
    });
    CHECK(pins_of("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = pg_temp AS 'select 1'") == 0);
}

TEST_CASE("P36: set_config() that surely runs once is a SET") {
    check({
        {"SELECT set_config('Work_Mem', '4MB', false)", "work_mem=4MB"},
        {"SELECT pg_catalog.set_config('search_path', '', false)", "search_path="},
        {"SELECT set_config('a.b', 'x'::text, true), 1, set_config('c.d', 'y', 'f')", "a.b=x local; c.d=y"},
        {"SELECT set_config('a.b', NULL, false)", "a.b!"},
        {"SELECT set_config('a.b', $1, false)", "a.b=$1"},
        {"SELECT U&\"\\0073et_config\"('a.b', 'x', false)", "a.b=x"},
    });
}

TEST_CASE("P36: set_config() that may run never or often leaves the value to the server") {
    check({
        {"SELECT set_config('a.b', 'x', false) FROM t", "a.b=?"},
        {"SELECT set_config('a.b', 'x', false) WHERE c", "a.b=?"},
        {"SELECT CASE WHEN c THEN set_config('a.b', 'x', true) END", "a.b=? local"},
        {"WITH w AS (SELECT set_config('a.b', 'x', false)) SELECT 1", "a.b=?"},
        {"SELECT set_config('a.b', current_user, false)", "a.b=?"},
        {"SELECT set_config('a.b', 'x', c)", "a.b=?"},
        {"SELECT set_config('a.b', x'1f', false)", "a.b=?"},
        {"INSERT INTO t VALUES (set_config('a.b', 'x', false))", "a.b=?"},
        {"SELECT app.set_config('a.b', 'x', false)", ""},
    });
}

TEST_CASE("P36: a setting whose name only the server knows pins, unless it is local") {
    constexpr std::uint32_t computed = bit(pin_reason::computed_setting);
    check({
        {"SELECT set_config($1, $2, $3)", computed},
        {"SELECT set_config($1, $2, false)", computed},
        {"SELECT set_config('a.' || b, 'x', false)", computed},
        {"SELECT set_config($1, $2, true)", 0},
        {"SELECT set_config(is_local => false, new_value => 'x', setting_name => 'a.b')", computed},
        {"UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'", computed},
        {"SELECT * FROM pg_settings", 0},
        {"DECLARE c CURSOR FOR SELECT set_config('a.b', 'x', false)", computed},
        {"PREPARE p AS SELECT set_config('a.b', 'x', false)", computed | bit(pin_reason::sql_prepare)},
    });
}

TEST_CASE("D12: temporary objects pin, however they are spelt") {
    constexpr std::uint32_t temp = bit(pin_reason::temp_object);
    check({
        {"CREATE TEMP TABLE t (a int)", temp},
        {"CREATE GLOBAL TEMPORARY TABLE t (a int)", temp},
        {"CREATE TEMP TABLE t AS SELECT 1", temp},
        {"SELECT 1 AS a INTO TEMP t", temp},
        {"SELECT 1 AS a INTO pg_temp.t", temp},
        {"CREATE TEMP VIEW v AS SELECT 1", temp},
        {"CREATE TEMP SEQUENCE s", temp},
        {"CREATE TABLE pg_temp.t (a int)", temp},
        {"CREATE TABLE pg_temp_7.t (a int)", temp},
        {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'", temp},
        {"CREATE TYPE pg_temp.t AS (a int)", temp},
        {"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", temp},
        {"SET search_path = pg_temp, public", temp},
        {"SELECT set_config('search_path', '\"$user\", pg_temp', false)", temp},
        {"SET search_path = public, pg_temp", 0},
        {"SELECT temp, temporary FROM weather WHERE kind = 'pg_temp'", 0},
        {"CREATE TABLE temperatures (temp int)", 0},
        {"CREATE UNLOGGED TABLE t (a int)", 0},
    });
}

TEST_CASE("D12: locks, cursors, prepared statements and libraries pin") {
    check({
        {"SELECT pg_advisory_lock(1)", bit(pin_reason::advisory_lock)},
        {"SELECT pg_catalog.pg_try_advisory_lock_shared(1, 2)", bit(pin_reason::advisory_lock)},
        {"SELECT 1 FROM t WHERE pg_try_advisory_lock(id)", bit(pin_reason::advisory_lock)},
        {"SELECT pg_advisory_xact_lock(1)", 0},
        {"SELECT pg_advisory_unlock(1)", 0},
        {"SELECT app.pg_advisory_lock(1)", 0},
        {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", bit(pin_reason::hold_cursor)},
        {"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", 0},
        {"PREPARE p AS SELECT 1", bit(pin_reason::sql_prepare)},
        {"EXECUTE p(1)", bit(pin_reason::sql_prepare)},
        {"EXPLAIN ANALYZE EXECUTE p", bit(pin_reason::sql_prepare)},
        {"CREATE TABLE t AS EXECUTE p", bit(pin_reason::sql_prepare)},
        {"LISTEN a", bit(pin_reason::listen)},
        {"LOAD 'auto_explain'", bit(pin_reason::load)},
        {"SELECT setseed(0.5)", bit(pin_reason::random_seed)},
        {"SET seed = 0.5", bit(pin_reason::random_seed)},
        {"SELECT public.dblink_connect('c', 'dbname=x')", bit(pin_reason::opaque)},
        {"SELECT pg_backup_start('x')", bit(pin_reason::opaque)},
    });
    CHECK(analyse_effects("SELECT pg_advisory_unlock_all()").advisory_unlock_all);
}

TEST_CASE("D12: DO blocks are searched for the same words") {
    check({
        {"DO $$BEGIN UPDATE t SET a = 1; END$$", 0},
        {"DO $$BEGIN PERFORM pg_advisory_lock(1); END$$", bit(pin_reason::opaque) | bit(pin_reason::advisory_lock)},
        {"DO $$BEGIN CREATE TEMP TABLE t (a int); END$$", bit(pin_reason::opaque) | bit(pin_reason::temp_object)},
        {"DO $$BEGIN EXECUTE 'SET x = 1'; END$$", bit(pin_reason::opaque)},
        {"DO $$BEGIN SET x = 1; END$$", bit(pin_reason::opaque)},
        {"DO LANGUAGE plpython3u $$pass$$", bit(pin_reason::opaque)},
    });
    CHECK(analyse_effects("DO $$BEGIN PERFORM currval('s'); END$$").uses_lastval);
}

TEST_CASE("P31: each effect knows its statement") {
    const statement_effects effects = analyse_effects(
        "SET a.a = 1; SELECT 1; PREPARE p AS SELECT 2 ; DEALLOCATE p; SET a.b = 2; LISTEN x; UNLISTEN *");
    CHECK(effects.statements == 7);
    REQUIRE(effects.settings.size() == 2);
    CHECK(effects.settings[0].statement == 0);
    CHECK(effects.settings[1].statement == 4);
    REQUIRE(effects.prepares.size() == 1);
    CHECK(effects.prepares[0].name == "p");
    CHECK(effects.prepares[0].text == "PREPARE p AS SELECT 2");
    CHECK(effects.prepares[0].statement == 2);
    REQUIRE(effects.deallocates.size() == 1);
    CHECK(effects.deallocates[0].statement == 3);
    REQUIRE(effects.listens.size() == 1);
    CHECK(effects.listens[0].name == "x");
    CHECK(effects.unlisten_all);
}

TEST_CASE("P36: savepoints are named as PostgreSQL folds them") {
    const statement_effects effects =
        analyse_effects("BEGIN; SAVEPOINT Abc; ROLLBACK TO SAVEPOINT abc; RELEASE \"X\"; COMMIT AND CHAIN");
    using action = transaction_step::action;
    REQUIRE(effects.transactions.size() == 5);
    CHECK(effects.transaction_control);
    CHECK(effects.rollback_to_savepoint);
    CHECK(effects.transactions[0].kind == action::begin);
    CHECK(effects.transactions[1].kind == action::savepoint);
    CHECK(effects.transactions[1].name == "abc");
    CHECK(effects.transactions[2].kind == action::rollback_to);
    CHECK(effects.transactions[2].name == "abc");
    CHECK(effects.transactions[3].kind == action::release);
    CHECK(effects.transactions[3].name == "X");
    CHECK(effects.transactions[4].kind == action::commit);
    CHECK(effects.transactions[4].chain);
    CHECK(effects.transactions[4].statement == 4);

    const statement_effects two_phase = analyse_effects("PREPARE TRANSACTION 'g'");
    REQUIRE(two_phase.transactions.size() == 1);
    CHECK(two_phase.transactions[0].kind == action::prepare);
    CHECK(two_phase.transactions[0].name == "g");
    CHECK(two_phase.pins == 0);
}

TEST_CASE("DISCARD, RESET ALL, DEALLOCATE ALL, COPY and CALL are told apart") {
    CHECK(analyse_effects("DISCARD ALL").discard_all);
    CHECK(analyse_effects("DISCARD PLANS").discard_plans);
    CHECK(analyse_effects("DISCARD TEMP").discard_temp);
    CHECK(analyse_effects("DISCARD SEQUENCES").discard_sequences);
    CHECK(analyse_effects("RESET ALL").reset_all);
    CHECK(analyse_effects("DEALLOCATE PREPARE ALL").deallocate_all);
    CHECK(analyse_effects("COPY t FROM STDIN").is_copy);
    CHECK_FALSE(analyse_effects("COPY t FROM STDIN").copy_program);
    CHECK(analyse_effects("COPY t TO PROGRAM 'cat'").copy_program);
    CHECK(analyse_effects("CALL p(1)").calls_procedure);
    CHECK(analyse_effects("SELECT lastval()").uses_lastval);
}

TEST_CASE("P32: an empty query is parsed and does nothing") {
    const statement_effects effects = analyse_effects(" ; -- nothing\n;");
    CHECK(effects.parsed);
    CHECK(effects.statements == 0);
    CHECK(effects.pins == 0);
}

TEST_CASE("P63: what cannot be read pins only if the scan found something") {
    const std::string unknown = "SELECT FROM WHERE FROM";
    CHECK_FALSE(analyse_effects(unknown).parsed);
    CHECK(pins_of(unknown) == 0);
    CHECK(pins_of("CREATE TEMP TABLE t (a int) NOT YET KNOWN") == bit(pin_reason::unparsable));
    CHECK(pins_of(std::string("SET x = 1\0", 10)) == bit(pin_reason::unparsable));

    const std::string large = "SET x = '" + std::string(max_parsed_bytes, 'a') + "'";
    CHECK(pins_of(large) == bit(pin_reason::too_large));
    CHECK(pins_of("SELECT '" + std::string(max_parsed_bytes, 'a') + "'") == 0);
}

TEST_CASE("D12: a literal with two possible ends is not parsed by guess") {
    CHECK(pins_of("SELECT 'a\\'; SET x = 1; --'") == bit(pin_reason::opaque));
    CHECK(pins_of("SELECT 'C:\\', 1") == 0);
    CHECK_FALSE(analyse_effects("SELECT 'a\\'; SET x = 1; --'").parsed);
}

TEST_CASE("pins have one word each") {
    CHECK(std::string(to_string(pin_reason::temp_object)) == "temp_object");
    CHECK(describe_pins(0) == "none");
    CHECK(describe_pins(bit(pin_reason::listen) | bit(pin_reason::load)) == "listen, load");
}
