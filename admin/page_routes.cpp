#include "admin/page_routes.hpp"

#include "admin/documents.hpp"
#include "admin/json_text.hpp"
#include "admin/openapi.hpp"
#include "admin/page.hpp"
#include "admin/past_documents.hpp"
#include "admin/window_document.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

/// What the means and percentiles of the page are made from.
constexpr std::chrono::minutes window_length{10};

[[nodiscard]] std::string_view to_string(role of) {
    switch (of) {
        case role::operate: return "operate";
        case role::read: return "read";
        case role::nobody: break;
    }
    return "nobody";
}

[[nodiscard]] std::string list_of(std::span<const route> table) {
    std::string result = "pgsteady, the admin port\n\n";
    for (const route& each : table) result += fmt::format("{:<6} {:<48} {}\n", each.method, each.path, each.summary);
    return result;
}

/// Everything, for somebody who has seen nothing yet.
[[nodiscard]] json::object dashboard_document(const route_tools& tools) {
    const observation& seen = tools.watch.observe();
    tools.past.see(std::chrono::steady_clock::now(), seen);
    json::object result = picture_document(tools);
    result["timeline"] = timeline_document(tools.past.curves());
    result["events"] = journal_document(tools.past.entries());
    return result;
}

[[nodiscard]] std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

json::object picture_document(const route_tools& tools) {
    const observation& seen = tools.watch.observe();
    return {{"status", status_document(seen)},
            {"health", health_document(seen)},
            {"connections", connections_document(seen, std::nullopt).value()},
            {"metrics", window_document(seen, tools.watch.window(window_length), window_length)},
            {"alerts", alerts_document(tools.alarm, true)},
            {"recoveries", recoveries_document(tools.past.outages(), seen.taken_at)},
            {"timeline", json::object{{"current", moment_document(tools.past.curves().current())}}}};
}

reply get_page(const request& from, const route_context& context) {
    if (!asks_for(from, "text/html")) {
        response list = text_answer(200, list_of(context.table));
        list.headers.emplace_back("Vary", "Accept");
        return list;
    }
    return page_answer();
}

reply get_openapi(const request&, const route_context& context) {
    static const response whole = json_answer(200, openapi_document(context.table));
    return whole;
}

reply get_dashboard(const request&, const route_context& context) {
    json::object result = dashboard_document(context);
    result["caller"] = json_string(to_string(context.has));
    return json_answer(200, result);
}

reply get_events(const request& from, const route_context& context) {
    const bool pictures = from.parameter("pictures").value_or("yes") != "no";
    const json::object whole = pictures ? dashboard_document(context) : json::object();
    response result{.content_type = "text/event-stream", .body = {}};
    result.live = context.feed.subscribe(whole, context.past.entries(), number_in(from.last_event_id), pictures);
    if (result.live) {
        result.headers.emplace_back("X-Accel-Buffering", "no");
        return result;
    }
    response full = problem_answer(503, "too many listen already; ask for /api/v1/monitoring/dashboard now and then");
    full.headers.emplace_back("Retry-After", "5");
    return full;
}

reply get_config(const request&, const route_context& context) {
    json::array values;
    for (const config::effective_value& each : context.configuration())
        values.push_back(json::object{
            {"key", json_string(each.key)}, {"value", json_string(each.value)}, {"source", json_string(each.source)}});
    return json_answer(200, json::object{{"values", std::move(values)}});
}

}  // namespace pgsteady::admin
