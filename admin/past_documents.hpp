// What the chronicle knows, as JSON for the page and the event stream. Pure.
#pragma once

#include "admin/chronicle.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace pgsteady::admin {

[[nodiscard]] boost::json::object entry_document(const journal_entry& of);
[[nodiscard]] boost::json::object moment_document(const moment& of);
/// Recoveries, the latest first; those under way are as of `now`.
[[nodiscard]] boost::json::array recoveries_document(const recoveries& of, std::chrono::system_clock::time_point now);
/// The newest entries, the latest first.
[[nodiscard]] boost::json::array journal_document(const journal& of);
/// One array per quantity, the oldest value first: an hour of objects would say every name 720 times.
[[nodiscard]] boost::json::object timeline_document(const timeline& of);

}  // namespace pgsteady::admin
