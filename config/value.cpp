// Parsing and printing of single values. See value.hpp for the rules.
#include "config/value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace pgsteady::config {
namespace {

constexpr std::size_t max_list_items = 1'000;

struct unit {
    std::string_view name;
    double factor;
};

constexpr std::array duration_units{
    unit{"ms", 1},     unit{"s", 1'000},     unit{"min", 60'000},
    unit{"m", 60'000}, unit{"h", 3'600'000}, unit{"d", 86'400'000},
};
constexpr std::array size_units{
    unit{"B", 1},
    unit{"KiB", double(kib)},
    unit{"MiB", double(mib)},
    unit{"GiB", double(gib)},
};
// What people write and mean 1024 by; refused with the exact spelling.
constexpr std::array loose_size_units{
    unit{"K", double(kib)},  unit{"KB", double(kib)}, unit{"M", double(mib)},
    unit{"MB", double(mib)}, unit{"G", double(gib)},  unit{"GB", double(gib)},
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A non-negative decimal number without exponent and what follows it; nothing for "nan" and friends.
struct number {
    double value;
    std::string_view rest;
};

std::optional<number> parse_number(std::string_view text) {
    const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
    if (digits == 0 || digits > 24 || !is_digit(text.front())) return std::nullopt;
    double value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + digits, value, std::chars_format::fixed);
    if (failure != std::errc{} || end != text.data() + digits) return std::nullopt;
    return number{value, trim(text.substr(digits))};
}

std::string shortest(double value) {
    std::array<char, 64> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return std::string(buffer.data(), result.ptr);
}

/// At least one decimal, so that a factor is recognised as one.
std::string format_factor(double value) {
    std::string text = shortest(value);
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

/// A bound in the unit that the reader of the key would write.
std::string format_bound(value_kind kind, double bound) {
    switch (kind) {
        case value_kind::duration: return format_duration(milliseconds{static_cast<std::int64_t>(bound)});
        case value_kind::size: return format_size(static_cast<std::uint64_t>(bound));
        case value_kind::percent: return shortest(bound) + '%';
        case value_kind::factor: return format_factor(bound);
        default: return std::to_string(static_cast<std::uint64_t>(bound));
    }
}

std::optional<value_problem> check_range(const value_rule& rule, double value) {
    if (rule.kind == value_kind::duration && value == 0) return std::nullopt;  // off (P51)
    if (value >= rule.min && value <= rule.max) return std::nullopt;
    return value_problem{"out of range", "allowed: " + describe_range(rule)};
}

struct parsed_number {
    double value = 0;
    std::optional<value_problem> problem;
};

parsed_number refuse(std::string message, std::string suggestion) {
    return {0, value_problem{std::move(message), std::move(suggestion)}};
}

parsed_number parse_duration(std::string_view text, bare_number numbers) {
    const auto parsed = parse_number(text);
    if (!parsed) return refuse("not a duration", "write a number and a unit, such as 250ms, 30s, 10min or 1h");
    double factor = 0;
    if (parsed->rest.empty()) {
        if (parsed->value != 0 && numbers == bare_number::refused)
            return refuse("a duration needs a unit", "did you mean " + std::string(text) + "s?");
        factor = 1'000;
    } else {
        const auto* const known = std::ranges::find(duration_units, parsed->rest, &unit::name);
        if (known == duration_units.end()) return refuse("unknown unit of time", "the units are ms, s, min, h and d");
        factor = known->factor;
    }
    const double value = parsed->value * factor;
    if (value > 0 && value < 1) return refuse("shorter than a millisecond", "write 1ms, or 0 for off");
    return {std::round(value), std::nullopt};
}

parsed_number parse_size(std::string_view text) {
    const auto parsed = parse_number(text);
    if (!parsed) return refuse("not a size", "write a number and a unit, such as 64KiB or 1MiB");
    if (parsed->rest.empty()) {
        if (parsed->value == 0) return {};
        return refuse("a size needs a unit", "did you mean " + std::string(text) + "B (bytes)?");
    }
    if (const auto* const known = std::ranges::find(size_units, parsed->rest, &unit::name); known != size_units.end())
        return {std::round(parsed->value * known->factor), std::nullopt};
    for (const unit& loose : loose_size_units)
        if (equal_ignoring_case(loose.name, parsed->rest))
            return refuse("unknown unit of size", "did you mean " + shortest(parsed->value) + loose.name[0] + "iB?");
    return refuse("unknown unit of size", "the units are B, KiB, MiB and GiB");
}

parsed_number parse_percent(std::string_view text) {
    const auto parsed = parse_number(text);
    if (!parsed || (parsed->rest != "%" && !(parsed->rest.empty() && parsed->value == 0)))
        return refuse("not a percentage", "write it as 10%");
    return {parsed->value, std::nullopt};
}

parsed_number parse_plain(std::string_view text, bool whole) {
    const auto parsed = parse_number(text);
    if (!parsed || !parsed->rest.empty() || (whole && parsed->value != std::floor(parsed->value)))
        return refuse(whole ? "not a whole number" : "not a number", "");
    return {parsed->value, std::nullopt};
}

parsed_number parse_numeric(const value_rule& rule, std::string_view text, bare_number numbers) {
    switch (rule.kind) {
        case value_kind::duration: return parse_duration(text, numbers);
        case value_kind::size: return parse_size(text);
        case value_kind::percent: return parse_percent(text);
        case value_kind::factor: return parse_plain(text, false);
        default: return parse_plain(text, true);
    }
}

std::optional<bool> parse_flag(std::string_view text) {
    constexpr std::array<std::string_view, 4> yes{"true", "yes", "on", "1"};
    constexpr std::array<std::string_view, 4> no{"false", "no", "off", "0"};
    const auto is = [text](std::string_view word) { return equal_ignoring_case(text, word); };
    if (std::ranges::any_of(yes, is)) return true;
    if (std::ranges::any_of(no, is)) return false;
    return std::nullopt;
}

std::string join(std::span<const std::string_view> words) {
    std::string text;
    for (const auto word : words) text += (text.empty() ? "" : ", ") + std::string(word);
    return text;
}

/// Names and paths end up in startup packets and system calls: no NUL, no control characters.
std::optional<value_problem> check_text(const value_rule& rule, std::string_view text) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(text, is_control)) return value_problem{"contains a control character", ""};
    const auto length = static_cast<double>(text.size());
    if (length < rule.min) return value_problem{text.empty() ? "must not be empty" : "too short", ""};
    if (length > std::min(rule.max, 8192.0)) return value_problem{"too long", ""};
    return std::nullopt;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failure != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

struct parsed_host {
    host_port address;
    std::optional<value_problem> problem;
};

/// host, host:port, [v6], [v6]:port, a bare v6 address, /socket/dir or /socket/dir:port.
parsed_host parse_host(std::string_view text) {
    const auto bad = [](std::string message, std::string suggestion) {
        return parsed_host{{}, value_problem{std::move(message), std::move(suggestion)}};
    };
    std::string_view host = text;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        const auto close = text.find(']');
        if (close == std::string_view::npos || (close + 1 < text.size() && text[close + 1] != ':'))
            return bad("not an address", "write an IPv6 address as [::1]:5432");
        host = text.substr(1, close - 1);
        has_port = close + 1 < text.size();
        port = has_port ? text.substr(close + 2) : std::string_view{};
    } else if (std::ranges::count(text, ':') == 1) {
        has_port = true;
        host = text.substr(0, text.find(':'));
        port = text.substr(text.find(':') + 1);
    }
    if (host.empty() || host.size() > 255) return bad("an address without a host", "write host or host:port");
    if (host.find_first_of(" \t@?#\\\"'") != std::string_view::npos ||
        (!host.starts_with('/') && host.find('/') != std::string_view::npos))
        return bad("not a host name or address", "write host or host:port; a whole URL belongs into DATABASE_URL");
    parsed_host result{{std::string(host), 0}, std::nullopt};
    if (!has_port) return result;
    const auto number = parse_port(port);
    if (!number) return bad("not a port", "ports are 1 to 65535");
    result.address.port = *number;
    return result;
}

std::vector<std::string> split_list(std::string_view text) {
    std::vector<std::string> items;
    while (!text.empty() && items.size() <= max_list_items) {
        const auto comma = std::min(text.find(','), text.size());
        items.emplace_back(trim(text.substr(0, comma)));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return items;
}

std::optional<value_problem> assign_hosts(std::vector<host_port>& where, const std::vector<std::string>& items) {
    std::vector<host_port> hosts;
    for (const auto& item : items) {
        if (const auto bad = check_text({}, item)) return bad;
        auto parsed = parse_host(item);
        if (parsed.problem) return parsed.problem;
        hosts.push_back(std::move(parsed.address));
    }
    where = std::move(hosts);
    return std::nullopt;
}

std::optional<value_problem> assign_names(std::vector<std::string>& where, const std::vector<std::string>& items) {
    for (const auto& item : items)
        if (const auto bad = check_text({.min = 1}, item)) return bad;
    where = items;
    return std::nullopt;
}

std::optional<std::uint8_t> find_choice(const value_rule& rule, std::string_view text) {
    const auto found = std::ranges::find(rule.choices, text);
    if (found == rule.choices.end()) return std::nullopt;
    return static_cast<std::uint8_t>(found - rule.choices.begin());
}

value_problem not_a_choice(const value_rule& rule) {
    auto offered = rule.choices;
    if (!offered.empty() && offered.front().empty()) offered = offered.subspan(1);
    return {"unknown value", "one of: " + join(offered)};
}

/// Stores a checked number as the type of the slot; the rule's range has excluded what does not fit.
struct store_number {
    const value_rule& rule;
    double value;

    void operator()(std::uint16_t* where) const { *where = static_cast<std::uint16_t>(value); }
    void operator()(std::uint32_t* where) const { *where = static_cast<std::uint32_t>(value); }
    void operator()(std::uint64_t* where) const { *where = static_cast<std::uint64_t>(value); }
    void operator()(double* where) const { *where = rule.kind == value_kind::percent ? value / 100 : value; }
    void operator()(milliseconds* where) const { *where = milliseconds{static_cast<std::int64_t>(value)}; }
    void operator()(std::optional<std::uint32_t>* where) const { *where = static_cast<std::uint32_t>(value); }
    void operator()(std::optional<milliseconds>* where) const {
        *where = milliseconds{static_cast<std::int64_t>(value)};
    }
    void operator()(auto /*not numeric*/) const {}
};

std::optional<value_problem> assign_choice(const slot& where, const value_rule& rule, std::string_view text) {
    const auto index = find_choice(rule, text);
    if (!index) return not_a_choice(rule);
    if (const auto* choice = std::get_if<choice_slot>(&where)) *choice->value = *index;
    else if (auto* const* mode = std::get_if<std::optional<pool_mode>*>(&where))
        **mode = static_cast<pool_mode>(*index);
    return std::nullopt;
}

/// Text of a value; lists and choices included.
struct format_value {
    const value_rule& rule;

    std::string number(double value) const {
        return rule.kind == value_kind::percent  ? shortest(std::round(value * 1e6) / 1e4) + '%'
               : rule.kind == value_kind::factor ? format_factor(value)
                                                 : shortest(value);
    }
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const std::uint16_t* value) const { return std::to_string(*value); }
    std::string operator()(const std::uint32_t* value) const { return std::to_string(*value); }
    std::string operator()(const std::uint64_t* value) const { return format_size(*value); }
    std::string operator()(const double* value) const { return number(*value); }
    std::string operator()(const milliseconds* value) const { return format_duration(*value); }
    std::string operator()(const std::string* value) const { return *value; }
    std::string operator()(const std::vector<host_port>* value) const {
        std::string text;
        for (const auto& host : *value) text += (text.empty() ? "" : ",") + format_host(host);
        return text;
    }
    std::string operator()(const std::vector<std::string>* value) const {
        std::string text;
        for (const auto& name : *value) text += (text.empty() ? "" : ",") + name;
        return text;
    }
    std::string operator()(choice_slot value) const { return std::string(rule.choices[*value.value]); }
    std::string operator()(const std::optional<std::uint32_t>* value) const {
        return *value ? std::to_string(**value) : std::string{};
    }
    std::string operator()(const std::optional<milliseconds>* value) const {
        return *value ? format_duration(**value) : std::string{};
    }
    std::string operator()(const std::optional<pool_mode>* value) const {
        return *value ? std::string(rule.choices[static_cast<std::size_t>(**value)]) : std::string{};
    }
};

bool is_plain_yaml(std::string_view text) {
    constexpr std::array<std::string_view, 10> words{"true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"};
    if (text.empty() || std::ranges::any_of(words, [&](auto word) { return equal_ignoring_case(word, text); }))
        return false;
    const auto is_safe = [](char c) {
        return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '_' || c == '.' || c == '-' || c == '/' ||
               c == '$';
    };
    return std::ranges::all_of(text, is_safe) && !text.starts_with('-') && !text.starts_with('.');
}

}  // namespace

std::optional<value_problem> assign(const slot& where, const value_rule& rule, std::string_view text,
                                    bare_number numbers) {
    if (auto* const* target = std::get_if<std::string*>(&where)) {
        if (auto bad = check_text(rule, text)) return bad;
        **target = text;
        return std::nullopt;
    }
    text = trim(text);
    if (std::holds_alternative<std::vector<host_port>*>(where) ||
        std::holds_alternative<std::vector<std::string>*>(where))
        return assign_list(where, rule, split_list(text));
    if (auto* const* target = std::get_if<bool*>(&where)) {
        const auto value = parse_flag(text);
        if (!value) return value_problem{"neither true nor false", ""};
        **target = *value;
        return std::nullopt;
    }
    if (rule.kind == value_kind::choice) return assign_choice(where, rule, text);
    const auto parsed = parse_numeric(rule, text, numbers);
    if (parsed.problem) return parsed.problem;
    if (auto bad = check_range(rule, parsed.value)) return bad;
    std::visit(store_number{rule, parsed.value}, where);
    return std::nullopt;
}

std::optional<value_problem> assign_list(const slot& where, const value_rule& /*rule*/,
                                         const std::vector<std::string>& items) {
    if (items.size() > max_list_items) return value_problem{"too many items", ""};
    if (auto* const* hosts = std::get_if<std::vector<host_port>*>(&where)) return assign_hosts(**hosts, items);
    if (auto* const* names = std::get_if<std::vector<std::string>*>(&where)) return assign_names(**names, items);
    return value_problem{"a list where one value is expected", ""};
}

std::string format(const slot& where, const value_rule& rule) { return std::visit(format_value{rule}, where); }

std::string format_yaml(const slot& where, const value_rule& rule) {
    const auto list = [](const auto& items, auto text_of) {
        std::string text = "[";
        for (const auto& item : items) text += (text.size() == 1 ? "" : ", ") + quote_yaml(text_of(item));
        return text + ']';
    };
    if (auto* const* hosts = std::get_if<std::vector<host_port>*>(&where)) return list(**hosts, format_host);
    if (auto* const* names = std::get_if<std::vector<std::string>*>(&where))
        return list(**names, [](const std::string& name) { return name; });
    const std::string text = format(where, rule);
    return rule.kind == value_kind::text ? quote_yaml(text) : text;
}

std::string quote_yaml(std::string_view text) {
    if (is_plain_yaml(text)) return std::string(text);
    constexpr std::string_view hex = "0123456789abcdef";
    std::string quoted = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') quoted += '\\';
        if (byte < 0x20 || byte == 0x7f) quoted.append({'\\', 'x', hex[byte >> 4U], hex[byte & 15U]});
        else quoted += c;
    }
    return quoted + '"';
}

std::string format_duration(milliseconds value) {
    const auto count = value.count();
    if (count == 0) return "0";
    for (const auto& [name, factor] : {unit{"d", 86'400'000}, {"h", 3'600'000}, {"min", 60'000}, {"s", 1'000}})
        if (const auto whole = static_cast<std::int64_t>(factor); count % whole == 0)
            return std::to_string(count / whole) + std::string(name);
    return std::to_string(count) + "ms";
}

std::string format_size(std::uint64_t bytes) {
    if (bytes == 0) return "0";
    if (bytes % gib == 0) return std::to_string(bytes / gib) + "GiB";
    if (bytes % mib == 0) return std::to_string(bytes / mib) + "MiB";
    if (bytes % kib == 0) return std::to_string(bytes / kib) + "KiB";
    return std::to_string(bytes) + 'B';
}

std::string format_host(const host_port& address) {
    const bool is_v6 = address.host.find(':') != std::string::npos;
    std::string text = is_v6 ? '[' + address.host + ']' : address.host;
    return address.port == 0 ? text : text + ':' + std::to_string(address.port);
}

std::string describe_range(const value_rule& rule) {
    switch (rule.kind) {
        case value_kind::choice: return join(rule.choices);
        case value_kind::duration:
            return format_bound(rule.kind, rule.min) + " to " + format_bound(rule.kind, rule.max) + ", or 0 for off";
        case value_kind::count:
        case value_kind::port:
        case value_kind::size:
        case value_kind::percent:
        case value_kind::factor: return format_bound(rule.kind, rule.min) + " to " + format_bound(rule.kind, rule.max);
        default: return {};
    }
}

std::string_view kind_name(value_kind kind) {
    switch (kind) {
        case value_kind::flag: return "true or false";
        case value_kind::count: return "number";
        case value_kind::port: return "port";
        case value_kind::size: return "size";
        case value_kind::duration: return "duration";
        case value_kind::percent: return "percentage";
        case value_kind::factor: return "factor";
        case value_kind::text: return "text";
        case value_kind::hosts: return "list of host:port";
        case value_kind::names: return "list of names";
        case value_kind::choice: return "choice";
    }
    return "value";
}

}  // namespace pgsteady::config
