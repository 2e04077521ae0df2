// Of what this binary was made: the sources' revision, compiler, OpenSSL, the grammar. The same for the life of the process.
#pragma once

#include "admin/snapshot.hpp"

namespace pgsteady {

[[nodiscard]] const admin::build_status& build_facts();

}  // namespace pgsteady
