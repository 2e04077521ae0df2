// The handlers behind the dashboard: the page itself, all that it draws, what happens while it is open, the configuration.
// They show and change nothing; the page gives its orders through the same paths as everybody else.
#pragma once

#include "admin/router.hpp"

#include <boost/json/object.hpp>

namespace pgsteady::admin {

/// The page for those that ask for HTML, the list of paths for others: nothing in it is worth a token.
[[nodiscard]] reply get_page(const request& from, const route_context& context);
[[nodiscard]] reply get_openapi(const request& from, const route_context& context);
/// All that the page draws, in one answer, so that its parts are of one moment.
[[nodiscard]] reply get_dashboard(const request& from, const route_context& context);
[[nodiscard]] reply get_events(const request& from, const route_context& context);
[[nodiscard]] reply get_config(const request& from, const route_context& context);

/// How things are, as far as it can change from one second to the next.
[[nodiscard]] boost::json::object picture_document(const route_tools& tools);

}  // namespace pgsteady::admin
