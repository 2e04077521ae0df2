// The questions of read_proof.hpp as SQL. Every name in it is qualified and every operator is pg_catalog's, because the
// search_path is the client's; it is plain ASCII, because the encoding is, too.
#include "proxy/sql/read_proof.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {
namespace {

/// The templates below are written for people: "pg." is pg_catalog, "==", "!=" and "=>" are pg_catalog's operators.
std::string qualified(std::string_view text) {
    struct abbreviation {
        std::string_view is;
        std::string_view stands_for;
    };
    static constexpr std::array<abbreviation, 4> abbreviations = {{
        {"pg.", "pg_catalog."},
        {"==", "OPERATOR(pg_catalog.=)"},
        {"!=", "OPERATOR(pg_catalog.<>)"},
        {"=>", "OPERATOR(pg_catalog.>=)"},
    }};
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto* const found =
            std::find_if(abbreviations.begin(), abbreviations.end(),
                         [&](const abbreviation& each) { return text.substr(at).starts_with(each.is); });
        out += found == abbreviations.end() ? text.substr(at, 1) : found->stands_for;
        at += found == abbreviations.end() ? 1 : found->is.size();
    }
    return out;
}

/// A name as an expression of type name. What quoting or the encoding could spoil is sent as hexadecimal digits.
std::string name_literal(const std::string& name) {
    const auto safe = [](char c) { return c >= ' ' && c <= '~' && c != '\'' && c != '\\'; };
    if (std::all_of(name.begin(), name.end(), safe)) return "'" + name + "'::pg_catalog.name";
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string hex;
    for (const char c : name) {
        hex += digits[static_cast<unsigned char>(c) >> 4U];
        hex += digits[static_cast<unsigned char>(c) & 15U];
    }
    return "pg_catalog.convert_from(pg_catalog.decode('" + hex +
           "', 'hex'), pg_catalog.pg_client_encoding())::pg_catalog.name";
}

/// The relation w(i, s, n): number, schema or NULL, name.
std::string wanted(const std::vector<sql_name>& names) {
    std::string values;
    for (std::size_t i = 0; i < names.size(); ++i) {
        values += i == 0 ? "(VALUES (" : ", (";
        values += std::to_string(i) + ", ";
        values += names[i].schema.empty() ? "NULL::pg_catalog.name" : name_literal(names[i].schema);
        values += ", " + name_literal(names[i].name) + ")";
    }
    return values + ") AS w(i, s, n)";
}

std::string array_of(const std::vector<sql_name>& names) {
    std::string list;
    for (const sql_name& each : names) list += (list.empty() ? "" : ", ") + name_literal(each.name);
    return "ARRAY[" + list + "]";
}

/// Ancestors of foreign tables: reading such a partitioned table or parent reads the foreign table.
constexpr std::string_view foreign_ancestors = R"(
WITH RECURSIVE above(oid) AS (
  SELECT i.inhparent FROM pg.pg_foreign_table t JOIN pg.pg_inherits i ON i.inhrelid == t.ftrelid
  UNION SELECT i.inhparent FROM above a JOIN pg.pg_inherits i ON i.inhrelid == a.oid))";

/// Proof that the answer is whole and not another query's, and how the names were read.
constexpr std::string_view encodings = R"(
SELECT 'e'::pg.text, 0, pg.pg_client_encoding()::pg.text, pg.getdatabaseencoding()::pg.text)";

/// What a SELECT calls without naming it: casts, input and output of types, comparison for sorting and grouping. Objects
/// of PostgreSQL's own (below 16384) are none of them volatile. 403 and 405 are btree and hash.
constexpr std::string_view unusual_catalogue = R"(
UNION ALL SELECT 'c', 0, 'cast', NULL WHERE EXISTS (
  SELECT 1 FROM pg.pg_cast k JOIN pg.pg_proc p ON p.oid == k.castfunc WHERE k.oid => 16384 AND p.provolatile == 'v')
UNION ALL SELECT 'c', 0, 'type', NULL WHERE EXISTS (
  SELECT 1 FROM pg.pg_type t WHERE t.oid => 16384 AND t.typtype == 'b' AND t.typarray != 0 AND EXISTS (
    SELECT 1 FROM pg.pg_proc p WHERE p.provolatile == 'v' AND p.oid == ANY (ARRAY[
      t.typinput::pg.oid, t.typoutput::pg.oid, t.typreceive::pg.oid, t.typsend::pg.oid])))
UNION ALL SELECT 'c', 0, 'operator class', NULL WHERE EXISTS (
  SELECT 1 FROM pg.pg_amop a JOIN pg.pg_operator o ON o.oid == a.amopopr JOIN pg.pg_proc p ON p.oid == o.oprcode::pg.oid
  WHERE a.oid => 16384 AND a.amopmethod == ANY (ARRAY[403, 405]::pg.oid[]) AND p.provolatile == 'v')
UNION ALL SELECT 'c', 0, 'operator class', NULL WHERE EXISTS (
  SELECT 1 FROM pg.pg_amproc a JOIN pg.pg_opfamily f ON f.oid == a.amprocfamily JOIN pg.pg_proc p ON p.oid == a.amproc::pg.oid
  WHERE a.oid => 16384 AND f.opfmethod == ANY (ARRAY[403, 405]::pg.oid[]) AND p.provolatile == 'v'))";

/// A value that becomes a domain's is checked, wherever that happens.
constexpr std::string_view domain_checks = R"(
UNION ALL (SELECT 'd', 0, 'check', pg.substr(pg.pg_get_expr(k.conbin, 0::pg.oid), 1, @bytes)
  FROM pg.pg_constraint k WHERE k.contypid => 16384 AND k.contype == 'c' LIMIT @rows))";

/// In the parts below, `@names` is the relation w(i, s, n) or an array of names, `@volatile` says whether p is.
/// Aggregates are never marked volatile themselves; what they call may be.
constexpr std::string_view is_volatile = R"((p.provolatile == 'v' OR EXISTS (
  SELECT 1 FROM pg.pg_aggregate a JOIN pg.pg_proc q ON q.oid == ANY (ARRAY[
    a.aggtransfn::pg.oid, a.aggfinalfn::pg.oid, a.aggcombinefn::pg.oid, a.aggserialfn::pg.oid, a.aggdeserialfn::pg.oid,
    a.aggmtransfn::pg.oid, a.aggminvtransfn::pg.oid, a.aggmfinalfn::pg.oid])
  WHERE a.aggfnoid::pg.oid == p.oid AND q.provolatile == 'v')))";

constexpr std::string_view functions_part = R"(
UNION ALL SELECT 'f', w.i, CASE WHEN c.n == 0 THEN 'missing' WHEN c.bad THEN 'volatile' ELSE 'ok' END, NULL
  FROM @names CROSS JOIN LATERAL (
    SELECT pg.count(*) AS n, pg.bool_or(@volatile) AS bad FROM pg.pg_proc p WHERE p.proname == w.n
    AND (w.s IS NULL OR p.pronamespace == (SELECT n.oid FROM pg.pg_namespace n WHERE n.nspname == w.s))) AS c)";

constexpr std::string_view operators_part = R"(
UNION ALL SELECT 'o', w.i, CASE WHEN c.n == 0 THEN 'missing' WHEN c.bad THEN 'volatile' ELSE 'ok' END, NULL
  FROM @names CROSS JOIN LATERAL (
    SELECT pg.count(*) AS n, pg.bool_or(p.provolatile == 'v') AS bad
    FROM pg.pg_operator o JOIN pg.pg_proc p ON p.oid == o.oprcode::pg.oid WHERE o.oprname == w.n
    AND (w.s IS NULL OR o.oprnamespace == (SELECT n.oid FROM pg.pg_namespace n WHERE n.nspname == w.s))) AS c)";

/// Indexes and composite types cannot be read by their names.
constexpr std::string_view relations_part = R"(
UNION ALL SELECT 'r', w.i,
  CASE WHEN c.oid IS NULL THEN 'missing' WHEN c.relrowsecurity THEN 'row security'
       WHEN c.oid == ANY (SELECT above.oid FROM above) THEN 'foreign' ELSE c.relkind::pg.text END,
  CASE WHEN c.relkind == 'v' THEN pg.substr(pg.pg_get_viewdef(c.oid), 1, @bytes) END
  FROM @names LEFT JOIN pg.pg_class c ON c.relname == w.n AND c.relkind != ALL (ARRAY['i', 'I', 'c']::pg."char"[])
    AND (w.s IS NULL OR c.relnamespace == (SELECT n.oid FROM pg.pg_namespace n WHERE n.nspname == w.s)))";

/// A function of somebody's own under a harmless name. Those in C are extensions' copies (pgcrypto's gen_random_uuid);
/// 11 is pg_catalog, 12 and 13 are the languages internal and C.
constexpr std::string_view harmless_part = R"(
UNION ALL SELECT 'h', 0, p.proname::pg.text, NULL FROM pg.pg_proc p WHERE p.proname == ANY (@names)
  AND p.pronamespace != 11::pg.oid AND p.prolang != ALL (ARRAY[12, 13]::pg.oid[]) AND @volatile)";

/// t.a means a(t) if the relation has no such column: functions that can take a row.
constexpr std::string_view attributes_part = R"(
UNION ALL SELECT 'a', 0, p.proname::pg.text, NULL
  FROM pg.pg_proc p JOIN pg.pg_type t ON t.oid == p.proargtypes[0] WHERE p.proname == ANY (@names)
  AND t.typtype == ANY (ARRAY['c', 'd', 'p']::pg."char"[]) AND t.typname != 'internal' AND @volatile)";

/// The part as SQL. Names are put in last: nothing in them is a template.
std::string part(std::string_view of, const std::string& names = {}) {
    std::string out;
    for (std::size_t at = 0; at < of.size();) {
        const std::size_t end = std::min(of.size(), of.find('@', at));
        out += qualified(of.substr(at, end - at));
        const std::string_view rest = of.substr(end);
        at = end;
        const auto stands_for = [&](std::string_view word, const std::string& text) {
            if (!rest.starts_with(word)) return;
            out += text;
            at += word.size();
        };
        stands_for("@names", names);
        stands_for("@volatile", qualified(is_volatile));
        stands_for("@bytes", std::to_string(read_proof::max_definition + 1));
        stands_for("@rows", std::to_string(read_proof::max_domain_checks + 1));
    }
    return out;
}

}  // namespace

std::string read_proof::query() const {
    if (now_ != verdict::ask) return {};
    std::string sql;
    if (!asked_.relations.empty()) sql += part(foreign_ancestors);
    sql += part(encodings);
    if (asks_unnamed_) sql += part(unusual_catalogue) + part(domain_checks);
    if (!asked_.functions.empty()) sql += part(functions_part, wanted(asked_.functions));
    if (!asked_.operators.empty()) sql += part(operators_part, wanted(asked_.operators));
    if (!asked_.relations.empty()) sql += part(relations_part, wanted(asked_.relations));
    if (!asked_.harmless.empty()) sql += part(harmless_part, array_of(asked_.harmless));
    if (!asked_.attributes.empty()) sql += part(attributes_part, array_of(asked_.attributes));
    return sql;
}

}  // namespace pgsteady
