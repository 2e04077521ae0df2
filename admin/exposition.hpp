// exposition: writes metrics into one string, as Prometheus text or as OpenMetrics. It knows formats, no metrics.
// Labels come rendered and are copied; a sample allocates nothing but room in the string. Pure; owned by one scrape.
#pragma once

#include "admin/snapshot.hpp"

#include <prometheus/metric_type.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pgsteady::admin {

enum class metric_format : std::uint8_t {
    prometheus,   ///< text format 0.0.4
    openmetrics,  ///< 1.0.0
};

class exposition {
public:
    using kind = prometheus::MetricType;

    /// Appends to `out`, which outlives it.
    exposition(std::string& out, metric_format format) : out_(out), format_(format) {}

    /// A family. What is said of it is written with its first sample: one without samples is left out. The views live
    /// until the next family begins. A counter's name ends in _total.
    void begin(kind type, std::string_view name, std::string_view help);

    /// `labels`: as label() makes them, joined by commas, without braces; may be empty.
    void add(std::string_view labels, double value);
    void add(std::string_view labels, std::uint64_t value);
    /// One that is not filled is left out: it is not known, which is not zero.
    void add(std::string_view labels, const histogram& seconds);

    /// A family with one sample that has no labels.
    void gauge(std::string_view name, std::string_view help, double value);
    void count(std::string_view name, std::string_view help, std::uint64_t value);

    /// After the last family.
    void end();

private:
    void head();
    void sample(std::string_view suffix, std::string_view labels, std::string_view more = {});
    void write(double value);
    void write(std::uint64_t value);
    void write_help(std::string_view text);
    [[nodiscard]] std::string_view bound(double value);

    std::string& out_;
    metric_format format_;
    kind type_ = kind::Untyped;
    std::string_view name_;
    std::string_view help_;
    bool begun_ = true;
    char bound_[40] = {};  // of the bucket being written, as a label
};

/// `name="value"`, escaped. Values are valid UTF-8 (admin/printable.hpp).
[[nodiscard]] std::string label(std::string_view name, std::string_view value);

}  // namespace pgsteady::admin
