// Reads files in the form of pg_hba.conf and pg_ident.conf. Pure: text in, lines and problems out. What PostgreSQL knows and we
// cannot judge (memberships, names of hosts, other methods) is a problem, never a line that is passed over: a rule that
// is left out lets in whom it was to refuse. What the lines mean for a client is access_rules' business.
#pragma once

#include "config/config.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::config {

struct line_problem {
    int line = 0;
    std::string message;
};

struct hba_text {
    std::vector<hba_rule> rules;
    std::vector<line_problem> problems;
};
[[nodiscard]] hba_text read_hba(std::string_view text);

struct ident_text {
    std::vector<ident_line> lines;
    std::vector<line_problem> problems;
};
[[nodiscard]] ident_text read_ident(std::string_view text);

}  // namespace pgsteady::config
