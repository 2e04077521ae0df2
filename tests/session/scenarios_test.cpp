// Every scenario, through the session, in every way that bytes and servers can arrive, against what the
// scripted server says directly. See tests/support/scenario.hpp for the language.
#include "tests/support/scenario.hpp"
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

const std::vector<scenario>& scenarios() {
    static const std::vector<scenario> all = all_scenarios(PGSTEADY_SOURCE_DIR "/tests/scenarios");
    return all;
}

/// Scenarios with large frames take too long a byte at a time.
bool is_bulky(const scenario& script) { return script.name.starts_with("large"); }

/// The answers to each step, straight from a server.
struct direct_run {
    explicit direct_run(const scenario& script) {
        scripted_server server(database, script.startup);
        reported = server.reported();
        for (const std::string& step : script.steps) answers.push_back(server.feed(step));
    }
    [[nodiscard]] std::string whole() const {
        std::string all;
        for (const std::string& each : answers) all += each;
        return all;
    }
    scripted_database database;
    std::map<std::string, std::string> reported;
    std::vector<std::string> answers;
};

void check_equal(const std::string& got, const std::string& wanted, const std::string& asked) {
    if (got == wanted) return;
    FAIL_CHECK("asked:\n"
               << describe(asked) << "direct:\n"
               << describe(wanted) << "through the session:\n"
               << describe(got));
}

void check_clean_end(session_world& world, session_driver& client) {
    client.send(client::terminate());
    CHECK(client.closed);
    for (const auto& server : world.servers) CHECK_FALSE(server->taken);
}

/// Step by step; `again`: what else is checked between steps.
void play(const scenario& script, session_world& world, session_driver& client) {
    const direct_run direct(script);
    for (std::size_t i = 0; i < script.steps.size() && !client.closed; ++i)
        check_equal(client.ask(script.steps[i]), direct.answers[i], script.steps[i]);
    CHECK(world.database.log == direct.database.log);
    check_clean_end(world, client);
}

/// Another client of the same pool, which does everything that could be left behind.
class noise {
public:
    explicit noise(session_world& world) : world_(world), direct_(database_) {
        client_ = std::make_unique<session_driver>(world);
    }

    void make(world_server& server) {
        if (busy_) return;
        busy_ = true;
        client_->only = &server;
        static const std::vector<std::string> pieces = {
            client::query("set application_name = 'noise'; set work_mem = '666MB'"),
            client::parse("a", "select 'noise a', $1") + client::bind("", "a", {"n"}) + client::execute("") +
                client::sync(),
            client::query("set datestyle = sql; set timezone = 'Pluto'; set search_path = noise"),
            client::parse("", "select 'noise unnamed'") + client::bind("", "") + client::execute("") + client::sync(),
            client::query("set role noise"),
            client::parse("b", "select error('22012')") + client::bind("", "b") + client::execute("") + client::sync(),
            client::query("begin; set local work_mem = '1kB'; select set_config('app.user', 'noise', false); commit"),
            client::query("select set_config('work_mem', upper('5kB'), false)"),
            client::close_statement("a") + client::parse("a", "select 'noise b'") + client::bind("", "a") +
                client::execute("") + client::sync(),
            client::query("select error('22012')"),
            client::query("set session authorization noise"),
            client::query("deallocate b"),
            client::query("reset all"),
            client::query("discard all"),
        };
        const std::string& piece = pieces[next_++ % pieces.size()];
        check_equal(client_->ask(piece), direct_.feed(piece), piece);
        CHECK(client_->server == nullptr);
        busy_ = false;
    }

private:
    session_world& world_;
    scripted_database database_;
    scripted_server direct_;
    std::unique_ptr<session_driver> client_;
    std::size_t next_ = 0;
    bool busy_ = true;

public:
    void begin() { busy_ = false; }
};

}  // namespace

TEST_CASE("scenarios: through a session as straight to the server") {
    REQUIRE(scenarios().size() > 10);
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        session_world world(1);
        session_driver client(world, script.startup);
        play(script, world, client);
    }
}

TEST_CASE("scenarios: what is told at sign-in is what the server would have told") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        session_world world(1);
        const direct_run direct(script);
        for (int round = 0; round < 2; ++round) {  // the second is welcomed from what is known
            session_driver client(world, script.startup);
            std::map<std::string, std::string> told;
            for (const frame& each : split_frames(client.welcome))
                if (each.type == 'S')
                    told[each.body.substr(0, each.body.find('\0'))] = each.body.substr(each.body.find('\0') + 1);
            for (auto& [name, value] : told) value.pop_back();
            CHECK(told == direct.reported);
            CHECK(types_of(client.welcome).ends_with("KZ"));
        }
    }
}

TEST_CASE("scenarios: without waiting for answers, all in one piece") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        const direct_run direct(script);
        session_world world(script.servers);
        session_driver client(world, script.startup);
        check_equal(client.ask(script.whole()), direct.whole(), script.whole());
        check_clean_end(world, client);
    }
}

TEST_CASE("P19: scenarios: bytes of the client and of the server one at a time") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        if (is_bulky(script)) continue;
        for (const auto& [client_piece, server_piece] :
             {std::pair<std::size_t, std::size_t>(1, 1), {1, loss_plan::never}, {loss_plan::never, 1}, {3, 7}}) {
            session_world world(script.servers);
            world.facts.retry.result_hold = 0;  // what passes while a result is kept back comes earlier
            session_driver client(world, script.startup);
            client.client_piece = client_piece;
            client.server_piece = server_piece;
            play(script, world, client);
        }
    }
}

TEST_CASE("scenarios: large frames in pieces of every size class") {
    for (const scenario& script : scenarios()) {
        if (!is_bulky(script)) continue;
        CAPTURE(script.name);
        for (const std::size_t piece : {1023, 4096, 65535, 65536, 65537, 70000}) {
            session_world world(script.servers);
            session_driver client(world, script.startup);
            client.client_piece = client.server_piece = piece;
            play(script, world, client);
        }
    }
}

TEST_CASE("P19: scenarios: each step cut in two at every byte") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        if (is_bulky(script)) continue;
        const std::size_t longest = std::max_element(script.steps.begin(), script.steps.end(), [](auto& a, auto& b) {
                                        return a.size() < b.size();
                                    })->size();
        const direct_run direct(script);
        for (std::size_t cut = 1; cut < longest; ++cut) {
            session_world world(script.servers);
            world.facts.retry.result_hold = 0;
            session_driver client(world, script.startup);
            for (std::size_t i = 0; i < script.steps.size(); ++i) {
                client.first_client_piece = cut;
                client.first_server_piece = cut;
                check_equal(client.ask(script.steps[i]), direct.answers[i], script.steps[i]);
            }
        }
    }
}

TEST_CASE("P23-P29, P36: scenarios: servers change hands with a noisy client") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        for (const std::size_t start : {0, 1, 2, 3, 5, 8}) {
            CAPTURE(start);
            session_world world(std::max<std::size_t>(script.servers, 2));
            noise other(world);
            session_driver client(world, script.startup);
            other.begin();
            world.before_grant = [&](world_server& server) { other.make(server); };
            for (std::size_t i = 0; i < start; ++i) other.make(*world.servers[i % 2]);
            play(script, world, client);
            world.before_grant = nullptr;
        }
    }
}

TEST_CASE("scenarios: in session mode") {
    for (const scenario& script : scenarios()) {
        CAPTURE(script.name);
        session_world world(1, session_mode::session);
        session_driver client(world, script.startup);
        play(script, world, client);
    }
}
