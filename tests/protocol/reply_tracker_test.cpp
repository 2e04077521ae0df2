// The tracker as a table: what was sent, as letters; what the server said, as letters; what each of
// them was taken for. Sending:  P B D E C  S(ync) Q(uery) F(unction call) d(ata) e(nd of data)
// L(ocal reply);  before a letter, ! means injected by us and * means noted. Receiving: the type bytes
// of the protocol. Verdicts: + the client's, - ours, ? unexpected, Z the client's own ReadyForQuery.
#include "protocol/reply_tracker.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace pgsteady;

namespace {

owed kind_of(char letter) {
    switch (letter) {
        case 'P': return owed::parse;
        case 'B': return owed::bind;
        case 'D': return owed::describe;
        case 'E': return owed::execute;
        case 'C': return owed::close;
        case 'S': return owed::sync;
        case 'Q': return owed::query;
        case 'F': return owed::function_call;
        case 'd': return owed::copy_data;
        case 'e': return owed::copy_end;
        default: return owed::local_reply;
    }
}

char letter_of(owed kind) {
    constexpr std::string_view letters = "PBCDEQFSdeL";
    return letters[static_cast<std::size_t>(kind)];
}

void push(reply_tracker& tracker, std::string_view letters) {
    bool injected = false;
    bool noted = false;
    for (const char letter : letters) {
        if (letter == '!') injected = true;
        else if (letter == '*') noted = true;
        else if (letter == 'L') tracker.push_local();
        else if (letter != ' ') {
            tracker.push(kind_of(letter), injected, noted);
            injected = noted = false;
        }
    }
}

std::string feed(reply_tracker& tracker, std::string_view types) {
    std::string verdicts;
    for (const char type : types) {
        if (type == ' ') continue;
        const reply_meaning meaning = tracker.react(type);
        switch (meaning.what) {
            case reply_meaning::verdict::forward: verdicts += meaning.client_ready ? 'Z' : '+'; break;
            case reply_meaning::verdict::swallow: verdicts += '-'; break;
            case reply_meaning::verdict::unexpected: verdicts += '?'; break;
        }
    }
    return verdicts;
}

/// What has been settled since the last look: letter and outcome (d)one, (f)ailed, (s)kipped.
std::string settled(reply_tracker& tracker) {
    std::string text;
    for (const settled_reply& each : tracker.settled()) {
        if (!text.empty()) text += ' ';
        text += letter_of(each.entry.kind);
        text += each.how == outcome::done ? 'd' : each.how == outcome::failed ? 'f' : 's';
    }
    tracker.clear_settled();
    return text;
}

struct row {
    std::string_view sent;
    std::string_view received;
    std::string_view taken_for;
};

void check_rows(std::initializer_list<row> rows) {
    for (const row& each : rows) {
        CAPTURE(each.sent);
        CAPTURE(each.received);
        reply_tracker tracker;
        push(tracker, each.sent);
        CHECK(feed(tracker, each.received) == each.taken_for);
        CHECK(tracker.empty());
        CHECK_FALSE(tracker.skipping());
        CHECK_FALSE(tracker.ambiguous());
        CHECK_FALSE(tracker.copying_in());
    }
}

}  // namespace

TEST_CASE("P21: a simple query is over at its ReadyForQuery, whatever it holds") {
    check_rows({
        {"Q", "TDDCZ", "++++Z"},
        {"Q", "IZ", "+Z"},
        {"Q", "CZ", "+Z"},
        {"Q", "EZ", "+Z"},
        {"Q", "TDDEZ", "++++Z"},
        {"Q", "TDCTDCEZ", "+++++++Z"},
        {"Q", "NSTDNSCSZ", "++++++++Z"},
        {"QQQ", "CZ EZ TDCZ", "+Z+Z+++Z"},
    });
}

TEST_CASE("P21: an extended segment is over at the ReadyForQuery of its Sync") {
    check_rows({
        {"PBDES", "12TDDCZ", "++++++Z"},
        {"PDS", "1tTZ", "+++Z"},
        {"PDS", "1tnZ", "+++Z"},
        {"DS", "nZ", "+Z"},
        {"BES", "2IZ", "++Z"},
        {"BEES", "2DDsDCZ", "++++++Z"},
        {"CS", "3Z", "+Z"},
        {"S", "Z", "Z"},
        {"SSS", "ZZZ", "ZZZ"},
        {"PBES BES BES", "12CZ 2CZ 2CZ", "+++Z++Z++Z"},
        {"PBE PBE PBE S", "12C12C12CZ", "+++++++++Z"},
        {"PBDESQ", "12nCZ TDCZ", "++++Z+++Z"},
    });
}

TEST_CASE("P18: after an error everything up to the next Sync owes nothing") {
    check_rows({
        {"PBDES", "EZ", "+Z"},
        {"PBDES", "1EZ", "++Z"},
        {"PBDES", "12TDEZ", "+++++Z"},
        {"PBE PBE S", "1 2 C 1 E Z", "+++++Z"},
        {"PBES PBES", "EZ 12CZ", "+Z+++Z"},
        {"PBES S BES", "1E Z Z 2CZ", "++ZZ++Z"},
        {"DS", "tEZ", "++Z"},
    });
}

TEST_CASE("P18: a Query inside a segment that failed is discarded with it") {
    reply_tracker tracker;
    push(tracker, "PQBES");
    CHECK(feed(tracker, "EZ") == "+Z");
    CHECK(tracker.empty());
}

TEST_CASE("P18: our Sync that answers a discarded Query is settled all the same") {
    reply_tracker tracker;
    push(tracker, "!P *Q !C !S");
    CHECK(feed(tracker, "EZ") == "+Z");
    CHECK(tracker.empty());
    CHECK(settled(tracker) == "Pf Qs Cs Sd");
}

TEST_CASE("P18: what is sent while the server skips is settled at once, and Sync ends it") {
    reply_tracker tracker;
    push(tracker, "PB");
    CHECK(feed(tracker, "E") == "+");
    CHECK(tracker.empty());
    CHECK(tracker.skipping());
    push(tracker, "*P B *E !C Q");
    CHECK(tracker.empty());
    CHECK(settled(tracker) == "Ps Es Cs");
    push(tracker, "S *P");
    CHECK(tracker.size() == 2);
    CHECK(feed(tracker, "Z1") == "Z+");
    CHECK(settled(tracker) == "Pd");
    CHECK_FALSE(tracker.skipping());
}

TEST_CASE("an error outside of an extended message does not skip: a Query and a function call go on to their Z") {
    check_rows({{"FQ", "EZ CZ", "+Z+Z"}, {"F", "VZ", "+Z"}, {"F", "NVSZ", "+++Z"}});
    reply_tracker tracker;
    push(tracker, "*Q");
    CHECK(feed(tracker, "EZ") == "+Z");
    CHECK(settled(tracker) == "Qf");
}

TEST_CASE("injected messages: their replies are ours, and so are notices and reports meanwhile") {
    reply_tracker tracker;
    push(tracker, "!Q PBES");
    CHECK(feed(tracker, "TDSNCZ") == "------");
    CHECK(settled(tracker) == "Qd");
    CHECK(feed(tracker, "12CZ") == "+++Z");
    push(tracker, "!P BES !C !Q");
    CHECK(feed(tracker, "1 2CZ 3 IZ") == "-++Z---");
    CHECK(settled(tracker) == "Pd Cd Qd");
    CHECK(tracker.empty());
}

TEST_CASE("an error in an injected extended message is the client's: its own message fails with it") {
    reply_tracker tracker;
    push(tracker, "!P B E S");
    CHECK(feed(tracker, "EZ") == "+Z");
    CHECK(settled(tracker) == "Pf");
}

TEST_CASE("an error in an injected Query stays with us") {
    reply_tracker tracker;
    push(tracker, "!Q Q");
    CHECK(feed(tracker, "EZ CZ") == "--+Z");
    CHECK(settled(tracker) == "Qf");
}

TEST_CASE("P22: a local reply keeps its place") {
    reply_tracker tracker;
    push(tracker, "L");
    CHECK(settled(tracker) == "Ld");
    push(tracker, "B E L L B");
    CHECK(settled(tracker).empty());
    CHECK(feed(tracker, "2") == "+");
    CHECK(settled(tracker).empty());
    CHECK(feed(tracker, "C") == "+");
    CHECK(settled(tracker) == "Ld Ld");
    push(tracker, "L S");
    CHECK(feed(tracker, "EZ") == "+Z");
    CHECK(settled(tracker) == "Ls");
    CHECK(tracker.empty());
}

TEST_CASE("P22: a local reply behind an error is skipped, behind a Sync it is not") {
    reply_tracker tracker;
    push(tracker, "P L S L S");
    CHECK(feed(tracker, "E") == "+");
    CHECK(settled(tracker) == "Ls");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(settled(tracker) == "Ld");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(tracker.empty());
}

TEST_CASE("P20: COPY in by Query") {
    check_rows({
        {"Q dde", "G CZ", "++Z"},  // the end was sent before the reply came
        {"Q dde Q", "G CZ CZ", "++Z+Z"},
        {"Q de", "G EZ", "++Z"},  // CopyFail, or bad data
        {"Q de", "EZ", "+Z"},     // COPY was refused: late data is ignored
        {"Q de Q", "EZ CZ", "+Z+Z"},
        {"Q dede", "G C G CZ", "++++Z"},  // two COPY in one string
        {"Q e", "G CZ", "++Z"},
    });
}

TEST_CASE("P20: COPY in by Query: data that arrives while the reply is under way") {
    reply_tracker tracker;
    push(tracker, "Q");
    CHECK(feed(tracker, "G") == "+");
    CHECK(tracker.copying_in());
    push(tracker, "dd");
    CHECK(feed(tracker, "E") == "+");
    push(tracker, "de");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(tracker.empty());
    CHECK_FALSE(tracker.ambiguous());
}

TEST_CASE("P20: Sync within COPY data by Query is ignored by the server") {
    check_rows({
        {"Q S d S e", "G CZ", "++Z"},
        {"Q S d e S", "G CZ Z", "++ZZ"},
    });
}

TEST_CASE("P20: COPY in by Execute, with Sync in every place") {
    check_rows({
        {"PBE d e S", "12G CZ", "++++Z"},     // as libpq does it
        {"PBE S d e S", "12G C Z", "++++Z"},  // Sync behind Execute is eaten by COPY
        {"PBE S d S e S", "12G CZ", "++++Z"},
        {"PBE d S e S", "12G CZ", "++++Z"},
        {"PBE S d e S", "12G EZ", "++++Z"},  // refused data: Sync behind the end counts
        {"PBE d e S", "12G EZ", "++++Z"},
        {"PBE d e S", "12EZ", "+++Z"},  // COPY was refused before it began
        {"PBE d e S", "1EZ", "++Z"},
        {"PBE d e S BES", "12G CZ 2CZ", "++++Z++Z"},
    });
}

TEST_CASE("P20: COPY refused before it began: the Sync right behind Execute counts, the data owes nothing") {
    reply_tracker tracker;
    push(tracker, "PBE S d e S");
    CHECK(feed(tracker, "12E") == "+++");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(tracker.empty());
    CHECK_FALSE(tracker.ambiguous());
}

TEST_CASE("P20: a Sync that COPY has eaten is still to come: the segment is open") {
    reply_tracker tracker;
    push(tracker, "PBE S d e");
    CHECK(feed(tracker, "12G") == "+++");
    CHECK_FALSE(tracker.wants_sync());
    CHECK(feed(tracker, "C") == "+");
    CHECK(tracker.empty());
    CHECK(tracker.wants_sync());
    push(tracker, "S");
    CHECK_FALSE(tracker.wants_sync());
    CHECK(feed(tracker, "Z") == "Z");
    CHECK_FALSE(tracker.wants_sync());
    push(tracker, "PBE S d e");
    CHECK(feed(tracker, "12G E") == "++++");
    CHECK(tracker.wants_sync());
    push(tracker, "S");
    CHECK(feed(tracker, "Z") == "Z");
    push(tracker, "PBE S d e S");
    CHECK(feed(tracker, "12GC") == "++++");
    CHECK_FALSE(tracker.wants_sync());
    CHECK(feed(tracker, "Z") == "Z");
    push(tracker, "Q S d e");
    CHECK(feed(tracker, "GCZ") == "++Z");
    CHECK_FALSE(tracker.wants_sync());
}

TEST_CASE("P20: COPY data that no COPY wants owes nothing, wherever it stands") {
    check_rows({
        {"de", "", ""},
        {"P de B de E de S de", "12CZ", "+++Z"},
        {"P de B S", "EZ", "+Z"},
        {"F de S", "VZ Z", "+ZZ"},
        {"S de Q", "Z CZ", "Z+Z"},
        {"Q de Q", "TDCZ CZ", "+++Z+Z"},
        {"Q S de", "EZ Z", "+ZZ"},
        {"D de S", "nZ", "+Z"},
    });
}

TEST_CASE("P20: an error during COPY by Query with a Sync that it may have eaten is not to be reused") {
    const row rows[] = {{"Q d S de", "G E Z", "++Z"}, {"Q de d S de", "G C G E Z", "++++Z"}};
    for (const row& each : rows) {
        reply_tracker tracker;
        push(tracker, each.sent);
        CHECK(feed(tracker, each.received) == each.taken_for);
        CHECK(tracker.ambiguous());
    }
}

TEST_CASE("P20: an error during COPY with a Sync between the data cannot be counted: never to be reused") {
    reply_tracker tracker;
    push(tracker, "PBE d S d e S");
    CHECK(feed(tracker, "12G") == "+++");
    CHECK(feed(tracker, "E") == "+");
    CHECK(tracker.ambiguous());
}

TEST_CASE("P20: what of COPY data is sent while the server skips owes nothing") {
    reply_tracker tracker;
    push(tracker, "PBE");
    CHECK(feed(tracker, "12G") == "+++");
    push(tracker, "d");
    CHECK(feed(tracker, "E") == "+");
    push(tracker, "dde");
    CHECK(tracker.empty());
    push(tracker, "S");
    CHECK(feed(tracker, "Z") == "Z");
    CHECK(tracker.empty());
    CHECK_FALSE(tracker.ambiguous());
}

TEST_CASE("COPY out by Query and by Execute") {
    check_rows({
        {"Q", "HdddcCZ", "++++++Z"},
        {"Q", "HddEZ", "++++Z"},
        {"PBES", "12HddcCZ", "+++++++Z"},
        {"PBES", "12HdEZ", "+++++Z"},
    });
}

TEST_CASE("messages that nothing explains are unexpected: the connection has lost its step") {
    const row rows[] = {
        {"", "Z", "?"},  {"", "C", "?"},  {"", "D", "?"},  {"", "1", "?"},  {"", "V", "?"},  {"Q", "1", "?"},
        {"Q", "2", "?"}, {"Q", "3", "?"}, {"P", "2", "?"}, {"P", "C", "?"}, {"P", "D", "?"}, {"P", "Z", "?"},
        {"B", "1", "?"}, {"B", "G", "?"}, {"D", "C", "?"}, {"D", "D", "?"}, {"E", "1", "?"}, {"E", "Z", "?"},
        {"C", "C", "?"}, {"S", "C", "?"}, {"S", "D", "?"}, {"F", "C", "?"}, {"F", "D", "?"}, {"Q", "R", "?"},
        {"Q", "K", "?"}, {"Q", "x", "?"}, {"Q", "v", "?"}, {"", "R", "?"},  {"S", "T", "?"}, {"D", "G", "?"},
    };
    for (const row& each : rows) {
        CAPTURE(each.sent);
        CAPTURE(each.received);
        reply_tracker tracker;
        push(tracker, each.sent);
        CHECK(feed(tracker, each.received) == each.taken_for);
    }
}

TEST_CASE("P33: notices, reports and notifications come at any time") {
    reply_tracker tracker;
    CHECK(feed(tracker, "NSAE") == "++++");
    push(tracker, "PBES");
    CHECK(feed(tracker, "N1AS2NCAZ") == "++++++++Z");
    push(tracker, "!Q");
    CHECK(feed(tracker, "ANZ") == "+--");  // a notification is the client's, whoever asked
}

TEST_CASE("client_readies_owed counts the client's requests and nobody else's") {
    reply_tracker tracker;
    push(tracker, "!Q PBES Q F PBE");
    CHECK(tracker.client_readies_owed() == 3);
    CHECK(feed(tracker, "Z") == "-");
    CHECK(tracker.client_readies_owed() == 3);
    CHECK(feed(tracker, "12CZ") == "+++Z");
    CHECK(tracker.client_readies_owed() == 2);
}

TEST_CASE("a pipeline that never rests does not make the queue grow") {
    reply_tracker tracker;
    push(tracker, "BES");
    for (int i = 0; i < 10'000; ++i) {
        push(tracker, "BES");
        REQUIRE(feed(tracker, "2CZ") == "++Z");
        REQUIRE(tracker.size() == 3);
    }
    CHECK(feed(tracker, "2CZ") == "++Z");
    CHECK(tracker.empty());
}

TEST_CASE("any number of local replies may wait for their turn") {
    reply_tracker tracker;
    push(tracker, "BE");
    for (int i = 0; i < 500'000; ++i) tracker.push_local();
    CHECK(feed(tracker, "2C") == "++");
    CHECK(tracker.empty());
    CHECK(tracker.settled().size() == 500'000);
}

TEST_CASE("reset forgets everything") {
    reply_tracker tracker;
    push(tracker, "*P B E d S d e S");
    CHECK(feed(tracker, "1 2 G E") == "++++");
    tracker.reset();
    CHECK(tracker.empty());
    CHECK(tracker.settled().empty());
    CHECK_FALSE(tracker.skipping());
    CHECK_FALSE(tracker.copying_in());
    CHECK_FALSE(tracker.ambiguous());
}
