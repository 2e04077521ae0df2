// libpg_query calls and their ownership. Its memory is per thread and it reports errors as values; the tree comes as
// a protobuf that we unpack. Must never hand a text to the parser before its nesting is known to be bounded.
#include "proxy/sql/parse_tree.hpp"

#include <pg_query.h>

#include <algorithm>

namespace pgsteady {
namespace {

struct free_parse {
    PgQueryProtobufParseResult result;
    ~free_parse() { pg_query_free_protobuf_parse_result(result); }
};

std::uint8_t* bytes_of(const PgQueryProtobuf& buffer) { return reinterpret_cast<std::uint8_t*>(buffer.data); }

}  // namespace

void parse_tree::freer::operator()(PgQuery__ParseResult* root) const {
    pg_query__parse_result__free_unpacked(root, nullptr);
}

parse_tree parse_tree::parse(std::string_view sql, std::size_t max_bytes) {
    if (sql.size() > max_bytes) return parse_tree(parse_status::too_large);
    if (sql.find('\0') != std::string_view::npos) return parse_tree(parse_status::unparsable);

    const std::string text(sql);  // the parser wants a terminator
    if (text.size() > max_nesting) {
        const std::size_t nesting = nesting_bound(text);
        if (nesting == std::string::npos) return parse_tree(parse_status::unparsable);
        if (nesting > max_nesting) return parse_tree(parse_status::too_large);
    }

    const free_parse parsed{pg_query_parse_protobuf(text.c_str())};
    if (parsed.result.error != nullptr) return parse_tree(parse_status::unparsable);
    const PgQueryProtobuf& packed = parsed.result.parse_tree;
    parse_tree tree(parse_status::ok);
    tree.root_.reset(pg_query__parse_result__unpack(nullptr, packed.len, bytes_of(packed)));
    const auto usable = [](const PgQuery__RawStmt* raw) { return raw != nullptr && raw->stmt != nullptr; };
    if (!tree.root_ || !std::all_of(tree.root_->stmts, tree.root_->stmts + tree.root_->n_stmts, usable)) {
        return parse_tree(parse_status::unparsable);
    }
    return tree;
}

std::string_view parse_tree::statement_text(std::string_view sql, std::size_t i) const {
    const PgQuery__RawStmt& raw = (*this)[i];
    const std::size_t begin = std::min(sql.size(), static_cast<std::size_t>(std::max(raw.stmt_location, 0)));
    const std::size_t length = raw.stmt_len > 0 ? static_cast<std::size_t>(raw.stmt_len) : std::string_view::npos;
    std::string_view text = sql.substr(begin, length);  // a length of 0 means "to the end"
    constexpr std::string_view space = " \t\n\r\f\v";
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    return text.substr(0, text.find_last_not_of(space) + 1);
}

std::string quote_identifier(const std::string& name) {
    const auto plain_start = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
    const auto plain = [&](char c) { return plain_start(c) || (c >= '0' && c <= '9'); };
    if (!name.empty() && plain_start(name[0]) && std::all_of(name.begin(), name.end(), plain)) {
        const PgQueryScanResult scanned = pg_query_scan(name.c_str());
        PgQuery__ScanResult* const tokens =
            scanned.error == nullptr ? pg_query__scan_result__unpack(nullptr, scanned.pbuf.len, bytes_of(scanned.pbuf))
                                     : nullptr;
        const bool usable = tokens != nullptr && tokens->n_tokens == 1 &&
                            tokens->tokens[0]->keyword_kind <= PG_QUERY__KEYWORD_KIND__UNRESERVED_KEYWORD;
        if (tokens != nullptr) pg_query__scan_result__free_unpacked(tokens, nullptr);
        pg_query_free_scan_result(scanned);
        if (usable) return name;
    }
    std::string quoted = "\"";
    for (const char c : name) {
        if (c == '"') quoted += '"';
        quoted += c;
    }
    return quoted += '"';
}

}  // namespace pgsteady
