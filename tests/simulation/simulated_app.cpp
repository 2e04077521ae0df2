// See simulated_app.hpp.
#include "tests/simulation/simulated_app.hpp"

#include "protocol/frame.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

namespace pgsteady::simulation {

namespace {

namespace client_message = testing::client;
using testing::app_reply;
using testing::frame;

constexpr std::int64_t first_total = 800;

/// Of a lost server, of our patience, of PostgreSQL's own rules under concurrency, and of what the tasks ask for.
const std::set<std::string> expected = {"40001", "40003", "08007", "08006", "40P01",
                                        "25P02", "42601", "23505", "57P03", "57014"};
constexpr std::int64_t series = 40;

std::string extended(const std::string& sql) {
    return client_message::parse("", sql) + client_message::bind("", "") + client_message::describe_portal("") +
           client_message::execute("");
}

std::string insert_of(const std::string& row) { return "insert into log values ('" + row + "')"; }

}  // namespace

simulated_app::simulated_app(world& at, std::uint32_t number, std::uint32_t tasks, micros idles)
    : world_(at), number_(number), tasks_(tasks), idles_(idles), chance_(at.chance.next()) {}

void simulated_app::fail(const std::string& what) { world_.problem(fmt::format("app {}: {}", number_, what)); }

void simulated_app::begin() { connect(); }

void simulated_app::connect() {
    ++connection_;
    client = std::make_unique<simulated_client>(world_, static_cast<std::int32_t>(100 * number_ + connection_),
                                                parameter_list{});
    simulated_client& mine = *client;
    mine.worker = (number_ + connection_) % world_.workers();
    mine.to_app = std::make_unique<byte_line>(
        world_.time, world_.chance, [this](std::string_view bytes) { hear(bytes); }, [this](bool) { hear_end(); });
    mine.from_app = std::make_unique<byte_line>(
        world_.time, world_.chance, [&mine](std::string_view bytes) { mine.take(bytes); },
        [&mine](bool) { mine.vanish(); });
    mine.to_app->calm = mine.from_app->calm = world_.calm;
    welcome_ = closed_ = false;
    status_ = 'I';
    checker_ = {};
    heard_.clear();
    reply_ = {};
    work_mem_ = "4MB";
    work_mem_known_ = true;
    mine.begin();
}

// ------------------------------------------------------------------------------------------ tasks

void simulated_app::plan(std::string bytes, std::vector<std::string> rows, bool in_block, bool with_next) {
    plan_.push_back({{std::move(bytes), std::move(rows)}, in_block, with_next, {}, {}, {}});
}

std::string simulated_app::new_row() { return fmt::format("c{}.{}", number_, ++rows_); }

void simulated_app::draw_task() {
    const auto query = [](const std::string& sql) { return client_message::query(sql); };
    if (transfers_among > 0) return draw_transfer(false);
    switch (chance_.below(23)) {
        case 0:
        case 1: {
            const std::string row = new_row();
            return plan(query(insert_of(row)), {row});
        }
        case 2: {
            const std::string row = new_row();
            return plan(client_message::parse("", "insert into log values ($1)") + client_message::bind("", "", {row}) +
                            client_message::execute("") + client_message::sync(),
                        {row});
        }
        case 3: {
            const std::string one = new_row();
            const std::string two = new_row();
            return plan(query(insert_of(one) + "; " + insert_of(two)), {one, two});
        }
        case 4:
        case 15:
        case 16: return draw_transfer(false);
        case 5:
        case 17: return draw_transfer(true);
        case 6: return draw_savepoints();
        case 7: return draw_pipeline();
        case 8: {
            const std::string one = new_row();
            const std::string two = new_row();
            return plan(query("copy log from stdin") + client_message::copy_data(one + '\n' + two + '\n') +
                            client_message::copy_done(),
                        {one, two});
        }
        case 9: {  // the second of them meets the constraint, and its row goes with it
            const std::string row = new_row();
            plan(query("begin"));
            plan(query(insert_of(row)), {row}, true);
            plan(query(fmt::format("insert into once values ('{}')", chance_.below(3))), {}, true);
            return plan(query("commit"), {}, true);
        }
        case 10: {
            const std::string size = fmt::format("{}MB", chance_.between(5, 9));
            plan(query("set work_mem = '" + size + "'"));
            plan_.back().sets = size;
            plan(query("show work_mem"));
            plan_.back().wanted = "work_mem";
            return;
        }
        case 11: {
            plan(query("begin read only"));
            plan(query("select sum(balance) from accounts"), {}, true);
            plan_.back().wanted = "sum";
            return plan(query("commit"), {}, true);
        }
        case 12: return plan(query("nonsense"));
        case 18:
        case 19: return draw_chain();
        case 20: return draw_notes();
        case 21:
        case 22: return draw_series();
        case 13:
            plan(extended("select sum(balance) from accounts") + client_message::sync());
            plan_.back().wanted = "sum";
            return;
        default:
            plan(query("select sum(balance) from accounts"));
            plan_.back().wanted = "sum";
            return;
    }
}

void simulated_app::draw_transfer(bool pipelined) {
    const std::uint64_t all = transfers_among > 0 ? transfers_among : 8;
    const std::uint64_t from = 1 + chance_.below(all);
    const std::uint64_t to = 1 + (from + chance_.below(all - 1)) % all;
    const std::int64_t amount = chance_.between(1, 20);
    const std::string row = fmt::format("t{}.{} {} {} {}", number_, ++rows_, from, to, amount);
    const std::string take = fmt::format("update accounts set balance = balance - {} where id = {}", amount, from);
    const std::string give = fmt::format("update accounts set balance = balance + {} where id = {}", amount, to);
    if (pipelined && chance_.one_in(2))  // one segment, one transaction without BEGIN
        return plan(extended(take) + extended(insert_of(row)) + extended(give) + client_message::sync(), {row});
    const bool as_extended = chance_.one_in(2);
    const auto say = [&](const std::string& sql) {
        return as_extended ? extended(sql) + client_message::sync() : client_message::query(sql);
    };
    plan(say("begin"), {}, false, pipelined);
    plan(say(take), {}, true, pipelined);
    if (chance_.one_in(3))
        plan(say(fmt::format("select balance from accounts where id = {} for update", to)), {}, true, pipelined);
    plan(say(insert_of(row)), {row}, true, pipelined);
    plan(say(give), {}, true, pipelined);
    plan(say(chance_.one_in(8) ? "rollback" : "commit"), {}, true);
}

void simulated_app::draw_savepoints() {
    const auto query = [](const std::string& sql) { return client_message::query(sql); };
    const std::string before = new_row();
    const std::string undone = new_row();
    const std::string after = new_row();
    never_.insert(undone);
    plan(query("begin"));
    plan(query(insert_of(before)), {before}, true);
    plan(query("savepoint s"), {}, true);
    plan(query(insert_of(undone)), {}, true);
    plan(query("rollback to savepoint s"), {}, true);
    plan(query(insert_of(after)), {after}, true);
    plan(query("commit"), {}, true);
}

/// Transactions that follow each other without a BEGIN (D29): whole, or not at all, each by itself; and READ ONLY is passed on.
void simulated_app::draw_chain() {
    const bool as_extended = chance_.one_in(2);
    const auto say = [&](const std::string& sql, std::vector<std::string> rows = {}, bool in_block = true) {
        plan(as_extended ? extended(sql) + client_message::sync() : client_message::query(sql), std::move(rows),
             in_block);
    };
    const auto chain = [&] {
        say(chance_.one_in(4) ? "rollback and chain" : "commit and chain");
        plan_.back().what.chains = true;
    };
    if (chance_.one_in(3)) {
        const std::string row = new_row();
        never_.insert(row);
        say("begin read only", {}, false);
        say("select sum(balance) from accounts");
        plan_.back().wanted = "sum";
        chain();
        say(insert_of(row));
        plan_.back().fails = "25006";
        return;  // and ROLLBACK
    }
    say("begin", {}, false);
    for (std::uint64_t left = 1 + chance_.below(3); left > 0; --left) {
        for (std::uint64_t rows = 1 + chance_.below(2); rows > 0; --rows) {
            const std::string row = new_row();
            say(insert_of(row), {row});
        }
        chain();
    }
    if (chance_.one_in(2)) {
        const std::string row = new_row();
        say(insert_of(row), {row});
    }
    say(chance_.one_in(4) ? "rollback" : "commit");
}

/// Listeners are told when the transaction is committed, and once (E7): alone, among rows, and outside of transactions.
void simulated_app::draw_notes() {
    const std::string news = new_row();
    const std::string note = client_message::query("notify news, '" + news + "'");
    if (chance_.one_in(3)) return plan(note, {news});
    plan(client_message::query("begin"));
    if (chance_.one_in(2)) {
        const std::string row = new_row();
        plan(client_message::query(insert_of(row)), {row}, true);
    }
    plan(note, {news}, true);
    plan(client_message::query(chance_.one_in(6) ? "rollback" : "commit"), {}, true);
}

/// Answers that arrive in pieces, and can be continued: by themselves, or within a transaction that writes (I6).
void simulated_app::draw_series() {
    const std::string sql = fmt::format("select generate_series(1, {})", series);
    const std::string asks = chance_.one_in(2) ? extended(sql) + client_message::sync() : client_message::query(sql);
    const auto read = [&](bool in_block) {
        plan(asks, {}, in_block);
        plan_.back().wanted = "series";
    };
    if (chance_.one_in(2)) return read(false);
    const std::string row = new_row();
    plan(client_message::query("begin"));
    if (chance_.one_in(2)) plan(client_message::query(insert_of(row)), {row}, true);
    read(true);
    plan(client_message::query("commit"), {}, true);
}

/// Requests of their own, sent without waiting; or several writes in one segment.
void simulated_app::draw_pipeline() {
    const std::uint64_t length = 2 + chance_.below(4);
    if (chance_.one_in(2)) {
        for (std::uint64_t i = 0; i < length; ++i) {
            const bool reads = chance_.one_in(3);
            const std::string row = new_row();
            if (reads)
                plan(extended("select sum(balance) from accounts") + client_message::sync(), {}, false, i + 1 < length);
            else plan(extended(insert_of(row)) + client_message::sync(), {row}, false, i + 1 < length);
            if (reads) plan_.back().wanted = "sum";
        }
        return;
    }
    std::string bytes;
    std::vector<std::string> rows;
    for (std::uint64_t i = 0; i < length; ++i) {
        rows.push_back(new_row());
        bytes += extended(insert_of(rows.back()));
        if (chance_.one_in(4)) bytes += client_message::flush();
    }
    plan(bytes + client_message::sync(), rows);
}

// ------------------------------------------------------------------------------------------ conversation

void simulated_app::go_on() {
    if (finished_ || !asked_.empty() || !welcome_ || closed_) return;
    if (status_ == 'E') {
        plan_.clear();
        plan(client_message::query("rollback"));
    } else if (status_ == 'I') {
        while (!plan_.empty() && plan_.front().in_block) plan_.pop_front();  // its transaction is gone
    }
    if (plan_.empty() && !script.empty()) {
        for (planned& each : script.front()) plan_.push_back(std::move(each));
        script.pop_front();
    } else if (plan_.empty() && tasks_ > 0) {
        --tasks_;
        draw_task();
    }
    if (plan_.empty()) {
        finished_ = true;
        return;
    }
    for (bool more = true; more && !plan_.empty();) {
        more = plan_.front().with_next;
        planned next = std::move(plan_.front());
        plan_.pop_front();
        send(std::move(next));
    }
}

void simulated_app::send(planned next) {
    if (world_.story) world_.trace(fmt::format("app {} asks {}", number_, testing::describe(next.what.bytes)));
    checker_.client_sends(next.what.bytes);
    const std::string bytes = next.what.bytes;
    asked_.push_back(std::move(next));
    client->from_app->send(bytes);
}

void simulated_app::hear(std::string_view bytes) {
    heard_ += bytes;
    for (;;) {
        const frame_header header = read_frame_header(heard_);
        if (header.state == frame_header::status::malformed) return fail("malformed bytes");
        if (header.state != frame_header::status::ok || heard_.size() < header.total) return;
        const std::string one = heard_.substr(0, header.total);
        heard_.erase(0, header.total);
        if (welcome_) checker_.server_says(one);
        if (!checker_.problem.empty()) return fail(checker_.problem);
        reply_.frames.push_back(testing::split_frames(one).front());
        if (header.type != backend_message::ready_for_query) continue;
        reply_.status = one.back();
        const app_reply got = std::exchange(reply_, {});
        if (!std::exchange(welcome_, true)) {
            world_.time.in(chance_.between(0, 2000), [this] { go_on(); });
            continue;
        }
        hear_reply(got);
    }
}

void simulated_app::hear_reply(const app_reply& got) {
    if (asked_.empty()) return fail("an answer to nothing");
    const planned asked = std::move(asked_.front());
    asked_.pop_front();
    status_ = got.status;
    const std::string code = got.sqlstate();
    if (world_.story)
        world_.trace(fmt::format("app {} hears {}{} {} {}", number_, code.empty() ? "" : code + ' ', got.outcome(),
                                 status_, got.error() == nullptr ? "" : testing::field_of(*got.error(), 'M')));
    ++told[code];
    if (!code.empty() && !expected.contains(code) && code != asked.fails) fail("SQLSTATE " + code);
    if ((code == "40003" || code == "08007" || code == "40001") && got.outcome().empty() && code != "40001")
        fail("no outcome with " + code);
    beliefs_.hear(asked.what, got);
    if (!asked.sets.empty()) {
        if (code.empty()) work_mem_ = asked.sets, work_mem_known_ = true;
        else work_mem_known_ = false;
    }
    if (!asked.fails.empty() && code.empty()) fail("what had to fail with " + asked.fails + " is done");
    if (asked.wanted == "series") check_series(got);
    else if (!asked.wanted.empty() && code.empty()) {
        const auto row =
            std::find_if(got.frames.begin(), got.frames.end(), [](const frame& each) { return each.type == 'D'; });
        const std::string value = row == got.frames.end() ? "nothing" : row->body.substr(6);
        const std::string wanted = asked.wanted == "sum" ? std::to_string(first_total) : work_mem_;
        if (value != wanted && (asked.wanted == "sum" || work_mem_known_))
            fail(fmt::format("{} is {} where {} is due", asked.wanted, value, wanted));
    }
    if (asked_.empty()) {
        micros pause = chance_.one_in(4) ? chance_.between(0, 10'000) : chance_.between(0, 200);
        if (idles_ > 0 && chance_.one_in(5)) pause = chance_.between(0, idles_);
        world_.time.in(pause, [this] { go_on(); });
    }
}

/// Whole, or cut off by an error; never with a row twice, or without one.
void simulated_app::check_series(const app_reply& got) {
    std::int64_t next = 1;
    for (const frame& each : got.frames) {
        if (each.type != 'D') continue;
        if (each.body.substr(6) != std::to_string(next)) return fail("a series goes on with " + each.body.substr(6));
        ++next;
    }
    if (got.error() == nullptr && next != series + 1) fail(fmt::format("a series ends before {}", next));
}

/// The connection has ended: what was asked without an answer is anybody's guess, unless the last word says more.
void simulated_app::hear_end() {
    if (closed_) return;
    closed_ = true;
    ++disconnects;
    if (world_.story)
        world_.trace(fmt::format("app {} is disconnected {} {}", number_, reply_.sqlstate(),
                                 reply_.error() == nullptr ? "" : testing::field_of(*reply_.error(), 'M')));
    if (welcome_) {
        const app_reply last = std::exchange(reply_, {});
        ++told["FATAL " + last.sqlstate()];
        if (asked_.empty()) beliefs_.end();
        for (const planned& each : asked_) beliefs_.hear(each.what, last);
    }
    asked_.clear();
    plan_.clear();
    beliefs_.restart();
    world_.time.in(1000, [this] {
        if (!finished_) connect();
    });
}

void simulated_app::vanish() {
    if (closed_ || finished_ || client == nullptr || client->closed) return;
    client->from_app->end(true);
    reply_ = {};
    client->to_app->fall_silent();
    hear_end();
}

void simulated_app::judge(const model_storage& truth, const std::set<std::string>& excused) {
    const std::vector<std::string> effects = truth.effects();
    for (const std::string& each : testing::untruths(beliefs_, effects)) {
        const std::size_t at = each.find(": ");
        const bool lost = each.starts_with("acknowledged and lost") || each.starts_with("half of it");
        if (!lost || !excused.contains(each.substr(at + 2))) fail(each);
    }
    for (const std::string& each : effects)
        if (never_.contains(each)) fail("rolled back to a savepoint, and there: " + each);
}

std::string simulated_app::state() const {
    return fmt::format("app {}: {} tasks left, {} asked, {} planned, status {}, {}{}", number_, tasks_, asked_.size(),
                       plan_.size(), status_, welcome_ ? "" : "not welcome, ", closed_ ? "closed" : "connected");
}

std::string balance_problem(const model_storage& truth) {
    std::vector<std::int64_t> wanted(truth.accounts(), 100);
    for (const std::string& row : truth.log()) {
        if (!row.starts_with('t')) continue;
        std::istringstream words(row);
        std::string name;
        std::size_t from = 0;
        std::size_t to = 0;
        std::int64_t amount = 0;
        words >> name >> from >> to >> amount;
        wanted.at(from - 1) -= amount;
        wanted.at(to - 1) += amount;
    }
    for (std::uint32_t i = 1; i <= truth.accounts(); ++i)
        if (truth.balance(i) != wanted[i - 1])
            return fmt::format("account {} has {} where its transfers make {}", i, truth.balance(i), wanted[i - 1]);
    return {};
}

}  // namespace pgsteady::simulation
