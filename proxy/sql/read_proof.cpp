// See read_proof.hpp. What is asked next, and what an answer means; the SQL is in read_proof_query.cpp.
#include "proxy/sql/read_proof.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace pgsteady {

using part = catalogue_facts::part;

namespace {

/// Which a SELECT may use without naming them: CASE, IN, USING, DISTINCT, ORDER BY, comparisons of rows.
const std::vector<sql_name> implied_operators = {{"", "<", false}, {"", "<=", false}, {"", "<>", false},
                                                 {"", "=", false}, {"", ">", false},  {"", ">=", false}};

bool is_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Encodings of clients in which a byte of ASCII can be the second half of a character: we would see a backslash or an
/// operator where the server sees a letter.
bool hides_ascii(std::string_view encoding) {
    for (const std::string_view each : {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "JOHAB", "GB18030"})
        if (encoding == each) return true;
    return false;
}

/// In databases with one byte per character the server folds letters that our grammar leaves alone.
bool folds_only_ascii(std::string_view encoding) { return encoding == "UTF8" || encoding.starts_with("EUC_"); }

/// The words that this grammar knows and older servers do not, by the name that all have; both read only.
sql_name in_every_version(sql_name name) {
    if (name.schema != "pg_catalog") return name;
    if (name.name == "extract") name.name = "date_part";
    if (name.name == "similar_to_escape") name.name = "similar_escape";
    return name;
}

std::optional<std::size_t> number_of(const std::optional<std::string>& text) {
    std::size_t value = 0;
    if (!text || text->empty()) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
    return value;
}

}  // namespace

/// Which names an answer has spoken of.
struct read_proof::tally {
    explicit tally(const question& asked)
        : functions(asked.functions.size()), operators(asked.operators.size()), relations(asked.relations.size()) {}
    [[nodiscard]] bool complete() const {
        const auto all = [](const std::vector<bool>& each) {
            return std::find(each.begin(), each.end(), false) == each.end();
        };
        return all(functions) && all(operators) && all(relations);
    }
    std::vector<bool> functions;
    std::vector<bool> operators;
    std::vector<bool> relations;
    std::size_t checks = 0;
};

read_proof::read_proof(const statement_class& text, catalogue_facts* known, std::size_t host)
    : facts_(text.ascii ? known : nullptr), host_(host) {
    absorb(text);
    if (now_ == verdict::refuted) return;
    if (names_ == 0 && !text.names_types && text.ascii) {
        now_ = verdict::proven;
        return;
    }
    add(part::operator_, implied_operators, operators_, next_.operators);
    asks_unnamed_ = !is_known(part::unnamed, {});
    if (now_ == verdict::refuted) return;
    if (next_.empty() && !asks_unnamed_) now_ = verdict::proven;
    else ask_next();
}

void read_proof::ask_next() {
    asked_ = std::exchange(next_, {});
    if (facts_ != nullptr) version_ = facts_->version();
}

void read_proof::refute(std::string why) {
    now_ = verdict::refuted;
    reason_ = std::move(why);
    asked_ = {};
}

void read_proof::failed() {
    if (now_ == verdict::ask) refute("the catalogue was not readable");
}

/// Adds what a text asks for to the next question.
void read_proof::absorb(const statement_class& text) {
    if (!text.parsed) return refute("not understood");
    if (text.kind != statement_kind::reads) return refute(to_string(text.kind));
    if (text.denied_function) return refute("a function with effects");
    if (text.locks_rows) return refute("locks rows");
    if (text.uses_cursor) return refute("moves a cursor");
    whole_ascii_ = whole_ascii_ && text.ascii;
    std::vector<sql_name> functions;
    for (const sql_name& each : text.functions) functions.push_back(in_every_version(each));
    add(part::function, functions, functions_, next_.functions);
    add(part::operator_, text.operators, operators_, next_.operators);
    add(part::relation, text.relations, relations_, next_.relations);
    add(part::harmless, text.harmless, harmless_, next_.harmless);
    add(part::attribute, text.attributes, attributes_, next_.attributes);
}

void read_proof::add(part of, const std::vector<sql_name>& names, std::set<sql_name>& seen, std::vector<sql_name>& to) {
    for (const sql_name& each : names) {
        if (now_ == verdict::refuted) return;
        if (each.name.empty() || each.name.size() > max_name_bytes || each.schema.size() > max_name_bytes)
            return refute("a name of odd length");
        if (!seen.insert(each).second) continue;
        if (++names_ > max_names) return refute("too many names");
        names_ascii_ = names_ascii_ && is_ascii(each.name) && is_ascii(each.schema);
        if (!is_known(of, each)) to.push_back(each);
    }
}

/// What was asked before; it is judged as if it had come with an answer, and may refute.
bool read_proof::is_known(part of, const sql_name& name) {
    const std::vector<catalogue_facts::row>* known = facts_ != nullptr ? facts_->find(of, host_, name) : nullptr;
    if (known == nullptr) return false;
    const std::vector<catalogue_facts::row> rows = *known;  // definitions lead to more names
    for (const catalogue_facts::row& each : rows)
        if (!apply(of, name, each)) break;
    return true;
}

/// False if it is decided.
bool read_proof::apply(part of, const sql_name& name, const catalogue_facts::row& fact) {
    const auto& [said, definition] = fact;
    switch (of) {
        case part::function:
        case part::operator_:
            if (said == "ok") return true;
            return refute((said == "missing" ? "unknown: " : "volatile: ") + name.name), false;
        case part::relation: return judge_relation(name, said, definition);
        case part::unnamed: return judge_definition("SELECT ", definition);  // a domain's check
        case part::harmless:
        case part::attribute: break;
    }
    return true;
}

/// Remembers an answer that refutes nothing, unless the schema has changed since it was asked for. What is missing may be
/// created, and what is not ASCII means something else in another encoding: both are asked again.
void read_proof::learn(const std::vector<row>& rows) {
    if (facts_ == nullptr || facts_->version() != version_) return;
    const auto tells = [](const row& each) {
        return *each[2] != "missing" && is_ascii(*each[2]) && (!each[3] || is_ascii(*each[3]));
    };
    const auto store = [&](part of, char letter, const std::vector<sql_name>& names) {
        std::vector<std::vector<catalogue_facts::row>> found(names.size());
        std::vector<bool> clear(names.size(), true);
        for (const row& each : rows) {
            if (each[0]->front() != letter) continue;
            const std::size_t number = *number_of(each[1]);
            clear[number] = clear[number] && tells(each);
            found[number].emplace_back(*each[2], each[3]);
        }
        for (std::size_t i = 0; i < names.size(); ++i)
            if (clear[i] && is_ascii(names[i].name) && is_ascii(names[i].schema))
                facts_->learn(of, host_, names[i], std::move(found[i]));
    };
    store(part::function, 'f', asked_.functions);
    store(part::operator_, 'o', asked_.operators);
    store(part::relation, 'r', asked_.relations);
    store(part::harmless, 'h', asked_.harmless);  // no rows: they are what they seem
    store(part::attribute, 'a', asked_.attributes);
    if (asks_unnamed_) store(part::unnamed, 'd', {sql_name{}});
}

void read_proof::answer(const std::vector<row>& rows) {
    if (now_ != verdict::ask) return;
    tally answered(asked_);
    encoding_known_ = false;
    for (const row& each : rows)
        if (!judge(each, answered)) return;
    if (!encoding_known_ || !answered.complete()) return refute("an answer with holes");
    if (!judge_encoding()) return;
    learn(rows);
    asks_unnamed_ = false;
    if (next_.empty()) {
        now_ = verdict::proven;
        asked_ = {};
    } else if (++rounds_ >= max_rounds) {
        refute("views nested too deeply");
    } else {
        ask_next();
    }
}

/// False if it is decided. The row's columns: part, number, verdict, text.
bool read_proof::judge(const row& each, tally& answered) {
    const auto odd = [&] {
        refute("an answer of odd form");
        return false;
    };
    if (each.size() != 4 || !each[0] || each[0]->size() != 1 || !each[2]) return odd();
    const std::optional<std::size_t> number = number_of(each[1]);
    if (!number) return odd();
    const std::string& said = *each[2];
    const auto named = [&](const std::vector<sql_name>& names, std::vector<bool>& marks) {
        if (*number >= names.size()) return odd();
        marks[*number] = true;
        return apply(part::function, names[*number], {said, std::nullopt});
    };
    switch (each[0]->front()) {
        case 'e':
            if (!each[3] || encoding_known_) return odd();
            encoding_known_ = true;
            client_encoding_ = said;
            server_encoding_ = *each[3];
            return true;
        case 'f': return named(asked_.functions, answered.functions);
        case 'o': return named(asked_.operators, answered.operators);
        case 'r':
            if (*number >= asked_.relations.size()) return odd();
            answered.relations[*number] = true;
            return judge_relation(asked_.relations[*number], said, each[3]);
        case 'd':
            if (++answered.checks > max_domain_checks) return refute("too many domains"), false;
            return judge_definition("SELECT ", each[3]);
        case 'c': return refute("volatile: a " + said), false;
        case 'h':
        case 'a': return refute("volatile: " + said), false;
        default: return odd();
    }
}

bool read_proof::judge_relation(const sql_name& name, std::string_view kind,
                                const std::optional<std::string>& definition) {
    if (kind == "missing" && name.maybe_cte) return true;
    if (kind == "r" || kind == "p" || kind == "m") return true;
    if (kind == "v") return judge_definition("", definition);
    refute(std::string(kind == "missing" ? "unknown" : "not a plain table") + ": " + name.name);
    return false;
}

bool read_proof::judge_definition(std::string_view prefix, const std::optional<std::string>& sql) {
    if (!sql || sql->empty()) return refute("a definition not readable"), false;
    if (sql->size() > max_definition) return refute("a definition too large"), false;
    definition_bytes_ += sql->size();
    if (definition_bytes_ > max_definitions) return refute("definitions too large"), false;
    absorb(classify_statements(std::string(prefix) + *sql));
    return now_ == verdict::ask;
}

bool read_proof::judge_encoding() {
    if (!whole_ascii_ && hides_ascii(client_encoding_)) return refute("encoding " + client_encoding_), false;
    if (!names_ascii_ && !folds_only_ascii(server_encoding_)) return refute("encoding " + server_encoding_), false;
    return true;
}

}  // namespace pgsteady
