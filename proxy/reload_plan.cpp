// See reload_plan.hpp.
#include "proxy/reload_plan.hpp"

#include "config/keys.hpp"
#include "config/load.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

namespace pgsteady {
namespace {

/// Whole sections end with a dot. Sockets, threads and what servers are: none of it can change under those who use it.
constexpr std::array kept_sections{std::string_view("listen.keepalive."), std::string_view("monitor.")};
constexpr std::array kept_keys{std::string_view("workers"),
                               std::string_view("io_engine"),
                               std::string_view("listen.host"),
                               std::string_view("listen.port"),
                               std::string_view("listen.unix_socket_dir"),
                               std::string_view("listen.backlog"),
                               std::string_view("backends.hosts"),
                               std::string_view("backends.port"),
                               std::string_view("backends.user"),
                               std::string_view("backends.database"),
                               std::string_view("backends.tls.sslmode"),
                               std::string_view("backends.tls.channel_binding"),
                               std::string_view("backends.tls.negotiation"),
                               std::string_view("backends.max_protocol_version"),
                               std::string_view("auth.method"),
                               std::string_view("auth.passthrough.max_tries_per_minute"),
                               std::string_view("auth.passthrough.max_concurrent"),
                               std::string_view("limits.max_handshakes"),
                               std::string_view("limits.max_message"),
                               std::string_view("limits.request_keep"),
                               std::string_view("limits.session_memory"),
                               std::string_view("limits.max_channels"),
                               std::string_view("pool.mode"),
                               std::string_view("hold.ramp"),
                               std::string_view("admin.enabled"),
                               std::string_view("admin.host"),
                               std::string_view("admin.port")};
/// Of monitor: asked for at each sign-in of the monitor.
constexpr std::array asked_each_time{std::string_view("monitor.user"), std::string_view("monitor.password"),
                                     std::string_view("monitor.password_file"), std::string_view("monitor.database")};

/// Of entries, by their own names.
constexpr std::array kept_of_databases{std::string_view("hosts"), std::string_view("dbname"), std::string_view("user")};
constexpr std::array kept_of_users{std::string_view("mode")};

template <class list>
[[nodiscard]] bool has(const list& all, std::string_view one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

void copy(const config::slot& to, const config::slot& from) {
    std::visit(
        [&from]<class value>(const value& where) {
            const auto* source = std::get_if<value>(&from);
            if constexpr (std::is_same_v<value, config::choice_slot>) *where.value = *source->value;
            else *where = **source;
        },
        to);
}

/// A secret shows that it is there, and nothing else.
[[nodiscard]] std::string shown(const config::slot& where, const config::value_rule& rule) {
    std::string text = config::format(where, rule);
    return rule.secret && !text.empty() ? std::string("(hidden)") : text;
}

class comparison {
public:
    comparison(config::settings in_use, const config::settings& loaded) : before_(std::move(in_use)), loaded_(loaded) {
        plan_.next = loaded;
    }

    reload_plan run() {
        for (const config::key& row : config::keys())
            compare(std::string(row.path), row.rule, row.find(before_), row.find(plan_.next), needs_restart(row.path));
        compare_files();
        compare_entries("databases", before_.databases, plan_.next.databases,
                        [this](const std::string& name, config::database_settings& was, config::database_settings& is) {
                            compare_rows("databases", name, config::database_keys(), was, is, kept_of_databases);
                            compare_policies(name, was, is);
                        });
        compare_entries("users", before_.users, plan_.next.users,
                        [this](const std::string& name, config::user_settings& was, config::user_settings& is) {
                            compare_rows("users", name, config::user_keys(), was, is, kept_of_users);
                        });
        return std::move(plan_);
    }

private:
    void compare(std::string path, const config::value_rule& rule, const config::slot& was, const config::slot& is,
                 bool kept) {
        if (config::format(was, rule) == config::format(is, rule)) return;
        if (kept) {
            copy(is, was);
            plan_.needs_restart.push_back(std::move(path));
        } else {
            plan_.changes.push_back({"configuration", std::move(path), shown(was, rule), shown(is, rule)});
        }
    }

    template <class Map, class Compare>
    void compare_entries(std::string_view title, Map& was, Map& is, Compare compare_one) {
        for (const auto& [name, entry] : was)
            if (!is.contains(name)) note(config::entry_path(title, name), "there", "removed");
        for (auto& [name, entry] : is) {
            const auto known = was.find(name);
            if (known == was.end()) note(config::entry_path(title, name), "not there", "added");
            else compare_one(name, known->second, entry);
        }
    }

    /// The same files with other lines.
    void compare_files() {
        const auto lines = [](std::size_t number) { return std::to_string(number) + " lines"; };
        const config::auth_settings& was = before_.auth;
        const config::auth_settings& is = plan_.next.auth;
        if (was.hba != is.hba) note("auth.hba_file", lines(was.hba.size()), lines(is.hba.size()));
        if (was.ident != is.ident) note("auth.ident_file", lines(was.ident.size()), lines(is.ident.size()));
    }

    void note(std::string path, std::string was, std::string is) {
        plan_.changes.push_back({"configuration", std::move(path), std::move(was), std::move(is)});
    }

    template <class Entry, class List>
    void compare_rows(std::string_view title, const std::string& name, std::span<const config::entry_key<Entry>> rows,
                      Entry& was, Entry& is, const List& kept) {
        for (const auto& row : rows)
            compare(config::entry_path(title, name, row.name), row.rule, row.find(was), row.find(is),
                    has(kept, row.name));
    }

    /// An entry's policies are complete: what merely follows the global value is told once, there.
    void compare_policies(const std::string& name, config::database_settings& was, config::database_settings& is) {
        config::settings loaded = loaded_;
        for (const config::key& row : config::keys()) {
            if (row.find_policy == nullptr) continue;
            const config::slot before = row.find_policy(was);
            const config::slot after = row.find_policy(is);
            const auto same = [&row](const config::slot& one, const config::slot& other) {
                return config::format(one, row.rule) == config::format(other, row.rule);
            };
            const bool follows = same(before, row.find_policy(before_)) && same(after, row.find_policy(loaded));
            if (follows && needs_restart(row.path)) copy(after, before);
            if (follows) continue;
            compare(config::entry_path("databases", name, row.path), row.rule, before, after, needs_restart(row.path));
        }
    }

    config::settings before_;  // a copy: slots are mutable
    const config::settings& loaded_;
    reload_plan plan_;
};

}  // namespace

bool needs_restart(std::string_view path) {
    if (has(asked_each_time, path)) return false;
    return has(kept_keys, path) || std::any_of(kept_sections.begin(), kept_sections.end(),
                                               [path](std::string_view section) { return path.starts_with(section); });
}

reload_plan plan_reload(const config::settings& in_use, const config::settings& loaded) {
    return comparison(in_use, loaded).run();
}

}  // namespace pgsteady
