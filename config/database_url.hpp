// DATABASE_URL: postgresql://user:password@host:port,host2/database?sslmode=…, as key paths and texts.
//
// Pure. Accepts postgres:// and the +driver forms of SQLAlchemy. The text holds a password: no
// message quotes any of it but parameter names.
#pragma once

#include "config/value.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::config {

struct database_url {
    std::vector<std::pair<std::string_view, std::string>> values;  // key path -> text; bare durations are seconds
    std::vector<std::string> ignored;                              // parameters that mean nothing here
    std::optional<value_problem> problem;

    /// nullptr when the URL does not say.
    [[nodiscard]] const std::string* find(std::string_view path) const;
};

[[nodiscard]] database_url parse_database_url(std::string_view url);

}  // namespace pgsteady::config
