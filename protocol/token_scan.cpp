// The scan of token_scan.hpp: a byte-class table, a loop that skips words, and one table of the words that matter.
// Lexical rules follow PostgreSQL's src/backend/parser/scan.l; where a rule depends on what only the server knows,
// the scan says `ambiguous` and reads the rest in the widest way. Must never read outside its chunk.
#include "protocol/token_scan.hpp"

#include <algorithm>
#include <cstring>

namespace pgsteady {
namespace {

// ---- the words ------------------------------------------------------------------------------------------------

enum class place : std::uint8_t { first, anywhere, prefix };

struct word_rule {
    std::string_view text;
    token_hits hits;
    place where;
};

constexpr token_hits transaction_end = token_hit::transaction | token_hit::savepoint;

/// Every word that the scan knows, grouped by first letter (checked below). To add one, add a line.
constexpr std::array rules = {
    word_rule{"abort", transaction_end, place::first},
    word_rule{"begin", token_hit::transaction, place::first},
    word_rule{"call", token_hit::call, place::first},
    word_rule{"commit", token_hit::transaction, place::first},
    word_rule{"copy", token_hit::copy, place::first},
    word_rule{"currval", token_hit::sequence_value, place::anywhere},
    word_rule{"dblink_connect", token_hit::session_function, place::prefix},
    word_rule{"dblink_disconnect", token_hit::session_function, place::anywhere},
    word_rule{"deallocate", token_hit::deallocate, place::first},
    word_rule{"declare", token_hit::declare, place::first},
    word_rule{"discard", token_hit::discard, place::first},
    word_rule{"do", token_hit::do_block, place::first},
    word_rule{"end", token_hit::transaction, place::first},
    word_rule{"execute", token_hit::execute, place::anywhere},
    word_rule{"hold", token_hit::hold, place::anywhere},
    word_rule{"lastval", token_hit::sequence_value, place::anywhere},
    word_rule{"listen", token_hit::listen, place::first},
    word_rule{"lo_", token_hit::large_object, place::prefix},
    word_rule{"load", token_hit::load, place::first},
    word_rule{"loread", token_hit::large_object, place::anywhere},
    word_rule{"lowrite", token_hit::large_object, place::anywhere},
    word_rule{"nextval", token_hit::sequence_use, place::anywhere},
    word_rule{"notify", token_hit::notify, place::first},
    word_rule{"pg_advisory_lock", token_hit::advisory, place::prefix},
    word_rule{"pg_advisory_unlock", token_hit::advisory, place::prefix},
    word_rule{"pg_backup_start", token_hit::session_function, place::anywhere},
    word_rule{"pg_copy_logical_replication_slot", token_hit::session_function, place::anywhere},
    word_rule{"pg_copy_physical_replication_slot", token_hit::session_function, place::anywhere},
    word_rule{"pg_create_logical_replication_slot", token_hit::session_function, place::anywhere},
    word_rule{"pg_create_physical_replication_slot", token_hit::session_function, place::anywhere},
    word_rule{"pg_replication_origin_session_setup", token_hit::session_function, place::anywhere},
    word_rule{"pg_settings", token_hit::set_config, place::anywhere},
    word_rule{"pg_start_backup", token_hit::session_function, place::anywhere},
    word_rule{"pg_temp", token_hit::temp, place::prefix},
    word_rule{"pg_try_advisory_lock", token_hit::advisory, place::prefix},
    word_rule{"prepare", token_hit::prepare, place::first},
    word_rule{"release", token_hit::savepoint, place::first},
    word_rule{"reset", token_hit::reset, place::first},
    word_rule{"rollback", transaction_end, place::first},
    word_rule{"savepoint", token_hit::savepoint, place::first},
    word_rule{"set", token_hit::set, place::first},
    word_rule{"set_config", token_hit::set_config, place::anywhere},
    word_rule{"set_limit", token_hit::session_function, place::anywhere},
    word_rule{"setval", token_hit::sequence_use, place::anywhere},
    word_rule{"setseed", token_hit::setseed, place::anywhere},
    word_rule{"start", token_hit::transaction, place::first},
    word_rule{"temp", token_hit::temp, place::anywhere},
    word_rule{"temporary", token_hit::temp, place::anywhere},
    word_rule{"unlisten", token_hit::unlisten, place::first},
};

// ---- tables made from them at compile time --------------------------------------------------------------------

constexpr std::size_t letters = 26;
constexpr std::size_t longest = 63;  // one bit per length; identifiers are cut at 63 bytes by the server too

/// Which rules begin with a letter, and of which lengths and with which second and third byte a word can be to match
/// one of them. Three bit tests dismiss nearly every word of ordinary SQL.
struct letter_index {
    std::array<std::uint8_t, letters> begin{};
    std::array<std::uint8_t, letters> end{};
    std::array<std::uint32_t, letters> second{};
    std::array<std::uint32_t, letters> third{};
    std::array<std::uint64_t, letters> anywhere{};
    std::array<std::uint64_t, letters> first{};  // includes `anywhere`
};

/// ASCII letters of both cases have bits of their own; other bytes share them, which costs only a look.
constexpr std::uint32_t letter_bit(char c) { return std::uint32_t{1} << (static_cast<unsigned char>(c) & 31U); }

constexpr letter_index make_index() {
    letter_index index;
    for (std::size_t i = 0; i < rules.size(); ++i) {
        const auto letter = static_cast<std::size_t>(rules[i].text[0] - 'a');
        const std::size_t length = rules[i].text.size();
        if (index.end[letter] == 0) index.begin[letter] = static_cast<std::uint8_t>(i);
        index.end[letter] = static_cast<std::uint8_t>(i + 1);
        const std::uint64_t exactly = std::uint64_t{1} << length;
        const std::uint64_t fitting = rules[i].where == place::prefix ? ~(exactly - 1) : exactly;
        index.first[letter] |= fitting;
        index.second[letter] |= letter_bit(rules[i].text[1]);
        index.third[letter] |= length > 2 ? letter_bit(rules[i].text[2]) : ~0U;
        if (rules[i].where != place::first) index.anywhere[letter] |= fitting;
    }
    return index;
}

constexpr bool grouped_by_letter() {
    return std::is_sorted(rules.begin(), rules.end(),
                          [](const word_rule& a, const word_rule& b) { return a.text[0] < b.text[0]; });
}

constexpr std::size_t longest_rule() {
    std::size_t most = 0;
    for (const word_rule& rule : rules) most = std::max(most, rule.text.size());
    return most;
}

static_assert(grouped_by_letter(), "rules must be grouped by first letter");
constexpr letter_index index_of = make_index();

enum byte_class : std::uint8_t { skip, letter, digit, special };

constexpr std::array<std::uint8_t, 256> make_classes() {
    std::array<std::uint8_t, 256> classes{};
    for (std::size_t c = 'a'; c <= 'z'; ++c) classes[c] = classes[c - 'a' + 'A'] = letter;
    for (std::size_t c = 0x80; c <= 0xff; ++c) classes[c] = letter;
    classes['_'] = letter;
    for (std::size_t c = '0'; c <= '9'; ++c) classes[c] = digit;
    for (const char c : {'\'', '"', '$', '-', '/', ';', '(', ')'}) classes[static_cast<unsigned char>(c)] = special;
    return classes;
}

using byte_set = std::array<bool, 256>;

/// Bytes that continue a word. `$` does in PostgreSQL; read in the widest way it may as well end a dollar quote.
constexpr byte_set make_word_bytes(bool with_dollar) {
    byte_set inside{};
    const auto classes = make_classes();
    for (std::size_t c = 0; c < inside.size(); ++c) inside[c] = classes[c] == letter || classes[c] == digit;
    inside['$'] = with_dollar;
    return inside;
}

constexpr std::array<std::uint8_t, 256> class_table = make_classes();
constexpr byte_set word_bytes = make_word_bytes(true);
constexpr byte_set raw_word_bytes = make_word_bytes(false);

std::uint8_t class_of(char c) { return class_table[static_cast<unsigned char>(c)]; }
const byte_set& word_bytes_in(scan_mode mode) { return mode == scan_mode::raw ? raw_word_bytes : word_bytes; }
bool holds(const byte_set& set, char c) { return set[static_cast<unsigned char>(c)]; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// `text` without regard to ASCII case equals `rule`; both have the same length.
bool same_word(const char* text, std::string_view rule) {
    for (std::size_t i = 0; i < rule.size(); ++i) {
        if (lower(text[i]) != rule[i]) return false;
    }
    return true;
}

bool is_word(const char* text, std::size_t length, std::string_view rule) {
    return length == rule.size() && same_word(text, rule);
}

}  // namespace

// ---- words ----------------------------------------------------------------------------------------------------

inline void token_scanner::on_word(const char* text, std::size_t length) {
    in_statement_ = true;
    after_escape_ = false;
    const start before = start_;
    if (before == start::explain &&
        (is_word(text, length, "analyze") || is_word(text, length, "analyse") || is_word(text, length, "verbose"))) {
        return;
    }
    if (before == start::yes || before == start::explain) start_ = start::no;

    const auto initial = static_cast<std::size_t>(static_cast<unsigned char>(text[0] | 0x20)) - 'a';
    if (initial >= letters) return;
    const bool first = before == start::yes || before == start::explain || mode_ >= scan_mode::plpgsql;
    const std::uint64_t fitting = first ? index_of.first[initial] : index_of.anywhere[initial];
    const bool may_match = (fitting >> std::min(length, longest) & 1) != 0 &&
                           (index_of.second[initial] & letter_bit(text[1])) != 0 &&
                           (length == 2 || (index_of.third[initial] & letter_bit(text[2])) != 0);
    if (may_match) look_up(text, length, before);

    if (before == start::yes && is_word(text, length, "explain")) start_ = start::explain;
    if (mode_ == scan_mode::plpgsql && (is_word(text, length, "begin") || is_word(text, length, "then") ||
                                        is_word(text, length, "else") || is_word(text, length, "loop"))) {
        start_ = start::yes;
    }
}

/// The slow half of on_word(): compares with every rule of the word's first letter.
void token_scanner::look_up(const char* text, std::size_t length, start before) {
    static_assert(longest_rule() <= word_limit && word_limit <= longest);
    const bool stated = before == start::yes || before == start::explain;
    const auto initial = static_cast<std::size_t>(lower(text[0]) - 'a');
    for (std::size_t i = index_of.begin[initial]; i < index_of.end[initial]; ++i) {
        const word_rule& rule = rules[i];
        const bool fits = rule.where == place::prefix ? length >= rule.text.size() : length == rule.text.size();
        if (!fits || !same_word(text, rule.text)) continue;
        if (rule.where == place::first && !stated) {
            // In PL/pgSQL `UPDATE … SET` is everywhere, so SET alone must stand where a statement begins.
            if (mode_ < scan_mode::plpgsql) continue;
            if (mode_ == scan_mode::plpgsql && rule.hits == token_hit::set) continue;
        }
        hits_ |= rule.hits;
    }
}

/// The byte after a word can make it a prefix: E'…' and U&"…". `at` is that byte.
inline const char* token_scanner::after_word(char initial, std::size_t length, const char* at) {
    state_ = state::plain;
    if (length != 1 || quoted_) return at;
    if ((initial | 0x20) == 'e' && *at == '\'' && mode_ != scan_mode::raw) {
        open_literal();
        state_ = state::escape;
        return at + 1;
    }
    if ((initial | 0x20) == 'u' && *at == '&') {
        state_ = state::unicode_mark;
        return at + 1;
    }
    return at;
}

/// A word that began in an earlier chunk.
const char* token_scanner::scan_word(const char* at, const char* end) {
    const byte_set& inside = word_bytes_in(mode_);
    for (; at != end && holds(inside, *at); ++at) {
        if (word_length_ < word_limit) word_[word_length_] = *at;
        ++word_length_;
    }
    if (at == end) return at;
    on_word(word_.data(), word_length_);
    return after_word(word_[0], word_length_, at);
}

// ---- outside of literals and comments ---------------------------------------------------------------------------

const char* token_scanner::scan_plain(const char* at, const char* end) {
    const byte_set& inside = word_bytes_in(mode_);
    while (at != end) {
        switch (class_of(*at)) {
            case skip: ++at; break;
            case letter: {
                const char* const word = at;
                do ++at;
                while (at != end && holds(inside, *at));
                const auto length = static_cast<std::size_t>(at - word);
                if (at == end) {
                    std::memcpy(word_.data(), word, std::min(length, word_limit));
                    word_length_ = length;
                    state_ = state::word;
                    return at;
                }
                on_word(word, length);
                at = after_word(*word, length, at);
                if (state_ != state::plain) return at;
                break;
            }
            case digit: state_ = state::number; return at;
            default:
                at = scan_special(at);
                if (state_ != state::plain) return at;
        }
    }
    return at;
}

/// One byte that opens, closes or divides something. Within "…" only the closing quote does: the words there go
/// through the same look-up as all others, because "set_config"(…) is a call.
const char* token_scanner::scan_special(const char* at) {
    const char byte = *at;
    if (byte == '"') {
        quoted_ = !quoted_ && mode_ != scan_mode::raw;
        if (quoted_) start_ = start::no;
    } else if (quoted_) {
        return at + 1;
    } else if (byte == ';') {
        on_semicolon();
    } else if (byte == '(') {
        on_open_paren();
    } else if (byte == ')') {
        on_close_paren();
    } else if (mode_ != scan_mode::raw) {
        open_quoting(byte);
    }
    return at + 1;
}

/// A byte that begins a literal or a comment, or may.
void token_scanner::open_quoting(char byte) {
    switch (byte) {
        case '-': state_ = state::dash; break;
        case '/': state_ = state::slash; break;
        case '$':
            state_ = state::dollar_tag;
            tag_length_ = 0;
            break;
        default: {
            const bool continues = after_escape_;
            open_literal();
            after_escape_ = continues;
            state_ = state::literal;
        }
    }
}

void token_scanner::on_open_paren() {
    if (start_ == start::explain) {
        start_ = start::explain_options;
        parens_ = 0;
    }
    ++parens_;
}

void token_scanner::on_close_paren() {
    if (parens_ > 0) --parens_;
    if (start_ == start::explain_options && parens_ == 0) start_ = start::explain;
}

void token_scanner::on_semicolon() {
    start_ = start::yes;
    after_escape_ = false;
    if (parens_ > 0) return;
    if (in_statement_) ++statements_;
    in_statement_ = false;
}

// ---- literals ---------------------------------------------------------------------------------------------------

void token_scanner::open_literal() {
    in_statement_ = true;
    after_escape_ = false;
    previous_ = 0;
}

/// From here on nothing is certain: read everything, in the widest way.
void token_scanner::give_up() {
    hits_ |= token_hit::ambiguous;
    mode_ = scan_mode::raw;
    state_ = state::plain;
}

/// '…'. A doubled quote ends it and begins the next, which is the same thing for us. A backslash before the quote
/// ends it or not, as standard_conforming_strings says, or (after E'…', on the next line) as the first part said.
const char* token_scanner::scan_literal(const char* at, const char* end) {
    const auto* quote = static_cast<const char*>(std::memchr(at, '\'', static_cast<std::size_t>(end - at)));
    if (quote == nullptr) {
        previous_ = end[-1];
        return end;
    }
    const char before = quote == at ? previous_ : quote[-1];
    state_ = state::plain;
    if (before == '\\' && (mode_ != scan_mode::sql_standard || after_escape_)) give_up();
    return quote + 1;
}

const char* token_scanner::scan_escape(const char* at, const char* end) {
    for (; at != end; ++at) {
        if (*at == '\\' || *at == '\'') {
            state_ = *at == '\\' ? state::escape_next : state::escape_quote;
            return at + 1;
        }
        previous_ = *at;
    }
    return at;
}

/// After a backslash in E'…'. If the byte before it has its high bit set, the backslash may be the second half of a
/// character (SJIS, BIG5, GBK), and then it escapes nothing.
const char* token_scanner::scan_escape_next(const char* at) {
    const bool doubtful = static_cast<unsigned char>(previous_) >= 0x80 && (*at == '\'' || *at == '\\');
    previous_ = 0;
    state_ = state::escape;
    if (doubtful) give_up();
    return at + 1;
}

const char* token_scanner::scan_dollar_tag(const char* at, const char* end) {
    for (; at != end; ++at) {
        if (*at == '$') {
            open_literal();
            tag_matched_ = 0;
            state_ = state::dollar_body;
            return at + 1;
        }
        const std::uint8_t kind = class_of(*at);
        if (kind == digit && tag_length_ == 0) {  // $1
            state_ = state::number;
            return at;
        }
        if (kind != letter && kind != digit) {  // a lone $ is a syntax error to every server
            state_ = state::plain;
            return at;
        }
        if (tag_length_ == tag_limit) {
            give_up();
            state_ = state::number;  // skips what is left of this run of letters
            return at;
        }
        tag_[tag_length_++] = *at;
    }
    return at;
}

/// The body ends with the same $tag$. The only part of it that can be the beginning of another is its first `$`.
const char* token_scanner::scan_dollar_body(const char* at, const char* end) {
    while (at != end) {
        if (tag_matched_ == 0) {
            at = static_cast<const char*>(std::memchr(at, '$', static_cast<std::size_t>(end - at)));
            if (at == nullptr) return end;
        }
        const bool edge = tag_matched_ == 0 || tag_matched_ == tag_length_ + 1;
        if (*at == (edge ? '$' : tag_[tag_matched_ - 1])) {
            ++tag_matched_;
        } else {
            tag_matched_ = *at == '$' ? 1 : 0;
        }
        ++at;
        if (tag_matched_ == tag_length_ + 2) {
            state_ = state::plain;
            return at;
        }
    }
    return at;
}

// ---- comments, and the whole ------------------------------------------------------------------------------------

/// Block comments nest. `/*/` opens one and does not close it.
const char* token_scanner::scan_block_comment(const char* at, const char* end) {
    for (; at != end; ++at) {
        if (*at == '/' && state_ == state::block_star) {
            state_ = state::block_comment;
            if (--comment_depth_ == 0) {
                state_ = state::plain;
                return at + 1;
            }
        } else if (*at == '*' && state_ == state::block_slash) {
            ++comment_depth_;
            state_ = state::block_comment;
        } else {
            state_ = *at == '*' ? state::block_star : *at == '/' ? state::block_slash : state::block_comment;
        }
    }
    return at;
}

const char* token_scanner::step(const char* at, const char* end) {
    switch (state_) {
        case state::plain: return scan_plain(at, end);
        case state::word: return scan_word(at, end);
        case state::number:
            in_statement_ = true;
            while (at != end && holds(word_bytes_in(mode_), *at)) ++at;
            if (at != end) state_ = state::plain;
            return at;
        case state::unicode_mark:
            state_ = state::plain;
            if (*at == '"') hits_ |= token_hit::unicode_quoted;
            return at;
        case state::dash: state_ = *at == '-' ? state::line_comment : state::plain; return *at == '-' ? at + 1 : at;
        case state::slash:
            state_ = *at == '*' ? state::block_comment : state::plain;
            comment_depth_ = 1;
            return *at == '*' ? at + 1 : at;
        case state::dollar_tag: return scan_dollar_tag(at, end);
        case state::dollar_body: return scan_dollar_body(at, end);
        case state::literal: return scan_literal(at, end);
        case state::escape: return scan_escape(at, end);
        case state::escape_next: return scan_escape_next(at);
        case state::escape_quote:
            state_ = *at == '\'' ? state::escape : state::plain;
            after_escape_ = state_ == state::plain;
            return state_ == state::escape ? at + 1 : at;
        case state::line_comment:
            while (at != end && *at != '\n' && *at != '\r') ++at;
            if (at != end) state_ = state::plain;
            return at;
        default: return scan_block_comment(at, end);
    }
}

void token_scanner::feed(std::string_view chunk) {
    const char* at = chunk.data();
    const char* const end = at + chunk.size();
    while (at != end) at = step(at, end);
}

token_hits token_scanner::finish() {
    if (state_ == state::word) on_word(word_.data(), word_length_);
    state_ = state::plain;
    if (in_statement_) ++statements_;
    in_statement_ = false;
    return hits_;
}

token_hits scan_tokens(std::string_view sql, scan_mode mode) {
    token_scanner scanner(mode);
    scanner.feed(sql);
    return scanner.finish();
}

bool mentions(std::string_view sql, std::string_view word) {
    const auto same = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + ('a' - 'A') == b); };
    return std::search(sql.begin(), sql.end(), word.begin(), word.end(), same) != sql.end();
}

}  // namespace pgsteady
