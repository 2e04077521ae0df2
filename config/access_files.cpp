// See access_files.hpp. Words and lists are cut as in PostgreSQL's hba.c.
#include "config/access_files.hpp"

#include "config/access_rules.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace pgsteady::config {
namespace {

using field = std::vector<hba_name>;

struct cut_line {
    int number = 0;
    std::vector<field> fields;
    std::string problem;
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// Cuts a line into fields, each a list of words.
class line_cutter {
public:
    explicit line_cutter(std::string_view line) : rest_(line) {}

    void cut(cut_line& into) {
        while (into.problem.empty() && !at_end()) {
            field words;
            for (bool more = true; more && !at_end();) {
                hba_name word;
                more = take_word(word, into.problem);
                words.push_back(std::move(word));
            }
            into.fields.push_back(std::move(words));
        }
    }

private:
    bool at_end() {
        while (!rest_.empty() && (is_blank(rest_.front()) || rest_.front() == ',')) rest_.remove_prefix(1);
        return rest_.empty() || rest_.front() == '#';
    }

    /// True: a comma follows, and with it another word of this list.
    bool take_word(hba_name& word, std::string& problem) {
        bool in_quotes = false;
        for (; !rest_.empty(); rest_.remove_prefix(1)) {
            const char c = rest_.front();
            if (c == '"') {
                in_quotes = !in_quotes;
                word.quoted = true;
            } else if (!in_quotes && (is_blank(c) || c == '#')) {
                return false;
            } else if (!in_quotes && c == ',') {
                rest_.remove_prefix(1);
                return true;
            } else {
                word.text += c;
            }
        }
        if (in_quotes) problem = "a quotation mark is not closed";
        return false;
    }

    std::string_view rest_;
};

/// Lines that say something. One that ends in a backslash goes on in the next.
std::vector<cut_line> cut_lines(std::string_view text) {
    std::vector<cut_line> found;
    for (int number = 1; !text.empty();) {
        cut_line one{number, {}, {}};
        std::string whole;
        for (bool more = true; more && !text.empty(); ++number) {
            const auto end = text.find('\n');
            std::string_view line = text.substr(0, end);
            text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
            if (line.ends_with('\r')) line.remove_suffix(1);
            more = line.ends_with('\\');
            if (more) line.remove_suffix(1);
            whole += line;
        }
        line_cutter(whole).cut(one);
        if (!one.fields.empty() || !one.problem.empty()) found.push_back(std::move(one));
    }
    return found;
}

template <class Choice>
struct spelling {
    std::string_view word;
    Choice value;
};
template <class Choice>
spelling(std::string_view, Choice) -> spelling<Choice>;

using connection = hba_rule::connection;
using method = hba_rule::method;

// Encryption by GSSAPI is never agreed to, so whoever does not use it is everybody.
constexpr std::array connections{spelling{std::string_view("local"), connection::local},
                                 spelling{std::string_view("host"), connection::host},
                                 spelling{std::string_view("hostssl"), connection::hostssl},
                                 spelling{std::string_view("hostnossl"), connection::hostnossl},
                                 spelling{std::string_view("hostnogssenc"), connection::host}};
constexpr std::array methods{spelling{std::string_view("reject"), method::reject},
                             spelling{std::string_view("trust"), method::trust},
                             spelling{std::string_view("md5"), method::md5},
                             spelling{std::string_view("scram-sha-256"), method::scram_sha_256},
                             spelling{std::string_view("password"), method::password},
                             spelling{std::string_view("cert"), method::cert}};

template <class List>
auto choice_of(const List& all, const hba_name& word) -> std::optional<decltype(all.front().value)> {
    const auto at = std::ranges::find(all, std::string_view(word.text), [](const auto& each) { return each.word; });
    return at == all.end() ? std::nullopt : std::optional(at->value);
}

/// One line of a file of rules. Its problem, or nothing.
class rule_reader {
public:
    rule_reader(const cut_line& from, hba_rule& into) : from_(from), into_(into) { into_.line = from.number; }

    std::string read() {
        for (const auto step : {&rule_reader::read_connection, &rule_reader::read_names, &rule_reader::read_address,
                                &rule_reader::read_method, &rule_reader::read_options, &rule_reader::look_at_whole})
            if (std::string problem = (this->*step)(); !problem.empty()) return problem;
        return {};
    }

private:
    /// The next field if it is one word.
    const hba_name* next_word() {
        if (at_ >= from_.fields.size() || from_.fields[at_].size() != 1) return nullptr;
        return &from_.fields[at_++].front();
    }

    std::string read_connection() {
        const hba_name* word = next_word();
        const auto known = word != nullptr ? choice_of(connections, *word) : std::nullopt;
        if (!known) return "begins with none of local, host, hostssl and hostnossl";
        into_.by = *known;
        return {};
    }

    std::string read_names() {
        if (from_.fields.size() < at_ + 2) return "ends before databases and users are named";
        into_.databases = from_.fields[at_++];
        into_.users = from_.fields[at_++];
        for (const auto* names : {&into_.databases, &into_.users})
            for (const hba_name& each : *names) {
                if (each.quoted) continue;
                const std::string name = '"' + each.text + '"';
                if (each.text.starts_with('+'))
                    return name + ": memberships of roles are not known here; name the users";
                if (each.text.starts_with('@')) return name + ": names cannot be in another file";
                if (each.text.starts_with('/')) return name + ": patterns are for auth.ident_file only";
                if (names == &into_.databases && (each.text == "samerole" || each.text == "samegroup"))
                    return name + ": memberships of roles are not known here; name the databases";
            }
        return {};
    }

    std::string read_address() {
        if (into_.by == connection::local) return {};
        const hba_name* word = next_word();
        if (word == nullptr) return "ends before an address is named";
        if (!word->quoted && word->text == "all") {
            into_.any_address = true;
            return {};
        }
        if (!word->quoted && (word->text == "samehost" || word->text == "samenet"))
            return word->text + ": write the network itself, such as 10.0.0.0/8";
        const auto slash = word->text.find('/');
        into_.network = network_bytes(word->text.substr(0, slash));
        if (into_.network.empty()) return word->text + " is no address; names of hosts are not looked up";
        const auto most = static_cast<std::uint32_t>(into_.network.size() * 8);
        if (slash == std::string::npos) return read_mask(most);
        const std::string_view bits = std::string_view(word->text).substr(slash + 1);
        const auto [end, bad] = std::from_chars(bits.data(), bits.data() + bits.size(), into_.prefix);
        if (bad != std::errc() || end != bits.data() + bits.size() || into_.prefix > most)
            return word->text + ": there are 0 to " + std::to_string(most) + " bits";
        return {};
    }

    /// 255.255.0.0 in a field of its own.
    std::string read_mask(std::uint32_t most) {
        const hba_name* word = next_word();
        const std::vector<std::uint8_t> mask =
            word != nullptr ? network_bytes(word->text) : std::vector<std::uint8_t>{};
        if (mask.size() * 8 != most) return "an address needs /bits, or a mask behind it";
        std::uint32_t ones = 0;
        while (ones < most && (mask[ones / 8] & (0x80U >> (ones % 8))) != 0) ++ones;
        for (std::uint32_t bit = ones; bit < most; ++bit)
            if ((mask[bit / 8] & (0x80U >> (bit % 8))) != 0)
                return word->text + " is no mask: its ones are not all in front";
        into_.prefix = ones;
        return {};
    }

    std::string read_method() {
        const hba_name* word = next_word();
        if (word == nullptr) return "ends before a method is named";
        const auto known = choice_of(methods, *word);
        if (!known)
            return "method " + word->text + " is not offered: reject, trust, md5, scram-sha-256, password and cert are";
        into_.how = *known;
        return {};
    }

    std::string read_options() {
        for (; at_ < from_.fields.size(); ++at_)
            for (const hba_name& each : from_.fields[at_]) {
                const auto equals = each.text.find('=');
                const std::string name = each.text.substr(0, equals);
                const std::string value = equals == std::string::npos ? std::string() : each.text.substr(equals + 1);
                if (name == "map" && !value.empty()) into_.map = value;
                else if (name == "clientcert" && value == "verify-full")
                    into_.shows = hba_rule::certificate::verify_full;
                else if (name == "clientcert" && value == "verify-ca") into_.shows = hba_rule::certificate::verify_ca;
                else return each.text + ": is neither map=NAME nor clientcert=verify-ca or verify-full";
            }
        return {};
    }

    std::string look_at_whole() {
        const bool tls_only = into_.by == connection::hostssl;
        if (into_.how == method::cert) into_.shows = hba_rule::certificate::verify_full;
        if (into_.shows != hba_rule::certificate::none && !tls_only)
            return "only clients with TLS can show a certificate: write hostssl";
        if (!into_.map.empty() && into_.shows != hba_rule::certificate::verify_full)
            return "map= is for certificates: for the method cert, or with clientcert=verify-full";
        return {};
    }

    const cut_line& from_;
    hba_rule& into_;
    std::size_t at_ = 0;
};

std::string read_line(const cut_line& from, ident_line& into) {
    const auto is_word = [](const field& each) { return each.size() == 1; };
    if (from.fields.size() != 3 || !std::ranges::all_of(from.fields, is_word))
        return "has another form than: map, name in the certificate, user";
    into = {from.fields[0][0].text, from.fields[1][0].text, from.fields[2][0].text, from.number};
    return problem_of_pattern(into.certified);
}

/// Each sign-in goes through all lines, and compiles patterns.
constexpr std::size_t most_lines = 10'000;
constexpr std::ptrdiff_t most_patterns = 100;

/// Every line of the text, by a function that says what is wrong with it.
template <class Line, class Read>
void read_all(std::string_view text, std::vector<Line>& lines, std::vector<line_problem>& problems, Read read) {
    for (const cut_line& each : cut_lines(text)) {
        Line one;
        std::string problem = each.problem.empty() ? read(each, one) : each.problem;
        if (problem.empty()) lines.push_back(std::move(one));
        else problems.push_back({each.number, std::move(problem)});
        if (lines.size() > most_lines)
            return problems.push_back({each.number, "is one line too many: 10,000 are looked at"});
    }
}

}  // namespace

hba_text read_hba(std::string_view text) {
    hba_text made;
    read_all(text, made.rules, made.problems,
             [](const cut_line& from, hba_rule& into) { return rule_reader(from, into).read(); });
    return made;
}

ident_text read_ident(std::string_view text) {
    ident_text made;
    read_all(text, made.lines, made.problems, read_line);
    const auto is_pattern = [](const ident_line& each) { return each.certified.starts_with('/'); };
    if (std::ranges::count_if(made.lines, is_pattern) > most_patterns)
        made.problems.push_back({made.lines.back().line, "there are more than 100 patterns"});
    return made;
}

}  // namespace pgsteady::config
