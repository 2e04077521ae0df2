// See application.hpp.
#include "proxy/application.hpp"

#include "config/print.hpp"

#include "proxy/snapshot_builder.hpp"
#include "proxy/tls_contexts.hpp"
#include "proxy/worker/log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace pgsteady {

using namespace std::chrono_literals;

std::size_t worker_count(const config::settings& settings) {
    if (settings.workers != 0) return settings.workers;
    return std::max(1U, std::thread::hardware_concurrency());
}

application::application(std::shared_ptr<const config::settings> settings, std::function<config::load_result()> load)
    : state_(settings, worker_count(*settings)),
      reload_(state_, {std::move(load), [this](const config::load_result& now) { follow_settings(now); }}) {}

application::~application() { stop(); }

void application::follow_settings(const config::load_result& now) {
    explain(config::effective(now));
    if (admin_ != nullptr) admin_->follow(now.settings.admin, now.settings.alerts);
}

/// Empty, or why there is none.
std::string application::choose_engine(const config::settings& settings) {
    state_.io_engine = net::io_engine::epoll;
    if (settings.io_engine == config::io_engine::epoll) return {};
    std::string problem;
    if (net::event_loop::has_io_uring(problem)) state_.io_engine = net::io_engine::io_uring;
    else if (settings.io_engine == config::io_engine::io_uring) return "io_engine: no io_uring here: " + problem;
    else log::info("io_engine: epoll, since there is no io_uring here: {}", problem);
    return {};
}

admin::io_engine application::engine() const {
    return state_.io_engine == net::io_engine::io_uring ? admin::io_engine::io_uring : admin::io_engine::epoll;
}

std::vector<std::string> application::start() {
    const config::settings& settings = state_.settings();
    net::inherited_sockets inherited;
    if (std::string problem = before_.ask(settings.listen.takeover_socket, inherited); !problem.empty())
        return {std::move(problem)};
    tls_context_set contexts = tls_contexts(settings);
    std::vector<std::string> problems = std::move(contexts.problems);
    state_.client_tls.put(std::move(contexts.clients));
    state_.server_tls.put(std::move(contexts.servers));
    state_.admin_tls.put(std::move(contexts.admin));
    if (std::string problem = choose_engine(settings); !problem.empty()) return {std::move(problem)};
    const std::size_t count = worker_count(settings);
    for (std::size_t i = 0; i < count; ++i) {
        workers_.push_back(std::make_unique<worker>(state_, static_cast<unsigned>(i)));
        state_.workers.push_back(workers_.back().get());
    }
    state_.derive_verifiers();
    if (settings.admin.enabled && problems.empty()) {
        admin::admin_server::hooks hooks;
        hooks.take_snapshot = [this] { return take_snapshot(); };
        hooks.take_readiness = [this] { return take_readiness(); };
        hooks.warn = [](const std::string& line) { log::warning("admin: {}", line); };
        hooks.alarm = [](const std::string& line) { log::warning("{}", line); };
        hooks.alerts = settings.alerts;
        hooks.run = commands_.hooks();
        hooks.configuration = [this] { return explained(); };
        hooks.run.reload = [this](const std::string& who) { return reload_.run(who); };
        hooks.tls = [this] {
            const std::shared_ptr<const net::tls_context> now = state_.admin_tls.get();
            return std::shared_ptr<ssl_ctx_st>(now, now != nullptr ? now->native() : nullptr);
        };
        hooks.inherited = [&inherited](const std::string& address) { return inherited.take(address).release(); };
        admin_ =
            std::make_unique<admin::admin_server>(settings.admin, std::move(hooks), admin::limits_of(settings.admin));
        if (std::string problem = admin_->start(); !problem.empty()) problems.push_back(std::move(problem));
    }
    // Last, so that whoever gets through here finds everything else there.
    if (std::string problem = workers_.front()->listen(settings.listen, &inherited); !problem.empty())
        problems.push_back(std::move(problem));
    if (!problems.empty()) return problems;
    if (before_.present())
        state_.cancel_elsewhere = [this](std::int32_t pid, const std::string& key) { before_.cancel(pid, key); };
    start_console();
    std::vector<net::unique_fd> sockets = sockets_to_hand_over();
    for (const auto& each : workers_) each->start();
    state_.start_monitor();
    if (std::string problem = open_takeover(std::move(sockets)); !problem.empty()) return {std::move(problem)};
    return {};
}

std::vector<net::unique_fd> application::sockets_to_hand_over() const {
    std::vector<net::unique_fd> all = workers_.front()->listening_sockets();
    if (admin_ != nullptr)
        for (const int fd : admin_->sockets()) all.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return all;
}

/// Takes the place of the process before this one, and may itself be replaced from now on.
std::string application::open_takeover(std::vector<net::unique_fd> sockets) {
    const std::string& path = state_.settings().listen.takeover_socket;
    if (path.empty()) return {};
    if (before_.present() && !before_.replace()) log::warning("takeover: the process before this one has gone");
    takeover_door::hooks to;
    to.replaced = [this](std::int64_t successor) { give_way(successor); };
    to.cancel = [this](std::int32_t pid, std::string key) { workers_.front()->route_cancel(pid, std::move(key)); };
    to.deserted = [this] { deserted_ = true; };
    std::string problem = takeover_.open(path, std::move(sockets), std::move(to));
    if (problem.empty() || !before_.present()) return problem;
    log::error("takeover: {}; nobody can take this process's place", problem);  // clients come to it already
    return {};
}

void application::give_way(std::int64_t successor) {
    for (const auto& each : workers_) each->hand_over_listening();
    if (admin_ != nullptr) admin_->stop();
    before_.tell_of_successor();
    replaced_ = true;
    if (on_replaced) on_replaced(successor);
}

void application::serve_the_rest(const std::atomic<int>& hurry) {
    const auto deadline = std::chrono::steady_clock::now() + state_.settings().shutdown.takeover_timeout;
    while (hurry == 0 && !deserted_ && clients_left() > 0 && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(100ms);
}

/// Its thread waits for somebody to enter, unless somebody may (D37): then its averages begin now.
void application::start_console() {
    console_hooks hooks;
    hooks.take_snapshot = [this] { return take_snapshot(); };
    hooks.run = commands_.hooks();
    hooks.settings = [this] { return state_.settings_to_keep(); };
    hooks.reload = [this] { return reload_.run("an operator on the console").did; };
    hooks.signing_in = [this] { return state_.unauthenticated.used(); };
    hooks.shut_down = [] { (void)::kill(::getpid(), SIGTERM); };  // as from outside: main() drains
    hooks.set_log_level = log::set_level;
    hooks.listen_port = [port = port()] { return port; };
    console_ = std::make_unique<console_server>(std::move(hooks));
    state_.enter_console = [this](console_arrival who) { console_->take(std::move(who)); };
    if (!console_is_closed(state_.settings())) console_->start();
}

std::uint16_t application::port() const { return workers_.empty() ? std::uint16_t{0} : workers_.front()->port(); }
std::uint16_t application::admin_port() const { return admin_ != nullptr ? admin_->port() : std::uint16_t{0}; }

/// Clients and cancel requests; a worker that says nothing for a second has none to speak of.
std::uint64_t application::clients_left() const {
    std::uint64_t left = 0;
    for (const auto& each : workers_) {
        auto answer = each->ask_snapshot();
        if (answer.wait_for(1s) != std::future_status::ready) continue;
        const worker_snapshot said = answer.get();
        left += said.clients + said.cancels;
    }
    return left;
}

void application::drain(const std::atomic<int>& hurry) {
    state_.draining = true;
    if (!replaced_) takeover_.close();
    for (const auto& each : workers_) each->stop_listening();
    for (const auto& each : workers_) each->drain(false);
    const auto deadline = std::chrono::steady_clock::now() + state_.settings().shutdown.drain_timeout;
    bool forced = false;
    while (clients_left() > 0) {
        const auto now = std::chrono::steady_clock::now();
        if (!forced && (now >= deadline || hurry > 1)) {
            forced = true;
            log::warning("drain: ending the clients that are left");
            for (const auto& each : workers_) each->drain(true);
        }
        if (now >= deadline + 2s || hurry > 2) return;
        std::this_thread::sleep_for(20ms);
    }
}

void application::stop() {
    takeover_.close();
    if (admin_ != nullptr) admin_->stop();
    if (console_ != nullptr) console_->stop();
    state_.stop_monitor();
    state_.helper.stop();
    for (const auto& each : workers_) each->stop();
    for (const auto& each : workers_) each->join();
    workers_.clear();
}

admin::readiness application::take_readiness() const {
    admin::readiness now;
    now.draining = state_.draining;
    for (const auto& each : state_.clusters())
        now.mode = std::max(now.mode, static_cast<admin::service_mode>(each->view()->mode));
    return now;
}

admin::snapshot application::take_snapshot() const {
    snapshot_sources from{state_.settings(), state_, workers_};
    admin::snapshot all = build_snapshot(from);
    all.uptime = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
    all.draining = state_.draining;
    all.engine = engine();
    all.reload = reload_.status();
    all.certificates = reload_.certificates();
    for (admin::event_status& each : reload_.events()) all.events.push_back(std::move(each));
    std::stable_sort(all.events.begin(), all.events.end(),
                     [](const auto& a, const auto& b) { return a.when < b.when; });
    if (const auto last = commands_.last_switchover())
        all.switchover =
            admin::switchover_status{std::string(to_string(last->at)), last->cluster, last->since, last->sentence};
    return all;
}

}  // namespace pgsteady
