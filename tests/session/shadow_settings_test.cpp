// What a session has set, drawn at random, against a shadow that talks to a server directly (recovery.md T16, T17): servers
// change between requests, other clients leave other values on them, and they are lost in and between transactions. No
// setting of a transaction that was rolled back may come back, and none that lasts may be forgotten.
#include "tests/simulation/dice.hpp"
#include "tests/support/session_driver.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

constexpr std::array names = {"work_mem", "statement_timeout", "application_name", "extra_float_digits"};

class shadowed {
public:
    explicit shadowed(std::uint64_t seed, bool replays)
        : chance_(seed), world_(3), app_(world_), other_(world_), direct_(world_.database) {
        world_.facts.replays = replays;
    }

    void run() {
        for (int i = 0; i < 40; ++i) {
            if (chance_.one_in(4)) disturb();
            say(drawn());
            if (status_ == 'I') compare();
        }
        say("rollback");
        compare();
    }

private:
    std::string name() { return names.at(chance_.below(names.size())); }
    std::string value() { return std::to_string(chance_.between(1, 9)); }

    std::string drawn() {
        switch (chance_.below(14)) {
            case 0: return "begin";
            case 1: return "commit";
            case 2: return "rollback";
            case 3: return "savepoint s";
            case 4: return "rollback to s";
            case 5: return "release s";
            case 6: return "set local " + name() + " = '" + value() + "'";
            case 7: return "reset " + name();
            case 8: return chance_.one_in(3) ? "reset all" : "nonsense";
            case 9: return "begin; set " + name() + " = '" + value() + "'; rollback; set " + name() + " = '7'";
            case 10: return "select set_config('" + name() + "', '" + value() + "', false)";
            default: return "set " + name() + " = '" + value() + "'";
        }
    }

    void say(const std::string& sql) {
        said_ += sql + '\n';
        const std::string got = app_.ask(client::query(sql));
        REQUIRE_FALSE(app_.closed);
        const std::string due = direct_.feed(client::query(lost_ ? "rollback" : sql));
        const bool ended = sql == "commit" || sql == "rollback";
        if (lost_ && !ended) {  // 40001, and it stays failed until it is ended
            (void)app_.ask(client::query("rollback"));
            said_ += "rollback\n";
        }
        if (!lost_) CHECK(got.back() == due.back());
        status_ = lost_ ? 'I' : due.back();
        lost_ = false;
    }

    /// The server goes, or somebody else uses the others.
    void disturb() {
        if (app_.server != nullptr && status_ == 'T') {
            said_ += "-- lost\n";
            app_.lose_server();
            app_.run();
            lost_ = !world_.facts.replays;
        } else {
            (void)other_.ask(client::query("set " + name() + " = '99'"));
        }
    }

    void compare() {
        for (const char* const each : names) {
            const std::string question = client::query(std::string("show ") + each);
            const std::string got = row_of(app_.ask(question));
            const std::string due = row_of(direct_.feed(question));
            if (got != due)
                FAIL_CHECK(std::string(each) << " is " << got << " where " << due << " is due, after\n" << said_);
        }
    }

    static std::string row_of(const std::string& stream) {
        for (const frame& each : split_frames(stream))
            if (each.type == 'D') return each.body.substr(6);
        return "nothing";
    }

    simulation::dice chance_;
    session_world world_;
    session_driver app_;
    session_driver other_;
    scripted_server direct_;
    std::string said_;
    char status_ = 'I';
    bool lost_ = false;
};

}  // namespace

TEST_CASE("T16, T17: a session's settings are those of one that never lost a server") {
    for (const bool replays : {false, true}) {
        for (std::uint64_t seed = 1; seed <= 300; ++seed) {
            CAPTURE(seed);
            CAPTURE(replays);
            shadowed(seed, replays).run();
        }
    }
}
