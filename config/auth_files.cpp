// The files that `auth` names: users, rules and maps become part of the settings, and their problems have the line of the file.
#include "config/access_files.hpp"
#include "config/access_rules.hpp"
#include "config/apply.hpp"
#include "config/pgbouncer_ini.hpp"
#include "config/text_file.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace pgsteady::config {
namespace {

constexpr std::size_t most_bytes = 8 * mib;

std::optional<std::string> read_whole(const std::string& path, const std::string& key, load_result& out) {
    file_text read = read_text_file(path, most_bytes);
    if (read.text.size() > most_bytes) read.problem = "it has more than 8MiB";
    if (read.problem.empty()) return std::move(read.text);
    report(out, severity::error, key, "file " + path + " cannot be read: " + read.problem);
    return std::nullopt;
}

void report_lines(const std::string& file, const std::string& key, std::vector<line_problem> problems,
                  load_result& out) {
    for (line_problem& each : problems)
        out.problems.push_back({severity::error, file, each.line, key, std::move(each.message), {}});
}

/// A user that the configuration lists with a secret of its own keeps that one.
void take_users(load_result& out) {
    const std::string& path = out.settings.auth.users_file;
    if (path.empty()) return;
    const auto text = read_whole(path, "auth.users_file", out);
    if (!text) return;
    std::vector<int> unreadable;
    for (auto& [name, secret] : read_userlist(*text, &unreadable)) {
        if (secret.empty()) continue;  // as in PgBouncer: nobody signs in with it
        const auto [entry, is_new] = out.settings.users.try_emplace(name);
        user_settings& user = entry->second;
        if (is_new) user.listed = false;
        if (!user.password.empty() || !user.verifier.empty() || !user.password_file.empty() ||
            !user.password_env.empty())
            continue;
        (is_stored_form(secret) ? user.verifier : user.password) = secret;
        out.sources[entry_path("users", name)] = {origin::derived, "auth.users_file", 0};
    }
    for (const int line : unreadable)
        out.problems.push_back({severity::error,
                                path,
                                line,
                                "auth.users_file",
                                "is not \"name\" \"password\"; a quotation mark within is written twice",
                                {}});
}

void take_rules(load_result& out) {
    auth_settings& auth = out.settings.auth;
    if (auth.hba_file.empty()) return;
    const auto text = read_whole(auth.hba_file, "auth.hba_file", out);
    if (!text) return;
    hba_text read = read_hba(*text);
    const bool is_open = !is_loopback(out.settings.listen.host) && !auth.allow_remote_trust;
    for (const hba_rule& each : read.rules) {
        if (each.how == hba_rule::method::trust && is_open && !is_for_loopback(each))
            read.problems.push_back({each.line,
                                     "trust for addresses of other machines lets anyone there in as anyone; say "
                                     "auth.allow_remote_trust: true if that is meant"});
        if (each.shows != hba_rule::certificate::none && out.settings.listen.tls.ca_file.empty())
            read.problems.push_back(
                {each.line, "asks for certificates, which nothing verifies: set listen.tls.ca_file"});
    }
    auth.hba = std::move(read.rules);
    report_lines(auth.hba_file, "auth.hba_file", std::move(read.problems), out);
}

void take_maps(load_result& out) {
    auth_settings& auth = out.settings.auth;
    if (!auth.ident_file.empty()) {
        const auto text = read_whole(auth.ident_file, "auth.ident_file", out);
        if (!text) return;
        ident_text read = read_ident(*text);
        auth.ident = std::move(read.lines);
        report_lines(auth.ident_file, "auth.ident_file", std::move(read.problems), out);
    }
    for (const hba_rule& each : auth.hba) {
        const bool there = each.map.empty() || std::ranges::count(auth.ident, each.map, &ident_line::map) > 0;
        if (!there)
            report_lines(auth.hba_file, "auth.hba_file",
                         {{each.line, "map " + each.map + " is not in auth.ident_file"}}, out);
    }
}

}  // namespace

bool is_stored_form(std::string_view secret) {
    return secret.starts_with("SCRAM-SHA-256$") || (secret.size() == 35 && secret.starts_with("md5"));
}

void apply_auth_files(load_result& out) {
    take_users(out);
    take_rules(out);
    take_maps(out);
}

}  // namespace pgsteady::config
