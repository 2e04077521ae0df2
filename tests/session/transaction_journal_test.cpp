// The journal of an open transaction, and what can be read from it.
#include "proxy/session/transaction_journal.hpp"

#include "proxy/session/recovery_plan.hpp"

#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

/// The texts, joined; "?" if they cannot be known. `outside`: what every name meant before.
std::string texts_of(const std::string& frames, const std::string& outside = "outer") {
    std::vector<std::string> texts;
    const statement_text text_of = [&](std::string_view name) {
        return name.empty() ? std::string_view() : std::string_view(outside);
    };
    if (!executed_texts(frames, text_of, texts)) return "?";
    std::string all;
    for (const std::string& each : texts) all += (all.empty() ? "" : ", ") + each;
    return all;
}

std::string run(const std::string& portal, const std::string& statement) {
    return client::bind(portal, statement) + client::execute(portal);
}

}  // namespace

TEST_CASE("journal: nothing of it, or all of it, within its limit") {
    journal_budget budget;
    transaction_journal journal;
    CHECK_FALSE(journal.active());
    const std::string one = client::query("begin");
    const std::string two = client::query("select 1");
    journal.add(one, 0, one.size() + two.size(), budget);
    journal.add(two, 0, one.size() + two.size(), budget);
    CHECK(journal.complete());
    CHECK(journal.frames() == one + two);
    journal.add(one, 0, one.size() + two.size(), budget);
    CHECK(journal.active());
    CHECK_FALSE(journal.complete());
    CHECK(journal.frames().empty());
    journal.add(one, 0, 1000, budget);
    CHECK_FALSE(journal.complete());
    journal.end();
    CHECK_FALSE(journal.active());
}

TEST_CASE("journal: requests before the transaction are left out") {
    journal_budget budget;
    transaction_journal journal;
    const std::string before = client::query("select 1") + client::parse("", "x") + client::sync();
    journal.add(before + client::query("begin"), 2, 1000, budget);
    CHECK(journal.frames() == client::query("begin"));
    CHECK(first_requests(before + client::query("begin"), 2) == before);
}

TEST_CASE("journal: texts of both protocols, portals that outlive their segment") {
    const std::string begin = client::query("begin");
    CHECK(texts_of(begin + client::query("select 1")) == "begin, select 1");
    CHECK(texts_of(client::parse("", "begin") + run("", "") + client::parse("a", "two") + run("", "a") +
                   client::sync()) == "begin, two");
    CHECK(texts_of(begin + run("", "a") + client::sync()) == "begin, outer");
    CHECK(texts_of(client::parse("", "one") + client::bind("p", "") + client::execute("p", 1) + client::sync() +
                   client::execute("p", 1) + client::sync()) == "one, one");
}

TEST_CASE("journal: what is not known for sure is not known at all") {
    CHECK(texts_of(run("", "") + client::sync()) == "?");           // prepared before, without a name
    CHECK(texts_of(client::execute("p") + client::sync()) == "?");  // a portal from nowhere
    CHECK(texts_of(client::function_call(1)) == "?");
    CHECK(texts_of(client::query("copy a from stdin") + client::copy_done()) == "?");
    CHECK(texts_of(run("", "a") + client::close_statement("a") + client::sync()) == "?");  // may mean another by now
    CHECK(texts_of(run("", "a") + client::parse("a", "new") + client::sync()) == "?");
    CHECK(texts_of(client::parse("a", "x") + run("", "a") + client::close_statement("a") + client::sync()) == "x");
    CHECK(texts_of(client::query("begin").substr(0, 7)) == "?");
    CHECK(texts_of(client::parse("", "begin") + run("", "")) == "?");  // a segment without its end
}
