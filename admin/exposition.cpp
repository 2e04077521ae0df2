#include "admin/exposition.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace pgsteady::admin {
namespace {

constexpr std::string_view total = "_total";
constexpr double largest_whole = 9007199254740992.0;  // 2^53: beyond it a double skips integers

[[nodiscard]] std::string_view name_of(exposition::kind type) {
    switch (type) {
        case exposition::kind::Counter: return "counter";
        case exposition::kind::Gauge: return "gauge";
        case exposition::kind::Histogram: return "histogram";
        default: return "untyped";
    }
}

}  // namespace

void exposition::begin(kind type, std::string_view name, std::string_view help) {
    type_ = type;
    name_ = name;
    help_ = help;
    begun_ = false;
}

/// OpenMetrics names a counter's family without the suffix that its samples have.
void exposition::head() {
    begun_ = true;
    std::string_view family = name_;
    if (format_ == metric_format::openmetrics && type_ == kind::Counter) family.remove_suffix(total.size());
    out_.append("# HELP ").append(family) += ' ';
    write_help(help_);
    out_.append("\n# TYPE ").append(family).append(" ").append(name_of(type_)) += '\n';
}

void exposition::write_help(std::string_view text) {
    for (const char each : text) {
        if (each == '\n') out_ += "\\n";
        else if (each == '\\') out_ += "\\\\";
        else if (each == '"' && format_ == metric_format::openmetrics) out_ += "\\\"";
        else out_ += each;
    }
}

void exposition::sample(std::string_view suffix, std::string_view labels, std::string_view more) {
    if (!begun_) head();
    out_.append(name_).append(suffix);
    if (!labels.empty() || !more.empty()) {
        out_ += '{';
        out_.append(labels);
        if (!labels.empty() && !more.empty()) out_ += ',';
        out_.append(more);
        out_ += '}';
    }
    out_ += ' ';
}

void exposition::write(std::uint64_t value) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    out_.append(digits.data(), end) += '\n';
}

void exposition::write(double value) {
    if (value >= 0 && value < largest_whole && value == std::floor(value))
        return write(static_cast<std::uint64_t>(value));
    std::array<char, 40> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    if (std::isnan(value)) out_ += "NaN\n";
    else if (std::isinf(value)) out_ += value > 0 ? "+Inf\n" : "-Inf\n";
    else out_.append(digits.data(), end) += '\n';
}

/// OpenMetrics wants to see that a bound is a floating-point number.
std::string_view exposition::bound(double value) {
    constexpr std::string_view before = "le=\"";
    char* at = bound_ + before.copy(bound_, before.size());
    char* const digits = at;
    at = std::to_chars(digits, bound_ + sizeof bound_ - 4, value).ptr;
    const std::string_view written(digits, static_cast<std::size_t>(at - digits));
    if (format_ == metric_format::openmetrics && written.find_first_of(".e") == std::string_view::npos)
        *at++ = '.', *at++ = '0';
    *at++ = '"';
    return {bound_, static_cast<std::size_t>(at - bound_)};
}

void exposition::add(std::string_view labels, double value) {
    sample({}, labels);
    write(value);
}

void exposition::add(std::string_view labels, std::uint64_t value) {
    sample({}, labels);
    write(value);
}

void exposition::add(std::string_view labels, const histogram& seconds) {
    if (seconds.buckets.size() != seconds.bounds.size() + 1) return;
    std::uint64_t passed = 0;
    for (std::size_t at = 0; at < seconds.bounds.size(); ++at) {
        passed += seconds.buckets[at];
        sample("_bucket", labels, bound(seconds.bounds[at]));
        write(passed);
    }
    passed += seconds.buckets.back();
    sample("_bucket", labels, "le=\"+Inf\"");
    write(passed);
    sample("_sum", labels);
    write(seconds.sum);
    sample("_count", labels);
    write(passed);
}

void exposition::gauge(std::string_view name, std::string_view help, double value) {
    begin(kind::Gauge, name, help);
    add({}, value);
}

void exposition::count(std::string_view name, std::string_view help, std::uint64_t value) {
    begin(kind::Counter, name, help);
    add({}, value);
}

void exposition::end() {
    if (format_ == metric_format::openmetrics) out_ += "# EOF\n";
}

std::string label(std::string_view name, std::string_view value) {
    std::string result;
    result.reserve(name.size() + value.size() + 4);
    result.append(name).append("=\"");
    for (const char each : value) {
        if (each == '\\' || each == '"') result += '\\';
        if (each == '\n') result += "\\n";
        else result += each;
    }
    result += '"';
    return result;
}

}  // namespace pgsteady::admin
