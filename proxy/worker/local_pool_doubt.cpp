// A pool's part on one worker tells its sessions what the monitor knows when a COMMIT's answer is lost, and counts and logs
// what was found out (recovery.md 2.6). See local_pool.hpp.
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

void local_pool::begin_observing() {
    facts.observe = [this](in_doubt_facts& found, const commit_capture& captured) { observe(found, captured); };
    facts.resolving = [this] { worker_.counters().in_doubt_begun.add(); };
    facts.resolved = [this](const in_doubt_report& what) { count_resolved(what); };
    facts.not_replayed = [this](const error_fields& told) {
        log::warning("pool {}: {}: {}", shared->plan.label(), told.message, told.detail);
    };
    facts.capture_failed = [this](std::string_view sqlstate) {
        note_capture_problem(sqlstate.empty() ? "its answer makes no sense"
                                              : "it is refused with " + std::string(sqlstate));
    };
    facts.system_of = [this](std::size_t host) {
        const cluster::view_ptr now = shared->backends_of->view();
        return host < now->hosts.size() ? now->hosts[host].system_identifier : std::string();
    };
}

/// The newest view: one that came by letter may be older than the server that has just answered.
void local_pool::observe(in_doubt_facts& found, const commit_capture& captured) const {
    const cluster::view_ptr now = shared->backends_of->view();
    found.two_primaries = now->two_primaries;
    if (found.host >= now->hosts.size()) return;
    const host_view& here = now->hosts[found.host];
    found.inherited.observed = here.life.is(found.server) || !now->informed;
    if (!here.life.is(found.server)) return;
    for (const inheritance& each : here.inherited)
        if (each.host == captured.host && each.from.is(captured.server)) found.inherited.upto = each.upto;
}

void local_pool::count_resolved(const in_doubt_report& what) {
    const std::size_t outcome = what.found.what == in_doubt_outcome::committed       ? 0
                                : what.found.what == in_doubt_outcome::not_committed ? 1
                                                                                     : 2;
    worker_.counters().in_doubt[outcome][static_cast<std::size_t>(what.found.path)].add();
    const auto position = [](const std::optional<std::uint64_t>& at) {
        return at ? wal_position_text(*at) : std::string("none");
    };
    const auto name_of = [this](std::size_t host) {
        return host < view_->hosts.size() ? view_->hosts[host].address : std::to_string(host);
    };
    const std::string line = fmt::format(
        "incident {}: COMMIT of transaction {} on {} (marker at {}): {}, {}; asked {}, whose recovery ended at {}, "
        "with WAL up to {}",
        what.incident, what.captured.xid, name_of(what.captured.host), wal_position_text(what.captured.marker),
        to_string(what.found.what), to_string(what.found.path), name_of(what.facts.host),
        position(what.facts.server.recovered_to),
        what.facts.inherited.upto == inheritance::everything ? "its end" : position(what.facts.inherited.upto));
    if (outcome == 2) log::warning("{}", line);
    else log::info("{}", line);
}

/// Said once per pool and worker: it holds for all connections, or until somebody changes what the account may.
void local_pool::note_capture_problem(std::string_view why) {
    worker_.counters().captures_impossible.add();
    if (std::exchange(capture_problem_told_, true)) return;
    log::warning("pool {}: whether a COMMIT whose answer is lost was carried out cannot be found out: {}",
                 shared->plan.database + "/" + shared->plan.user, why);
}

}  // namespace pgsteady
