// See console_orders.hpp.
#include "proxy/console_orders.hpp"

#include "protocol/sqlstate.hpp"

#include "admin/audit.hpp"
#include "admin/printable.hpp"
#include "proxy/console/show.hpp"
#include "proxy/worker/log.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <utility>

namespace pgsteady {

using namespace std::chrono_literals;

namespace {

constexpr auto snapshot_age = 20ms;
constexpr auto list_age = 100ms;  // a list makes each worker write up to a thousand rows

constexpr std::string_view insufficient_privilege = "42501";
constexpr std::string_view config_file_error = "F0000";

constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warning", "error"};

console_answer refusal(std::string_view code, std::string message, std::string hint = {}) {
    return {.error = plain_error(code, std::move(message), {}, std::move(hint))};
}

/// What was done as notices, or why nothing was.
console_answer answer_of(const admin::outcome& from, const console_command& what) {
    if (from.what == admin::verdict::done || from.what == admin::verdict::begun) {
        console_answer made{.tag = std::string(to_string(what.verb))};
        for (const std::string& each : from.did) made.notices.push_back(console_notice(admin::printable(each, 1000)));
        return made;
    }
    std::string reasons;
    for (const admin::key_problem& each : from.problems)
        reasons += (reasons.empty() ? "" : "; ") + admin::printable(each.problem, 200);
    switch (from.what) {
        case admin::verdict::unknown_target: {
            const bool database = what.verb != console_verb::kill_client;
            return refusal(database ? sqlstate::invalid_catalog_name : sqlstate::undefined_object, std::move(reasons),
                           database ? "SHOW DATABASES and SHOW POOLS list what there is." : "SHOW CLIENTS lists them.");
        }
        case admin::verdict::not_now: return refusal(sqlstate::object_not_in_prerequisite_state, std::move(reasons));
        default: return refusal(sqlstate::invalid_parameter_value, std::move(reasons));
    }
}

bool is_of(const std::string& name, const std::string& database, const std::string& user) {
    return name.empty() || name == database || name == admin::pool_name(database, user);
}

/// What drivers set on every connection, and what of it is true here anyway.
bool is_of_the_client(const console_command& what) {
    const std::string key = in_capitals(what.target);
    const std::string value = in_capitals(what.value);
    if (key == "APPLICATION_NAME" || key == "EXTRA_FLOAT_DIGITS") return true;
    if (key == "CLIENT_ENCODING") return value == "UTF8" || value == "UTF-8" || value == "UNICODE";
    if (key == "DATESTYLE") return value.starts_with("ISO");
    return key == "STANDARD_CONFORMING_STRINGS" && value == "ON";
}

/// Tables that show clients or servers are cut at what the proxy lists.
void tell_of_cut(console_answer& made, std::size_t shown, std::uint64_t all, const char* what) {
    if (shown < all)
        made.notices.push_back(
            console_notice(std::to_string(shown) + " of " + std::to_string(all) + ' ' + what + " are shown"));
}

}  // namespace

console_result console_orders::carry_out(const console_command& what, const console_caller& who) {
    try {
        if (changes_something(what) && who.role != console_role::admin &&
            !(what.verb == console_verb::set && is_of_the_client(what))) {
            log::warning("console: refused {} from {}: {}", who.user, who.peer, describe(what));
            return {refusal(insufficient_privilege,
                            "permission denied: " + std::string(to_string(what.verb)) + " needs an admin user",
                            "admin.admin_users names them.")};
        }
        return dispatch(what, who);
    } catch (const std::exception& failure) {
        log::warning("console: {} failed: {}", describe(what), failure.what());
        return {refusal(sqlstate::internal_error, "the command failed; the log says why")};
    }
}

console_result console_orders::dispatch(const console_command& what, const console_caller& who) {
    using action = admin::database_action;
    console_result made;
    switch (what.verb) {
        case console_verb::show: return {show(what)};
        case console_verb::wait_close: return {{}, until_closed(what.target)};
        case console_verb::suspend:
            return {refusal(sqlstate::feature_not_supported, "SUSPEND is not supported",
                            "PAUSE lets work end and holds what is new.")};
        case console_verb::set:
            made.answer = set(what);
            if (is_of_the_client(what)) return made;
            break;
        case console_verb::pause: made = order(what, action::pause); break;
        case console_verb::resume: made = order(what, action::resume); break;
        case console_verb::reconnect: made = order(what, action::reconnect); break;
        case console_verb::kill: made = order(what, action::kill); break;
        case console_verb::disable: made = order(what, action::disable); break;
        case console_verb::enable: made = order(what, action::enable); break;
        case console_verb::kill_client: made = kill_client(what); break;
        case console_verb::reload: made = reload(what); break;
        case console_verb::shutdown: made.answer = shut_down(); break;
    }
    last_.reset();  // the next table shows what has been done
    clients_at_ = servers_at_ = {};
    if (!made.answer.error) audit(what, who, made.audit);
    return made;
}

void console_orders::audit(const console_command& what, const console_caller& who, const std::string& did) {
    if (!from_.run.audit) return;
    from_.run.audit(who.user + " from " + who.peer + ", console, " + describe(what) + (did.empty() ? "" : ": " + did));
}

console_result console_orders::reload(const console_command& what) {
    if (!from_.reload)
        return {refusal(sqlstate::feature_not_supported, "the configuration cannot be loaded again while running",
                        "Restart to apply it; `pgsteady --check` judges it before.")};
    const admin::outcome did = from_.reload();
    console_result made{answer_of(did, what), {}, admin::audit_line(did)};
    if (made.answer.error) {
        made.answer.error = plain_error(config_file_error, "the configuration was not loaded; the one in use stays");
        for (const admin::key_problem& each : did.problems)
            made.answer.error->detail += (made.answer.error->detail.empty() ? "" : "\n") +
                                         admin::printable(each.key, 200) + ": " + admin::printable(each.problem, 500);
        return made;
    }
    for (const admin::change& each : did.changes)
        made.answer.notices.push_back(
            console_notice(admin::printable((each.where.empty() ? std::string() : each.where + ' ') + each.what + ": " +
                                                each.before + " -> " + each.after,
                                            500)));
    return made;
}

console_answer console_orders::shut_down() {
    from_.shut_down();
    return {.notices = {console_notice("draining: no new clients; open transactions may finish")}, .tag = "SHUTDOWN"};
}

console_answer console_orders::show(const console_command& what) {
    const console_view view = view_for(what.target);
    console_answer made = show_table(what.target, view);
    const auto needs = needs_of_table(what.target);
    if (needs && needs->clients) tell_of_cut(made, view.clients.size(), view.now.clients, "clients");
    if (needs && needs->servers) tell_of_cut(made, view.servers.size(), view.now.servers, "servers");
    return made;
}

console_view console_orders::view_for(const std::string& table) {
    const console_needs needs = needs_of_table(table).value_or(console_needs{});
    const time_point now = from_.clock();
    console_view view;
    view.now = snapshot();
    if (needs.clients || needs.servers) {  // a server's row has its client's application_name
        if (outdated(clients_at_, list_age)) clients_ = from_.run.sessions(), clients_at_ = now;
        view.clients = clients_;
    }
    if (needs.servers) {
        if (outdated(servers_at_, list_age)) servers_ = from_.run.servers(), servers_at_ = now;
        view.servers = servers_;
    }
    view.recent = averages_.since_oldest(now, totals_of(view.now));
    view.settings = from_.settings();
    view.taken_at = std::chrono::system_clock::now();
    view.signing_in = from_.signing_in();
    view.listen_address = view.settings->listen.host;
    view.listen_port = from_.listen_port();
    return view;
}

const admin::snapshot& console_orders::snapshot() {
    const time_point now = from_.clock();
    if (!last_ || outdated(last_at_, snapshot_age)) {
        last_ = from_.take_snapshot();
        last_at_ = now;
    }
    return *last_;
}

bool console_orders::outdated(time_point taken, std::chrono::steady_clock::duration age) const {
    return taken < arrived_at_ || from_.clock() - taken > age;
}

void console_orders::take_sample() {
    try {
        const admin::snapshot& now = snapshot();
        averages_.record(last_at_, totals_of(now));
    } catch (const std::exception& failure) {
        log::warning("console: no snapshot: {}", failure.what());
    }
}

/// PAUSE is answered when no server of the database is left, as PgBouncer does: what follows it in a script relies on that.
console_result console_orders::order(const console_command& what, admin::database_action action) {
    const admin::outcome did = from_.run.order_database(what.target, action);
    console_result made{answer_of(did, what), {}, admin::audit_line(did)};
    if (made.answer.error || action != admin::database_action::pause) return made;
    made.wait = until_released(what.target);
    made.wait->then = made.answer;
    made.wait->in_vain = refusal(sqlstate::query_canceled, "the pause was ended before all servers were free");
    return made;
}

console_wait console_orders::until_released(const std::string& database) {
    return {[this, database] {
        const admin::snapshot& now = snapshot();
        for (const admin::worker_status& each : now.workers)
            if (!each.answered) return console_wait::state::not_yet;
        bool free = true;
        for (const admin::pool_status& each : now.pools) {
            if (!is_of(database, each.database, each.user)) continue;
            if (!each.paused) return console_wait::state::in_vain;
            free = free && each.open == 0 && each.cancelling == 0;
        }
        return free ? console_wait::state::over : console_wait::state::not_yet;
    }};
}

console_wait console_orders::until_closed(const std::string& database) {
    return {[this, database] {
                const std::vector<admin::server_status> servers = from_.run.servers();
                const bool left = std::any_of(servers.begin(), servers.end(), [&](const admin::server_status& each) {
                    return each.condemned && is_of(database, each.database, each.pool_user);
                });
                return left ? console_wait::state::not_yet : console_wait::state::over;
            },
            {.tag = "WAIT_CLOSE"}};
}

console_result console_orders::kill_client(const console_command& what) {
    std::uint64_t id = 0;
    const char* end = what.target.data() + what.target.size();
    if (const auto [read, error] = std::from_chars(what.target.data(), end, id); error != std::errc{} || read != end)
        return {refusal(sqlstate::undefined_object, "there is no such session", "SHOW CLIENTS lists them.")};
    const admin::outcome did = from_.run.end_session(id);
    return {answer_of(did, what), {}, admin::audit_line(did)};
}

console_answer console_orders::set(const console_command& what) {
    if (is_of_the_client(what)) return {.tag = "SET"};
    const std::string key = in_capitals(what.target);
    if (key != "LOG.LEVEL" && key != "LOG_LEVEL")
        return refusal(
            sqlstate::feature_not_supported, "SET changes log.level alone",
            "Other keys change with the configuration, and some over HTTP: /api/database-recovery/retry-config and "
            "/api/v1/switches.");
    for (std::size_t i = 0; i < log_levels.size(); ++i)
        if (in_capitals(log_levels[i]) == in_capitals(what.value)) {
            from_.set_log_level(static_cast<config::log_level>(i));
            return {.tag = "SET"};
        }
    return refusal(sqlstate::invalid_parameter_value, "log.level is debug, info, warning or error");
}

}  // namespace pgsteady
