// The dashboard page: admin/page/ as one document that was put together when pgsteady was built.
// It asks nobody but this port for anything, and its policy lets it run nothing but its own script.
#pragma once

#include "admin/http_message.hpp"

#include <string>
#include <string_view>

namespace pgsteady::admin {

/// The whole document.
[[nodiscard]] std::string_view page_html();
/// The schemas of admin/page/schemas.json.
[[nodiscard]] std::string_view page_schemas();

/// The Content-Security-Policy of a document with at most one style and one script: these, by their digests, and
/// requests to where it came from. Markup that is made from text does not run (trusted types).
[[nodiscard]] std::string page_policy(std::string_view document);

[[nodiscard]] response page_answer();

}  // namespace pgsteady::admin
