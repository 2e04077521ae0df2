// libpqxx: one case per run (`cases <name>`), connection by the PG variables; exit code 0 is success.
// Never part of the product's build: cpp_cases.py compiles it where libpqxx is installed.
#include <pqxx/pqxx>

#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

constexpr int clients = 20;

void check(bool good, const std::string& what) {
    if (!good) {
        throw std::runtime_error{what};
    }
}

template <typename Work>
void fails(const std::string& state, Work work) {
    try {
        work();
    } catch (const pqxx::sql_error& problem) {
        check(problem.sqlstate() == state, state + " was expected and " + problem.sqlstate() + " came");
        return;
    }
    throw std::runtime_error{"no " + state};
}

void prepared() {
    std::vector<std::unique_ptr<pqxx::connection>> all;
    for (int number = 0; number < 5; ++number) {
        all.push_back(std::make_unique<pqxx::connection>());
        all.back()->prepare("same", "select " + std::to_string(number) + " as who, $1::int + 1 as n");
    }
    for (int round = 0; round < 5; ++round) {
        for (int number = 0; number < 5; ++number) {
            pqxx::work transaction{*all[static_cast<std::size_t>(number)]};
            const pqxx::row row = transaction.exec_prepared1("same", round);
            check(row["who"].as<int>() == number && row["n"].as<int>() == round + 1,
                  "a prepared statement of somebody else");
        }
    }
    all[0]->unprepare("same");
    all[0]->prepare("same", "select 'again'");
    check(pqxx::work{*all[0]}.exec_prepared1("same")[0].as<std::string>() == "again", "prepared again");
}

void types() {
    pqxx::connection connection;
    pqxx::work transaction{connection};
    std::string bytes;
    for (int value = 0; value < 256; ++value) {
        bytes += static_cast<char>(value);
    }
    const pqxx::row row =
        transaction.exec_params1("select $1::bytea, $2::int, $3::float8, $4::bool, $5::text, $6::int[]",
                                 pqxx::binarystring{bytes}, -7, 0.1, true, "\xc3\xa9", "{1,2,NULL}");
    check(pqxx::binarystring{row[0]}.str() == bytes, "bytea");
    check(row[1].as<int>() == -7 && row[2].as<double>() == 0.1 && row[3].as<bool>(), "numbers");
    check(row[4].as<std::string>() == "\xc3\xa9" && row[5].as<std::string>() == "{1,2,NULL}", "texts");
    check(transaction.exec_params1("select $1::text", static_cast<const char*>(nullptr))[0].is_null(), "null");
}

// robusttransaction keeps a log of its own in the database, and asks it what became of a commit.
void transactions() {
    pqxx::connection connection;
    {
        pqxx::work aborted{connection};
        aborted.exec0("update items set name = 'undone' where id = 1");
    }
    pqxx::work outer{connection};
    outer.exec0("update items set name = 'kept' where id = 2");
    fails("22012", [&] {
        pqxx::subtransaction inner{outer};
        inner.exec("select 1/0");
    });
    outer.commit();
    {
        pqxx::robusttransaction<pqxx::serializable> robust{connection};
        robust.exec0("update items set name = 'robust' where id = 3");
        robust.commit();
    }
    pqxx::read_transaction reader{connection};
    const pqxx::result names = reader.exec_n(3, "select name from items order by id");
    check(names[0][0].as<std::string>() == "one" && names[1][0].as<std::string>() == "kept", "what was committed");
    check(names[2][0].as<std::string>() == "robust", "the robust transaction");
    fails("25006", [&] { reader.exec0("update items set name = 'x'"); });
}

void errors() {
    pqxx::connection connection;
    for (const auto& [text, state] : std::map<std::string, std::string>{{"selct", "42601"},
                                                                        {"insert into items values (1)", "23505"},
                                                                        {"select 'x'::int", "22P02"},
                                                                        {"select * from nowhere", "42P01"}}) {
        pqxx::work transaction{connection};
        fails(state, [&] { transaction.exec(text); });
    }
    check(pqxx::nontransaction{connection}.exec1("select 1")[0].as<int>() == 1, "it goes on");
}

// The driver's pipeline sends several queries in one string, with a dummy between that tells it where an error was.
void pipelines() {
    pqxx::connection connection;
    pqxx::work transaction{connection};
    pqxx::pipeline pipe{transaction};
    pipe.retain(50);
    std::vector<pqxx::pipeline::query_id> asked;
    for (int number = 0; number < 200; ++number) {
        asked.push_back(pipe.insert("select " + std::to_string(number)));
    }
    for (std::size_t at = 0; at < asked.size(); ++at) {
        check(pipe.retrieve(asked[at])[0][0].as<std::size_t>() == at, "answers in order");
    }
    pipe.insert("select 1");
    const pqxx::pipeline::query_id bad = pipe.insert("select 1/0");
    fails("22012", [&] { pipe.retrieve(bad); });
}

void copy() {
    using line = std::tuple<int, std::string>;
    pqxx::connection connection;
    {
        pqxx::work transaction{connection};
        pqxx::stream_to into{transaction, "items", std::vector<std::string>{"id", "name"}};
        for (int number = 1000; number < 5000; ++number) {
            into << line{number, "name\t" + std::to_string(number)};
        }
        into.complete();
        transaction.commit();
    }
    pqxx::work transaction{connection};
    pqxx::stream_from from{transaction, "items", std::vector<std::string>{"id", "name"}};
    long sum = 0;
    for (line read; from >> read;) {
        const auto& [id, name] = read;
        check(id < 1000 || name == "name\t" + std::to_string(id), "a line of the copy");
        sum += id;
    }
    from.complete();
    check(sum == 6 + 4000L * (1000 + 4999) / 2, "all lines");
    check(transaction.exec1("select count(*) from items")[0].as<int>() == 4003, "it goes on");
}

void cursors() {
    pqxx::connection connection;
    pqxx::work transaction{connection};
    pqxx::icursorstream stream{transaction, "select i from generate_series(1, 1000) i", "numbers", 70};
    int sum = 0;
    for (pqxx::result rows; stream >> rows;) {
        for (const pqxx::row& row : rows) {
            sum += row[0].as<int>();
        }
    }
    check(sum == 500500, "all rows");
    using cursor = pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned>;
    cursor random{transaction, "select i from generate_series(1, 100) i", "random", false};
    check(random.retrieve(90, 70).size() == 20 && random.size() == 100, "backwards");
}

void large_objects() {
    pqxx::connection connection;
    pqxx::work transaction{connection};
    pqxx::largeobjectaccess object{transaction, std::ios::in | std::ios::out};
    object.write(std::string(100'000, 'x'));
    object.seek(0, std::ios::beg);
    std::string found(200'000, ' ');
    check(object.read(found.data(), found.size()) == 100'000, "read");
    object.remove(transaction);
    transaction.commit();
}

struct hearing : pqxx::notification_receiver {
    using pqxx::notification_receiver::notification_receiver;
    void operator()(const std::string& payload, int) override { heard = payload; }
    std::string heard;
};

void notifications() {
    pqxx::connection hears;
    pqxx::connection says;
    hearing receiver{hears, "libpqxx"};
    pqxx::nontransaction{says}.exec0("notify libpqxx, 'hello'");
    check(hears.await_notification(20, 0) == 1 && receiver.heard == "hello", "a notification");
}

void cancellation() {
    const std::string sleeper = "select pg_sleep(60) /* libpqxx */";
    pqxx::connection connection;
    pqxx::connection watcher;
    std::thread canceller{[&] {
        pqxx::nontransaction looks{watcher};
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
        while (looks
                   .exec("select 1 from pg_stat_activity where state = 'active' and query like '%60) /* libpqxx%' and "
                         "pid <> pg_backend_pid()")
                   .empty() &&
               std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
        connection.cancel_query();
    }};
    try {
        pqxx::work transaction{connection};
        fails("57014", [&] { transaction.exec(sleeper); });
    } catch (...) {
        canceller.join();
        throw;
    }
    canceller.join();
    check(pqxx::nontransaction{connection}.exec1("select 1")[0].as<int>() == 1, "it goes on");
}

void many_connections() {
    std::vector<std::thread> threads;
    std::vector<std::string> problems(clients);
    for (std::string& problem : problems) {
        threads.emplace_back([&problem] {
            try {
                pqxx::connection connection;
                for (int round = 0; round < 10; ++round) {
                    pqxx::perform([&] {
                        pqxx::work transaction{connection};
                        transaction.exec_params0("update counter set n = n + $1", 1);
                        transaction.commit();
                    });
                }
            } catch (const std::exception& caught) {
                problem = caught.what();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const std::string& problem : problems) {
        check(problem.empty(), problem);
    }
    pqxx::connection connection;
    check(pqxx::nontransaction{connection}.exec1("select n from counter")[0].as<int>() == clients * 10, "all of them");
}

const std::map<std::string, std::function<void()>> cases{
    {"prepared", prepared},
    {"types", types},
    {"transactions", transactions},
    {"errors", errors},
    {"pipelines", pipelines},
    {"copy", copy},
    {"cursors", cursors},
    {"large_objects", large_objects},
    {"notifications", notifications},
    {"cancellation", cancellation},
    {"many_connections", many_connections},
};

}  // namespace

int main(int count, char** arguments) {
    try {
        cases.at(count > 1 ? arguments[1] : "")();
        return 0;
    } catch (const std::exception& problem) {
        std::cerr << problem.what() << '\n';
        return 1;
    }
}
