// /openapi.json: the table of routes as OpenAPI 3.1, with the schemas of admin/page/schemas.json. Made from the table
// itself, so that the two cannot differ; tests hold the schemas against what is served. Pure.
#pragma once

#include "admin/router.hpp"

#include <boost/json/object.hpp>

#include <span>

namespace pgsteady::admin {

[[nodiscard]] boost::json::object openapi_document(std::span<const route> table);

}  // namespace pgsteady::admin
