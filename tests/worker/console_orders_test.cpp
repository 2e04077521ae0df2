// What is typed into the console, carried out: who may, what is ordered, what is written down. The hooks are made up.
#include "proxy/console_orders.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

using namespace pgsteady;

namespace {

struct console {
    console() {
        admin::pool_status pool;
        pool.database = "shop";
        pool.user = "app";
        pool.open = 1;
        now.pools = {pool};
        now.workers = {{0, 1, true}};
        console_hooks hooks;
        hooks.take_snapshot = [this] {
            ++snapshots;
            return now;
        };
        hooks.clock = [this] { return time; };
        hooks.settings = [] { return std::make_shared<const config::settings>(); };
        hooks.signing_in = [] { return 0U; };
        hooks.listen_port = [] { return std::uint16_t{6432}; };
        hooks.shut_down = [this] { said.emplace_back("shut down"); };
        hooks.set_log_level = [this](config::log_level level) {
            said.push_back("level " + std::to_string(static_cast<int>(level)));
        };
        hooks.run.order_database = [this](const std::string& name, admin::database_action action) -> admin::outcome {
            said.push_back("order " + std::to_string(static_cast<int>(action)) + ' ' + name);
            if (name == "none")
                return {.what = admin::verdict::unknown_target, .problems = {{"database", "there is none"}}};
            if (action == admin::database_action::pause) now.pools.front().paused = true;
            return {.changes = {{"shop/app", "paused", "false", "true"}}};
        };
        hooks.run.end_session = [this](std::uint64_t id) -> admin::outcome {
            said.push_back("end " + std::to_string(id));
            return {.did = {"ended"}};
        };
        hooks.run.servers = [this] { return servers; };
        hooks.run.sessions = [] { return std::vector<admin::session_status>(); };
        hooks.run.audit = [this](const std::string& line) { audit.push_back(line); };
        orders.emplace(std::move(hooks));
    }

    console_result run(std::string_view text, console_role role = console_role::admin) {
        const console_script script = parse_console_text(text);
        REQUIRE_MESSAGE(script.commands.size() == 1, text);
        return orders->carry_out(script.commands.front(), {"night", "10.0.0.9:1", role});
    }
    std::string code_of(std::string_view text, console_role role = console_role::admin) {
        const console_result made = run(text, role);
        return made.answer.error ? made.answer.error->sqlstate : std::string();
    }

    admin::snapshot now;
    std::vector<admin::server_status> servers;
    std::vector<std::string> said;
    std::vector<std::string> audit;
    int snapshots = 0;
    std::chrono::steady_clock::time_point time{std::chrono::hours(1)};
    std::optional<console_orders> orders;
};

}  // namespace

TEST_CASE("D37: a stats user looks, and whatever else is refused reaches nobody") {
    console fix;
    CHECK(fix.code_of("SHOW POOLS", console_role::stats).empty());
    for (const char* text : {"PAUSE", "RESUME", "KILL shop", "KILL_CLIENT 7", "DISABLE shop", "RELOAD", "SHUTDOWN",
                             "SET log.level = debug"})
        CHECK_MESSAGE(fix.code_of(text, console_role::stats) == "42501", text);
    CHECK(fix.code_of("SET client_encoding = UTF8", console_role::stats).empty());
    CHECK(fix.said.empty());
    CHECK(fix.audit.empty());
}

TEST_CASE("orders run through the same commands as HTTP, and each leaves one audit line") {
    console fix;
    CHECK(fix.run("RECONNECT shop").answer.tag == "RECONNECT");
    CHECK(fix.run("KILL_CLIENT 7").answer.tag == "KILL_CLIENT");
    CHECK(fix.run("SHUTDOWN").answer.tag == "SHUTDOWN");
    CHECK(fix.run("SET log.level = warning").answer.tag == "SET");
    CHECK(fix.said == std::vector<std::string>{"order 2 shop", "end 7", "shut down", "level 2"});
    REQUIRE(fix.audit.size() == 4);
    CHECK(fix.audit[0] == "night from 10.0.0.9:1, console, RECONNECT shop: shop/app paused: false -> true");
    CHECK(fix.audit[3] == "night from 10.0.0.9:1, console, SET log.level = warning");
    CHECK(fix.code_of("RESUME none") == "3D000");
    CHECK(fix.code_of("SET log.level = loud") == "22023");
    CHECK(fix.code_of("SET pool.size = 3") == "0A000");
    CHECK(fix.code_of("RELOAD") == "0A000");  // nobody has said how
    CHECK(fix.audit.size() == 4);
}

TEST_CASE("RELOAD tells what changed, or every problem with its place and that nothing did") {
    console fix;
    admin::outcome came;
    console_hooks hooks;
    hooks.reload = [&came] { return came; };
    hooks.run.audit = [&fix](const std::string& line) { fix.audit.push_back(line); };
    console_orders orders(std::move(hooks));
    const auto reload = [&orders] {
        return orders.carry_out({console_verb::reload}, {"night", "unix", console_role::admin}).answer;
    };

    came = {.did = {"1 key has changed"}, .changes = {{"", "pool.size", "20", "30"}}};
    const console_answer good = reload();
    CHECK(good.tag == "RELOAD");
    REQUIRE(good.notices.size() == 2);
    CHECK(good.notices.back().message == "pool.size: 20 -> 30");
    CHECK(fix.audit.size() == 1);

    came = {.what = admin::verdict::invalid,
            .problems = {{"proxy.yaml:3: pool.size", "is no number"}, {"listen", "is missing"}}};
    const console_answer bad = reload();
    REQUIRE(bad.error);
    CHECK(bad.error->sqlstate == "F0000");
    CHECK(bad.error->detail == "proxy.yaml:3: pool.size: is no number\nlisten: is missing");
    CHECK(fix.audit.size() == 1);
}

TEST_CASE("PAUSE is over when the last server is gone, and in vain when somebody resumes before") {
    console fix;
    console_result paused = fix.run("PAUSE shop");
    REQUIRE(paused.wait);
    CHECK(paused.wait->look() == console_wait::state::not_yet);
    const auto later = [&fix] { fix.time += std::chrono::seconds(1); };
    fix.now.pools.front().open = 0;
    fix.now.pools.front().cancelling = 1;
    later();
    CHECK(paused.wait->look() == console_wait::state::not_yet);
    fix.now.pools.front().cancelling = 0;
    fix.now.workers.front().answered = false;  // a worker too busy to say may have servers
    later();
    CHECK(paused.wait->look() == console_wait::state::not_yet);
    fix.now.workers.front().answered = true;
    later();
    CHECK(paused.wait->look() == console_wait::state::over);
    CHECK(paused.wait->then.tag == "PAUSE");
    fix.now.pools.front().paused = false;
    later();
    CHECK(paused.wait->look() == console_wait::state::in_vain);
    CHECK(paused.wait->in_vain.error->sqlstate == "57014");
}

TEST_CASE("WAIT_CLOSE waits for condemned servers of its database alone") {
    console fix;
    fix.servers = {{.database = "shop", .pool_user = "app", .condemned = true},
                   {.database = "till", .condemned = true}};
    const console_result waits = fix.run("WAIT_CLOSE shop");
    REQUIRE(waits.wait);
    CHECK(waits.wait->look() == console_wait::state::not_yet);
    fix.servers.front().condemned = false;
    CHECK(waits.wait->look() == console_wait::state::over);
    CHECK(fix.run("WAIT_CLOSE").wait->look() == console_wait::state::not_yet);
    CHECK(fix.run("WAIT_CLOSE \"shop/app\"").wait->look() == console_wait::state::over);
}

TEST_CASE("readers share a snapshot for a moment; an order is seen at once") {
    console fix;
    (void)fix.run("SHOW POOLS");
    (void)fix.run("SHOW STATS");
    CHECK(fix.snapshots == 1);
    fix.time += std::chrono::seconds(1);
    (void)fix.run("SHOW POOLS");
    CHECK(fix.snapshots == 2);
    (void)fix.run("RESUME shop");
    (void)fix.run("SHOW POOLS");
    CHECK(fix.snapshots == 3);
}

TEST_CASE(
    "no table is older than the question: a picture serves what arrived with its first reader, not what came later") {
    console fix;
    fix.servers = {{.database = "shop"}};
    fix.orders->take_sample();
    fix.time += std::chrono::milliseconds(1);
    fix.orders->input_arrived();
    (void)fix.run("SHOW POOLS");
    CHECK(fix.snapshots == 2);
    (void)fix.run("SHOW SERVERS");
    CHECK(fix.snapshots == 2);
    fix.servers.push_back({.database = "till"});
    const auto shown = [&fix] {
        const console_result made = fix.run("SHOW SERVERS");
        REQUIRE(made.answer.table);
        return made.answer.table->rows.size();
    };
    CHECK(shown() == 1);
    fix.time += std::chrono::milliseconds(1);
    fix.orders->input_arrived();
    CHECK(shown() == 2);
    CHECK(fix.snapshots == 3);
}

TEST_CASE("a hook that throws is an error to the operator and not the end of the console") {
    console fix;
    console_hooks broken;
    broken.take_snapshot = []() -> admin::snapshot { throw std::runtime_error("no memory"); };
    console_orders orders(std::move(broken));
    const console_result made = orders.carry_out({console_verb::show, "POOLS"}, {"night", "unix", console_role::admin});
    REQUIRE(made.answer.error);
    CHECK(made.answer.error->sqlstate == "XX000");
}
