// See command.hpp.
#include "proxy/console/command.hpp"

#include "protocol/sqlstate.hpp"

#include "config/suggest.hpp"

#include "admin/printable.hpp"

#include <algorithm>
#include <array>

namespace pgsteady {
namespace {

/// What may stand behind a verb.
enum class operands : std::uint8_t { none, table, optional_name, name, number, how, assignment };

struct verb_row {
    std::string_view name;
    console_verb verb;
    operands takes;
};

constexpr std::array<verb_row, 13> verbs{{
    {"SHOW", console_verb::show, operands::table},
    {"PAUSE", console_verb::pause, operands::optional_name},
    {"RESUME", console_verb::resume, operands::optional_name},
    {"RECONNECT", console_verb::reconnect, operands::optional_name},
    {"KILL", console_verb::kill, operands::name},
    {"KILL_CLIENT", console_verb::kill_client, operands::number},
    {"DISABLE", console_verb::disable, operands::name},
    {"ENABLE", console_verb::enable, operands::name},
    {"RELOAD", console_verb::reload, operands::none},
    {"SHUTDOWN", console_verb::shutdown, operands::how},
    {"SUSPEND", console_verb::suspend, operands::none},
    {"WAIT_CLOSE", console_verb::wait_close, operands::optional_name},
    {"SET", console_verb::set, operands::assignment},
}};

constexpr std::string_view help_hint = "SHOW HELP lists what the console knows.";
constexpr std::size_t shown_bytes = 64;

struct token {
    enum class kind : std::uint8_t { end, semicolon, word, quoted, equals, stray };
    kind is = kind::end;
    std::string text{};
    std::size_t at = 0;

    [[nodiscard]] bool ends() const { return is == kind::end || is == kind::semicolon; }
    [[nodiscard]] bool names() const { return is == kind::word || is == kind::quoted; }
};

bool is_blank(char each) { return each == ' ' || (each >= '\t' && each <= '\r'); }

bool is_of_word(char each) {
    return (each >= 'a' && each <= 'z') || (each >= 'A' && each <= 'Z') || (each >= '0' && each <= '9') ||
           each == '_' || each == '.' || each == '$' || each == '-' || each == ':' ||
           static_cast<unsigned char>(each) >= 0x80;
}

/// ErrorResponse counts characters from 1.
std::string position_of(std::string_view text, std::size_t at) {
    const auto begins = [](char each) { return (static_cast<unsigned char>(each) & 0xc0U) != 0x80U; };
    const std::string_view before = text.substr(0, at);
    return std::to_string(1 + std::count_if(before.begin(), before.end(), begins));
}

class tokenizer {
public:
    explicit tokenizer(std::string_view text) : text_(text) {}

    /// After something that has no end, problem() says what it was.
    token next() {
        skip();
        token made{.at = at_};
        if (problem_ || at_ >= text_.size()) return made;
        const char first = text_[at_];
        if (is_of_word(first)) take_word(made);
        else if (first == '"' || first == '\'') take_quoted(made, first);
        else take_symbol(made, first);
        return made;
    }
    [[nodiscard]] const std::optional<error_fields>& problem() const { return problem_; }
    [[nodiscard]] error_fields complaint(std::string message, std::size_t at, std::string hint) const {
        error_fields made = plain_error(sqlstate::syntax_error, std::move(message), {}, std::move(hint));
        made.others.emplace_back('P', position_of(text_, at));
        return made;
    }

private:
    [[nodiscard]] bool sees(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

    void skip() {
        while (at_ < text_.size()) {
            if (is_blank(text_[at_])) ++at_;
            else if (sees("--")) at_ = std::min(text_.find('\n', at_), text_.size());
            else if (!sees("/*") || !skip_comment()) return;
        }
    }

    /// They nest, as in PostgreSQL.
    bool skip_comment() {
        const std::size_t begin = at_;
        std::size_t depth = 0;
        do {
            if (sees("/*")) ++depth, at_ += 2;
            else if (sees("*/")) --depth, at_ += 2;
            else ++at_;
        } while (depth > 0 && at_ < text_.size());
        if (depth > 0) problem_ = complaint("unterminated comment", begin, {});
        return depth == 0;
    }

    void take_word(token& made) {
        made.is = token::kind::word;
        while (at_ < text_.size() && is_of_word(text_[at_]) && !sees("--")) made.text += text_[at_++];
    }

    /// A doubled quote stands for itself.
    void take_quoted(token& made, char quote) {
        made.is = token::kind::quoted;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == quote) {
                if (at_ + 1 >= text_.size() || text_[at_ + 1] != quote) {
                    ++at_;
                    return;
                }
                ++at_;
            }
            made.text += text_[at_];
        }
        problem_ = complaint(quote == '"' ? "unterminated quoted name" : "unterminated quoted string", made.at, {});
    }

    void take_symbol(token& made, char first) {
        made.is = first == ';' ? token::kind::semicolon : first == '=' ? token::kind::equals : token::kind::stray;
        made.text = first;
        ++at_;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::optional<error_fields> problem_;
};

class parser {
public:
    explicit parser(std::string_view text) : tokens_(text) {}

    console_script run() {
        for (advance(); !failed() && now_.is != token::kind::end;) {
            if (now_.is == token::kind::semicolon) advance();
            else take_command();
        }
        if (failed()) {
            made_.commands.clear();
            if (!made_.error) made_.error = tokens_.problem();
        }
        return std::move(made_);
    }

private:
    [[nodiscard]] bool failed() const { return made_.error.has_value() || tokens_.problem().has_value(); }
    void advance() { now_ = tokens_.next(); }
    void complain(std::string message, std::string hint = std::string(help_hint)) {
        if (!failed()) made_.error = tokens_.complaint(std::move(message), now_.at, std::move(hint));
    }
    [[nodiscard]] std::string shown() const {
        return now_.ends() ? std::string("the end of the command")
                           : '"' + admin::printable(now_.text, shown_bytes) + '"';
    }

    void take_command() {
        if (made_.commands.size() == console_commands_max) {
            made_.error = plain_error(sqlstate::program_limit_exceeded,
                                      "more than " + std::to_string(console_commands_max) + " commands in one text");
            return;
        }
        const std::string word = in_capitals(now_.text);
        const auto row =
            std::find_if(verbs.begin(), verbs.end(), [&](const verb_row& each) { return each.name == word; });
        if (now_.is != token::kind::word || row == verbs.end()) return refuse_verb(word);
        advance();
        console_command command{.verb = row->verb};
        take_operands(*row, command);
        if (!failed() && !now_.ends()) complain("syntax error at or near " + shown());
        if (!failed()) made_.commands.push_back(std::move(command));
    }

    void refuse_verb(const std::string& word) {
        constexpr std::array<std::string_view, 9> of_transactions{"BEGIN", "START",     "COMMIT",  "END",    "ROLLBACK",
                                                                  "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"};
        if (std::find(of_transactions.begin(), of_transactions.end(), word) != of_transactions.end())
            return complain("the console has no transactions", "Switch your driver to autocommit.");
        std::vector<std::string_view> known;
        for (const verb_row& each : verbs) known.push_back(each.name);
        const std::string_view meant = config::nearest(word.substr(0, shown_bytes), known);
        complain("unknown command " + shown(),
                 meant.empty() ? std::string(help_hint)
                               : "Perhaps you mean " + std::string(meant) + ". " + std::string(help_hint));
    }

    void take_operands(const verb_row& row, console_command& into) {
        const std::string verb(row.name);
        switch (row.takes) {
            case operands::none: return;
            case operands::table:
                if (!now_.names()) return complain(verb + " what?");
                into.target = in_capitals(now_.text);
                return advance();
            case operands::how:
                if (now_.is != token::kind::word) return;
                into.target = in_capitals(now_.text);
                return advance();
            case operands::optional_name:
                if (now_.ends()) return;
                [[fallthrough]];
            case operands::name: return take_name(verb + " needs the name of a database", into);
            case operands::number:
                if (now_.text.find_first_not_of("0123456789") != std::string::npos || now_.text.size() > 19)
                    return complain(verb + " needs the number of a client", "SHOW CLIENTS shows it as id.");
                return take_name(verb + " needs the number of a client", into);
            case operands::assignment: return take_assignment(into);
        }
    }

    void take_name(const std::string& otherwise, console_command& into) {
        if (!now_.names() || now_.text.empty()) return complain(otherwise);
        into.target = std::move(now_.text);
        advance();
    }

    /// SET key = value, SET key TO value, SET key value.
    void take_assignment(console_command& into) {
        take_name("SET needs a key", into);
        if (failed()) return;
        if (now_.is == token::kind::equals || (now_.is == token::kind::word && in_capitals(now_.text) == "TO"))
            advance();
        if (!now_.names()) return complain("SET needs a value");
        into.value = std::move(now_.text);
        advance();
    }

    tokenizer tokens_;
    token now_;
    console_script made_;
};

}  // namespace

std::string in_capitals(std::string_view text) {
    std::string made(text);
    for (char& each : made)
        if (each >= 'a' && each <= 'z') each = static_cast<char>(each - 'a' + 'A');
    return made;
}

console_script parse_console_text(std::string_view text) { return parser(text).run(); }

std::string_view to_string(console_verb verb) {
    const auto row = std::find_if(verbs.begin(), verbs.end(), [&](const verb_row& each) { return each.verb == verb; });
    return row == verbs.end() ? std::string_view("?") : row->name;
}

bool changes_something(const console_command& command) {
    return command.verb != console_verb::show && command.verb != console_verb::wait_close;
}

std::string describe(const console_command& command) {
    std::string made(to_string(command.verb));
    if (!command.target.empty()) made += ' ' + admin::printable(command.target, shown_bytes);
    if (command.verb == console_verb::set) made += " = " + admin::printable(command.value, shown_bytes);
    return made;
}

}  // namespace pgsteady
