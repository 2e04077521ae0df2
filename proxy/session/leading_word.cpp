// See leading_word.hpp.
#include "proxy/session/leading_word.hpp"

#include "protocol/token_scan.hpp"

#include "proxy/sql/transaction_text.hpp"

namespace pgsteady {

namespace {

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == ';'; }

void skip_comment(std::string_view& sql) {
    if (sql.starts_with("--")) {
        sql.remove_prefix(std::min(sql.size(), sql.find('\n')));
        return;
    }
    std::size_t depth = 0;
    std::size_t at = 0;
    do {
        if (sql.substr(at).starts_with("/*")) ++depth, at += 2;
        else if (sql.substr(at).starts_with("*/")) --depth, at += 2;
        else ++at;
    } while (depth > 0 && at < sql.size());
    sql.remove_prefix(std::min(at, sql.size()));
}

}  // namespace

std::string leading_word(std::string_view sql) {
    while (!sql.empty()) {
        if (is_space(sql.front())) sql.remove_prefix(1);
        else if (sql.starts_with("--") || sql.starts_with("/*")) skip_comment(sql);
        else break;
    }
    std::string word;
    std::size_t at = 0;
    for (; at < sql.size() && is_letter(sql[at]); ++at)
        word += sql[at] >= 'a' && sql[at] <= 'z' ? static_cast<char>(sql[at] - 'a' + 'A') : sql[at];
    if (word.empty() && !sql.empty() && sql.front() != '\0') word = sql.substr(0, 1);
    return word;
}

bool ends_transaction(std::string_view sql) {
    using step = transaction_text::step;
    const transaction_text text = read_transaction_text(sql.substr(0, sql.find('\0')));
    return (text.what == step::commit || text.what == step::rollback) && !text.chain;
}

namespace {

constexpr bool is_name_byte(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '$' || c < 0; }

/// A word that ends a transaction stands in it anywhere, be it in a comment or a literal.
bool has_ending_word(std::string_view sql) {
    for (const std::string_view word : {"commit", "end", "rollback", "abort", "prepare"})
        if (mentions(sql, word)) return true;
    return false;
}

}  // namespace

bool contains_commit(std::string_view sql) {
    const std::string_view text = sql.substr(0, sql.find('\0'));
    if (!scan_tokens(text).has(token_hit::transaction)) return false;
    const std::string first = leading_word(text);
    if (first == "COMMIT" || first == "END") return true;
    // A string of several statements may commit anywhere in it; after a ROLLBACK in it the rest commits by itself.
    return text.find(';') < text.find_last_not_of("; \t\r\n") && has_ending_word(text);
}

namespace {

/// INSERT, UPDATE, DELETE or MERGE stands in it as a word, but for FOR UPDATE and FOR NO KEY UPDATE.
bool has_writing_word(std::string_view sql) {
    std::string before;
    for (std::size_t at = 0; at < sql.size();) {
        if (!is_name_byte(sql[at])) {
            ++at;
            continue;
        }
        std::string word;
        for (; at < sql.size() && is_name_byte(sql[at]); ++at)
            word += sql[at] >= 'a' && sql[at] <= 'z' ? static_cast<char>(sql[at] - 'a' + 'A') : sql[at];
        if (word == "INSERT" || word == "DELETE" || word == "MERGE") return true;
        if (word == "UPDATE" && before != "FOR" && before != "KEY") return true;
        before = std::move(word);
    }
    return false;
}

}  // namespace

bool writes_by_form(std::string_view sql) {
    const std::size_t first = sql.find_first_not_of(" \t\r\n;");
    if (first == std::string_view::npos || std::string_view("iIuUdDmMwW-/").find(sql[first]) == std::string_view::npos)
        return false;
    const std::string word = leading_word(sql);
    if (word == "WITH") return has_writing_word(sql);
    return word == "INSERT" || word == "UPDATE" || word == "DELETE" || word == "MERGE";
}

}  // namespace pgsteady
