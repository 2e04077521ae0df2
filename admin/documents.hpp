// The JSON documents under /api/database-recovery (product.md section 4): a snapshot in, a document out.
// Keys and units are what users of the old systems rely on. Pure; never shows a secret, for a snapshot has none.
#pragma once

#include "admin/alerts.hpp"
#include "admin/observer.hpp"

#include <boost/json/object.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace pgsteady::admin {

/// Whether reads can be served: what /health answers 200 for.
[[nodiscard]] bool serves_reads(const snapshot& now);

[[nodiscard]] boost::json::object health_document(const observation& seen);
[[nodiscard]] boost::json::object status_document(const observation& seen);
/// The part of it that tells what a command has led to.
[[nodiscard]] boost::json::object found_document(const observation& seen);
/// `only`: the name of a pool, or of a database for all of its pools. Nothing when it names none.
[[nodiscard]] std::optional<boost::json::object> connections_document(const observation& seen,
                                                                      const std::optional<std::string>& only);

/// Active alerts, and those that are over if asked for.
[[nodiscard]] boost::json::object alerts_document(const alerts& all, bool with_resolved);

/// What alerts.webhook_url is told: `event` is raised or resolved.
[[nodiscard]] boost::json::object webhook_document(std::string_view event, const alert& of, const observation& seen);

/// Share of its capacity, overflow included, that a pool is using: 0 to 1.
[[nodiscard]] double utilisation(const pool_status& pool);
/// Server connections beyond the lasting ones.
[[nodiscard]] std::uint32_t overflow(const pool_status& pool);

}  // namespace pgsteady::admin
