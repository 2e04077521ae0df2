// JSON as people read it: indented, numbers as 99.5 and never 9.95E1 (Boost.JSON's own way of writing them).
// Strings go in through json_string, so that hostile names cannot make an answer invalid.
#pragma once

#include "admin/http_message.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::admin {

/// The document, indented by two spaces, with a newline at its end. What is not finite becomes null.
[[nodiscard]] std::string json_text(const boost::json::value& document);

/// The same without a line break or a space that is not needed.
[[nodiscard]] std::string json_line(const boost::json::value& document);

/// Hostile text as a JSON string.
[[nodiscard]] boost::json::string json_string(std::string_view text);
[[nodiscard]] boost::json::array json_strings(const std::vector<std::string>& texts);

/// `value` with so many decimals that a reader wants.
[[nodiscard]] double rounded(double value, int decimals);

[[nodiscard]] response json_answer(unsigned status, const boost::json::value& document);

}  // namespace pgsteady::admin
