// libpqxx at work for pools.py: threads that read and write until told to stop. Where to connect comes from the PG variables.
// Never part of the product's build: cpp_cases.py compiles it where libpqxx is installed.
#include <pqxx/pqxx>

#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t readers = 2;
constexpr std::size_t writers = 2;

struct tally {
    int done = 0;
    std::map<std::string, int> errors;
};

std::mutex lock;
tally reads;
tally writes;
std::vector<int> successes(readers + writers);
std::string broken;
std::atomic<bool> stopping{false};

void read(pqxx::connection& connection) {
    pqxx::read_transaction transaction{connection};
    std::string text;
    for (const pqxx::row& row : transaction.exec_params("select id, name from items where id <= $1 order by id", 3)) {
        text += row[0].as<std::string>() + row[1].as<std::string>();
    }
    if (text != "1one2two3three") {
        const std::lock_guard<std::mutex> held{lock};
        broken = text;
    }
}

void write(pqxx::connection& connection, const std::string& name, int sequence) {
    pqxx::work transaction{connection};
    for (const int part : {1, 2})
        transaction.exec_params0("insert into pool_log values ($1, $2, $3)", name, sequence, part);
    transaction.commit();
}

/// The library throws broken_connection for every SQLSTATE of class 08, without naming it; 08007 leaves the connection open.
std::string state_of(const pqxx::connection& connection, const std::exception& problem) {
    if (const auto* told = dynamic_cast<const pqxx::sql_error*>(&problem)) return told->sqlstate();
    return dynamic_cast<const pqxx::broken_connection*>(&problem) != nullptr && connection.is_open() ? "08007" : "lost";
}

void work(std::size_t number) {
    pqxx::connection connection;
    tally& seen = number < readers ? reads : writes;
    for (int sequence = 1; !stopping; ++sequence) {
        std::string problem;
        try {
            if (number < readers) {
                read(connection);
            } else {
                write(connection, "libpqxx-" + std::to_string(number), sequence);
            }
        } catch (const std::exception& caught) {
            problem = state_of(connection, caught);
        }
        {
            const std::lock_guard<std::mutex> held{lock};
            if (problem.empty()) {
                ++seen.done;
                ++successes[number];
            } else {
                ++seen.errors[problem];
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
}

std::string json(const tally& seen) {
    std::string text = R"({"done": )" + std::to_string(seen.done) + R"(, "errors": {)";
    const char* comma = "";
    for (const auto& [state, count] : seen.errors) {
        text += comma + ('"' + state + "\": ") + std::to_string(count);
        comma = ", ";
    }
    return text + "}}";
}

std::string report() {
    const std::lock_guard<std::mutex> held{lock};
    std::string each;
    for (const int count : successes) each += (each.empty() ? "" : ", ") + std::to_string(count);
    return "{\"successes\": [" + each + "], \"broken\": \"" + broken + "\", \"reads\": " + json(reads) +
           ", \"writes\": " + json(writes) + "}";
}

}  // namespace

int main() {
    std::vector<std::thread> threads;
    for (std::size_t number = 0; number < successes.size(); ++number) threads.emplace_back(work, number);
    for (std::string order; std::getline(std::cin, order);) {
        stopping = order == "stop";
        if (stopping) break;
        std::cout << report() << std::endl;
    }
    stopping = true;
    for (std::thread& thread : threads) thread.join();
    std::cout << report() << std::endl;
}
