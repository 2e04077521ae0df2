// One linear pass over SQL text that finds the words which can change session state (decision D12).
// It knows quoting and comments and nothing of grammar: a hit means "look closer", no hit means "nothing to see".
// It may see too much, it must never see too little. It allocates nothing, keeps no text beyond one word,
// and takes a Query in chunks of any size (up to 1 GiB arrives that way). Owned by whoever holds the request.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgsteady {

/// What the scan can find. "First" words count only where a statement begins (start of text, after `;`, after
/// EXPLAIN and its options); all others count anywhere outside literals and comments, also as quoted identifiers.
/// The words themselves are in one table in token_scan.cpp.
enum class token_hit : std::uint32_t {
    none = 0,
    set = 1U << 0,                ///< first: SET (all its forms: ROLE, SESSION AUTHORIZATION, TRANSACTION, …)
    reset = 1U << 1,              ///< first: RESET
    set_config = 1U << 2,         ///< set_config; pg_settings (an UPDATE of that view is set_config too)
    advisory = 1U << 3,           ///< session-level advisory lock and unlock functions (not the _xact_ ones)
    temp = 1U << 4,               ///< temp, temporary, pg_temp, pg_temp_N
    hold = 1U << 5,               ///< hold, as in DECLARE … WITH HOLD
    declare = 1U << 6,            ///< first: DECLARE
    prepare = 1U << 7,            ///< first: PREPARE (also PREPARE TRANSACTION)
    execute = 1U << 8,            ///< EXECUTE (anywhere: CREATE TABLE … AS EXECUTE)
    deallocate = 1U << 9,         ///< first: DEALLOCATE
    listen = 1U << 10,            ///< first: LISTEN
    unlisten = 1U << 11,          ///< first: UNLISTEN
    notify = 1U << 12,            ///< first: NOTIFY
    load = 1U << 13,              ///< first: LOAD
    do_block = 1U << 14,          ///< first: DO
    call = 1U << 15,              ///< first: CALL
    discard = 1U << 16,           ///< first: DISCARD
    copy = 1U << 17,              ///< first: COPY
    sequence_value = 1U << 18,    ///< lastval, currval (decision D15)
    setseed = 1U << 19,           ///< setseed
    large_object = 1U << 20,      ///< lo_…, loread, lowrite
    session_function = 1U << 21,  ///< functions with session state of their own (dblink_connect, slots, …)
    transaction = 1U << 22,       ///< first: BEGIN, START, COMMIT, END, ROLLBACK, ABORT
    savepoint = 1U << 23,         ///< first: SAVEPOINT, RELEASE; also ROLLBACK and ABORT, which may name one
    unicode_quoted = 1U << 24,    ///< U&"…": an identifier that cannot be read without decoding it
    sequence_use = 1U << 26,      ///< nextval, setval: after them currval and lastval are this session's own
    ambiguous = 1U << 25,         ///< a literal whose end depends on what only the server knows; raw from there on
};

/// A set of token_hit. A value; bits only.
struct token_hits {
    std::uint32_t bits = 0;

    constexpr token_hits() = default;
    constexpr token_hits(token_hit hit) : bits(static_cast<std::uint32_t>(hit)) {}  // NOLINT: a hit is a set of one
    constexpr explicit token_hits(std::uint32_t raw) : bits(raw) {}

    [[nodiscard]] constexpr bool any() const { return bits != 0; }
    /// True if at least one of `wanted` is present.
    [[nodiscard]] constexpr bool has(token_hits wanted) const { return (bits & wanted.bits) != 0; }

    constexpr token_hits& operator|=(token_hits other) {
        bits |= other.bits;
        return *this;
    }
    friend constexpr token_hits operator|(token_hits a, token_hits b) { return token_hits(a.bits | b.bits); }
    friend constexpr token_hits operator&(token_hits a, token_hits b) { return token_hits(a.bits & b.bits); }
    friend constexpr bool operator==(token_hits a, token_hits b) { return a.bits == b.bits; }
};
constexpr token_hits operator|(token_hit a, token_hit b) { return token_hits(a) | token_hits(b); }

/// Hits that can mean session state beyond the transaction: the text must go to analyse_effects(). `ambiguous` is not
/// among them: after it the scan reads everything in the widest way, so if nothing else is hit there is nothing.
inline constexpr token_hits needs_parser_mask =
    token_hit::set | token_hit::reset | token_hit::set_config | token_hit::advisory | token_hit::temp |
    token_hit::hold | token_hit::prepare | token_hit::execute | token_hit::deallocate | token_hit::listen |
    token_hit::unlisten | token_hit::load | token_hit::do_block | token_hit::discard | token_hit::sequence_value |
    token_hit::setseed | token_hit::session_function | token_hit::unicode_quoted;

/// Transaction control. Tags and ReadyForQuery tell what BEGIN, COMMIT and ROLLBACK did; only a session whose
/// ledger changed in the open transaction needs the parser for the names of savepoints (P36).
inline constexpr token_hits transaction_mask = token_hit::transaction | token_hit::savepoint;

/// How the text is to be read.
enum class scan_mode : std::uint8_t {
    sql,           ///< a Query or Parse text; a backslash before a quote in '…' makes the rest ambiguous
    sql_standard,  ///< the same, and the server is known to have standard_conforming_strings on
    plpgsql,       ///< the body of a DO block: every word may be a first word, but SET only where a statement begins
    raw,           ///< quotes and comments mean nothing, every word may be a first word: the widest reading
};

/// Incremental scanner. Feed the text in order in pieces of any size, then call finish() once; reset() starts anew.
/// Equal to scan_tokens() of the whole, wherever the text is split.
class token_scanner {
public:
    explicit token_scanner(scan_mode mode = scan_mode::sql) : initial_mode_(mode), mode_(mode) {}

    void feed(std::string_view chunk);

    /// Ends the text (a last word may be pending) and returns all hits.
    token_hits finish();

    /// Statements in the text, empty ones not counted. `;` inside parentheses does not divide; the body of
    /// CREATE FUNCTION … BEGIN ATOMIC counts as several. Valid after finish().
    [[nodiscard]] std::uint32_t statement_count() const { return statements_; }

    void reset() { *this = token_scanner(initial_mode_); }

private:
    enum class state : std::uint8_t {
        plain,
        word,  // inside a word that began in an earlier chunk
        number,
        unicode_mark,  // after U&
        dash,          // after one -
        slash,         // after one /
        dollar_tag,    // after $ and perhaps part of a tag
        dollar_body,
        literal,       // '…'
        escape,        // E'…'
        escape_next,   // E'…\ : the next byte is taken as it is
        escape_quote,  // E'…' : ended, unless another quote follows at once
        line_comment,
        block_comment,
        block_star,   // in a block comment after *
        block_slash,  // in a block comment after /
    };
    enum class start : std::uint8_t { no, yes, explain, explain_options };

    static constexpr std::size_t word_limit = 40;  // longer than every word of the table
    static constexpr std::size_t tag_limit = 64;   // a longer dollar tag is given up on (ambiguous)

    // Each takes [at, end) with at < end, consumes what it can and returns where it stopped.
    const char* step(const char* at, const char* end);
    const char* scan_plain(const char* at, const char* end);
    const char* scan_special(const char* at);
    const char* scan_word(const char* at, const char* end);
    const char* scan_dollar_tag(const char* at, const char* end);
    const char* scan_dollar_body(const char* at, const char* end);
    const char* scan_literal(const char* at, const char* end);
    const char* scan_escape(const char* at, const char* end);
    const char* scan_escape_next(const char* at);
    const char* scan_block_comment(const char* at, const char* end);
    const char* after_word(char initial, std::size_t length, const char* at);

    void on_word(const char* text, std::size_t length);
    void look_up(const char* text, std::size_t length, start before);
    void on_open_paren();
    void on_close_paren();
    void on_semicolon();
    void open_literal();
    void open_quoting(char byte);
    void give_up();

    scan_mode initial_mode_;
    scan_mode mode_;
    state state_ = state::plain;
    start start_ = start::yes;
    bool in_statement_ = false;  // something other than space and comments since the last `;`
    bool quoted_ = false;        // inside "…", whose words are looked up like all others
    bool after_escape_ = false;  // the last token was E'…': a literal that continues it is one, too
    char previous_ = 0;          // last byte of the literal so far
    std::uint32_t parens_ = 0;
    std::uint32_t comment_depth_ = 0;
    std::uint32_t statements_ = 0;
    token_hits hits_;
    std::size_t word_length_ = 0;  // may exceed word_limit; only that much is kept
    std::size_t tag_length_ = 0;
    std::size_t tag_matched_ = 0;  // bytes of the closing $tag$ seen so far
    std::array<char, word_limit> word_{};
    std::array<char, tag_limit> tag_{};
};

/// The whole text at once. Same result as a token_scanner.
[[nodiscard]] token_hits scan_tokens(std::string_view sql, scan_mode mode = scan_mode::sql);

/// Whether these letters, given in lower case, occur anywhere in it in any case: in other words, literals and comments, too.
[[nodiscard]] bool mentions(std::string_view sql, std::string_view word);

}  // namespace pgsteady
