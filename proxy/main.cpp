// pgsteady: command line, configuration, signals. Everything else is in application.hpp.
#include "config/load.hpp"
#include "config/pgbouncer_import.hpp"
#include "config/print.hpp"

#include "proxy/application.hpp"
#include "proxy/build_facts.hpp"
#include "proxy/check_servers.hpp"
#include "proxy/service_notify.hpp"
#include "proxy/successor.hpp"
#include "proxy/worker/log.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace {

using namespace pgsteady;

std::atomic<int> stop_requests{0};
std::atomic<bool> reload_requested{false};
std::atomic<bool> successor_requested{false};
std::atomic<unsigned> signals_taken{0};  // what run() sleeps on

/// Signals are blocked in every thread and taken here, on one of their own.
void watch_signals(const sigset_t& set) {
    while (true) {
        int number = 0;
        if (sigwait(&set, &number) != 0) continue;
        if (number == SIGHUP) reload_requested = true;
        else if (number == SIGUSR2) successor_requested = true;
        else if (++stop_requests > 2) std::_Exit(1);  // a third one does not ask any more
        ++signals_taken;
        signals_taken.notify_all();
    }
}

void print_problems(const config::load_result& loaded) {
    for (const config::problem& each : loaded.problems) fmt::print(stderr, "{}\n", config::describe(each));
}

/// `again`: the command line of this process.
void wait_for_stop(application& product, const config::settings& settings, const std::vector<std::string>& again) {
    const std::string program = own_program();
    while (stop_requests == 0 && !product.replaced()) {
        const unsigned seen = signals_taken;
        if (reload_requested.exchange(false)) {
            notify_service_manager("RELOADING=1");
            product.reload("SIGHUP");
            notify_service_manager("READY=1");
        }
        if (successor_requested.exchange(false)) {
            if (settings.listen.takeover_socket.empty()) log::warning("SIGUSR2: listen.takeover_socket is not set");
            else start_successor(program, again);
        }
        if (stop_requests == 0 && !product.replaced()) signals_taken.wait(seen);
    }
}

std::optional<std::string> content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(file), {});
}

/// The configuration goes to the standard output, what it lacks to the other.
int import_pgbouncer(const std::string& path) {
    const config::pgbouncer_import made = config::import_pgbouncer(path, content_of);
    fmt::print("{}", made.yaml);
    for (const std::string& each : made.notes) fmt::print(stderr, "{}\n", each);
    return made.ok ? 0 : 1;
}

int run(const config::load_result& loaded, const std::optional<std::filesystem::path>& file,
        const std::vector<std::string>& arguments) {
    auto settings = std::make_shared<const config::settings>(loaded.settings);
    log::set_up(settings->log);
    for (const config::problem& each : loaded.problems) log::warning("configuration: {}", config::describe(each));

    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&set, number);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);

    application product(settings, [file] { return config::load(file, config::process_environment()); });
    product.explain(config::effective(loaded));
    product.on_replaced = [](std::int64_t successor) {
        notify_service_manager(fmt::format("MAINPID={}\nREADY=1", successor));  // the service goes on
        ++signals_taken;
        signals_taken.notify_all();
    };
    if (const std::vector<std::string> problems = product.start(); !problems.empty()) {
        for (const std::string& each : problems) log::error("cannot start: {}", each);
        return 1;
    }
    log::info("pgsteady {} listens on {}:{} with {} worker(s) on {}; admin on {}:{}", PGSTEADY_VERSION,
              settings->listen.host, product.port(), worker_count(*settings), admin::to_string(product.engine()),
              settings->admin.host, product.admin_port());
    notify_service_manager("READY=1");

    std::thread(watch_signals, set).detach();
    wait_for_stop(product, *settings, arguments);
    if (product.replaced()) {
        log::info("takeover: another process accepts clients; this one serves those it has until they leave");
        product.serve_the_rest(stop_requests);
        if (stop_requests == 0 && product.deserted()) {
            log::error(
                "takeover: the process that accepts clients has ended; this one ends as well, for the service to begin "
                "anew");
            notify_service_manager(fmt::format("MAINPID={}", ::getpid()));  // whose failure is the service's
        }
    } else {
        notify_service_manager("STOPPING=1");
    }
    log::info("draining: no new clients; open transactions may finish");
    product.drain(stop_requests);
    product.stop();
    log::info("stopped");
    return stop_requests == 0 && product.deserted() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App command("pgsteady: a transparent PostgreSQL proxy that pools connections and bridges outages", "pgsteady");
    std::filesystem::path file;
    bool check = false;
    bool print = false;
    command.add_option(
        "--config", file,
        "configuration file (default: ./proxy.yaml, then /etc/pgsteady/proxy.yaml, then the environment alone)");
    command.add_flag("--check", check, "validate the configuration, print every problem, exit 1 if there is an error");
    command.add_flag("--print-config", print, "print the effective configuration with the source of each value");
    std::string theirs;
    command.add_option("--import-pgbouncer", theirs,
                       "print a proxy.yaml made of this pgbouncer.ini, and on stderr what could not be carried over");
    command.set_version_flag("--version", [] {
        const admin::build_status& made = build_facts();
        return fmt::format("pgsteady {} (revision {}, {}, OpenSSL {}, grammar of PostgreSQL {})", PGSTEADY_VERSION,
                           made.revision, made.compiler, made.openssl, made.parser);
    });
    CLI11_PARSE(command, argc, argv);
    try {
        if (!theirs.empty()) return import_pgbouncer(theirs);
        const auto chosen = file.empty() ? config::default_file() : std::optional(file);
        const config::load_result loaded = config::load(chosen, config::process_environment());
        if (print) fmt::print("{}", config::print(loaded));
        if (check || print || !loaded.ok()) print_problems(loaded);
        if (check && loaded.ok()) {
            fmt::print("configuration is valid\n");
            for (const std::string& line : compare_with_servers(loaded.settings)) fmt::print("{}\n", line);
        }
        if (!loaded.ok()) return 1;
        if (check || print) return 0;
        return run(loaded, chosen, {argv + 1, argv + argc});
    } catch (const std::exception& failure) {
        fmt::print(stderr, "pgsteady: {}\n", failure.what());
        return 1;
    }
}
