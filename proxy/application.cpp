// See application.hpp.
#include "proxy/application.hpp"

#include "config/print.hpp"

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

application::application(std::shared_ptr<const config::settings> settings, std::function<config::load_result()> load)
    : state_(settings, worker_count(*settings)),
      reload_(state_, {std::move(load), [this](const config::load_result& now) { follow_settings(now); }}) {}

application::~application() { stop(); }

void application::follow_settings(const config::load_result& now) {
    explain(config::effective(now));
    if (admin_ != nullptr) admin_->follow(now.settings.admin, now.settings.alerts);
}

std::vector<std::string> application::start() {
    const config::settings& settings = state_.settings();
    tls_context_set contexts = tls_contexts(settings);
    std::vector<std::string> problems = std::move(contexts.problems);
    state_.client_tls.put(std::move(contexts.clients));
    state_.server_tls.put(std::move(contexts.servers));
    state_.admin_tls.put(std::move(contexts.admin));
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
        admin_ =
            std::make_unique<admin::admin_server>(settings.admin, std::move(hooks), admin::limits_of(settings.admin));
        if (std::string problem = admin_->start(); !problem.empty()) problems.push_back(std::move(problem));
    }
    // Last, so that whoever gets through here finds everything else there.
    if (std::string problem = workers_.front()->listen(settings.listen); !problem.empty())
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

void application::drain(const std::atomic<int>& hurry) {
    state_.draining = true;
    for (const auto& each : workers_) each->stop_listening();
    for (const auto& each : workers_) each->drain(false);
    const auto deadline = std::chrono::steady_clock::now() + state_.settings().shutdown.drain_timeout;
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
    snapshot_sources from{state_.settings(), state_, workers_};
    admin::snapshot all = build_snapshot(from);
    all.uptime = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
    all.draining = state_.draining;
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
