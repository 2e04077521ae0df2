// What a transaction has left a client's settings at, where its savepoints or the server's reports say it: the server is not
// asked, and a server that dies behind the transaction's last ReadyForQuery takes no secret with it (R12).
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string run(const std::string& sql) {
    return client::parse("", sql) + client::bind("", "") + client::execute("") + client::sync();
}

std::string shown(session_driver& app, const std::string& name) {
    for (const frame& each : split_frames(app.ask(client::query("show " + name))))
        if (each.type == 'D') return each.body.substr(6);
    return app.closed ? "closed" : "nothing";
}

struct told {
    std::string value;
    bool asked = false;
};

/// What work_mem is for the client behind these requests and the loss of its server, and whether that was asked for.
told behind(const std::vector<std::string>& texts, bool extended) {
    session_world world(2);
    session_driver app(world);
    for (const std::string& each : texts) app.send(extended ? run(each) : client::query(each));
    (void)app.received();
    told found;
    for (const auto& [sql, times] : world.database.executions)
        found.asked |= sql.find("current_setting") != std::string::npos && sql.find("work_mem") != std::string::npos;
    world.replace(*world.servers.front());
    session_driver(world).send(client::query("set work_mem = '77MB'"));
    found.value = shown(app, "work_mem");
    return found;
}

const std::vector<std::string> opening = {"begin", "set work_mem = '1MB'", "savepoint a", "set work_mem = '2MB'"};

std::vector<std::string> then(std::vector<std::string> more) {
    more.insert(more.begin(), opening.begin(), opening.end());
    return more;
}

}  // namespace

TEST_CASE("P36, R12: what savepoints did to settings is followed, and the server is not asked") {
    struct story {
        std::vector<std::string> texts;
        std::string value;
    };
    const std::vector<story> stories = {
        {then({"rollback to a", "commit"}), "1MB"},
        {then({"release a", "commit"}), "2MB"},
        {then({"rollback to a", "rollback"}), "4MB"},
        {then({"savepoint b", "set work_mem = '3MB'", "rollback to savepoint a", "commit"}), "1MB"},
        {then({"savepoint b", "set work_mem = '3MB'", "rollback to b", "commit"}), "2MB"},
        {then({"savepoint a", "set work_mem = '3MB'", "rollback to a", "release a", "rollback to a", "commit"}), "1MB"},
        {then({"reset work_mem", "rollback to a", "commit"}), "1MB"},
        {then({"nonsense", "rollback to a", "commit"}), "1MB"},
        {then({"rollback to a", "commit and chain", "set work_mem = '5MB'", "rollback"}), "1MB"},
        {then({"rollback and chain", "commit"}), "4MB"},
        {{"begin", "savepoint early", "set work_mem = '1MB'", "rollback to early", "commit"}, "4MB"},
        {{"begin", "set work_mem = '1MB'", "savepoint a", "commit", "begin", "set work_mem = '2MB'", "savepoint b",
          "rollback to b", "commit"},
         "2MB"},
    };
    for (const story& each : stories) {
        for (const bool extended : {false, true}) {
            std::string all;
            for (const std::string& text : each.texts) all += text + "; ";
            CAPTURE(all);
            CAPTURE(extended);
            const told found = behind(each.texts, extended);
            CHECK(found.value == each.value);
            CHECK_FALSE(found.asked);
        }
    }
}

TEST_CASE("P36: where a text was not looked at, or several savepoints stand in it, the server says what is set") {
    const std::vector<std::vector<std::string>> stories = {
        then({"savepoint b; rollback to a", "commit"}),
        then({"savepoint b; select 'x'", "set work_mem = '3MB'", "rollback to b", "commit"}),
        then({"savepoint b; select error('22012')", "rollback to a", "commit"}),
    };
    const std::vector<std::string> due = {"1MB", "2MB", "1MB"};
    for (std::size_t i = 0; i < stories.size(); ++i) {
        CAPTURE(i);
        const told found = behind(stories[i], false);
        CHECK(found.value == due[i]);
        CHECK(found.asked);
    }
    // Prepared before anything was set, so that nobody has looked for savepoints in it.
    session_world world(1);
    session_driver app(world);
    (void)app.ask(client::parse("to", "rollback to a") + client::parse("save", "savepoint a") + client::sync());
    const auto execute = [](const char* name) { return client::bind("", name) + client::execute("") + client::sync(); };
    (void)app.ask(client::query("begin") + client::query("set work_mem = '1MB'") + execute("save") +
                  client::query("set work_mem = '2MB'") + execute("to") + client::query("commit"));
    CHECK(shown(app, "work_mem") == "1MB");
}

TEST_CASE("R12: a server that dies while it is asked for what it has reported by itself ends nobody's session") {
    for (const std::string name : {"timezone", "work_mem"}) {
        for (const bool goes_on : {false, true}) {
            CAPTURE(name);
            CAPTURE(goes_on);
            const std::string text = client::parse("", "select set_config('" + name + "', $1, false)") +
                                     client::bind("", "", {"9MB"}) + client::execute("") + client::sync();
            session_world calm(1);
            session_driver shows(calm);
            const std::string answer = shows.ask(text);
            REQUIRE(types_of(answer).ends_with("Z"));
            session_world world(2);
            session_driver app(world);
            app.lets_through = answer.size();  // and not what it is asked by us
            CHECK(app.ask(text) == answer);
            REQUIRE(app.server != nullptr);
            if (goes_on) app.send(client::query("begin; set local " + name + " = '8MB'"));
            app.lets_through = loss_plan::never;
            app.lose_server();
            app.run();
            (void)app.received();
            CHECK(app.closed == (name == "work_mem"));
            if (goes_on && !app.closed) (void)app.ask(client::query("rollback"));
            if (!app.closed) CHECK(shown(app, name) == "9MB");
        }
    }
}
