// See application.hpp.
#include "proxy/application.hpp"

#include "proxy/snapshot_builder.hpp"
#include "proxy/tls_contexts.hpp"
#include "proxy/worker/log.hpp"

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

application::application(std::shared_ptr<const config::settings> settings)
    : settings_(std::move(settings)), state_(settings_, worker_count(*settings_)) {}

application::~application() { stop(); }

std::vector<std::string> application::load_certificates() {
    net::tls_context_result clients = client_tls_context(settings_->listen.tls);
    net::tls_context_result servers = server_tls_context(settings_->backends.tls);
    std::vector<std::string> problems = std::move(clients.problems);
    problems.insert(problems.end(), servers.problems.begin(), servers.problems.end());
    state_.client_tls = std::move(clients.context);
    state_.server_tls = std::move(servers.context);
    return problems;
}

std::vector<std::string> application::start() {
    std::vector<std::string> problems = load_certificates();
    const std::size_t count = worker_count(*settings_);
    for (std::size_t i = 0; i < count; ++i) {
        workers_.push_back(std::make_unique<worker>(state_, static_cast<unsigned>(i)));
        state_.workers.push_back(workers_.back().get());
    }
    state_.derive_verifiers();
    if (settings_->admin.enabled && problems.empty()) {
        admin::admin_server::hooks hooks;
        hooks.take_snapshot = [this] { return take_snapshot(); };
        hooks.take_readiness = [this] { return take_readiness(); };
        hooks.warn = [](const std::string& line) { log::warning("admin: {}", line); };
        hooks.alarm = [](const std::string& line) { log::warning("{}", line); };
        hooks.run = commands_.hooks();
        hooks.configuration = [this] { return explained_; };
        admin_ = std::make_unique<admin::admin_server>(settings_->admin, std::move(hooks));
        if (std::string problem = admin_->start(); !problem.empty()) problems.push_back(std::move(problem));
    }
    // Last, so that whoever gets through here finds everything else there.
    if (std::string problem = workers_.front()->listen(settings_->listen); !problem.empty())
        problems.push_back(std::move(problem));
    if (!problems.empty()) return problems;
    start_console();
    for (const auto& each : workers_) each->start();
    state_.start_monitor();
    return {};
}

/// Its thread waits for somebody to enter, unless somebody may (D37): then its averages begin now.
void application::start_console() {
    console_hooks hooks;
    hooks.take_snapshot = [this] { return take_snapshot(); };
    hooks.run = commands_.hooks();
    hooks.settings = [this] { return settings_; };
    hooks.signing_in = [this] { return state_.unauthenticated.used(); };
    hooks.shut_down = [] { (void)::kill(::getpid(), SIGTERM); };  // as from outside: main() drains
    hooks.set_log_level = log::set_level;
    hooks.listen_port = [port = port()] { return port; };
    console_ = std::make_unique<console_server>(std::move(hooks));
    state_.enter_console = [this](console_arrival who) { console_->take(std::move(who)); };
    if (!console_is_closed(*settings_)) console_->start();
}

std::uint16_t application::port() const { return workers_.empty() ? std::uint16_t{0} : workers_.front()->port(); }
std::uint16_t application::admin_port() const { return admin_ != nullptr ? admin_->port() : std::uint16_t{0}; }

void application::drain(const std::atomic<int>& hurry) {
    state_.draining = true;
    for (const auto& each : workers_) each->stop_listening();
    for (const auto& each : workers_) each->drain(false);
    const auto deadline = std::chrono::steady_clock::now() + settings_->shutdown.drain_timeout;
    const auto work_left = [this] {
        std::uint64_t left = 0;
        for (const auto& each : workers_) {
            auto answer = each->ask_snapshot();
            if (answer.wait_for(1s) != std::future_status::ready) continue;
            const worker_snapshot said = answer.get();
            left += said.clients + said.cancels;
        }
        return left;
    };
    bool forced = false;
    while (work_left() > 0) {
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
    snapshot_sources from{*settings_, state_, workers_};
    admin::snapshot all = build_snapshot(from);
    all.uptime = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
    all.draining = state_.draining;
    if (const auto last = commands_.last_switchover())
        all.switchover = admin::switchover_status{std::string(to_string(last->at)), last->cluster, last->since, last->sentence};
    return all;
}

}  // namespace pgsteady
