// See scenario.hpp.
#include "tests/support/scenario.hpp"

#include "tests/support/wire_builders.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>

namespace pgsteady::testing {

namespace {

/// The words of a line: plain, "quoted" with \n \t \" \\, or [lists], whose items are words, too.
class line_reader {
public:
    explicit line_reader(std::string_view line) : rest_(line) {}

    bool more() {
        while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == ',')) rest_.remove_prefix(1);
        return !rest_.empty() && rest_.front() != ']';
    }

    /// Nothing for null.
    std::optional<std::string> value() {
        if (!more()) return std::string();
        if (rest_.front() == '"') return quoted();
        std::string word;
        while (!rest_.empty() && std::string_view(" ,]").find(rest_.front()) == std::string_view::npos) {
            word += rest_.front();
            rest_.remove_prefix(1);
        }
        if (word == "null") return std::nullopt;
        return word;
    }
    std::string word() { return value().value_or(""); }

    std::vector<std::optional<std::string>> list() {
        std::vector<std::optional<std::string>> items;
        if (!more()) return items;
        if (rest_.front() != '[') throw std::runtime_error("a list was expected");
        rest_.remove_prefix(1);
        while (more()) items.push_back(value());
        if (rest_.empty()) throw std::runtime_error("the list has no end");
        rest_.remove_prefix(1);
        return items;
    }

private:
    std::string quoted() {
        std::string text;
        for (rest_.remove_prefix(1); !rest_.empty() && rest_.front() != '"'; rest_.remove_prefix(1)) {
            if (rest_.front() != '\\') {
                text += rest_.front();
                continue;
            }
            rest_.remove_prefix(1);
            const char c = rest_.empty() ? '\\' : rest_.front();
            text += c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        if (rest_.empty()) throw std::runtime_error("the string has no end");
        rest_.remove_prefix(1);
        return text;
    }

    std::string_view rest_;
};

std::string message_of(const std::string& word, line_reader& line) {
    if (word == "Q") return client::query(line.word());
    if (word == "P") {
        const std::string name = line.word();
        const std::string sql = line.word();
        std::vector<std::uint32_t> types;
        for (const auto& type : line.list())
            types.push_back(static_cast<std::uint32_t>(std::stoul(type.value_or("0"))));
        return client::parse(name, sql, types);
    }
    if (word == "B") {
        const std::string portal = line.word();
        const std::string statement = line.word();
        return client::bind(portal, statement, line.list());
    }
    if (word == "D" || word == "C") {
        const bool statement = line.word() == "S";
        const std::string name = line.word();
        if (word == "D") return statement ? client::describe_statement(name) : client::describe_portal(name);
        return statement ? client::close_statement(name) : client::close_portal(name);
    }
    if (word == "E") {
        const std::string portal = line.word();
        return client::execute(portal, line.more() ? static_cast<std::uint32_t>(std::stoul(line.word())) : 0);
    }
    if (word == "S") return client::sync();
    if (word == "H") return client::flush();
    if (word == "d") return client::copy_data(line.word());
    if (word == "c") return client::copy_done();
    if (word == "f") return client::copy_fail(line.word());
    if (word == "F") return client::function_call(static_cast<std::uint32_t>(std::stoul(line.word())));
    throw std::runtime_error("unknown message");
}

void read_line(scenario& into, const std::string& text) {
    line_reader line(text);
    if (!line.more() || text.front() == '#') return;
    const std::string word = line.word();
    if (word == "startup:") {
        const std::string pair = line.word();
        into.startup.emplace_back(pair.substr(0, pair.find('=')), pair.substr(pair.find('=') + 1));
    } else if (word == "servers:") {
        into.servers = std::stoul(line.word());
    } else if (word == "ends") {
        into.may_end = true;
    } else if (word == "Z") {
        into.steps.emplace_back();
    } else {
        into.steps.back() += message_of(word, line);
    }
}

}  // namespace

scenario read_scenario(const std::string& name, std::string_view text) {
    scenario made;
    made.name = name;
    made.steps.emplace_back();
    std::istringstream lines{std::string(text)};
    std::size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
        ++number;
        try {
            read_line(made, line);
        } catch (const std::exception& error) {
            throw std::runtime_error(name + ':' + std::to_string(number) + ": " + error.what());
        }
    }
    std::erase(made.steps, "");
    return made;
}

std::vector<scenario> all_scenarios(const std::string& folder) {
    std::vector<scenario> all;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".txt") continue;
        std::stringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        all.push_back(read_scenario(entry.path().stem().string(), text.str()));
    }
    std::sort(all.begin(), all.end(), [](const scenario& a, const scenario& b) { return a.name < b.name; });
    return all;
}

// ------------------------------------------------------------------------------------------ grammar

void wire_checker::client_sends(std::string_view frames) {
    for (const frame& each : split_frames(frames))
        if (each.type != 'H') owed_ += each.type;
}

void wire_checker::server_says(std::string_view frames) {
    std::size_t rest = 0;
    for (const frame& each : split_frames(frames, &rest)) {
        if (ended && problem.empty()) fail("after the end", each.type);
        answer(each.type, each.body);
    }
    if (rest != 0 && problem.empty()) problem = "a frame is not whole";
}

void wire_checker::at_rest() {
    drop_copy_data();
    if (problem.empty() && !ended && !copying_ && !owed_.empty()) problem = "still owed: " + owed_;
}

void wire_checker::fail(const std::string& what, char type) {
    if (problem.empty()) problem = std::string("frame ") + type + ' ' + what + ", owed: " + owed_;
}

void wire_checker::drop_copy_data() { owed_.erase(0, std::min(owed_.find_first_not_of("dcf"), owed_.size())); }

void wire_checker::answer(char type, std::string_view body) {
    if (std::string_view("NSA").find(type) != std::string_view::npos) return;
    const frame whole{type, std::string(body)};
    if (type == 'E') {
        sqlstates.push_back(field_of(whole, 'C'));
        if (field_of(whole, 'V') == "FATAL") {
            ended = true;
            return;
        }
    }
    if (!copying_) drop_copy_data();
    if (owed_.empty()) return fail("answers nothing", type);
    const char asked = owed_.front();
    if (type == 'Z') {
        if (asked != 'Q' && asked != 'S' && asked != 'F') return fail("too early", type);
        if (body.size() != 1) return fail("malformed", type);
        owed_.erase(0, 1);
        ++readies;
        if (asked == 'Q' && copying_) owed_.erase(0, std::min(owed_.find_first_not_of("dcfS"), owed_.size()));
        copying_ = errored_ = false;
        status = body.front();
        return;
    }
    if (asked == 'Q' || asked == 'F') {
        if (errored_) return fail("after an error", type);
        if (type == 'G') copying_ = true;
        if (type == 'C' && copying_) {  // the data is used up; another COPY may follow in the same string
            copying_ = false;
            const std::size_t end = owed_.find_first_of("cf");
            if (end != std::string::npos) owed_.erase(1, end);
        }
        errored_ = type == 'E';
        if (errored_ && copying_) {
            const std::size_t end = owed_.find_first_of("cf");
            if (end != std::string::npos) owed_.erase(1, end);
            copying_ = false;
        }
        if (std::string_view("TDCIEGHdcV").find(type) == std::string_view::npos) fail("in a query", type);
        return;
    }
    if (asked == 'S') {  // the commit may still fail, but not a second time
        if (type != 'E' || errored_) return fail("where only ReadyForQuery can be", type);
        errored_ = true;
        return;
    }
    if (type == 'E') {
        errored_ = true;
        if (copying_) {
            const std::size_t end = owed_.find_first_of("cf");
            owed_.erase(0, end == std::string::npos ? owed_.size() : end + 1);
        }
        copying_ = false;
        owed_.erase(0, std::min(owed_.find('S'), owed_.size()));
        return;
    }
    const std::string_view allowed = asked == 'P'   ? "1"
                                     : asked == 'B' ? "2"
                                     : asked == 'C' ? "3"
                                     : asked == 'D' ? "tTn"
                                                    : "DCIsGHdc";
    if (allowed.find(type) == std::string_view::npos) return fail("does not answer", type);
    if (type == 'G') copying_ = true;
    const bool completes = asked == 'E' ? std::string_view("CIs").find(type) != std::string_view::npos : type != 't';
    if (!completes) return;
    owed_.erase(0, 1);
    if (copying_) {
        const std::size_t end = owed_.find_first_of("cf");
        if (end != std::string::npos) owed_.erase(0, end + 1);
    }
    copying_ = false;
}

}  // namespace pgsteady::testing
