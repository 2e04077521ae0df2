// What is remembered of the catalogue, and what ends it: age, a change of the schema, another host, want of room.
#include "proxy/sql/catalogue_facts.hpp"

#include "proxy/sql/read_proof.hpp"

#include "tests/support/proof_answers.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

using namespace pgsteady;
using namespace pgsteady::testing;
using namespace std::chrono_literals;
using part = catalogue_facts::part;
using verdict = read_proof::verdict;

namespace {

const catalogue_facts::time_point start{100h};

catalogue_facts some(std::size_t bytes = 1024 * 1024) {
    catalogue_facts facts;
    facts.set_limits(bytes, 60s);
    facts.set_time(start);
    return facts;
}

/// Everything is harmless unless told otherwise; a view's definition is given.
struct database {
    std::map<std::string, std::string> told;   // name to verdict or kind
    std::map<std::string, std::string> views;  // name to definition
    std::vector<read_proof::row> more;
    int questions = 0;

    [[nodiscard]] std::string decide(std::string_view sql, catalogue_facts* facts, std::size_t host = 0) {
        questions = 0;
        read_proof proof(classify_statements(sql), facts, host);
        while (proof.now() == verdict::ask) {
            const std::string question = proof.query();
            std::vector<read_proof::row> rows = answer_proof(question, [this](char of, const std::string& name) {
                if (told.contains(name)) return told.at(name);
                return of == 'r' ? std::string(views.contains(name) ? "v" : "r") : std::string("ok");
            });
            const std::vector<std::string> names = names_in_proof(question, 'r');
            for (read_proof::row& each : rows)
                if (each[0] == "r" && each[2] == "v") each[3] = views.at(names[std::stoul(*each[1])]);
            rows.insert(rows.end(), more.begin(), more.end());
            ++questions;
            proof.answer(rows);
        }
        return proof.now() == verdict::proven ? "proven" : proof.reason();
    }
};

}  // namespace

TEST_CASE("D20: what was asked once is not asked again, whatever text it is part of") {
    catalogue_facts facts = some();
    database db;
    CHECK(db.decide("SELECT lower(a) FROM t WHERE b @> c", &facts) == "proven");
    CHECK(db.questions == 1);
    CHECK(db.decide("SELECT lower(a) FROM t WHERE b @> c", &facts) == "proven");
    CHECK(db.questions == 0);
    CHECK(db.decide("SELECT b FROM t WHERE lower(a) = 'x' ORDER BY 1", &facts) == "proven");
    CHECK(db.questions == 0);
    CHECK(db.decide("SELECT lower(a), upper(a) FROM t", &facts) == "proven");  // one name that is new
    CHECK(db.questions == 1);
    CHECK(db.decide("SELECT app.lower(a) FROM t", &facts) == "proven");  // not the one without a schema
    CHECK(db.questions == 1);
    CHECK(facts.bytes() > 0);
}

TEST_CASE("D20: a view is looked through again from what is known") {
    catalogue_facts facts = some();
    database db;
    db.views = {{"v", "SELECT f(a) FROM w"}, {"w", "SELECT g(a) FROM t"}};
    CHECK(db.decide("SELECT * FROM v", &facts) == "proven");
    CHECK(db.questions == 3);
    CHECK(db.decide("SELECT count(*) FROM v", &facts) == "proven");
    CHECK(db.questions == 1);  // count
    CHECK(db.decide("SELECT count(*) FROM w", &facts) == "proven");
    CHECK(db.questions == 0);
    db.told = {{"g", "volatile"}};
    facts.set_version(1);
    CHECK(db.decide("SELECT * FROM v", &facts) == "volatile: g");
    CHECK(db.decide("SELECT * FROM v", &facts) == "volatile: g");  // what was learned on the way does not hide it
}

TEST_CASE("D20: views that name each other in a circle are no endless tale, known or not") {
    catalogue_facts facts = some();
    database db;
    db.views = {{"v", "SELECT * FROM w"}, {"w", "SELECT * FROM v"}};
    CHECK(db.decide("SELECT * FROM v", &facts) == "proven");
    CHECK(db.decide("SELECT * FROM w", &facts) == "proven");
    CHECK(db.questions == 0);
}

TEST_CASE("what was learned ends with its age, a change of the schema, and is another host's affair") {
    catalogue_facts facts = some();
    database db;
    const auto asks = [&](std::size_t host = 0) {
        CHECK(db.decide("SELECT lower(a) FROM t", &facts, host) == "proven");
        return db.questions == 1;
    };
    CHECK(asks());
    CHECK_FALSE(asks());
    facts.set_time(start + 59s);
    CHECK_FALSE(asks());
    facts.set_time(start + 60s);
    CHECK(asks());
    CHECK_FALSE(asks());
    facts.set_version(7);
    CHECK(asks());
    facts.set_version(7);
    CHECK_FALSE(asks());
    CHECK(asks(1));
    CHECK_FALSE(asks(1));
    CHECK_FALSE(asks(0));
    facts.forget();
    CHECK(asks(1));
}

TEST_CASE("an answer that was asked for before the schema changed is not remembered") {
    catalogue_facts facts = some();
    read_proof proof(classify_statements("SELECT lower(a) FROM t"), &facts);
    REQUIRE(proof.now() == verdict::ask);
    const auto rows =
        answer_proof(proof.query(), [](char of, const std::string&) { return std::string(of == 'r' ? "r" : "ok"); });
    facts.set_version(1);
    proof.answer(rows);
    CHECK(proof.now() == verdict::proven);  // it was true when it was asked, as ever
    CHECK(facts.size() == 0);
}

TEST_CASE("what refutes is asked again: it may be gone, or be created") {
    catalogue_facts facts = some();
    database db;
    db.told = {{"f", "volatile"}, {"gone", "missing"}, {"c", "missing"}};
    CHECK(db.decide("SELECT f()", &facts) == "volatile: f");
    CHECK(db.decide("SELECT gone()", &facts) == "unknown: gone");
    CHECK(db.decide("WITH c AS (SELECT 1) SELECT * FROM c", &facts) == "proven");
    CHECK(db.decide("WITH c AS (SELECT 1) SELECT * FROM c", &facts) == "proven");
    CHECK(db.questions == 1);  // a relation of that name may be there by now
    db.told.clear();
    CHECK(db.decide("SELECT f()", &facts) == "proven");
    CHECK(db.decide("SELECT gone()", &facts) == "proven");
}

TEST_CASE("the checks of domains are looked at whenever a text is, and remembered with the rest") {
    catalogue_facts facts = some();
    database db;
    db.more = {{"d", "0", "check", "valid(VALUE)"}};
    CHECK(db.decide("SELECT a FROM t", &facts) == "proven");
    CHECK(db.questions == 2);  // valid() was asked about, too
    db.more.clear();
    CHECK(db.decide("SELECT a FROM t", &facts) == "proven");
    CHECK(db.questions == 0);
}

TEST_CASE("texts and answers that are not ASCII are asked about each time") {
    catalogue_facts facts = some();
    database db;
    CHECK(db.decide("SELECT lower('\xc3\xa4') FROM t", &facts) == "proven");
    CHECK(facts.size() == 0);
    CHECK(db.decide("SELECT lower('\xc3\xa4') FROM t", &facts) == "proven");
    CHECK(db.questions == 1);
    db.views = {{"v", "SELECT '\xc3\xa4'"}};
    CHECK(db.decide("SELECT * FROM v", &facts) == "proven");
    CHECK(db.decide("SELECT * FROM v", &facts) == "proven");
    CHECK(db.questions == 1);
}

TEST_CASE("P59: what is remembered is bounded, and 0 is nothing") {
    catalogue_facts facts = some(20'000);
    for (int number = 0; number < 10'000; ++number) {
        facts.learn(part::function, 0, {"", "f" + std::to_string(number), false}, {{"ok", std::nullopt}});
        CHECK(facts.bytes() <= 20'000);
        CHECK(facts.size() <= 100);
    }
    CHECK(facts.find(part::function, 0, {"", "f9999", false}) != nullptr);
    const std::size_t before = facts.bytes();
    facts.learn(part::function, 0, {"", "f9999", false}, {{"ok", std::nullopt}});
    CHECK(facts.bytes() == before);
    facts.learn(part::relation, 0, {"", "v", false}, {{"v", std::string(30'000, 'x')}});
    CHECK(facts.find(part::relation, 0, {"", "v", false}) == nullptr);
    facts.set_limits(1024, 0ms);
    CHECK(facts.size() == 0);
    facts.learn(part::function, 0, {"", "f", false}, {{"ok", std::nullopt}});
    CHECK(facts.size() == 0);
    CHECK(facts.bytes() == 0);
}
