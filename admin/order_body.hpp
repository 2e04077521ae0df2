// The JSON body of an order, read so that every problem in it is found, not the first alone.
// Everything in it is hostile: depth and size are bounded, what is not known is refused, nothing is repeated in an answer
// but the names of keys, made printable.
#pragma once

#include "admin/commands.hpp"
#include "admin/http_message.hpp"

#include <boost/json/object.hpp>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

class order_body {
public:
    /// An empty body is an empty object.
    explicit order_body(const request& from);

    /// 400 or 415: there is no object to read from.
    [[nodiscard]] const std::optional<response>& unreadable() const { return unreadable_; }

    // Each names a key that is allowed; what is absent or null is nothing, what is wrong is a problem.
    [[nodiscard]] std::optional<bool> flag(std::string_view key);
    [[nodiscard]] std::optional<double> number(std::string_view key, double least, double most);
    [[nodiscard]] std::optional<std::uint32_t> count(std::string_view key, std::uint32_t least, std::uint32_t most);
    /// Seconds, as a number or with a unit as in the configuration ("250ms"); bounds in seconds. `or_zero`: 0 is off.
    [[nodiscard]] std::optional<double> seconds(std::string_view key, double least, double most, bool or_zero);
    [[nodiscard]] std::optional<std::string> text(std::string_view key, std::size_t most);
    [[nodiscard]] std::optional<std::string> choice(std::string_view key, std::initializer_list<std::string_view> of);

    void add_problem(std::string_view key, std::string problem);
    /// To be called when every allowed key was asked for: those that were not are problems.
    [[nodiscard]] std::vector<key_problem> problems();

private:
    [[nodiscard]] const boost::json::value* find(std::string_view key);

    boost::json::object object_;
    std::vector<std::string_view> asked_;
    std::vector<key_problem> problems_;
    std::optional<response> unreadable_;
};

/// 422 (or `status`) with every problem.
[[nodiscard]] response problems_answer(unsigned status, std::string_view detail,
                                       const std::vector<key_problem>& problems);

}  // namespace pgsteady::admin
