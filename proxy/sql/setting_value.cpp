// See setting_value.hpp.
#include "proxy/sql/setting_value.hpp"

#include "proxy/sql/parse_tree.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {
namespace {

/// Settings with GUC_LIST_QUOTE: their items are identifiers and are quoted as such. The server allows no others.
constexpr std::array<std::string_view, 6> name_lists = {
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "local_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
};

bool is_name_list(std::string_view name) {
    return std::find(name_lists.begin(), name_lists.end(), name) != name_lists.end();
}

}  // namespace

std::string canonical_setting_name(std::string_view name) {
    std::string canonical(name);
    for (char& c : canonical) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    }
    return canonical;
}

std::optional<std::string> constant_text(const PgQuery__AConst& constant) {
    if (constant.isnull) return std::nullopt;
    switch (constant.val_case) {
        case PG_QUERY__A__CONST__VAL_IVAL: return std::to_string(constant.ival->ival);
        case PG_QUERY__A__CONST__VAL_FVAL: return std::string(constant.fval->fval);
        case PG_QUERY__A__CONST__VAL_BOOLVAL: return std::string(constant.boolval->boolval ? "true" : "false");
        case PG_QUERY__A__CONST__VAL_SVAL: return std::string(constant.sval->sval);
        default: return std::nullopt;
    }
}

std::optional<std::string> flatten_setting_value(std::string_view name, PgQuery__Node* const* args, std::size_t count) {
    const bool names = is_name_list(name);
    std::string value;
    for (std::size_t i = 0; i < count; ++i) {
        // SET TIME ZONE INTERVAL '…' is a cast: its text is made by intervalout, on the server.
        if (args[i]->node_case != PG_QUERY__NODE__NODE_A_CONST) return std::nullopt;
        const PgQuery__AConst& constant = *args[i]->a_const;
        const std::optional<std::string> item = constant_text(constant);
        if (!item || item->find('\\') != std::string::npos) return std::nullopt;
        if (i > 0) value += ", ";
        value += names && constant.val_case == PG_QUERY__A__CONST__VAL_SVAL ? quote_identifier(*item) : *item;
    }
    return value;
}

}  // namespace pgsteady
