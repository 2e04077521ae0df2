// nesting_bound() of parse_tree.hpp: how high a tree a text can become, from its tokens alone.
// Sound rather than exact: it may say too much (such a text is not parsed), it must never say too little.
#include "proxy/sql/parse_tree.hpp"

#include <pg_query.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace pgsteady {
namespace {

/// One open parenthesis, bracket or CASE. `chain` counts the tokens of the current sibling, closed children included;
/// `tallest` is the highest finished sibling; `spine` counts what lies above all siblings of this level.
struct level {
    std::size_t chain = 0;
    std::size_t tallest = 0;
    std::size_t spine = 0;
    bool is_case = false;

    void next_sibling() {
        tallest = std::max(tallest, chain);
        chain = 0;
    }
    [[nodiscard]] std::size_t height() const { return spine + std::max(tallest, chain) + 1; }
};

class height_counter {
public:
    void on_token(PgQuery__Token token) {
        switch (token) {
            case PG_QUERY__TOKEN__SQL_COMMENT:
            case PG_QUERY__TOKEN__C_COMMENT: return;
            case PG_QUERY__TOKEN__ASCII_40:                       // (
            case PG_QUERY__TOKEN__ASCII_91: open(false); return;  // [
            case PG_QUERY__TOKEN__ASCII_41:                       // )
            case PG_QUERY__TOKEN__ASCII_93: close(); return;      // ]
            case PG_QUERY__TOKEN__CASE: open(true); return;
            case PG_QUERY__TOKEN__END_P:
                if (top().is_case) return close();
                break;
            case PG_QUERY__TOKEN__WHEN:
            case PG_QUERY__TOKEN__THEN:
            case PG_QUERY__TOKEN__ELSE:
                if (top().is_case) return top().next_sibling();
                break;
            case PG_QUERY__TOKEN__ASCII_59:  // ;
                if (levels_.size() > 1) return top().next_sibling();
                worst_ = std::max(worst_, top().height());
                top() = level{};
                return;
            case PG_QUERY__TOKEN__ASCII_44:  // , and clauses: brothers
            case PG_QUERY__TOKEN__WHERE:
            case PG_QUERY__TOKEN__HAVING:
            case PG_QUERY__TOKEN__RETURNING: return top().next_sibling();
            case PG_QUERY__TOKEN__AND:  // the grammar makes one flat list of a AND b AND c
            case PG_QUERY__TOKEN__OR: return top().next_sibling();
            case PG_QUERY__TOKEN__UNION:  // left-deep: each adds a level above all that was before
            case PG_QUERY__TOKEN__INTERSECT:
            case PG_QUERY__TOKEN__EXCEPT:
            case PG_QUERY__TOKEN__JOIN: top().spine += 1; return top().next_sibling();
            case PG_QUERY__TOKEN__BETWEEN:  // its AND is no list: keep what is below it
                top().spine += top().chain + 1;
                top().chain = 0;
                return;
            default: break;
        }
        ++top().chain;
    }

    [[nodiscard]] std::size_t result() {
        while (levels_.size() > 1) close();
        return std::max(worst_, top().height());
    }

private:
    level& top() { return levels_.back(); }

    void open(bool is_case) {
        levels_.push_back(level{});
        // CASE makes two nodes, and each of AND and OR one that next_sibling() does not count.
        top().spine = is_case ? 3 : 2;
        top().is_case = is_case;
    }

    void close() {
        if (levels_.size() == 1) return;  // unbalanced: a syntax error, the parser will say so
        const std::size_t height = top().height();
        levels_.pop_back();
        top().chain += height;
    }

    std::vector<level> levels_{level{}};
    std::size_t worst_ = 0;
};

struct free_tokens {
    void operator()(PgQuery__ScanResult* tokens) const { pg_query__scan_result__free_unpacked(tokens, nullptr); }
};

}  // namespace

std::size_t nesting_bound(const std::string& sql) {
    const PgQueryScanResult scanned = pg_query_scan(sql.c_str());
    std::unique_ptr<PgQuery__ScanResult, free_tokens> tokens;
    if (scanned.error == nullptr) {
        tokens.reset(pg_query__scan_result__unpack(nullptr, scanned.pbuf.len,
                                                   reinterpret_cast<std::uint8_t*>(scanned.pbuf.data)));
    }
    pg_query_free_scan_result(scanned);
    if (!tokens) return std::string::npos;

    height_counter counter;
    for (std::size_t i = 0; i < tokens->n_tokens; ++i) counter.on_token(tokens->tokens[i]->token);
    return counter.result();
}

}  // namespace pgsteady
