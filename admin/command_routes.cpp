#include "admin/command_routes.hpp"

#include "config/keys.hpp"

#include "admin/audit.hpp"
#include "admin/documents.hpp"
#include "admin/json_text.hpp"
#include "admin/order_body.hpp"
#include "admin/printable.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <utility>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t most_name = 512;
constexpr std::string_view lasting = "until the configuration is loaded again";

[[nodiscard]] unsigned status_of(verdict what) {
    switch (what) {
        case verdict::done: return 200;
        case verdict::begun: return 202;
        case verdict::invalid: return 422;
        case verdict::unknown_target: return 404;
        case verdict::not_now: return 409;
    }
    return 500;
}

[[nodiscard]] json::array changes_document(const std::vector<change>& changes) {
    json::array result;
    for (const change& each : changes)
        result.push_back(json::object{{"where", json_string(each.where)},
                                      {"what", json_string(each.what)},
                                      {"before", json_string(each.before)},
                                      {"after", json_string(each.after)}});
    return result;
}

/// What was done, or why nothing was; `more` is added to the former.
[[nodiscard]] response answer_of(const outcome& from, json::object more = {}) {
    const unsigned status = status_of(from.what);
    if (status >= 400) return problems_answer(status, "nothing was changed", from.problems);
    json::array did;
    for (const std::string& each : from.did) did.push_back(json_string(each));
    json::object document{{"ok", true},
                          {"done", from.what == verdict::done},
                          {"did", std::move(did)},
                          {"changes", changes_document(from.changes)}};
    for (auto& member : more) document[member.key()] = std::move(member.value());
    response result = json_answer(status, document);
    result.audit = audit_line(from);
    if (result.audit.empty()) result.audit = "nothing to change";
    return result;
}

/// A slow command, whose answer also shows what is found afterwards.
[[nodiscard]] reply carry_out(const route_context& context, std::function<outcome()> what) {
    auto did = std::make_shared<outcome>();
    return slow_work{.work = [did, what = std::move(what)] { *did = what(); },
                     .finish =
                         [did, &watch = context.watch] {
                             watch.forget();
                             return answer_of(*did, {{"found", found_document(watch.observe())}});
                         }};
}

/// The body of an order that takes none.
[[nodiscard]] std::optional<response> refusal_of_any_key(const request& from) {
    order_body body(from);
    if (body.unreadable()) return body.unreadable();
    const std::vector<key_problem> problems = body.problems();
    if (problems.empty()) return std::nullopt;
    return problems_answer(422, "nothing was changed", problems);
}

[[nodiscard]] reply order_pool(const request& from, const route_context& context, pool_action action) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    return answer_of(context.run.order_pool(context.name, action));
}

[[nodiscard]] json::value text_or_null(const std::string& text) {
    return text.empty() ? json::value(nullptr) : json::value(json_string(text));
}

[[nodiscard]] json::object session_document(const session_status& of) {
    return {{"session", of.id},
            {"user", json_string(of.user)},
            {"database", json_string(of.database)},
            {"peer", json_string(of.peer)},
            {"state", json_string(of.state)},
            {"pinned", text_or_null(of.pinned)},
            {"waits_for", text_or_null(of.waits_for)},
            {"wait_seconds", rounded(of.wait_seconds, 3)},
            {"server", text_or_null(of.server)},
            {"server_pid", of.server_pid == 0 ? json::value(nullptr) : json::value(of.server_pid)},
            {"application_name", json_string(of.application_name)},
            {"tls", text_or_null(of.tls)},
            {"age_seconds", rounded(of.age_seconds, 1)},
            {"silent_seconds", rounded(of.silent_seconds, 1)}};
}

/// The bounds of a key of the configuration, in its own unit.
[[nodiscard]] std::pair<double, double> bounds_of(std::string_view path) {
    const config::key* found = config::find_key(path);
    return {found->rule.min, found->rule.max};
}

[[nodiscard]] std::optional<std::uint32_t> count_like(order_body& body, std::string_view key, std::string_view path) {
    const auto [least, most] = bounds_of(path);
    return body.count(key, static_cast<std::uint32_t>(least), static_cast<std::uint32_t>(most));
}

[[nodiscard]] std::optional<double> seconds_like(order_body& body, std::string_view key, std::string_view path) {
    const auto [least, most] = bounds_of(path);
    return body.seconds(key, least / 1000, most / 1000, true);
}

/// One of those that need no operate token, however it is written.
[[nodiscard]] bool is_harmless(std::string_view query) {
    std::string plain;
    for (const char each : query)
        if (each == ' ' || each == '\t' || each == '\n') plain += plain.empty() || plain.back() == ' ' ? "" : " ";
        else plain += each >= 'A' && each <= 'Z' ? static_cast<char>(each + 32) : each;
    while (!plain.empty() && (plain.back() == ' ' || plain.back() == ';')) plain.pop_back();
    return plain == "select 1" || plain == "select version()";
}

[[nodiscard]] json::object test_document(const test_result& of) {
    json::object result{{"target", json_string(of.target)}, {"kind", json_string(of.kind)}, {"ok", of.ok}};
    if (of.ok) {
        result["connect_ms"] = rounded(of.connect_ms, 3);
        result["latency_ms"] = rounded(of.latency_ms, 3);
        result["server_version"] = json_string(of.server_version);
    } else {
        result["error"] = json::object{{"sqlstate", json_string(of.sqlstate)}, {"message", json_string(of.error)}};
    }
    return result;
}

[[nodiscard]] response tests_answer(const std::optional<std::vector<test_result>>& results) {
    if (!results)
        return problems_answer(404, "nothing was tested", {{"connection_type", "names no pool, database or backend"}});
    bool ok = !results->empty();
    json::array list;
    for (const test_result& each : *results) {
        ok = ok && each.ok;
        list.push_back(test_document(each));
    }
    return json_answer(200, json::object{{"ok", ok}, {"results", std::move(list)}});
}

}  // namespace

reply put_retry_config(const request& from, const route_context& context) {
    order_body body(from);
    if (body.unreadable()) return *body.unreadable();
    retry_order order;
    order.max_retries = count_like(body, "max_retries", "retry.max_retries");
    order.initial_delay = seconds_like(body, "initial_delay", "retry.initial_delay");
    order.max_delay = seconds_like(body, "max_delay", "retry.max_delay");
    const auto [least, most] = bounds_of("retry.multiplier");
    order.multiplier = body.number("multiplier", least, most);
    order.strategy = body.choice("strategy", {"exponential_backoff", "linear_backoff", "fixed_delay"});
    order.timeout = seconds_like(body, "timeout", "pool.hold_timeout");
    order.jitter = body.flag("jitter");
    order.pool = body.text("pool", most_name);
    const std::vector<key_problem> problems = body.problems();
    if (!problems.empty()) return problems_answer(422, "nothing was changed", problems);
    const outcome did = context.run.change_retry(order);
    if (status_of(did.what) >= 400) return answer_of(did);
    return answer_of(did, {{"lasts", json_string(lasting)}});
}

reply put_switches(const request& from, const route_context& context) {
    order_body body(from);
    if (body.unreadable()) return *body.unreadable();
    switch_order order;
    order.recovery = body.flag("recovery.enabled");
    order.breaker = body.flag("breaker.enabled");
    order.read_only = body.flag("read_only.enabled");
    order.replay = body.flag("replay.enabled");
    order.guard = body.flag("guard.enabled");
    order.pool = body.text("pool", most_name);
    const std::vector<key_problem> problems = body.problems();
    if (!problems.empty()) return problems_answer(422, "nothing was changed", problems);
    return answer_of(context.run.change_switches(order), {{"lasts", json_string(lasting)}});
}

reply post_recover(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    return carry_out(context, [&run = context.run] { return run.recover(); });
}

reply post_breaker_reset(const request& from, const route_context& context) {
    order_body body(from);
    if (body.unreadable()) return *body.unreadable();
    breaker_order order;
    const std::optional<std::string> action = body.choice("action", {"reset", "open", "close", "auto"});
    const std::optional<std::string> scope = body.text("scope", most_name);
    if (action == "open") order.action = breaker_action::open;
    if (action == "close") order.action = breaker_action::close;
    if (action == "auto") order.action = breaker_action::automatic;
    if (action == "open" && !scope) body.add_problem("scope", "says what to open: a backend, write, or all");
    order.scope = scope.value_or(order.scope);
    const std::vector<key_problem> problems = body.problems();
    if (!problems.empty()) return problems_answer(422, "nothing was changed", problems);
    return carry_out(context, [&run = context.run, order] { return run.force_breaker(order); });
}

reply post_reload(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    auto result = std::make_shared<reload_outcome>();
    return slow_work{.work = [result, &run = context.run,
                              who = from.peer] { *result = run.reload(who + " with the operate token"); },
                     .finish =
                         [result, &watch = context.watch] {
                             watch.forget();
                             json::object more;
                             for (const auto& [key, list] : {std::pair{"needs_restart", &result->needs_restart},
                                                             std::pair{"warnings", &result->warnings}}) {
                                 json::array shown;
                                 for (const std::string& each : *list) shown.push_back(json_string(each));
                                 more[key] = std::move(shown);
                             }
                             response made = answer_of(result->did, std::move(more));
                             made.audit.clear();  // whoever reloads writes the line: it may be a signal
                             return made;
                         }};
}

reply post_hold(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    return carry_out(context, [&run = context.run] { return run.hold(true); });
}

reply post_resume(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    return carry_out(context, [&run = context.run] { return run.hold(false); });
}

reply post_switchover(const request& from, const route_context& context) {
    order_body body(from);
    if (body.unreadable()) return *body.unreadable();
    switchover_order order;
    order.backend = body.text("backend", most_name);
    const std::vector<key_problem> problems = body.problems();
    if (!problems.empty()) return problems_answer(422, "nothing was changed", problems);
    return answer_of(context.run.begin_switchover(order), {{"progress", "/api/database-recovery/status"}});
}

reply post_pool_pause(const request& from, const route_context& context) {
    return order_pool(from, context, pool_action::pause);
}

reply post_pool_resume(const request& from, const route_context& context) {
    return order_pool(from, context, pool_action::resume);
}

reply post_pool_reconnect(const request& from, const route_context& context) {
    return order_pool(from, context, pool_action::reconnect);
}

reply get_sessions(const request&, const route_context& context) {
    auto all = std::make_shared<std::vector<session_status>>();
    return slow_work{.work = [&run = context.run, all] { *all = run.sessions(); },
                     .finish =
                         [all] {
                             json::array list;
                             for (const session_status& each : *all) list.push_back(session_document(each));
                             return json_answer(200, json::object{{"sessions", std::move(list)}});
                         }};
}

reply delete_session(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    std::uint64_t id = 0;
    const char* end = context.name.data() + context.name.size();
    const auto [read, error] = std::from_chars(context.name.data(), end, id);
    if (error != std::errc{} || read != end)
        return problems_answer(404, "nothing was changed", {{"id", "there is no such session"}});
    auto did = std::make_shared<outcome>();
    return slow_work{.work = [&run = context.run, id, did] { *did = run.end_session(id); },
                     .finish = [did] { return answer_of(*did); }};
}

reply post_health_check(const request& from, const route_context& context) {
    if (const auto refused = refusal_of_any_key(from)) return *refused;
    auto results = std::make_shared<std::optional<std::vector<test_result>>>();
    return slow_work{.work = [&run = context.run, results] { *results = run.test_connection({}); },
                     .finish = [results] { return tests_answer(*results); }};
}

reply post_test_connection(const request& from, const route_context& context) {
    order_body body(from);
    if (body.unreadable()) return *body.unreadable();
    test_order order;
    order.target = body.text("connection_type", most_name).value_or(order.target);
    order.query = body.text("test_query", 8 * 1024).value_or(order.query);
    const std::vector<key_problem> problems = body.problems();
    if (!problems.empty()) return problems_answer(422, "nothing was tested", problems);
    order.free_query = !is_harmless(order.query);
    if (order.free_query && context.has < role::operate)
        return problem_answer(403, "without the operate token test_query is SELECT 1 or SELECT version()");
    auto results = std::make_shared<std::optional<std::vector<test_result>>>();
    return slow_work{.work = [&run = context.run, order, results] { *results = run.test_connection(order); },
                     .finish =
                         [results, order] {
                             response made = tests_answer(*results);
                             if (order.free_query)
                                 made.audit = "ran on " + printable(order.target, 200) + " a query of its own";
                             return made;
                         }};
}

}  // namespace pgsteady::admin
