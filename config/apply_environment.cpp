// From variables to settings: PGSTEADY_ + path, the older names, DATABASE_URL. Two names of one
// setting that say different things are an error that names both.
#include "config/apply.hpp"
#include "config/database_url.hpp"
#include "config/keys.hpp"
#include "config/suggest.hpp"

#include <algorithm>
#include <tuple>

namespace pgsteady::config {
namespace {

constexpr std::string_view prefix = "PGSTEADY_";
constexpr std::string_view url_variable = "DATABASE_URL";

/// One variable that speaks about a key.
struct claim {
    std::string variable;
    std::string text;
    bare_number numbers = bare_number::refused;
};

class environment_reader {
public:
    environment_reader(const environment& variables, load_result& out) : variables_(variables), out_(out) {}

    void read() {
        if (variables_.empty()) return;
        read_url();
        for (const key& row : keys()) apply(row, claims_on(row));
        find_unknown();
    }

private:
    const std::string* value_of(std::string_view name) const {
        const auto found = variables_.find(name);
        return found == variables_.end() || found->second.empty() ? nullptr : &found->second;
    }

    void complain(severity level, const std::string& variable, std::string_view path, std::string message,
                  std::string suggestion) {
        out_.problems.push_back(
            {level, "env " + variable, 0, std::string(path), std::move(message), std::move(suggestion)});
    }

    void read_url() {
        const std::string* text = value_of(url_variable);
        if (text == nullptr) return;
        url_ = parse_database_url(*text);
        const std::string variable(url_variable);
        if (url_.problem) {
            complain(severity::error, variable, {}, url_.problem->message, url_.problem->suggestion);
            url_.values.clear();
        }
        for (const std::string& name : url_.ignored)
            complain(severity::warning, variable, {}, "parameter " + name + " is ignored", {});
    }

    std::vector<claim> claims_on(const key& row) const {
        std::vector<claim> claims;
        const std::string own_name = variable_name(row.path);
        if (const std::string* text = value_of(own_name)) claims.push_back({own_name, *text});
        for (const std::string_view older : row.variables)
            if (const std::string* text = older.empty() ? nullptr : value_of(older))
                claims.push_back({std::string(older), in_todays_words(row, *text), bare_number::seconds});
        if (const std::string* text = url_.find(row.path))
            claims.push_back({std::string(url_variable), *text, bare_number::seconds});
        return claims;
    }

    /// SQLAlchemy's "never recycle" is -1; off is 0 here (P51).
    static std::string in_todays_words(const key& row, const std::string& text) {
        return row.path == "pool.lifetime" && text == "-1" ? "0" : text;
    }

    void apply(const key& row, const std::vector<claim>& claims) {
        const slot where = row.find(out_.settings);
        const claim* first = nullptr;
        std::string first_value;
        for (const claim& one : claims) {
            if (auto bad = read_claim(row, one, where)) {
                complain(severity::error, one.variable, row.path, std::move(bad->message), std::move(bad->suggestion));
                continue;
            }
            complete_hosts(where);
            const std::string value = format(where, row.rule);
            if (first == nullptr) {
                first = &one;
                first_value = value;
                out_.sources[std::string(row.path)] = {origin::variable, one.variable, 0};
            } else if (value != first_value) {
                complain(severity::error, one.variable, row.path, "differs from " + first->variable,
                         "both name the same setting: unset one of them");
                std::ignore = read_claim(row, *first, where);
            }
        }
    }

    static std::optional<value_problem> read_claim(const key& row, const claim& one, const slot& where) {
        if (row.rule.secret && one.text == hidden_secret)
            return value_problem{"is what --print-config shows instead of a secret", ""};
        auto bad = assign(where, row.rule, one.text, one.numbers);
        // The variable that Kubernetes makes up for a service called "db".
        if (bad && one.variable == "DB_PORT" && one.text.find("://") != std::string::npos)
            bad->suggestion = "Kubernetes sets it for a service named db: set enableServiceLinks: false";
        return bad;
    }

    /// So that db and db:5432 do not count as different. The row of the port stands before that of the hosts.
    void complete_hosts(const slot& where) const {
        if (auto* const* hosts = std::get_if<std::vector<host_port>*>(&where))
            for (host_port& host : **hosts)
                if (host.port == 0) host.port = out_.settings.backends.port;
    }

    void find_unknown() {
        const auto first = variables_.lower_bound(prefix);
        if (first == variables_.end() || !first->first.starts_with(prefix)) return;
        std::vector<std::string> known;
        for (const key& row : keys()) known.push_back(variable_name(row.path));
        const std::vector<std::string_view> views(known.begin(), known.end());
        for (auto at = first; at != variables_.end() && at->first.starts_with(prefix); ++at)
            if (std::ranges::find(known, at->first) == known.end() && !is_made_up_by_kubernetes(*at))
                complain_unknown(at->first, views);
    }

    /// For a service named "pgsteady": PGSTEADY_SERVICE_HOST, PGSTEADY_PORT=tcp://…, PGSTEADY_PORT_6432_TCP…
    static bool is_made_up_by_kubernetes(const environment::value_type& variable) {
        const std::string_view name = variable.first;
        return name.starts_with("PGSTEADY_SERVICE_") || name.starts_with("PGSTEADY_PORT_") ||
               (name == "PGSTEADY_PORT" && variable.second.find("://") != std::string::npos);
    }

    /// Variables of scripts around us share the prefix, so only what looks like a key is an error.
    void complain_unknown(const std::string& name, const std::vector<std::string_view>& known) {
        const bool is_entry = name.starts_with("PGSTEADY_DATABASES__") || name.starts_with("PGSTEADY_USERS__");
        if (is_entry) {
            complain(severity::error, name, {}, "entries of databases and users cannot be set by a variable",
                     "list them in the file");
            return;
        }
        const bool looks_like_key = name.find("__") != std::string::npos;
        const auto meant = find_meant(name, known);
        if (looks_like_key || !meant.empty())
            complain(severity::error, name, {}, "unknown variable",
                     meant.empty() ? std::string{} : "did you mean " + std::string(meant) + '?');
    }

    /// A misspelt name, or one that lacks its section: PGSTEADY_MAX_OVERFLOW.
    static std::string_view find_meant(std::string_view name, const std::vector<std::string_view>& known) {
        if (const auto found = nearest(name, known); !found.empty() && edit_distance(name, found) <= 3) return found;
        const std::string ending = "__" + std::string(name.substr(prefix.size()));
        const auto found = std::ranges::find_if(known, [&](auto other) { return other.ends_with(ending); });
        return found == known.end() ? std::string_view{} : *found;
    }

    const environment& variables_;
    load_result& out_;
    database_url url_;
};

}  // namespace

void apply_environment(const environment& variables, load_result& out) { environment_reader(variables, out).read(); }

}  // namespace pgsteady::config
