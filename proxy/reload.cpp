// See reload.hpp.
#include "proxy/reload.hpp"

#include "proxy/net/certificate.hpp"
#include "proxy/reload_plan.hpp"
#include "proxy/tls_contexts.hpp"
#include "proxy/worker/log.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <memory>
#include <utility>

namespace pgsteady {
namespace {

using std::chrono::system_clock;

/// The certificates that this configuration shows to somebody.
[[nodiscard]] std::array<std::pair<const char*, const std::string*>, 3> certificate_files(const config::settings& of) {
    return {{{"listen.tls.cert_file", &of.listen.tls.cert_file},
             {"backends.tls.cert_file", &of.backends.tls.cert_file},
             {"admin.tls.cert_file", &of.admin.tls.cert_file}}};
}

[[nodiscard]] std::string shown(system_clock::time_point expires) {
    return expires == system_clock::time_point{}
               ? std::string("none")
               : fmt::format("expires {:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(system_clock::to_time_t(expires)));
}

/// For the log and the list of events; the answer has the whole of it.
[[nodiscard]] std::string sentence_of(const admin::reload_outcome& from) {
    std::string result;
    for (const admin::change& each : from.did.changes) {
        if (!result.empty()) result += "; ";
        if (result.size() > 1500) return result + "…";
        result += fmt::format("{}: {} -> {}", each.what, each.before, each.after);
    }
    if (result.empty()) result = "nothing has changed";
    for (const std::string& each : from.needs_restart) result += fmt::format("; {} waits for a restart", each);
    return result;
}

}  // namespace

configuration_reload::configuration_reload(proxy_state& state, hooks to) : state_(state), hooks_(std::move(to)) {
    (void)look_at_certificates(state_.settings());
}

/// What is different about them since the last time.
std::vector<admin::change> configuration_reload::look_at_certificates(const config::settings& of) {
    std::vector<admin::change> changed;
    const std::scoped_lock lock(mutex_);
    for (const auto& [key, file] : certificate_files(of)) {
        const auto facts = file->empty() ? std::nullopt : net::read_certificate(*file);
        certificate& known = certificates_[key];
        const certificate now = facts ? certificate{facts->fingerprint, facts->expires} : certificate{};
        if (now.fingerprint != known.fingerprint)
            changed.push_back({"certificate", key, shown(known.expires), shown(now.expires)});
        known = now;
    }
    return changed;
}

admin::reload_outcome configuration_reload::run(const std::string& who) {
    const std::scoped_lock one(one_at_a_time_);
    admin::reload_outcome result;
    config::load_result loaded = hooks_.load();
    for (const config::problem& each : loaded.problems) {
        if (each.level == config::severity::warning) result.warnings.push_back(config::describe(each));
        else result.did.problems.push_back({each.key.empty() ? "configuration" : each.key, config::describe(each)});
    }
    if (!loaded.ok()) return reject(who, std::move(result));
    reload_plan plan = plan_reload(state_.settings(), loaded.settings);
    tls_context_set contexts = tls_contexts(plan.next);
    for (const std::string& each : contexts.problems) result.did.problems.push_back({"tls", each});
    if (!contexts.problems.empty()) return reject(who, std::move(result));

    result.did.changes = std::move(plan.changes);
    result.needs_restart = std::move(plan.needs_restart);
    for (admin::change& each : look_at_certificates(plan.next)) result.did.changes.push_back(std::move(each));
    state_.client_tls.put(std::move(contexts.clients));
    state_.server_tls.put(std::move(contexts.servers));
    state_.admin_tls.put(std::move(contexts.admin));
    const auto next = std::make_shared<const config::settings>(std::move(plan.next));
    log::set_up(next->log);
    for (std::string& each : state_.replace_settings(next)) result.needs_restart.push_back(std::move(each));
    loaded.settings = *next;  // without what waits for a restart
    if (hooks_.changed) hooks_.changed(loaded);
    accept(who, result);
    return result;
}

admin::reload_outcome configuration_reload::reject(const std::string& who, admin::reload_outcome why) {
    why.did.what = admin::verdict::invalid;
    for (const admin::key_problem& each : why.did.problems) log::error("reload: {}", each.problem);
    log::error("reload by {}: the configuration has errors; the one in use stays", who);
    const std::scoped_lock lock(mutex_);
    ++status_.rejected;
    status_.last_failed = true;
    status_.last = system_clock::now();
    status_.problem = why.did.problems.front().problem;
    note("reload_failed", "the configuration was rejected: " + status_.problem, true);
    return why;
}

void configuration_reload::accept(const std::string& who, const admin::reload_outcome& what) {
    const std::string sentence = sentence_of(what);
    for (const std::string& each : what.warnings) log::warning("reload: {}", each);
    log::warning("audit: {}, reload: {}", who, sentence);
    const std::scoped_lock lock(mutex_);
    ++(what.did.changes.empty() ? status_.unchanged : status_.applied);
    status_.last_failed = false;
    status_.last = system_clock::now();
    status_.problem.clear();
    note("configuration_changed", sentence, false);
}

/// With the lock held.
void configuration_reload::note(std::string name, std::string sentence, bool warning) {
    events_.push_back({system_clock::now(), std::move(name), std::move(sentence), warning});
    while (events_.size() > most_events) events_.pop_front();
}

admin::reload_status configuration_reload::status() const {
    const std::scoped_lock lock(mutex_);
    return status_;
}

std::vector<admin::event_status> configuration_reload::events() const {
    const std::scoped_lock lock(mutex_);
    return {events_.begin(), events_.end()};
}

std::vector<admin::certificate_status> configuration_reload::certificates() const {
    const std::scoped_lock lock(mutex_);
    std::vector<admin::certificate_status> result;
    for (const auto& [key, each] : certificates_)
        if (!each.fingerprint.empty()) result.push_back({key, each.expires});
    return result;
}

}  // namespace pgsteady
