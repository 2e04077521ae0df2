// With what COMMIT AND CHAIN and ROLLBACK AND CHAIN open the next transaction (D29): PostgreSQL takes the isolation level,
// the access mode and deferrability that the ended one had last. Read from its texts, for the case that another server has
// to open it. Never a guess: where they are not known there is no text. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace pgsteady {

/// The BEGIN of a transaction like the one that executed `texts`, in order, on a server with the same defaults. `failed`:
/// not all of them have succeeded. nullopt: what it was like is not known.
[[nodiscard]] std::optional<std::string> chain_opening(const std::vector<std::string>& texts, bool failed);

}  // namespace pgsteady
