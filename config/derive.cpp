// What follows from what was given: default ports, secrets kept elsewhere, users and databases named
// by variables, and the values of everything left on auto.
#include "config/apply.hpp"
#include "config/resolve.hpp"
#include "config/text_file.hpp"

#include <algorithm>
#include <filesystem>

namespace pgsteady::config {
namespace {

constexpr std::size_t max_secret_bytes = 8192;

struct secret_text {
    std::string value;
    std::string problem;  // empty: value is good
};

secret_text check_secret(std::string text) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (text.empty()) return {{}, "is empty"};
    if (text.size() > max_secret_bytes) return {{}, "is longer than 8KiB"};
    if (std::ranges::any_of(text, is_control)) return {{}, "holds more than one line, or control characters"};
    return {std::move(text), {}};
}

secret_text read_secret(const std::string& path) {
    // A device could block or never end; a FIFO is how shells hand over a secret.
    std::error_code ignored;
    const auto kind = std::filesystem::status(path, ignored).type();
    if (kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::fifo)
        return {{}, kind == std::filesystem::file_type::not_found ? "does not exist" : "is not a plain file"};
    auto [text, problem] = read_text_file(path, max_secret_bytes + 2);
    if (!problem.empty()) return {{}, "cannot be read: " + problem};
    if (text.ends_with('\n'))  // editors add one
        text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
    return check_secret(std::move(text));
}

origin origin_of(const source_map& sources, const std::string& path) {
    const auto found = sources.find(path);
    return found == sources.end() ? origin::default_value : found->second.from;
}

/// Moves values that nobody gave out of the way of those that somebody did.
class default_fitter {
public:
    explicit default_fitter(load_result& out) : out_(out) {}

    void fit_health(health_settings& health) {
        if (health.interval.count() != 0 && health.timeout > health.interval)
            fit("health.timeout", {}, health.timeout, health.interval, "health.interval");
    }

    /// `entry` is empty or the path of an entry with a dot behind it.
    void fit_policies(policies& rules, const std::string& entry) {
        auto& pool = rules.pool;
        if (pool.min_size > pool.size) fit("pool.min_size", entry, pool.min_size, pool.size, "pool.size");
        if (pool.lifetime.count() != 0 && pool.idle_timeout >= pool.lifetime)
            fit("pool.idle_timeout", entry, pool.idle_timeout, pool.lifetime / 2, "pool.lifetime");
        auto& retry = rules.retry;
        if (retry.initial_delay > retry.max_delay) {
            fit("retry.initial_delay", entry, retry.initial_delay, retry.max_delay, "retry.max_delay");
            fit("retry.max_delay", entry, retry.max_delay, retry.initial_delay, "retry.initial_delay");
        }
    }

private:
    /// Only if neither the entry nor the top level gives the key.
    template <class T>
    void fit(const std::string& key, const std::string& entry, T& value, T fitting, std::string reason) {
        const auto is_given = [this](const std::string& path) {
            const origin from = origin_of(out_.sources, path);
            return from == origin::file || from == origin::variable;
        };
        if (value == fitting || is_given(key) || is_given(entry + key)) return;
        value = fitting;
        out_.sources[entry + key] = {origin::derived, std::move(reason), 0};
    }

    load_result& out_;
};

class deriver {
public:
    deriver(const environment& variables, load_result& out) : variables_(variables), out_(out) {}

    void run() {
        read_secrets();
        apply_auth_files(out_);
        add_pair_to_users();
        for (auto& [name, database] : all().databases)
            default_fitter(out_).fit_policies(database, entry_path("databases", name) + '.');
        add_named_database();
        complete_ports();
        choose_auth();
        choose_sslmode();
    }

private:
    settings& all() { return out_.settings; }

    void derived(const std::string& path, std::string from) {
        out_.sources[path] = {origin::derived, std::move(from), 0};
    }

    void read_secrets() {
        take_file(all().backends.password, all().backends.password_file, "backends.password");
        take_file(all().monitor.password, all().monitor.password_file, "monitor.password");
        take_file(all().auth.query.password, all().auth.query.password_file, "auth.query.password");
        take_file(all().admin.operate_token, all().admin.operate_token_file, "admin.operate_token");
        take_file(all().admin.read_token, all().admin.read_token_file, "admin.read_token");
        for (auto& [name, database] : all().databases) {
            const std::string path = entry_path("databases", name);
            take_one(database, path);
            take_file(database.auth_password, database.auth_password_file, path + ".auth_password");
        }
        for (auto& [name, user] : all().users) {
            take_one(user, entry_path("users", name));
            sort_out(user, entry_path("users", name));
        }
    }

    /// A secret that may stand in the settings or in a file. The more specific source wins, as for
    /// every key; two different secrets from equal sources are a mistake that we cannot settle.
    void take_file(std::string& value, const std::string& file, const std::string& path) {
        if (file.empty()) return;
        const std::string file_key = path + "_file";
        const origin value_from = origin_of(out_.sources, path);
        const origin file_from = origin_of(out_.sources, file_key);
        if (!value.empty() && value_from == origin::variable && file_from == origin::file) return;
        auto read = read_secret(file);
        if (!read.problem.empty()) {
            report(out_, severity::error, file_key, "file " + file + ' ' + read.problem);
            return;
        }
        if (!value.empty() && value_from == file_from && value != read.value) {
            report(out_, severity::error, file_key, "differs from " + path,
                   "both name the same setting: give one of them");
            return;
        }
        value = std::move(read.value);
        derived(path, file_key);
    }

    /// Entries of the file have one source, so at most one way to give the secret.
    template <class Entry>
    void take_one(Entry& entry, const std::string& path) {
        const int given =
            int(!entry.password.empty()) + int(!entry.password_file.empty()) + int(!entry.password_env.empty());
        if (given > 1) {
            report(out_, severity::error, path, "gives its password in more than one way",
                   "keep one of password, password_file and password_env");
            return;
        }
        if (!entry.password_file.empty()) take_file(entry.password, entry.password_file, path + ".password");
        if (!entry.password_env.empty()) take_variable(entry.password, entry.password_env, path);
    }

    void take_variable(std::string& value, const std::string& name, const std::string& path) {
        const auto found = variables_.find(name);
        auto read = check_secret(found == variables_.end() ? std::string{} : found->second);
        if (!read.problem.empty()) {
            const bool is_missing = found == variables_.end();
            report(out_, severity::error, path + ".password_env",
                   "variable " + name + ' ' + (is_missing ? "is not set" : read.problem));
            return;
        }
        value = std::move(read.value);
        derived(path + ".password", "env " + name);
    }

    /// A file or variable may hold what pg_authid has, in place of the password.
    void sort_out(user_settings& user, const std::string& path) {
        if (user.password_file.empty() && user.password_env.empty()) return;
        if (!user.verifier.empty() || !is_stored_form(user.password)) return;
        user.verifier = std::move(user.password);
        user.password.clear();
        derived(path + ".verifier", user.password_file.empty() ? "env " + user.password_env : path + ".password_file");
        out_.sources.erase(path + ".password");
    }

    /// With DB_USER and DB_PASS clients sign in with that pair too. An entry of that name wins.
    void add_pair_to_users() {
        const auto& pair = all().backends;
        const auth_method method = all().auth.method;
        if (pair.user.empty() || pair.password.empty() || method == auth_method::trust ||
            method == auth_method::passthrough)
            return;
        const auto [entry, is_new] = all().users.try_emplace(pair.user);
        if (!is_new) return;
        entry->second.password = pair.password;
        derived(entry_path("users", pair.user), "backends.user");
        derived(entry_path("users", pair.user, "password"), "backends.password");
    }

    /// DB_NAME names a pool, so that pool is kept warm (D7).
    void add_named_database() {
        const std::string& name = all().backends.database;
        if (name.empty()) return;
        const auto [entry, is_new] = all().databases.try_emplace(name);
        if (!is_new) return;
        static_cast<policies&>(entry->second) = static_cast<const policies&>(all());
        derived(entry_path("databases", name), "backends.database");
    }

    void complete_ports() {
        const auto complete = [port = all().backends.port](std::vector<host_port>& hosts) {
            for (host_port& host : hosts)
                if (host.port == 0) host.port = port;
        };
        complete(all().backends.hosts);
        for (auto& [name, database] : all().databases) complete(database.hosts);
    }

    void choose_auth() {
        auth_method& method = all().auth.method;
        if (method != auth_method::automatic) return;
        const auto has_md5 = [](const auto& user) { return user.second.verifier.starts_with("md5"); };
        if (looks_users_up(all())) {
            method = auth_method::scram_sha_256;
            derived("auth.method", "auth.query.user");
        } else if (all().users.empty()) {
            method = auth_method::passthrough;
            derived("auth.method", "no users being configured");
        } else if (std::ranges::all_of(all().users, has_md5)) {
            method = auth_method::md5;
            derived("auth.method", "all users having md5 verifiers");
        } else {
            method = auth_method::scram_sha_256;
            derived("auth.method", "users being configured");
        }
    }

    void choose_sslmode() {
        auto& tls = all().backends.tls;
        if (tls.sslmode != server_tls_mode::automatic) return;
        const bool has_ca = !tls.ca_file.empty();
        tls.sslmode = has_ca ? server_tls_mode::verify_full : server_tls_mode::prefer;
        derived("backends.tls.sslmode", has_ca ? "backends.tls.ca_file" : "no backends.tls.ca_file");
    }

    const environment& variables_;
    load_result& out_;
};

}  // namespace

void fit_defaults(load_result& out) {
    default_fitter fitter(out);
    fitter.fit_policies(out.settings, {});
    fitter.fit_health(out.settings.health);
}

void derive(const environment& variables, load_result& out) { deriver(variables, out).run(); }

}  // namespace pgsteady::config
