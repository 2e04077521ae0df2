// The console's side of the protocol: what comes in, whole or in pieces, and what goes out.
#include "proxy/console/conversation.hpp"

#include "protocol/wire.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using step = console_conversation::step;

namespace {

std::string message(char type, std::string_view body) {
    std::string out;
    {
        const frame_builder frame(out, type);
        out += body;
    }
    return out;
}

std::string query(std::string_view text) { return message('Q', std::string(text) + '\0'); }

/// The types of the messages in `out`, in order.
std::string types_of(std::string_view out) {
    std::string types;
    while (out.size() >= 5) {
        wire_reader reader(out.substr(1));
        types += out.front();
        out.remove_prefix(1 + *reader.u32());
    }
    CHECK(out.empty());
    return types;
}

/// Feeds `in` in pieces of so many bytes, answering every command with an empty table.
std::string play(std::string_view in, std::size_t piece, std::vector<std::string>& commands, step& last) {
    console_conversation talk;
    std::string out;
    std::string held;
    last = step::need_more;
    while (last != step::close && (!in.empty() || last == step::run)) {
        if (last != step::run) {
            held += in.substr(0, piece);
            in.remove_prefix(std::min(piece, in.size()));
        }
        do {
            std::size_t used = 0;
            last = talk.feed(held, used, out);
            held.erase(0, used);
            if (last != step::run) break;
            commands.push_back(describe(talk.due()));
            talk.answer({.table = console_table{.columns = {{"a"}}}}, out);
        } while (true);
    }
    return out;
}

struct played {
    std::string types;
    std::vector<std::string> commands;
    step last = step::need_more;
};

/// The same whatever the pieces are.
played play(std::string_view in) {
    played whole;
    whole.types = types_of(play(in, in.size() + 1, whole.commands, whole.last));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}}) {
        played other;
        other.types = types_of(play(in, piece, other.commands, other.last));
        CHECK(other.types == whole.types);
        CHECK(other.commands == whole.commands);
        CHECK(other.last == whole.last);
    }
    return whole;
}

}  // namespace

TEST_CASE("the greeting has what drivers ask for, and ends in ReadyForQuery") {
    std::string out;
    console_conversation::welcome(out, "1.2.3");
    CHECK(types_of(out) == "SSSSSSSSSZ");
    for (const char* name : {"server_version", "client_encoding", "standard_conforming_strings", "DateStyle"})
        CHECK(out.find(name) != std::string::npos);
}

TEST_CASE("every command of a text is answered in turn, with one ReadyForQuery behind them") {
    const played seen = play(query("SHOW POOLS; PAUSE a"));
    CHECK(seen.commands == std::vector<std::string>{"SHOW POOLS", "PAUSE a"});
    CHECK(seen.types == "TCTCZ");
    CHECK(play(query("  ")).types == "IZ");
    CHECK(play(query("SHOW POOLS") + query("SHOW STATS")).types == "TCZTCZ");
}

TEST_CASE("an error ends the rest of its text and nothing else") {
    console_conversation talk;
    std::string out;
    std::size_t used = 0;
    const std::string in = query("PAUSE a; RESUME a");
    REQUIRE(talk.feed(in, used, out) == step::run);
    CHECK(used == in.size());
    CHECK(talk.feed({}, used, out) == step::run);  // still due
    talk.answer({.error = plain_error("3D000", "there is no database \"a\"")}, out);
    CHECK(types_of(out) == "EZ");
    CHECK(talk.feed({}, used, out) == step::need_more);
    CHECK(play(query("PAUZE") + query("SHOW POOLS")).types == "EZTCZ");
}

TEST_CASE("the extended protocol is refused once per segment, in its own terms") {
    const std::string segment = message('P', std::string("\0SHOW POOLS\0\0\0", 14)) + message('B', "x") +
                                message('D', "x") + message('E', "x") + message('S', "");
    CHECK(play(segment).types == "EZ");
    CHECK(play(segment + segment).types == "EZEZ");
    CHECK(play(segment + query("SHOW POOLS")).types == "EZTCZ");
    CHECK(play(message('S', "")).types == "Z");
    CHECK(play(message('F', "x")).types == "EZ");
    CHECK(play(message('P', "x") + query("SHOW POOLS") + message('S', "")).types == "EZ");
}

TEST_CASE("Terminate ends the conversation without a word") {
    const played seen = play(message('X', "") + query("SHOW POOLS"));
    CHECK(seen.last == step::close);
    CHECK(seen.types.empty());
}

TEST_CASE("P8: what is no message of the protocol ends it with 08P01") {
    for (const std::string& bad : {message('?', "x"), message('p', "secret"), std::string("Q\0\0\0\1x", 6),
                                   std::string("Q\x7f\xff\xff\xff", 5), message('Q', "no end")}) {
        const played seen = play(bad);
        CHECK(seen.last == step::close);
        CHECK(seen.types == "E");
    }
}

TEST_CASE("a text that is too long is refused before it has arrived") {
    console_conversation talk;
    std::string out;
    std::size_t used = 0;
    const std::string head = message('Q', std::string(console_conversation::message_max, 'x')).substr(0, 5);
    CHECK(talk.feed(head, used, out) == step::close);
    CHECK(types_of(out) == "E");
}

TEST_CASE("a table is described, its rows have NULLs, and hostile text in them is made printable") {
    console_table table;
    table.columns = {{"name"}, {"count", console_type::int4}, {"sum", console_type::numeric}};
    table.row().add("a\x01\xff").add(7).null();
    table.row().add("short");
    std::string out;
    append_answer(out, {.table = table, .notices = {console_notice("hear")}, .tag = "SHOW"});
    CHECK(types_of(out) == "NTDDC");
    CHECK(table.rows.front().cells().front() == "a\xef\xbf\xbd\xef\xbf\xbd");
    CHECK_FALSE(table.rows.front().cells().back().has_value());
}
