// What the catalogue must say before a text is believed to read only. The catalogue here is a table of answers; that the
// questions are good SQL and mean what they should is shown against PostgreSQL by the system suite (read_proof).
#include "proxy/sql/read_proof.hpp"

#include "tests/support/proof_answers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;
using verdict = read_proof::verdict;

namespace {

/// Answers for all that a question names; "ok" and plain tables unless told otherwise.
struct catalogue {
    std::map<std::string, std::string> functions;  // name (or schema.name) to verdict
    std::map<std::string, std::string> operators;
    std::map<std::string, std::vector<std::pair<std::string, std::string>>> relations;  // to kind and definition
    std::vector<read_proof::row> more;
    std::string client_encoding = "UTF8";
    std::string server_encoding = "UTF8";
    int questions = 0;

    [[nodiscard]] std::vector<read_proof::row> answer(const std::string& sql) const {
        const auto verdict_of = [&](char part, const std::string& name) {
            if (part == 'r') return relations.contains(name) ? relations.at(name).front().first : std::string("r");
            const auto& known = part == 'f' ? functions : operators;
            return known.contains(name) ? known.at(name) : std::string("ok");
        };
        std::vector<read_proof::row> rows = answer_proof(sql, verdict_of);
        rows.front() = {"e", "0", client_encoding, server_encoding};
        const std::vector<std::string> names = names_in_proof(sql, 'r');
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (!relations.contains(names[i])) continue;
            std::erase_if(rows, [&](const auto& row) { return row[0] == "r" && row[1] == std::to_string(i); });
            for (const auto& [kind, definition] : relations.at(names[i]))
                rows.push_back({"r", std::to_string(i), kind, kind == "v" ? std::optional(definition) : std::nullopt});
        }
        return rows;
    }

    std::string decide(read_proof& proof) {
        questions = 0;
        while (proof.now() == verdict::ask && questions < 100) {
            const std::string sql = proof.query();
            CHECK(sql.size() <= read_proof::max_query_bytes);
            CHECK(std::all_of(sql.begin(), sql.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
            std::vector<read_proof::row> rows = answer(sql);
            if (questions++ == 0) rows.insert(rows.end(), more.begin(), more.end());
            proof.answer(rows);
        }
        CHECK(proof.query().empty());
        return proof.now() == verdict::proven ? "proven" : proof.reason();
    }
    std::string decide(std::string_view sql) {
        read_proof proof(classify_statements(sql));
        return decide(proof);
    }
};

}  // namespace

TEST_CASE("D20: what names nothing is decided without a question") {
    for (const std::string_view sql : {"", ";", "SELECT 1", "SELECT 1, 'a', $1; SELECT random()", "SHOW work_mem"}) {
        CAPTURE(sql);
        catalogue none;
        // random() alone asks: somebody may have a function of that name
        const bool asks = sql.find("random") != std::string_view::npos;
        CHECK(none.decide(sql) == "proven");
        CHECK(none.questions == (asks ? 1 : 0));
    }
}

TEST_CASE("P63, T11: what does not read by form is never asked about") {
    const std::vector<std::pair<std::string_view, std::string>> rows = {
        {"INSERT INTO t VALUES (1)", "writes"},
        {"SELECT * FROM t FOR UPDATE", "writes"},
        {"SELECT nextval('s')", "writes"},
        {"SELECT 1; COMMIT; SELECT 2", "writes_beyond"},
        {"BEGIN", "transaction_control"},
        {"SET a = 1", "session_state"},
        {"SOMETHING new", "not understood"},
        {"FETCH ALL FROM c", "moves a cursor"},
        {"EXPLAIN SELECT nextval('s')", "a function with effects"},
        {"EXPLAIN SELECT * FROM t FOR UPDATE", "locks rows"},
        {"SELECT * FROM crosstab('select nextval(''s'')') AS t(a int)", "writes"},
        {"SELECT table_to_xml('v', true, true, '')", "writes"},
    };
    for (const auto& [sql, reason] : rows) {
        CAPTURE(sql);
        catalogue any;
        CHECK(any.decide(sql) == reason);
        CHECK(any.questions == 0);
    }
}

TEST_CASE("D20: one volatile or unknown function refutes") {
    catalogue known;
    known.functions = {{"bad", "volatile"}, {"gone", "missing"}, {"app.bad", "ok"}};
    CHECK(known.decide("SELECT lower(a), count(*) FROM t") == "proven");
    CHECK(known.decide("SELECT bad()") == "volatile: bad");
    CHECK(known.decide("SELECT app.bad()") == "proven");
    CHECK(known.decide("SELECT gone(1)") == "unknown: gone");
    CHECK(known.decide("WITH w AS (SELECT * FROM t WHERE bad(a)) SELECT 1 FROM w") == "volatile: bad");
    CHECK(known.decide("SELECT * FROM t ORDER BY (SELECT max(bad(b)) FROM u)") == "volatile: bad");
    CHECK(known.decide("SELECT * FROM bad() AS b") == "volatile: bad");
    CHECK(known.decide("SELECT 1; SELECT bad()") == "volatile: bad");
    CHECK(known.decide("COPY (SELECT bad()) TO STDOUT") == "volatile: bad");
    CHECK(known.decide("EXPLAIN ANALYZE SELECT bad()") == "volatile: bad");
}

TEST_CASE("D20: operators stand for functions, also where they are not written") {
    catalogue known;
    known.operators = {{"<->", "volatile"}, {"app.+", "volatile"}, {"?!", "missing"}};
    CHECK(known.decide("SELECT a + 1 FROM t") == "proven");
    CHECK(known.decide("SELECT a <-> b FROM t") == "volatile: <->");
    CHECK(known.decide("SELECT a OPERATOR(app.+) b FROM t") == "volatile: +");
    CHECK(known.decide("SELECT a ?! b FROM t") == "unknown: ?!");
    CHECK(known.decide("SELECT a <-> ANY (ARRAY[1]) FROM t") == "volatile: <->");
    CHECK(known.decide("SELECT a <-> ALL (SELECT b FROM u) FROM t") == "volatile: <->");
    CHECK(known.decide("SELECT a FROM t ORDER BY a USING <->") == "volatile: <->");
    known.operators = {{"=", "volatile"}};
    for (const std::string_view sql :
         {"SELECT * FROM t JOIN u USING (a)", "SELECT DISTINCT a FROM t", "SELECT CASE a WHEN 1 THEN 2 END FROM t",
          "SELECT * FROM t WHERE a IN (SELECT b FROM u)"})
        CHECK(known.decide(sql) == "volatile: =");
    known.operators = {{"<=", "volatile"}};
    CHECK(known.decide("SELECT * FROM t WHERE a BETWEEN 1 AND 2") == "volatile: <=");
    known.operators = {{"BETWEEN", "missing"}};
    CHECK(known.decide("SELECT * FROM t WHERE a NOT BETWEEN SYMMETRIC 1 AND 2") == "proven");
}

TEST_CASE("D20: only tables and what leads to tables") {
    catalogue known;
    const std::vector<std::pair<std::string, std::string>> kinds = {
        {"r", "proven"},
        {"p", "proven"},
        {"m", "proven"},
        {"S", "not a plain table: t"},
        {"f", "not a plain table: t"},
        {"t", "not a plain table: t"},
        {"row security", "not a plain table: t"},
        {"foreign", "not a plain table: t"},
        {"?", "not a plain table: t"},
        {"missing", "unknown: t"},
    };
    for (const auto& [kind, wanted] : kinds) {
        CAPTURE(kind);
        known.relations["t"] = {{kind, ""}};
        CHECK(known.decide("SELECT * FROM t") == wanted);
        known.relations["t"] = {{"r", ""}, {kind, ""}};  // two schemas have one
        CHECK(known.decide("SELECT * FROM t") == wanted);
    }
}

TEST_CASE("D20: a name of WITH need not be a relation, but if it is one, it counts") {
    catalogue known;
    known.relations["w"] = {{"missing", ""}};
    CHECK(known.decide("WITH w AS (SELECT 1) SELECT * FROM w") == "proven");
    CHECK(known.decide("SELECT * FROM w") == "unknown: w");
    known.relations["w"] = {{"f", ""}};
    CHECK(known.decide("WITH w AS (SELECT 1) SELECT * FROM w") == "not a plain table: w");
}

TEST_CASE("D20: views are read as far down as they go") {
    catalogue known;
    known.functions = {{"bad", "volatile"}};
    known.relations["v"] = {{"v", " SELECT t.a, lower(t.b) AS b FROM t;"}};
    known.relations["w"] = {{"v", "SELECT bad() FROM v"}};
    known.relations["x"] = {{"v", "SELECT * FROM app.w"}};
    known.relations["app.w"] = known.relations["w"];
    known.relations["y"] = {{"v", "SELECT nextval('s'::regclass) AS n;"}};
    known.relations["z"] = {{"v", "SELECT * FROM far"}};
    known.relations["far"] = {{"f", ""}};
    CHECK(known.decide("SELECT * FROM v") == "proven");
    CHECK(known.questions == 2);
    CHECK(known.decide("SELECT * FROM w") == "volatile: bad");
    CHECK(known.decide("SELECT * FROM x") == "volatile: bad");
    CHECK(known.decide("SELECT * FROM y") == "writes");
    CHECK(known.decide("SELECT * FROM z") == "not a plain table: far");
}

TEST_CASE("D20: depth, names and bytes of views are bounded") {
    catalogue known;
    for (int i = 0; i < 20; ++i)
        known.relations["v" + std::to_string(i)] = {{"v", "SELECT * FROM v" + std::to_string(i + 1)}};
    CHECK(known.decide("SELECT * FROM v12") == "proven");  // eight views and a table
    CHECK(known.decide("SELECT * FROM v11") == "views nested too deeply");
    known.relations["self"] = {{"v", "SELECT * FROM self"}};
    CHECK(known.decide("SELECT * FROM self") == "proven");  // cannot exist, and must not run for ever

    known.relations["big"] = {{"v", "SELECT '" + std::string(read_proof::max_definition, 'x') + "'"}};
    CHECK(known.decide("SELECT * FROM big") == "a definition too large");
    std::string list;
    for (int i = 0; i < 10; ++i) {
        const std::string name = "half" + std::to_string(i);
        known.relations[name] = {{"v", "SELECT '" + std::string(read_proof::max_definition - 20, 'x') + "'"}};
        list += (i == 0 ? "" : ", ") + name;
    }
    CHECK(known.decide("SELECT * FROM " + list) == "definitions too large");

    std::string calls = "SELECT ";
    for (std::size_t i = 0; i <= read_proof::max_names; ++i) calls += (i == 0 ? "f" : ", f") + std::to_string(i) + "()";
    CHECK(known.decide(calls) == "too many names");
    CHECK(known.decide("SELECT * FROM \"" + std::string(1000, 'x') + "\"").size() < 100);
}

TEST_CASE("D20: what a SELECT calls without naming it") {
    for (const std::string_view what : {"cast", "type", "operator class"}) {
        catalogue known;
        known.more = {{"c", "0", std::string(what), std::nullopt}};
        CHECK(known.decide("SELECT * FROM t") == "volatile: a " + std::string(what));
        CHECK(known.decide("SELECT $1::text") == "volatile: a " + std::string(what));
        CHECK(known.decide("SELECT $1") == "proven");
    }
    catalogue domains;
    domains.more = {{"d", "0", "check", "(VALUE > 0)"}, {"d", "0", "check", "(lower(VALUE) = 'a'::text)"}};
    CHECK(domains.decide("SELECT '1'::positive") == "proven");
    CHECK(domains.questions == 2);
    domains.functions = {{"lower", "volatile"}};
    CHECK(domains.decide("SELECT '1'::positive") == "volatile: lower");
    catalogue strange;
    strange.more = {{"d", "0", "check", std::nullopt}};
    CHECK(strange.decide("SELECT '1'::positive") == "a definition not readable");
    catalogue many;
    many.more.assign(read_proof::max_domain_checks + 1, {"d", "0", "check", "true"});
    CHECK(many.decide("SELECT '1'::positive") == "too many domains");
}

TEST_CASE("D20: t.a can be a call of a(t), and random() somebody's own") {
    read_proof attribute(classify_statements("SELECT t.a, (t).b, t.c.d, s.t.* FROM t"));
    const std::string sql = attribute.query();
    for (const std::string_view name : {"'a'", "'b'", "'c'", "'d'", "'t'"}) CHECK(sql.find(name) != std::string::npos);
    catalogue known;
    known.more = {{"a", "0", "b", std::nullopt}};
    CHECK(known.decide(attribute) == "volatile: b");

    read_proof harmless(classify_statements("SELECT random(), pg_catalog.clock_timestamp()"));
    CHECK(harmless.query().find("'random'") != std::string::npos);
    CHECK(harmless.query().find("clock_timestamp") == std::string::npos);
    catalogue own;
    own.more = {{"h", "0", "random", std::nullopt}};
    CHECK(own.decide(harmless) == "volatile: random");
}

TEST_CASE("D20: encodings in which we and the server read different characters") {
    catalogue japanese;
    japanese.client_encoding = "SJIS";
    CHECK(japanese.decide("SELECT * FROM t") == "proven");
    // the second and third byte of the name are one letter for the server; for us the third is an operator
    CHECK(japanese.decide("SELECT \xc3\x83|b FROM t") == "encoding SJIS");
    CHECK(japanese.decide("SELECT E'\xc3\x83\\'; DELETE FROM t; --'") == "not understood");  // as the scan has it
    japanese.client_encoding = "EUC_JP";
    CHECK(japanese.decide("SELECT '\xa5\xbd' FROM t") == "proven");
    CHECK(japanese.decide("SELECT '\xc3\xa4' FROM t") == "proven");
    catalogue latin;
    latin.server_encoding = "LATIN1";
    CHECK(latin.decide("SELECT '\xc3\xa4' FROM t") == "proven");
    CHECK(latin.decide("SELECT * FROM \xc3\xa4") == "encoding LATIN1");
    // in a view, too
    latin.relations["v"] = {{"v", "SELECT * FROM \"\xc3\x84\""}};
    CHECK(latin.decide("SELECT * FROM v") == "encoding LATIN1");
}

TEST_CASE("D20: names are quoted whatever is in them") {
    read_proof proof(classify_statements("SELECT \"it's\".\"a\\b\"('x') FROM \"pg.==\", \"\xc3\xa4\" WHERE 1 == 2"));
    const std::string sql = proof.query();
    CHECK(sql.find("it's") == std::string::npos);
    CHECK(sql.find('\\') == std::string::npos);
    CHECK(sql.find("decode('69742773', 'hex')") != std::string::npos);  // it's
    CHECK(sql.find("decode('615c62', 'hex')") != std::string::npos);    // a\b
    CHECK(sql.find("decode('c3a4', 'hex')") != std::string::npos);
    CHECK(sql.find("'pg.=='::pg_catalog.name") != std::string::npos);  // not taken for a template
    CHECK(sql.find("'=='::pg_catalog.name") != std::string::npos);
}

TEST_CASE("D20: words that older servers do not know go by a name that all have") {
    read_proof proof(classify_statements("SELECT EXTRACT(year FROM a), a SIMILAR TO 'b' FROM t"));
    CHECK(proof.query().find("'date_part'") != std::string::npos);
    CHECK(proof.query().find("'similar_escape'") != std::string::npos);
    CHECK(proof.query().find("'extract'") == std::string::npos);
}

TEST_CASE("D20: an answer that is not whole proves nothing") {
    const statement_class text = classify_statements("SELECT f(a) FROM t");
    const std::vector<read_proof::row> whole = catalogue().answer(read_proof(text).query());
    read_proof good(text);
    good.answer(whole);
    CHECK(good.now() == verdict::proven);
    for (std::size_t without = 0; without < whole.size(); ++without) {
        std::vector<read_proof::row> rows = whole;
        rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(without));
        read_proof proof(text);
        proof.answer(rows);
        CHECK(proof.reason() == "an answer with holes");
    }
    const std::vector<read_proof::row> odd_rows = {{},
                                                   {"f"},
                                                   {"f", "0", "ok"},
                                                   {"f", "9", "ok", std::nullopt},
                                                   {"f", "-1", "ok", std::nullopt},
                                                   {"r", "1", "r", std::nullopt},
                                                   {"f", "0x", "ok", std::nullopt},
                                                   {"", "0", "ok", std::nullopt},
                                                   {"?", "0", "ok", std::nullopt},
                                                   {"f", std::nullopt, "ok", std::nullopt},
                                                   {"f", "0", std::nullopt, std::nullopt},
                                                   {"e", "0", "UTF8", "UTF8"},
                                                   {std::nullopt, "0", "ok", std::nullopt},
                                                   {"f", "99999999999999999999999", "ok", std::nullopt},
                                                   {"f", "0", "ok", std::nullopt, std::nullopt}};
    for (const read_proof::row& odd : odd_rows) {
        std::vector<read_proof::row> rows = whole;
        rows.push_back(odd);
        read_proof proof(text);
        proof.answer(rows);
        CHECK(proof.reason() == "an answer of odd form");
        proof.answer(whole);  // too late
        CHECK(proof.now() == verdict::refuted);
    }
    read_proof failing(text);
    failing.failed();
    CHECK(failing.now() == verdict::refuted);
    good.failed();  // decided before
    CHECK(good.now() == verdict::proven);
}
