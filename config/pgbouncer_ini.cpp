#include "config/pgbouncer_ini.hpp"

namespace pgsteady::config {

namespace {

constexpr std::string_view blanks = " \t\r\f\v";

std::string_view trimmed(std::string_view text) {
    const auto from = text.find_first_not_of(blanks);
    if (from == std::string_view::npos) return {};
    return text.substr(from, text.find_last_not_of(blanks) - from + 1);
}

/// The next line, which is taken away from `text`.
std::string_view take_line(std::string_view& text) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

/// What stands between `quote`s at the beginning of `text`; a doubled one stands for itself. Nothing if it does not end.
std::optional<std::string> take_quoted(std::string_view& text, char quote) {
    std::string inside;
    for (std::size_t at = 1; at < text.size(); ++at) {
        if (text[at] != quote) {
            inside += text[at];
        } else if (at + 1 < text.size() && text[at + 1] == quote) {
            inside += text[at++];
        } else {
            text.remove_prefix(at + 1);
            return inside;
        }
    }
    return std::nullopt;
}

std::string unquoted(std::string_view name) {
    if (name.starts_with('"'))
        if (auto inside = take_quoted(name, '"')) return *inside;
    return std::string(name);
}

class ini_reader {
public:
    explicit ini_reader(const file_reader& read) : read_(read) {}

    void read(const std::string& path, std::size_t depth, const std::string& from) {
        const auto text = read_(path);
        if (!text) return problem(from.empty() ? path : from, "cannot read " + path);
        std::string_view rest = *text;
        for (int number = 1; !rest.empty(); ++number)
            read_line(trimmed(take_line(rest)), path + ':' + std::to_string(number), depth);
    }

    ini_file found;

private:
    void read_line(std::string_view line, const std::string& where, std::size_t depth) {
        if (line.empty() || line.front() == ';' || line.front() == '#') return;
        if (line.starts_with("%include")) {
            if (depth >= ini_file::max_depth) return problem(where, "includes are nested too deeply");
            return read(std::string(trimmed(line.substr(8))), depth + 1, where);
        }
        if (line.front() == '[' && line.back() == ']') {
            section_ = line.substr(1, line.size() - 2);
            return;
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) return problem(where, "is neither a section nor key = value");
        found.entries.push_back({section_, unquoted(trimmed(line.substr(0, equals))),
                                 std::string(trimmed(line.substr(equals + 1))), where});
    }

    void problem(const std::string& where, const std::string& what) { found.problems.push_back(where + ": " + what); }

    const file_reader& read_;
    std::string section_;
};

}  // namespace

ini_file read_ini(const std::string& path, const file_reader& read) {
    ini_reader reader(read);
    reader.read(path, 0, {});
    return std::move(reader.found);
}

std::optional<std::vector<std::pair<std::string, std::string>>> read_pairs(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> found;
    for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
        const auto equals = text.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        std::string key(trimmed(text.substr(0, equals)));
        text = trimmed(text.substr(equals + 1));
        std::string value;
        if (text.starts_with('\'')) {
            auto inside = take_quoted(text, '\'');
            if (!inside) return std::nullopt;
            value = std::move(*inside);
        } else {
            const auto end = std::min(text.size(), text.find_first_of(blanks));
            value = text.substr(0, end);
            text.remove_prefix(end);
        }
        if (key.empty() || key.find_first_of(blanks) != std::string::npos) return std::nullopt;
        found.emplace_back(std::move(key), std::move(value));
    }
    return found;
}

std::vector<std::pair<std::string, std::string>> read_userlist(std::string_view text, std::vector<int>* unreadable) {
    std::vector<std::pair<std::string, std::string>> users;
    for (int number = 1; !text.empty(); ++number) {
        std::string_view line = trimmed(take_line(text));
        if (line.empty() || line.front() == ';' || line.front() == '#') continue;
        auto name = line.front() == '"' ? take_quoted(line, '"') : std::nullopt;
        line = trimmed(line);
        auto password = name && line.starts_with('"') ? take_quoted(line, '"') : std::nullopt;
        if (password && !name->empty()) users.emplace_back(std::move(*name), std::move(*password));
        else if (unreadable != nullptr) unreadable->push_back(number);
    }
    return users;
}

}  // namespace pgsteady::config
