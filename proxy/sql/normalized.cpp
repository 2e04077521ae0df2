// See normalized.hpp.
#include "proxy/sql/normalized.hpp"

#include <pg_query.h>

namespace pgsteady {
namespace {

/// Some literals of commands are no constants to the grammar (COPY … FROM PROGRAM): from the first one on nothing is shown.
void hide_what_is_left(std::string& text) {
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool parameter = text[at] == '$' && at + 1 < text.size() && text[at + 1] >= '0' && text[at + 1] <= '9';
        if (text[at] != '\'' && (text[at] != '$' || parameter)) continue;
        text.resize(at);
        text += "***";
        return;
    }
}

}  // namespace

std::string normalized_statement(std::string_view sql, std::size_t most) {
    if (sql.size() > most || sql.find('\0') != std::string_view::npos) return {};
    const std::string text(sql);
    const PgQueryNormalizeResult found = pg_query_normalize(text.c_str());
    std::string result = found.error == nullptr && found.normalized_query != nullptr ? found.normalized_query : "";
    pg_query_free_normalize_result(found);
    hide_what_is_left(result);
    return result;
}

}  // namespace pgsteady
