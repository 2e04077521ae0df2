// /openapi.json against the table of routes, both ways, and every document that is served against its schema.
#include "admin/routes.hpp"

#include "tests/admin/admin_support.hpp"
#include "tests/admin/json_schema.hpp"

#include <set>

using namespace pgsteady;
using namespace pgsteady::admin;
using namespace pgsteady::admin::test;
namespace json = boost::json;

namespace {

config::admin_settings with_token() {
    config::admin_settings result;
    result.operate_token = "operate";
    return result;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& each : result)
        if (each >= 'A' && each <= 'Z') each = static_cast<char>(each + 32);
    return result;
}

/// A pool for {name}, a session for {id}.
std::string concrete(std::string path) {
    const std::size_t open = path.find('{');
    if (open == std::string::npos) return path;
    const std::size_t close = path.find('}');
    return path.replace(open, close - open + 1, path.substr(open, close - open + 1) == "{id}" ? "7" : "app%2Falice");
}

/// The schema of the answer with this status, or nothing if it is no JSON.
const json::value* schema_of(const json::value& operation, const std::string& status) {
    const json::object& responses = operation.at("responses").as_object();
    const json::value* answer = responses.if_contains(status);
    if (answer == nullptr) return nullptr;
    const json::value* content = answer->at("content").as_object().if_contains("application/json");
    return content == nullptr ? nullptr : &content->at("schema");
}

}  // namespace

TEST_CASE("OpenAPI: every route is described, and nothing else is") {
    running_server at;
    const json::value whole = at.get("/openapi.json").json();
    CHECK(whole.at("openapi") == "3.1.0");
    std::set<std::pair<std::string, std::string>> described;
    for (const auto& [path, methods] : whole.at("paths").as_object())
        for (const auto& [method, operation] : methods.as_object()) described.emplace(method, path);
    std::set<std::pair<std::string, std::string>> routed;
    for (const route& each : all_routes()) routed.emplace(lower(each.method), each.path);
    CHECK(described == routed);
    CHECK(described.size() == all_routes().size());
}

TEST_CASE(
    "OpenAPI: every operation has a name of its own, a summary, its role and an answer; every reference leads "
    "somewhere") {
    running_server at;
    const json::value whole = at.get("/openapi.json").json();
    std::set<std::string> names;
    for (const route& each : all_routes()) {
        INFO(each.path);
        const json::value& operation = whole.at("paths").as_object().at(each.path).at(lower(each.method));
        CHECK(names.insert(std::string(operation.at("operationId").as_string())).second);
        CHECK(operation.at("summary").as_string().size() > 0);
        CHECK_FALSE(each.answers.empty());
        const json::array& security = operation.at("security").as_array();
        CHECK(security.size() == (each.needs == role::nobody ? 0 : each.needs == role::read ? 3 : 1));
        CHECK(operation.at("responses").as_object().contains("401") == (each.needs != role::nobody));
    }
    const std::string text = json::serialize(whole);
    for (std::size_t found = text.find("\"$ref\":\"#"); found != std::string::npos;
         found = text.find("\"$ref\":\"#", found + 1)) {
        const std::size_t begin = found + 9;
        const std::string pointer = text.substr(begin, text.find('"', begin) - begin);
        boost::system::error_code error;
        CHECK_MESSAGE(whole.find_pointer(pointer, error) != nullptr, pointer);
    }
}

TEST_CASE("OpenAPI: each document that is served is what its schema says, and so is each order's answer") {
    running_server at(with_token());
    at.tells_incidents = true;
    const json::value whole = at.get("/openapi.json").json();
    json_schema schemas(whole);
    std::size_t documents = 0;
    for (const route& each : all_routes()) {
        if (each.path == "/api/v1/events") continue;
        INFO(each.method << ' ' << each.path);
        const std::string path = concrete(std::string(each.path));
        const std::string body = each.path == "/api/v1/switchover" ? R"({"backend":"db1:5432"})" : "{}";
        const http_reply answer = each.method == "GET" ? at.get(path) : at.order(std::string(each.method), path, body);
        CHECK(answer.status / 100 == 2);
        const json::value& operation = whole.at("paths").as_object().at(each.path).at(lower(each.method));
        const json::value* schema = schema_of(operation, std::to_string(answer.status));
        if (schema == nullptr || each.path == "/openapi.json") continue;
        CHECK(answer.header("content-type") == "application/json");
        CHECK(schemas.problems(answer.json(), *schema) == std::vector<std::string>{});
        ++documents;
    }
    CHECK(documents > 20);
}

TEST_CASE("OpenAPI: refusals are problems as described") {
    running_server at(with_token());
    const json::value whole = at.get("/openapi.json").json();
    const json::value& problem = whole.at_pointer("/components/schemas/Problem");
    json_schema schemas(whole);
    const std::vector<http_reply> refusals = {at.get("/nothing"), at.ask("POST", "/api/v1/hold"),
                                              at.order("PUT", "/api/v1/switches", R"({"nope": 1})"),
                                              at.order("POST", "/api/v1/hold", "[]"), at.ask("PATCH", "/metrics")};
    for (const http_reply& each : refusals) {
        CHECK(each.status / 100 == 4);
        CHECK(each.header("content-type") == "application/problem+json");
        CHECK(schemas.problems(each.json(), problem) == std::vector<std::string>{});
    }
}

TEST_CASE("The checker of schemas sees what is wrong") {
    const json::value schema = json::parse(R"({"type":"object","required":["a"],"additionalProperties":false,
        "properties":{"a":{"type":["integer","null"],"minimum":1},"b":{"enum":["x"]},"c":{"type":"array","items":{"type":"string"}}}})");
    json_schema schemas(schema);
    CHECK(schemas.problems(json::parse(R"({"a":1,"b":"x","c":["y"]})"), schema).empty());
    CHECK(schemas.problems(json::parse(R"({"a":null})"), schema).empty());
    for (const char* wrong :
         {R"({})", R"({"a":0})", R"({"a":1.5})", R"({"a":1,"b":"y"})", R"({"a":1,"c":[1]})", R"({"a":1,"d":1})", "[]"})
        CHECK_MESSAGE(schemas.problems(json::parse(wrong), schema).size() == 1, wrong);
}
