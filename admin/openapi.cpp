#include "admin/openapi.hpp"

#include "admin/json_text.hpp"
#include "admin/page.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <string>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

[[nodiscard]] json::string text(std::string_view ours) { return json::string(ours.data(), ours.size()); }

[[nodiscard]] json::object reference(std::string_view kind, std::string_view name) {
    return {{"$ref", text("#/components/" + std::string(kind) + '/' + std::string(name))}};
}

[[nodiscard]] bool is_media_type(std::string_view answers) { return answers.find('/') != std::string_view::npos; }

[[nodiscard]] json::object content_of(std::string_view answers) {
    const std::string_view type = answers == "application/json" ? "object" : "string";
    if (is_media_type(answers)) return {{text(answers), json::object{{"schema", json::object{{"type", text(type)}}}}}};
    return {{"application/json", json::object{{"schema", reference("schemas", answers)}}}};
}

[[nodiscard]] json::object answer_of(std::string_view what, std::string_view answers) {
    return {{"description", text(what)}, {"content", content_of(answers)}};
}

/// /readyz and the like say the same with another status when all is not well.
[[nodiscard]] bool answers_503(std::string_view path) { return path == "/readyz" || path.ends_with("/health"); }

[[nodiscard]] json::object answers_of(const route& of) {
    json::object result{{"200", answer_of("done", of.answers)}};
    if (of.path == "/api/v1/switchover")
        result = {{"202", answer_of("begun; the status shows how far it is", of.answers)}};
    if (answers_503(of.path)) result["503"] = answer_of("the same, when it cannot be served", of.answers);
    if (of.needs != role::nobody) result["401"] = reference("responses", "Unauthorized");
    result["default"] = reference("responses", "Problem");
    return result;
}

/// The {name} in a path, and the names of the query.
[[nodiscard]] json::array parameters_of(const route& of) {
    json::array result;
    const std::size_t open = of.path.find('{');
    if (open != std::string_view::npos) {
        const std::string_view name = of.path.substr(open + 1, of.path.find('}') - open - 1);
        result.push_back(json::object{
            {"name", text(name)}, {"in", "path"}, {"required", true}, {"schema", json::object{{"type", "string"}}}});
    }
    for (std::string_view rest = of.query; !rest.empty();) {
        const std::string_view name = rest.substr(0, rest.find(' '));
        result.push_back(reference("parameters", name));
        rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    }
    return result;
}

/// Unique, and readable in a generated client: getApiV1Sessions.
[[nodiscard]] std::string operation_id(const route& of) {
    std::string result;
    for (const char each : of.method) result += static_cast<char>(each + 32);
    bool capital = true;
    for (const char each : of.path) {
        const bool letter = (each >= 'a' && each <= 'z') || (each >= '0' && each <= '9');
        if (letter) result += capital && each >= 'a' ? static_cast<char>(each - 32) : each;
        capital = !letter;
    }
    return result == "get" ? "getPage" : result;
}

[[nodiscard]] json::array security_of(const route& of) {
    if (of.needs == role::nobody) return {};
    json::array result{json::object{{"operate_token", json::array()}}};
    if (of.needs == role::read) {
        result.push_back(json::object{{"read_token", json::array()}});
        result.push_back(json::object());  // on loopback, while there is no read token
    }
    return result;
}

[[nodiscard]] json::object operation_of(const route& of) {
    json::object result{{"operationId", text(operation_id(of))},
                        {"summary", text(of.summary)},
                        {"security", security_of(of)},
                        {"responses", answers_of(of)}};
    if (json::array parameters = parameters_of(of); !parameters.empty()) result["parameters"] = std::move(parameters);
    if (!of.takes.empty()) result["requestBody"] = json::object{{"required", false}, {"content", content_of(of.takes)}};
    return result;
}

}  // namespace

json::object openapi_document(std::span<const route> table) {
    json::object paths;
    for (const route& each : table) {
        std::string method(each.method);
        for (char& letter : method) letter = static_cast<char>(letter + 32);
        json::value& path = paths[text(each.path)];
        if (!path.is_object()) path.emplace_object();
        path.as_object()[method] = operation_of(each);
    }
    return {{"openapi", "3.1.0"},
            {"info", json::object{{"title", "pgsteady admin"},
                                  {"version", PGSTEADY_VERSION},
                                  {"license", json::object{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
            {"paths", std::move(paths)},
            {"components", json::parse(json::string_view(page_schemas().data(), page_schemas().size()))}};
}

}  // namespace pgsteady::admin
