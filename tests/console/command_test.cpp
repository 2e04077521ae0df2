// What operators type into the console, taken apart.
#include "proxy/console/command.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

std::vector<console_command> commands_of(std::string_view text) {
    const console_script script = parse_console_text(text);
    REQUIRE_MESSAGE(!script.error, text);
    return script.commands;
}

console_command command_of(std::string_view text) {
    const std::vector<console_command> all = commands_of(text);
    REQUIRE(all.size() == 1);
    return all.front();
}

error_fields error_of(std::string_view text) {
    const console_script script = parse_console_text(text);
    REQUIRE_MESSAGE(script.error, text);
    CHECK(script.commands.empty());
    return *script.error;
}

std::string position_of(const error_fields& error) {
    for (const auto& [code, value] : error.others)
        if (code == 'P') return value;
    return {};
}

using verb = console_verb;

}  // namespace

TEST_CASE("words are case-insensitive, names are taken as they are written") {
    CHECK(command_of("show pools") == console_command{verb::show, "POOLS"});
    CHECK(command_of("SHOW Stats_Totals;") == console_command{verb::show, "STATS_TOTALS"});
    CHECK(command_of("pause MyShop") == console_command{verb::pause, "MyShop"});
    CHECK(command_of("PAUSE") == console_command{verb::pause});
    CHECK(command_of("KILL \"my shop\"") == console_command{verb::kill, "my shop"});
    CHECK(command_of("kill 'it''s'") == console_command{verb::kill, "it's"});
    CHECK(command_of("kill \"a\"\"b\"") == console_command{verb::kill, "a\"b"});
    CHECK(command_of("RESUME shop-2024.eu") == console_command{verb::resume, "shop-2024.eu"});
    CHECK(command_of("KILL_CLIENT 4711") == console_command{verb::kill_client, "4711"});
    CHECK(command_of("shutdown wait_for_servers") == console_command{verb::shutdown, "WAIT_FOR_SERVERS"});
}

TEST_CASE("SET is read with =, with TO and with nothing between") {
    const console_command expected{verb::set, "log.level", "debug"};
    CHECK(command_of("SET log.level = debug") == expected);
    CHECK(command_of("SET log.level='debug'") == expected);
    CHECK(command_of("SET log.level TO debug;") == expected);
    CHECK(command_of("SET log.level debug") == expected);
    CHECK(error_of("SET").message == "SET needs a key");
    CHECK(error_of("SET x =").message == "SET needs a value");
}

TEST_CASE("comments, blanks and empty commands are nothing") {
    CHECK(commands_of("").empty());
    CHECK(commands_of(" ;; \n\t ;").empty());
    CHECK(commands_of("-- nothing\n /* and /* nested */ nothing */").empty());
    CHECK(command_of("/* who */ SHOW -- what\n POOLS").target == "POOLS");
    CHECK(command_of("PAUSE a--b").target == "a");
}

TEST_CASE("several commands of one text come in order, and none does if one cannot be read") {
    CHECK(commands_of("PAUSE a; RECONNECT a; RESUME a").size() == 3);
    CHECK(error_of("PAUSE a; PAUZE b").sqlstate == "42601");
    std::string many;
    for (std::size_t i = 0; i < console_commands_max; ++i) many += "SHOW POOLS;";
    CHECK(commands_of(many).size() == console_commands_max);
    CHECK(error_of(many + "SHOW POOLS").sqlstate == "54000");
}

TEST_CASE("what cannot be read is answered with 42601, the place, and a hint") {
    const error_fields unknown = error_of("  PAUZE shop");
    CHECK(unknown.sqlstate == "42601");
    CHECK(unknown.message == "unknown command \"PAUZE\"");
    CHECK(unknown.hint.find("PAUSE") != std::string::npos);
    CHECK(unknown.hint.find("SHOW HELP") != std::string::npos);
    CHECK(position_of(unknown) == "3");
    CHECK(position_of(error_of("SHOW \"\xc3\xa4\xc3\xb6\" x")) == "11");  // in characters, not in bytes
    CHECK(error_of("SHOW").message == "SHOW what?");
    CHECK(error_of("KILL").message == "KILL needs the name of a database");
    CHECK(error_of("KILL ''").message == "KILL needs the name of a database");
    CHECK(error_of("KILL_CLIENT bob").message == "KILL_CLIENT needs the number of a client");
    CHECK(error_of("RELOAD now").message == "syntax error at or near \"now\"");
    CHECK(error_of("SHOW POOLS (1)").message == "syntax error at or near \"(\"");
    CHECK(error_of("PAUSE \"a").message == "unterminated quoted name");
    CHECK(error_of("PAUSE 'a").message == "unterminated quoted string");
    CHECK(error_of("PAUSE /* a /* b */").message == "unterminated comment");
    CHECK(error_of("select 1").message == "unknown command \"select\"");
}

TEST_CASE("drivers that open transactions are told what to change") {
    const error_fields refused = error_of("BEGIN");
    CHECK(refused.message == "the console has no transactions");
    CHECK(refused.hint.find("autocommit") != std::string::npos);
}

TEST_CASE("hostile bytes in an error are made printable and short") {
    const error_fields refused = error_of(std::string("\xff\x80") + std::string(5000, 'x'));
    CHECK(refused.message.size() < 200);
    CHECK(refused.message.find('\xff') == std::string::npos);
}

TEST_CASE("D37, P10: looking needs no admin user, everything else does") {
    CHECK_FALSE(changes_something(command_of("SHOW POOLS")));
    CHECK_FALSE(changes_something(command_of("WAIT_CLOSE")));
    for (const char* text : {"PAUSE", "RESUME", "RECONNECT", "KILL a", "KILL_CLIENT 1", "DISABLE a", "ENABLE a",
                             "RELOAD", "SHUTDOWN", "SUSPEND", "SET a b"})
        CHECK_MESSAGE(changes_something(command_of(text)), text);
}
