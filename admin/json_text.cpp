#include "admin/json_text.hpp"

#include "admin/printable.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace pgsteady::admin {
namespace {

namespace json = boost::json;

/// As a depth: everything on one line.
constexpr std::size_t one_line = std::numeric_limits<std::size_t>::max();

void write(std::string& to, const json::value& value, std::size_t depth);

[[nodiscard]] std::size_t deeper(std::size_t depth) { return depth == one_line ? one_line : depth + 1; }

void new_line(std::string& to, std::size_t depth) {
    if (depth == one_line) return;
    to += '\n';
    to.append(depth * 2, ' ');
}

void write_member(std::string& to, const json::key_value_pair& member, std::size_t depth) {
    to += json::serialize(json::string_view(member.key()));
    to += depth == one_line ? ":" : ": ";
    write(to, member.value(), depth);
}

void write_member(std::string& to, const json::value& element, std::size_t depth) { write(to, element, depth); }

template <class container>
void write_all(std::string& to, const container& members, char opening, char closing, std::size_t depth) {
    to += opening;
    bool first = true;
    for (const auto& member : members) {
        if (!first) to += ',';
        first = false;
        new_line(to, deeper(depth));
        write_member(to, member, deeper(depth));
    }
    if (!first) new_line(to, depth);
    to += closing;
}

// Recursion ends: the documents are our own, a few levels deep.
void write(std::string& to, const json::value& value, std::size_t depth) {
    if (const auto* object = value.if_object()) write_all(to, *object, '{', '}', depth);
    else if (const auto* array = value.if_array()) write_all(to, *array, '[', ']', depth);
    else if (const auto* number = value.if_double()) to += std::isfinite(*number) ? fmt::format("{}", *number) : "null";
    else to += json::serialize(value);
}

}  // namespace

std::string json_text(const json::value& document) {
    std::string result;
    write(result, document, 0);
    result += '\n';
    return result;
}

std::string json_line(const json::value& document) {
    std::string result;
    write(result, document, one_line);
    return result;
}

json::string json_string(std::string_view text) {
    const std::string clean = printable(text);
    return json::string(clean.data(), clean.size());
}

json::array json_strings(const std::vector<std::string>& texts) {
    json::array result;
    for (const std::string& each : texts) result.push_back(json_string(each));
    return result;
}

double rounded(double value, int decimals) {
    const double scale = std::pow(10.0, decimals);
    return std::round(value * scale) / scale;
}

response json_answer(unsigned status, const json::value& document) {
    return {.status = status, .content_type = "application/json", .body = json_text(document)};
}

}  // namespace pgsteady::admin
