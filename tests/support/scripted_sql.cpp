// See scripted_sql.hpp.
#include "tests/support/scripted_sql.hpp"

#include <algorithm>
#include <array>

namespace pgsteady::testing {

namespace {

using kind = sql_statement::token::kind;

bool word_begins(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
    std::string folded;
    for (const char c : text) folded += lower(c);
    return folded;
}

/// Reads a quoted piece that begins at `at`; doubled quotes stand for one. `escapes`: backslashes, too.
std::string quoted(std::string_view sql, std::size_t& at, bool escapes) {
    const char quote = sql[at++];
    std::string text;
    for (; at < sql.size(); ++at) {
        if (escapes && sql[at] == '\\' && at + 1 < sql.size()) {
            text += sql[++at];
        } else if (sql[at] != quote) {
            text += sql[at];
        } else if (at + 1 < sql.size() && sql[at + 1] == quote) {
            text += sql[++at];
        } else {
            ++at;
            return text;
        }
    }
    throw sql_error("42601", "unterminated quoted string");
}

}  // namespace

const std::string& sql_statement::at(std::size_t index) const {
    if (index >= tokens.size()) throw sql_error("42601", "syntax error at end of input");
    return tokens[index].text;
}

std::size_t sql_statement::parameters() const {
    std::size_t highest = 0;
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
        if (tokens[i].what == kind::other && tokens[i].text == "$")
            highest = std::max<std::size_t>(highest, std::stoul(tokens[i + 1].text));
    return highest;
}

std::vector<sql_statement> split_sql(std::string_view sql) {
    std::vector<sql_statement> all(1);
    std::size_t begin = 0;
    for (std::size_t at = 0; at < sql.size();) {
        const char c = sql[at];
        std::vector<sql_statement::token>& tokens = all.back().tokens;
        if (c == ';') {
            all.back().text = sql.substr(begin, at - begin);
            begin = ++at;
            if (!tokens.empty()) all.emplace_back();
        } else if (c == ' ' || c == '\n' || c == '\t') {
            ++at;
        } else if (sql.substr(at, 2) == "/*") {
            const std::size_t end = sql.find("*/", at);
            at = end == std::string_view::npos ? sql.size() : end + 2;
        } else if (sql.substr(at, 2) == "--") {
            at = std::min(sql.size(), sql.find('\n', at));
        } else if (c == '\'' || ((c == 'E' || c == 'e') && sql.substr(at + 1, 1) == "'")) {
            if (c != '\'') ++at;
            tokens.push_back({kind::literal, quoted(sql, at, c != '\'')});
        } else if (c == '"') {
            tokens.push_back({kind::identifier, quoted(sql, at, false)});
        } else if (word_begins(c)) {
            std::string word;
            for (; at < sql.size() && (word_begins(sql[at]) || is_digit(sql[at])); ++at) word += lower(sql[at]);
            tokens.push_back({kind::word, word});
        } else if (is_digit(c)) {
            std::string number;
            for (; at < sql.size() && is_digit(sql[at]); ++at) number += sql[at];
            tokens.push_back({kind::number, number});
        } else {
            tokens.push_back({kind::other, std::string(1, c)});
            ++at;
        }
    }
    all.back().text = sql.substr(begin);
    if (all.back().tokens.empty()) all.pop_back();
    return all;
}

std::string_view modelled(std::string_view sql) {
    if (sql.find("txid_current_if_assigned()") != std::string_view::npos)
        return "select capture_xid(), capture_marker()";
    if (sql.find("txid_current()") != std::string_view::npos) return "select capture_new_xid(), capture_marker()";
    return sql;
}

namespace {

struct known_setting {
    const char* name;
    const char* announced;  // nullptr: not reported
    const char* value;
};

constexpr std::array known_settings = {
    known_setting{"application_name", "application_name", ""},
    known_setting{"client_encoding", "client_encoding", "UTF8"},
    known_setting{"datestyle", "DateStyle", "ISO, MDY"},
    known_setting{"default_transaction_isolation", nullptr, "read committed"},
    known_setting{"default_transaction_read_only", "default_transaction_read_only", "off"},
    known_setting{"extra_float_digits", nullptr, "1"},
    known_setting{"role", nullptr, "none"},
    known_setting{"search_path", nullptr, "\"$user\", public"},
    known_setting{"server_version", "server_version", "15.20"},
    known_setting{"session_authorization", "session_authorization", "app"},
    known_setting{"default_transaction_read_only", "default_transaction_read_only", "off"},
    known_setting{"statement_timeout", nullptr, "0"},
    known_setting{"timezone", "TimeZone", "UTC"},
    known_setting{"work_mem", nullptr, "4MB"},
};

bool is_known(const std::string& name) {
    return std::any_of(known_settings.begin(), known_settings.end(),
                       [&](const auto& each) { return name == each.name; });
}

/// As PostgreSQL completes it (P35): style and order are two parts, each kept if it is not named.
std::string date_style(std::string value, const std::string& before) {
    std::string style = before.substr(0, before.find(','));
    std::string order = before.substr(before.find(' ') + 1);
    value = lower(value) + ',';
    for (std::size_t at = 0; at < value.size();) {
        const std::size_t end = value.find(',', at);
        std::string part = value.substr(at, end - at);
        part.erase(std::remove(part.begin(), part.end(), ' '), part.end());
        if (part == "iso") style = "ISO";
        else if (part == "sql") style = "SQL";
        else if (part == "german") style = "German", order = order == "MDY" ? "DMY" : order;
        else if (part == "dmy") order = "DMY";
        else if (part == "mdy") order = "MDY";
        else if (part == "ymd") order = "YMD";
        else
            throw sql_error("22023",
                            "invalid value for parameter \"DateStyle\": \"" + value.substr(0, value.size() - 1) + '"');
        at = end + 1;
    }
    return style + ", " + order;
}

}  // namespace

server_settings::server_settings(const std::vector<std::pair<std::string, std::string>>& startup) {
    for (const known_setting& each : known_settings) defaults_[each.name] = each.value;
    for (const auto& [name, value] : startup) {
        const std::string folded = lower(name);
        defaults_[folded] = accepted(folded, value);
    }
}

std::string server_settings::accepted(const std::string& name, const std::string& value) const {
    if (!is_known(name) && name.find('.') == std::string::npos)
        throw sql_error("42704", "unrecognized configuration parameter \"" + name + '"');
    if (name == "datestyle") return date_style(value, get(name));
    if (value == "bad") throw sql_error("22023", "invalid value for parameter \"" + name + "\": \"" + value + '"');
    if ((name == "role" || name == "session_authorization") && value == "nobody")
        throw sql_error("22023", "role \"nobody\" does not exist");
    if (name == "client_encoding") {
        std::string upper;
        for (const char c : value) upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        return upper;
    }
    return value;
}

void server_settings::set(const std::string& name, const std::string& value, bool local) {
    const std::string folded = lower(name);
    const std::string taken = accepted(folded, value);
    if (local) {
        local_[folded] = taken;
        return;
    }
    session_[folded] = taken;
    local_.erase(folded);
    if (folded == "session_authorization") session_.erase("role"), local_.erase("role");
}

void server_settings::reset(const std::string& name) {
    const std::string folded = lower(name);
    if (!find(folded) && folded.find('.') == std::string::npos) (void)get(folded);  // throws
    session_.erase(folded);
    local_.erase(folded);
    if (folded == "session_authorization") session_.erase("role"), local_.erase("role");
}

void server_settings::reset_all() {
    const auto keeps = [](const auto& each) { return each.first != "role" && each.first != "session_authorization"; };
    std::erase_if(session_, keeps);
    std::erase_if(local_, keeps);
}

std::optional<std::string> server_settings::find(const std::string& name) const {
    const std::string folded = lower(name);
    for (const auto* layer : {&local_, &session_, &defaults_})
        if (const auto at = layer->find(folded); at != layer->end()) return at->second;
    return std::nullopt;
}

std::string server_settings::get(const std::string& name) const {
    const auto value = find(name);
    if (!value) throw sql_error("42704", "unrecognized configuration parameter \"" + name + '"');
    return *value;
}

std::map<std::string, std::string> server_settings::reported() const {
    std::map<std::string, std::string> values;
    for (const known_setting& each : known_settings)
        if (each.announced != nullptr) values[each.announced] = get(each.name);
    return values;
}

}  // namespace pgsteady::testing
