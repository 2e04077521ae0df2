// The model does what was measured on PostgreSQL 15 (recovery.md section 5): these transcripts are its acceptance test. That
// real servers still do it: cross_check.py.
#include "tests/simulation/model_host.hpp"
#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::simulation;
using namespace pgsteady::testing;

namespace {

/// A client that sits at the server itself.
struct caller {
    explicit caller(model_host& at) : host(at), backend(&at.connect()) {}

    std::string say(std::string_view bytes) {
        backend->receive(bytes);
        host.settle();
        return backend->take_output();
    }
    std::string ask(std::string_view sql) { return say(client::query(sql)); }
    /// The only column of the only row; "NULL", or the SQLSTATE of an error.
    std::string value(std::string_view sql) {
        const std::string answer = ask(sql);
        for (const frame& each : split_frames(answer)) {
            if (each.type == 'E') return field_of(each, 'C');
            if (each.type == 'D') return each.body.size() > 6 ? each.body.substr(6) : "NULL";
        }
        return "";
    }
    void reconnect() { backend = &host.connect(); }

    model_host& host;
    model_backend* backend;
};

std::string tags(std::string_view stream) {
    std::string all;
    for (const frame& each : split_frames(stream))
        if (each.type == 'C') all += each.body.substr(0, each.body.size() - 1) + ';';
    return all;
}

lsn position(const std::string& text) {
    const std::size_t slash = text.find('/');
    return (std::stoull(text.substr(0, slash), nullptr, 16) << 32) + std::stoull(text.substr(slash + 1), nullptr, 16);
}

/// The marker's end, of an open transaction that has written (recovery.md 2.6).
lsn capture_in(caller& who) {
    (void)who.value("select pg_current_xact_id_if_assigned()");
    return position(who.value("select pg_logical_emit_message(true, 'pgx', 't')"));
}

std::string lone_notice(std::string_view stream) {
    const auto frames = split_frames(stream);
    REQUIRE(frames.size() == 1);
    REQUIRE(frames[0].type == 'N');
    return field_of(frames[0], 'V') + ' ' + field_of(frames[0], 'C') + ' ' + field_of(frames[0], 'M');
}

void crash_and_restart(model_host& host) {
    host.stop_immediately();
    host.start();
}

}  // namespace

TEST_CASE("E1, T1: a number that was not flushed is given out again, and looks committed") {
    model_host host;
    caller app(host);
    app.ask("begin");
    app.ask("insert into log values ('lost')");
    const std::string x = app.value("select pg_current_xact_id_if_assigned()");
    CHECK(x == "725");
    host.stop_immediately();
    CHECK(lone_notice(app.backend->take_output()) ==
          "WARNING 57P01 terminating connection due to immediate shutdown command");
    CHECK(app.backend->ended());
    host.start();
    app.reconnect();
    CHECK(app.value("select pg_xact_status('725')") == "22023");
    for (int i = 0; i < 3; ++i) app.ask("insert into log values ('other')");
    CHECK(app.value("select pg_xact_status('725')") == "committed");
    CHECK(std::count(host.storage.log().begin(), host.storage.log().end(), "lost") == 0);
}

TEST_CASE("E2a: the marker was lost with the crash: R1 <= L0 says so, the status lies") {
    model_host host;
    caller app(host);
    app.ask("begin");
    app.ask("insert into log values ('lost')");
    const lsn marker = capture_in(app);
    crash_and_restart(host);
    app.reconnect();
    app.ask("insert into log values ('other')");
    CHECK(app.value("select pg_xact_status('725')") == "committed");
    CHECK(position(app.value("select pg_last_wal_replay_lsn()")) <= marker);
}

TEST_CASE("E2b: the reply of the COMMIT was lost with the crash: R1 > L0, and the status is the truth") {
    model_host host;
    caller app(host);
    app.ask("begin");
    app.ask("insert into log values ('kept')");
    const lsn marker = capture_in(app);
    app.ask("commit");
    crash_and_restart(host);
    app.reconnect();
    CHECK(position(app.value("select pg_last_wal_replay_lsn()")) > marker);
    CHECK(app.value("select pg_xact_status('725')") == "committed");
    CHECK(host.storage.log().size() == 1);
}

TEST_CASE("E2: the marker was flushed by somebody else's commit: R1 > L0, and the status is aborted") {
    model_host host;
    caller app(host);
    caller other(host);
    app.ask("begin");
    app.ask("insert into log values ('lost')");
    const lsn marker = capture_in(app);
    other.ask("insert into log values ('other')");
    crash_and_restart(host);
    app.reconnect();
    CHECK(position(app.value("select pg_last_wal_replay_lsn()")) > marker);
    CHECK(app.value("select pg_xact_status('725')") == "aborted");
}

TEST_CASE("E2c, E6: one backend is killed: the others are told of a crash, the start time stays, the rest changes") {
    model_host host;
    caller victim(host);
    caller sibling(host);
    const auto started = host.started;
    const auto reset = host.stats_reset;
    sibling.ask("insert into log values ('kept')");
    host.backend_crashes(*victim.backend);
    CHECK(victim.backend->take_output().empty());
    CHECK(lone_notice(sibling.backend->take_output()) ==
          "WARNING 57P02 terminating connection because of crash of another server process");
    CHECK(host.started == started);
    CHECK(host.stats_reset != reset);
    const auto first = host.storage.replayed();
    host.now_is = model_host::state::up;
    sibling.reconnect();
    sibling.ask("insert into log values ('kept too')");
    host.backend_crashes(host.connect());
    CHECK(host.storage.replayed() != first);
}

TEST_CASE("E2.6: after a clean restart nothing was replayed, and the status is final") {
    model_host host;
    caller app(host);
    const auto reset = host.stats_reset;
    app.ask("begin");
    app.ask("insert into log values ('lost')");
    host.stop_fast();
    const auto said = split_frames(app.backend->take_output());
    REQUIRE(said.size() == 1);
    CHECK(field_of(said[0], 'V') == "FATAL");
    CHECK(field_of(said[0], 'C') == "57P01");
    host.start();
    app.reconnect();
    CHECK(app.value("select pg_last_wal_replay_lsn()") == "NULL");
    CHECK(app.value("select pg_xact_status('725')") == "aborted");
    CHECK(host.stats_reset == reset);
}

TEST_CASE("E3a, T7: a backend that is terminated while it waits for a standby has committed") {
    model_host host;
    host.waits_for_standby = true;
    caller app(host);
    caller other(host);
    app.ask("begin");
    app.ask("insert into log values ('here')");
    CHECK(app.ask("commit").empty());
    CHECK(app.backend->waits_for_standby());
    CHECK(other.value("select pg_xact_status('725')") == "in progress");
    CHECK(host.storage.log().empty());
    app.backend->terminate();
    host.settle();
    CHECK(
        lone_notice(app.backend->take_output()) ==
        "WARNING 57P01 canceling the wait for synchronous replication and terminating connection due to administrator "
        "command");
    CHECK(other.value("select pg_xact_status('725')") == "committed");
    CHECK(host.storage.log().size() == 1);
}

TEST_CASE("E3a: one that is cancelled there says so and answers COMMIT") {
    model_host host;
    host.waits_for_standby = true;
    caller app(host);
    app.ask("begin");
    app.ask("insert into log values ('here')");
    app.ask("commit");
    app.backend->cancel();
    host.settle();
    const std::string said = app.backend->take_output();
    CHECK(types_of(said) == "NCZ");
    CHECK(field_of(split_frames(said)[0], 'C') == "01000");
    CHECK(tags(said) == "COMMIT;");
}

TEST_CASE("E3a: the standby confirms, and the commit is visible") {
    model_host host;
    host.waits_for_standby = true;
    caller app(host);
    CHECK(app.ask("insert into log values ('here')").empty());  // a string's last tag comes with the commit
    host.replicated = host.storage.end();
    host.settle();
    CHECK(types_of(app.backend->take_output()) == "CZ");
    CHECK(host.storage.log().size() == 1);
}

TEST_CASE("E3c, E4: promotion: what was received is decided, what was not is given out again") {
    model_host primary;
    caller app(primary);
    app.ask("begin");
    app.ask("insert into log values ('under way')");
    const lsn marker = capture_in(app);
    primary.storage.flush_all();
    const lsn received = primary.storage.end();
    caller other(primary);
    other.ask("insert into log values ('lost, acknowledged')");
    const lsn late = primary.storage.end();
    primary.stop_immediately(false);
    model_host standby;
    standby.promote_from(primary, received);
    CHECK(standby.storage.timeline() == 2);
    caller again(standby);
    CHECK(position(again.value("select pg_last_wal_replay_lsn()")) >= marker);
    CHECK(again.value("select pg_xact_status('725')") == "aborted");
    CHECK(again.value("select pg_xact_status('726')") == "22023");
    for (int i = 0; i < 4; ++i) again.ask("insert into log values ('new')");
    CHECK(again.value("select pg_xact_status('726')") == "committed");
    CHECK(position(again.value("select pg_last_wal_replay_lsn()")) < late);
}

TEST_CASE("E5a: a tag in the extended protocol is no acknowledgement") {
    model_host host;
    caller app(host);
    caller other(host);
    const std::string insert =
        client::parse("", "insert into log values ('x')") + client::bind("", "") + client::execute("");
    const std::string asked =
        client::parse("", "select pg_current_xact_id_if_assigned()") + client::bind("", "") + client::execute("");
    const std::string said = app.say(insert + asked + client::flush());
    CHECK(types_of(said) == "12C12DC");
    CHECK(other.value("select pg_xact_status('725')") == "in progress");
    CHECK(types_of(app.say(client::sync())) == "Z");
    CHECK(other.value("select pg_xact_status('725')") == "committed");
}

TEST_CASE("E5b: what a read-only transaction refuses") {
    model_host host;
    caller app(host);
    app.ask("begin read only");
    CHECK(app.value("insert into log values ('x')") == "25006");
    app.ask("rollback");
    app.ask("set default_transaction_read_only = on");
    CHECK(app.value("select balance from accounts where id = 1 for update") == "25006");
    CHECK(app.value("select balance from accounts where id = 1") == "100");
}

TEST_CASE("E5c, T5: a backend goes on when its client is gone, unless it looks") {
    model_host host;
    caller app(host);
    app.backend->receive(client::query("begin") + client::query("insert into log values ('late')") +
                         client::query("select pg_sleep(0.5)") + client::query("commit"));
    host.settle();
    app.backend->peer_closed(false);
    host.settle();
    CHECK(host.storage.log().empty());
    host.now = 600'000;
    host.settle();
    CHECK(host.storage.log().size() == 1);
    CHECK(app.backend->ended());

    app.reconnect();
    app.backend->receive(client::query("begin") + client::query("insert into log values ('never')") +
                         client::query("select pg_sleep(3)") + client::query("commit"));
    host.settle();
    app.backend->peer_closed(false);
    host.now += 1'100'000;  // client_connection_check_interval
    host.settle();
    CHECK(app.backend->ended());
    CHECK(host.storage.log().size() == 1);
}

TEST_CASE("E5d: a backend that is terminated is gone, and its rows are free") {
    model_host host;
    caller app(host);
    caller other(host);
    app.ask("begin");
    app.ask("update accounts set balance = balance + 1 where id = 1");
    CHECK(other.ask("update accounts set balance = balance - 5 where id = 1").empty());
    app.backend->terminate();
    host.settle();
    CHECK(app.backend->ended());
    CHECK(tags(other.backend->take_output()) == "UPDATE 1;");
    CHECK(host.storage.balance(1) == 95);
}

TEST_CASE("E5f, T9: COMMIT of a failed transaction answers ROLLBACK") {
    model_host host;
    caller app(host);
    app.ask("begin");
    CHECK(app.value("nonsense") == "42601");
    CHECK(app.value("select 1") == "25P02");
    CHECK(tags(app.ask("commit")) == "ROLLBACK;");
    CHECK(app.backend->status() == 'I');
}

TEST_CASE("E5g, T8: a deferred constraint fails at COMMIT, and at Sync after the tag") {
    model_host host;
    caller app(host);
    app.ask("insert into once values ('x')");
    app.ask("begin");
    CHECK(tags(app.ask("insert into once values ('x')")) == "INSERT 0 1;");
    CHECK(app.value("commit") == "23505");
    CHECK(app.backend->status() == 'I');
    const std::string said = app.say(client::parse("", "insert into once values ('x')") + client::bind("", "") +
                                     client::execute("") + client::sync());
    CHECK(types_of(said) == "12CEZ");
    CHECK(host.storage.once().size() == 1);
}

TEST_CASE("E7: when a transaction has a number") {
    model_host host;
    caller app(host);
    const std::string asked = "select pg_current_xact_id_if_assigned()";
    app.ask("begin");
    app.ask("notify x");
    CHECK(app.value(asked) == "NULL");
    app.ask("select balance from accounts where id = 1 for update");
    CHECK(app.value(asked) == "725");
    app.ask("savepoint s");
    app.ask("insert into log values ('x')");
    CHECK(app.value(asked) == "725");
    app.ask("rollback to s");
    CHECK(app.value(asked) == "725");
    app.ask("commit");
    CHECK(host.storage.log().empty());
}

TEST_CASE("the model: two transactions that wait for each other are a deadlock") {
    model_host host;
    caller one(host);
    caller two(host);
    for (caller* each : {&one, &two}) each->ask("begin");
    one.ask("update accounts set balance = balance + 1 where id = 1");
    two.ask("update accounts set balance = balance + 1 where id = 2");
    CHECK(one.ask("update accounts set balance = balance - 1 where id = 2").empty());
    CHECK(two.value("update accounts set balance = balance - 1 where id = 1") == "40P01");
    CHECK(tags(one.backend->take_output()) == "UPDATE 1;");
}

TEST_CASE("the model: a backend that is terminated between its commit record and its end has committed") {
    model_host host;
    dice chance(1);
    host.chance = &chance;
    caller app(host);
    app.backend->receive(client::query("insert into log values ('x')"));
    for (int i = 0; i < 100 && host.storage.end() == model_storage().end() + 64; ++i) {
        host.settle();
        host.now = host.next_wake().value_or(host.now + 1);
    }
    app.backend->terminate();
    host.settle();
    CHECK(app.backend->ended());
    const std::size_t rows = host.storage.log().size();
    host.storage.crash();
    CHECK(host.storage.log().size() == rows);
}
