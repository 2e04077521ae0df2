// See settings.hpp.
#include "proxy/session/settings.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace pgsteady {

namespace {

// Settings that a statement's plan or its very meaning depends on (P27).
constexpr std::string_view planner_settings[] = {"search_path",
                                                 "role",
                                                 "session_authorization",
                                                 "default_transaction_isolation",
                                                 "default_transaction_read_only",
                                                 "default_transaction_deferrable"};

void append_part(std::string& out, std::string_view part) {
    out += std::to_string(part.size());
    out += ':';
    out += part;
}

constexpr std::string_view session_owner = "session_authorization";
constexpr std::string_view session_role = "role";

constexpr bool gives_rights(std::string_view name) { return name == session_owner || name == session_role; }

}  // namespace

std::string lower_case(std::string_view text) {
    std::string folded(text);
    for (char& each : folded)
        if (each >= 'A' && each <= 'Z') each = static_cast<char>(each - 'A' + 'a');
    return folded;
}

settings::settings(std::vector<pair> sorted) : entries_(std::move(sorted)) {
    for (const std::string_view name : planner_settings)
        if (const std::string* value = find(name)) {
            append_part(planner_key_, name);
            append_part(planner_key_, *value);
        }
}

const std::string* settings::find(std::string_view name) const {
    const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                     [](const pair& each, std::string_view wanted) { return each.first < wanted; });
    return at != entries_.end() && at->first == name ? &at->second : nullptr;
}

settings_table::settings_table() : none_(intern({})) {}

settings_ptr settings_table::of(std::vector<settings::pair> pairs) {
    std::vector<settings::pair> sorted;
    for (auto& [name, value] : pairs) {
        std::string folded = lower_case(name);
        const auto same =
            std::find_if(sorted.begin(), sorted.end(), [&](const auto& each) { return each.first == folded; });
        if (same != sorted.end()) same->second = std::move(value);
        else sorted.emplace_back(std::move(folded), std::move(value));
    }
    std::sort(sorted.begin(), sorted.end());
    return intern(std::move(sorted));
}

settings_ptr settings_table::with(const settings_ptr& from, std::string_view name, std::optional<std::string> value) {
    std::vector<settings::pair> pairs = from->entries();
    const std::string folded = lower_case(name);
    std::erase_if(pairs, [&](const auto& each) { return each.first == folded; });
    if (value) pairs.emplace_back(folded, std::move(*value));
    std::sort(pairs.begin(), pairs.end());
    return intern(std::move(pairs));
}

settings_ptr settings_table::intern(std::vector<settings::pair> sorted) {
    std::string key;
    for (const auto& [name, value] : sorted) {
        append_part(key, name);
        append_part(key, value);
    }
    std::weak_ptr<const settings>& slot = known_[std::move(key)];
    settings_ptr value = slot.lock();
    if (value == nullptr) {
        value = settings_ptr(new settings(std::move(sorted)));
        slot = value;
    }
    if (known_.size() >= sweep_at_) sweep();
    return value;
}

void settings_table::sweep() {
    std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
}

// Rights come last and go first: a role may not be allowed to set the rest, and changing whose session it is
// resets the role.
std::vector<setting_difference> differences(const settings& from, const settings& to) {
    std::vector<setting_difference> others;
    for (const auto& [name, value] : from.entries())
        if (!gives_rights(name) && to.find(name) == nullptr) others.push_back({name, std::nullopt});
    for (const auto& [name, value] : to.entries()) {
        const std::string* had = from.find(name);
        if (!gives_rights(name) && (had == nullptr || *had != value)) others.push_back({name, value});
    }
    const auto changed = [&](std::string_view name) {
        const std::string* had = from.find(name);
        const std::string* wanted = to.find(name);
        return had != wanted && (had == nullptr || wanted == nullptr || *had != *wanted);
    };
    const bool owner = changed(session_owner) || (!others.empty() && from.find(session_owner) != nullptr);
    const bool role = changed(session_role) || owner || (!others.empty() && from.find(session_role) != nullptr);
    std::vector<setting_difference> changes;
    if (role && from.find(session_role) != nullptr) changes.push_back({std::string(session_role), std::nullopt});
    if (owner && from.find(session_owner) != nullptr) changes.push_back({std::string(session_owner), std::nullopt});
    std::move(others.begin(), others.end(), std::back_inserter(changes));
    if (const std::string* value = to.find(session_owner); owner && value != nullptr)
        changes.push_back({std::string(session_owner), *value});
    if (const std::string* value = to.find(session_role); role && value != nullptr)
        changes.push_back({std::string(session_role), *value});
    return changes;
}

std::string quote_literal(std::string_view text) {
    std::string quoted = text.find('\\') == std::string_view::npos ? "'" : " E'";
    for (const char each : text) {
        if (each == '\'' || each == '\\') quoted += each;
        quoted += each;
    }
    return quoted += '\'';
}

std::string quote_identifier(std::string_view text) {
    std::string quoted = "\"";
    for (const char each : text) {
        if (each == '"') quoted += '"';
        quoted += each;
    }
    return quoted += '"';
}

namespace {

std::string reset_sql(const std::string& name) {
    if (name == "role") return "RESET ROLE;";
    if (name == "session_authorization") return "RESET SESSION AUTHORIZATION;";
    std::string sql = "RESET ";  // a custom setting has two quoted parts: "app"."user"
    std::size_t begin = 0;
    for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', begin)) {
        sql += quote_identifier(std::string_view(name).substr(begin, dot - begin)) + '.';
        begin = dot + 1;
    }
    return sql + quote_identifier(std::string_view(name).substr(begin)) + ';';
}

}  // namespace

namespace {

/// The text as an expression in ASCII, which means the same under every client_encoding.
std::string ascii_expression(std::string_view text) {
    if (is_ascii(text)) return quote_literal(text);
    std::string sql = "pg_catalog.convert_from(pg_catalog.decode('";
    constexpr std::string_view digits = "0123456789abcdef";
    for (const char each : text) {
        const auto byte = static_cast<unsigned char>(each);
        sql += digits[byte >> 4];
        sql += digits[byte & 15U];
    }
    return sql += "','hex'),'UTF8')";
}

/// As PostgreSQL compares names of encodings: letters and digits alone, without case.
std::string encoding_key(std::string_view encoding) {
    std::string key;
    for (const char each : lower_case(encoding))
        if ((each >= 'a' && each <= 'z') || (each >= '0' && each <= '9')) key += each;
    return key;
}

}  // namespace

bool is_ascii(std::string_view text) {
    return std::none_of(text.begin(), text.end(),
                        [](char each) { return (static_cast<unsigned char>(each) & 0x80U) != 0; });
}

bool is_utf8_encoding(std::string_view encoding) {
    const std::string key = encoding_key(encoding);
    return key == "utf8" || key == "unicode";
}

bool hides_backslash(std::string_view encoding) {
    static constexpr std::array<std::string_view, 17> kin = {
        "sjis", "mskanji", "shiftjis",   "win932",  "windows932", "shiftjis2004", "big5",       "win950", "windows950",
        "gbk",  "win936",  "windows936", "gb18030", "uhc",        "win949",       "windows949", "johab"};
    return std::find(kin.begin(), kin.end(), encoding_key(encoding)) != kin.end();
}

std::string restore_sql(const std::vector<setting_difference>& changes) {
    std::string sql;
    bool in_select = false;
    for (const setting_difference& change : changes) {
        if (!change.value) {
            if (in_select) sql += ';';
            in_select = false;
            sql += reset_sql(change.name);
            continue;
        }
        sql += in_select ? "," : "SELECT ";
        sql += "pg_catalog.set_config(" + ascii_expression(change.name) + ',' + ascii_expression(*change.value) +
               ",false)";
        in_select = true;
    }
    return sql;
}

}  // namespace pgsteady
