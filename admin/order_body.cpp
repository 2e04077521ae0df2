#include "admin/order_body.hpp"

#include "config/value.hpp"

#include "admin/json_text.hpp"
#include "admin/printable.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t most_keys = 64;
constexpr std::size_t most_key_bytes = 100;

[[nodiscard]] bool is_json(std::string_view content_type) {
    std::string_view type = content_type.substr(0, content_type.find(';'));
    while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
    constexpr std::string_view wanted = "application/json";
    return std::equal(type.begin(), type.end(), wanted.begin(), wanted.end(), [](char given, char known) {
        return (given >= 'A' && given <= 'Z' ? static_cast<char>(given + 32) : given) == known;
    });
}

[[nodiscard]] std::optional<json::object> object_of(std::string_view body) {
    json::parse_options how;
    how.max_depth = 8;
    boost::system::error_code error;
    json::value parsed = json::parse({body.data(), body.size()}, error, {}, how);
    if (error || !parsed.is_object() || parsed.get_object().size() > most_keys) return std::nullopt;
    return std::move(parsed.get_object());
}

}  // namespace

order_body::order_body(const request& from) {
    if (from.body.empty()) return;
    if (!is_json(from.content_type)) {
        unreadable_ = problem_answer(415, "send the order as application/json");
        return;
    }
    if (std::optional<json::object> read = object_of(from.body)) object_ = std::move(*read);
    else unreadable_ = problem_answer(400, "the body is not one JSON object");
}

const json::value* order_body::find(std::string_view key) {
    asked_.push_back(key);
    const json::value* found = object_.if_contains({key.data(), key.size()});
    return found == nullptr || found->is_null() ? nullptr : found;
}

std::optional<bool> order_body::flag(std::string_view key) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    if (const bool* value = found->if_bool()) return *value;
    add_problem(key, "must be true or false");
    return std::nullopt;
}

std::optional<double> order_body::number(std::string_view key, double least, double most) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    boost::system::error_code error;
    const auto value = found->is_number() ? found->to_number<double>(error) : std::nan("");
    if (!error && value >= least && value <= most) return value;
    add_problem(key, fmt::format("must be a number from {} to {}", least, most));
    return std::nullopt;
}

std::optional<std::uint32_t> order_body::count(std::string_view key, std::uint32_t least, std::uint32_t most) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    boost::system::error_code error;
    const auto value = found->is_number() ? found->to_number<std::uint32_t>(error) : std::uint32_t{0};
    if (found->is_number() && !error && value >= least && value <= most) return value;
    add_problem(key, fmt::format("must be a whole number from {} to {}", least, most));
    return std::nullopt;
}

std::optional<double> order_body::seconds(std::string_view key, double least, double most, bool or_zero) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    double value = std::nan("");
    boost::system::error_code error;
    if (found->is_number()) value = found->to_number<double>(error);
    if (const json::string* text = found->if_string()) {
        config::milliseconds parsed{0};
        const config::value_rule any{.kind = config::value_kind::duration, .min = 0, .max = 1e12};
        if (!config::assign(&parsed, any, {text->data(), text->size()}, config::bare_number::seconds))
            value = static_cast<double>(parsed.count()) / 1000;
    }
    if (!error && ((value >= least && value <= most) || (or_zero && value == 0))) return value;
    add_problem(key, fmt::format("must be seconds from {} to {}{}, as a number or like \"250ms\"", least, most,
                                 or_zero ? ", or 0 for off" : ""));
    return std::nullopt;
}

std::optional<std::string> order_body::text(std::string_view key, std::size_t most) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    const json::string* value = found->if_string();
    const bool fits = value != nullptr && !value->empty() && value->size() <= most;
    if (fits && value->find('\0') == json::string::npos) return std::string(value->data(), value->size());
    add_problem(key, fmt::format("must be text of 1 to {} bytes", most));
    return std::nullopt;
}

std::optional<std::string> order_body::choice(std::string_view key, std::initializer_list<std::string_view> of) {
    const json::value* found = find(key);
    if (found == nullptr) return std::nullopt;
    const json::string* value = found->if_string();
    if (value != nullptr && std::find(of.begin(), of.end(), std::string_view(value->data(), value->size())) != of.end())
        return std::string(value->data(), value->size());
    add_problem(key, fmt::format("must be one of {}", fmt::join(of, ", ")));
    return std::nullopt;
}

void order_body::add_problem(std::string_view key, std::string problem) {
    problems_.push_back({printable(key, most_key_bytes), std::move(problem)});
}

std::vector<key_problem> order_body::problems() {
    for (const auto& member : object_) {
        const std::string_view key(member.key().data(), member.key().size());
        if (std::find(asked_.begin(), asked_.end(), key) == asked_.end())
            add_problem(key, fmt::format("is not known here; known are {}", fmt::join(asked_, ", ")));
    }
    return std::move(problems_);
}

response problems_answer(unsigned status, std::string_view detail, const std::vector<key_problem>& problems) {
    response result = problem_answer(status, detail);
    json::value document = json::parse(result.body);
    json::array list;
    for (const key_problem& each : problems)
        list.push_back(json::object{{"key", json_string(each.key)}, {"problem", json_string(each.problem)}});
    document.as_object()["errors"] = std::move(list);
    result.body = json_text(document);
    return result;
}

}  // namespace pgsteady::admin
