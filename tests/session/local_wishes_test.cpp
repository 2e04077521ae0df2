// SET LOCAL pgsteady.*: what one transaction wants of its own recovery, as its savepoints and its end have it (D40, P36).
#include "proxy/session/local_wishes.hpp"

#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

constexpr std::string_view retries = "pgsteady.max_retries";

/// What is left of these texts; "-": the session's own.
std::string left(const std::vector<std::string>& texts) {
    local_wishes wishes;
    for (const std::string& text : texts) wishes.note(analyse_effects(text));
    const std::string* const value = wishes.find(retries);
    return value != nullptr ? *value : "-";
}

std::string set(int value) { return "set local pgsteady.max_retries = " + std::to_string(value); }

std::uint32_t retries_of(session_driver& client) { return client.conversation.limits().max_retries; }

void ask(session_driver& client, const std::string& text) { (void)client.ask(client::query(text)); }

}  // namespace

TEST_CASE("P36: SET LOCAL is undone by ROLLBACK TO a savepoint in front of it, and by nothing less") {
    CHECK(left({set(1)}) == "1");
    CHECK(left({set(1), set(0)}) == "0");
    CHECK(left({set(1), "savepoint a", set(0)}) == "0");
    CHECK(left({set(1), "savepoint a", set(0), "rollback to a"}) == "1");
    CHECK(left({set(1), "savepoint a", set(0), "rollback to a", set(2), "rollback to savepoint a"}) == "1");
    CHECK(left({set(1), "savepoint a", "savepoint b", set(0), "rollback to a"}) == "1");
    CHECK(left({"savepoint a", set(1), "savepoint a", set(0), "rollback to a"}) == "1");
    CHECK(left({set(1), "savepoint a", set(0), "release a"}) == "0");
    CHECK(left({set(1), "savepoint a", "savepoint b", set(0), "release a", "savepoint b", set(2), "rollback to b"}) ==
          "0");
    CHECK(left({set(0), "rollback to from_before"}) == "-");
    CHECK(left({set(0), "release from_before", set(1)}) == "1");
}

TEST_CASE("P36: within one string, steps and settings count in their order") {
    CHECK(left({set(1) + "; savepoint a; " + set(0) + "; rollback to a"}) == "1");
    CHECK(left({"savepoint a; " + set(1) + "; rollback to a; " + set(2)}) == "2");
    CHECK(left({"begin; " + set(1)}) == "1");
}

TEST_CASE("D40: the transaction's end takes it, with or without a chain, and what is SET for the session covers it") {
    for (const char* end : {"commit", "rollback", "commit and chain", "rollback and chain", "prepare transaction 'g'"})
        CHECK(left({set(0), "savepoint a", end}) == "-");
    CHECK(left({set(0), "set pgsteady.max_retries = 2"}) == "-");
    CHECK(left({set(0), "reset pgsteady.max_retries"}) == "-");
    CHECK(left({set(0), "savepoint a", "set pgsteady.max_retries = 2", "rollback to a"}) == "0");
    CHECK(left({"select set_config('pgsteady.max_retries', '1', true)"}) == "1");
    CHECK(left({set(1), "select set_config('pgsteady.max_retries', random()::text, true)"}) == "1");
}

TEST_CASE("a transaction of very many savepoints is followed no further, and costs no more memory") {
    std::vector<std::string> texts = {set(0)};
    for (std::size_t i = 0; i < local_wishes::max_steps; ++i) texts.push_back("savepoint s" + std::to_string(i));
    CHECK(left(texts) == "-");
    texts.push_back(set(1));
    CHECK(left(texts) == "-");
    texts.emplace_back("commit");
    texts.push_back(set(1));
    CHECK(left(texts) == "1");
}

TEST_CASE("D40: SET LOCAL pgsteady.* lowers the limits of its transaction, and only of that") {
    session_world world(2);
    session_driver client(world);
    const std::uint32_t usual = retries_of(client);
    CHECK(usual > 1);
    ask(client, "begin");
    ask(client, set(0));
    CHECK(retries_of(client) == 0);
    ask(client, "savepoint a");
    ask(client, set(1));
    CHECK(retries_of(client) == 1);
    ask(client, "rollback to a");
    CHECK(retries_of(client) == 0);
    ask(client, "commit");
    CHECK(retries_of(client) == usual);
    ask(client, set(0));  // outside of a block it ends with its statement
    CHECK(retries_of(client) == usual);
    ask(client, "set pgsteady.max_retries = 1");
    CHECK(retries_of(client) == 1);
    ask(client, "begin; " + set(0));
    CHECK(retries_of(client) == 0);
    ask(client, "rollback");
    CHECK(retries_of(client) == 1);
    world.facts.retry.client_control = false;
    CHECK(retries_of(client) == usual);
}

TEST_CASE(
    "D40: without retries the COMMIT of a transaction is not proven on another server, nor are others kept from it") {
    for (const bool local : {true, false}) {
        session_world world(2);
        session_driver client(world);
        ask(client, "begin");
        if (local) ask(client, set(0));
        ask(client, "select 'a', upper('b')");
        world.plan.after_output = world.output_bytes;
        const std::string got = client.ask(client::query("commit"));
        CHECK((got.find("08007") != std::string::npos) == local);
        CHECK(got.back() == 'I');
        CHECK(retries_of(client) > 1);
    }
}

TEST_CASE(
    "a ROLLBACK TO that was prepared before anything was set takes everything back, since nobody knows how far it "
    "goes") {
    session_world world(1);
    session_driver client(world);
    const std::uint32_t usual = retries_of(client);
    (void)client.ask(client::parse("back", "rollback to a") + client::sync());
    ask(client, "begin");
    ask(client, set(0));
    ask(client, "savepoint a");
    (void)client.ask(client::bind("", "back") + client::execute("") + client::sync());
    CHECK(retries_of(client) == usual);
}
