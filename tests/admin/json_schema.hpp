// As much of JSON Schema 2020-12 as our own schemas use, for tests: type, enum, properties, required, additionalProperties,
// items, allOf, minimum, maximum and references into the document. A keyword that it does not know is a failure.
#pragma once

#include <boost/json.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin::test {

class json_schema {
public:
    /// `root` is where references begin; it outlives this.
    explicit json_schema(const boost::json::value& root) : root_(root) {}

    /// What is wrong with the value, each with its place.
    [[nodiscard]] std::vector<std::string> problems(const boost::json::value& value, const boost::json::value& schema) {
        problems_.clear();
        check(value, schema, "");
        return problems_;
    }

private:
    using json = boost::json::value;

    void check(const json& value, const json& schema, const std::string& at) {
        for (const auto& [key, rule] : schema.as_object()) {
            if (key == "$ref") check(value, resolve(rule), at);
            else if (key == "type") check_type(value, rule, at);
            else if (key == "enum") check_enum(value, rule.as_array(), at);
            else if (key == "required") check_required(value, rule.as_array(), at);
            else if (key == "properties") check_properties(value, rule.as_object(), at);
            else if (key == "additionalProperties") check_others(value, schema.as_object(), rule, at);
            else if (key == "items") check_items(value, rule, at);
            else if (key == "allOf")
                for (const json& each : rule.as_array()) check(value, each, at);
            else if (key == "minimum")
                expect(!value.is_number() || value.to_number<double>() >= rule.to_number<double>(), at, "is too small");
            else if (key == "maximum")
                expect(!value.is_number() || value.to_number<double>() <= rule.to_number<double>(), at, "is too large");
            else
                expect(key == "description" || key == "format" || key == "default", at,
                       "has an unknown rule " + std::string(key));
        }
    }

    const json& resolve(const json& reference) {
        const std::string pointer = std::string(reference.as_string()).substr(1);  // without '#'
        return root_.at_pointer(pointer);
    }

    static bool is(const json& value, std::string_view type) {
        if (type == "null") return value.is_null();
        if (type == "boolean") return value.is_bool();
        if (type == "string") return value.is_string();
        if (type == "array") return value.is_array();
        if (type == "object") return value.is_object();
        if (type == "integer") return value.is_int64() || value.is_uint64();
        return type == "number" && value.is_number();
    }

    void check_type(const json& value, const json& rule, const std::string& at) {
        bool fits = false;
        if (rule.is_string()) fits = is(value, rule.as_string());
        else
            for (const json& each : rule.as_array()) fits = fits || is(value, each.as_string());
        expect(fits, at, "is of another type: " + boost::json::serialize(value).substr(0, 80));
    }

    void check_enum(const json& value, const boost::json::array& among, const std::string& at) {
        expect(std::find(among.begin(), among.end(), value) != among.end(), at,
               "is none of the choices: " + boost::json::serialize(value));
    }

    void check_required(const json& value, const boost::json::array& keys, const std::string& at) {
        if (!value.is_object()) return;
        for (const json& each : keys)
            expect(value.as_object().contains(each.as_string()), at, "lacks " + std::string(each.as_string()));
    }

    void check_properties(const json& value, const boost::json::object& known, const std::string& at) {
        if (!value.is_object()) return;
        for (const auto& [key, schema] : known)
            if (const json* found = value.as_object().if_contains(key))
                check(*found, schema, at + '/' + std::string(key));
    }

    void check_others(const json& value, const boost::json::object& schema, const json& rule, const std::string& at) {
        if (!value.is_object()) return;
        const json* known = schema.if_contains("properties");
        for (const auto& [key, member] : value.as_object()) {
            if (known != nullptr && known->as_object().contains(key)) continue;
            if (rule.is_bool()) expect(rule.as_bool(), at, "has a key that is not described: " + std::string(key));
            else check(member, rule, at + '/' + std::string(key));
        }
    }

    void check_items(const json& value, const json& rule, const std::string& at) {
        if (!value.is_array()) return;
        std::size_t index = 0;
        for (const json& each : value.as_array()) check(each, rule, at + '/' + std::to_string(index++));
    }

    void expect(bool holds, const std::string& at, const std::string& problem) {
        if (!holds) problems_.push_back(at + ' ' + problem);
    }

    const json& root_;
    std::vector<std::string> problems_;
};

}  // namespace pgsteady::admin::test
