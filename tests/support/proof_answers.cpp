// See proof_answers.hpp.
#include "tests/support/proof_answers.hpp"

#include <stdexcept>

namespace pgsteady::testing {

bool is_proof_question(std::string_view sql) {
    return sql.find("'e'::pg_catalog.text, 0, pg_catalog.pg_client_encoding()") != std::string_view::npos;
}

std::vector<std::string> names_in_proof(std::string_view sql, char part) {
    std::vector<std::string> names;
    const std::size_t begin = sql.find(std::string("UNION ALL SELECT '") + part + "', w.i");
    if (begin == std::string_view::npos) return names;
    const std::size_t end = sql.find("AS w(i, s, n)", begin);
    for (std::size_t at = sql.find("(VALUES (", begin) + 8; at < end;) {
        const std::string wanted = "(" + std::to_string(names.size()) + ", ";
        if (sql.compare(at, wanted.size(), wanted) != 0) throw std::runtime_error("not a list of names");
        at += wanted.size();
        const auto value = [&] {
            constexpr std::string_view cast = "::pg_catalog.name";
            const std::size_t close = sql.find(cast, at);
            const std::string_view text = sql.substr(at, close - at);
            at = close + cast.size();
            const std::size_t quote = text.find('\'');
            if (quote == std::string_view::npos) return std::string();
            return std::string(text.substr(quote + 1, text.find('\'', quote + 1) - quote - 1));
        };
        const std::string schema = value();
        at += 2;
        names.push_back((schema.empty() ? "" : schema + ".") + value());
        at += 3;  // "), "
    }
    return names;
}

proof_rows answer_proof(std::string_view sql,
                        const std::function<std::string(char part, const std::string& name)>& verdict_of) {
    proof_rows rows = {{"e", "0", "UTF8", "UTF8"}};
    for (const char part : {'f', 'o', 'r'}) {
        const std::vector<std::string> names = names_in_proof(sql, part);
        for (std::size_t i = 0; i < names.size(); ++i)
            rows.push_back({std::string(1, part), std::to_string(i), verdict_of(part, names[i]), std::nullopt});
    }
    return rows;
}

}  // namespace pgsteady::testing
