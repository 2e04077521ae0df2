// The rules, one function per section. A rule names the key to change.
#include "config/validate.hpp"

#include "config/http_url.hpp"
#include "config/load.hpp"
#include "config/resolve.hpp"
#include "config/value.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace pgsteady::config {
namespace {

class validator {
public:
    validator(const settings& all, const file_check& check) : all_(all), check_(check) {}

    std::vector<problem> run() {
        check_listen();
        check_admin();
        check_backends();
        check_server_tls();
        check_auth();
        check_console();
        check_limits();
        check_policies(all_, {});
        check_connect();
        check_monitor();
        check_databases();
        check_users();
        check_alerts();
        return std::move(found_);
    }

private:
    void error(std::string key, std::string message, std::string suggestion = {}) {
        found_.push_back({severity::error, {}, 0, std::move(key), std::move(message), std::move(suggestion)});
    }
    void warn(std::string key, std::string message, std::string suggestion = {}) {
        found_.push_back({severity::warning, {}, 0, std::move(key), std::move(message), std::move(suggestion)});
    }

    void check_file(const std::string& key, const std::string& path) {
        if (path.empty()) return;
        if (const std::string why = check_(path); !why.empty()) error(key, "file " + path + " cannot be read: " + why);
    }

    /// A certificate and its key come together or not at all.
    void check_pair(const std::string& section, const std::string& cert_file, const std::string& key_file) {
        check_file(section + ".cert_file", cert_file);
        check_file(section + ".key_file", key_file);
        if (cert_file.empty() != key_file.empty())
            error(section + (cert_file.empty() ? ".cert_file" : ".key_file"),
                  "is missing: a certificate and its key are given together");
    }

    void check_alerts() {
        const alert_settings& alerts = all_.alerts;
        if (!alerts.webhook_url.empty() && !parse_http_url(alerts.webhook_url))
            error("alerts.webhook_url",
                  "is no address that begins with http:// or https://, without a user and without blanks");
        if (!alerts.webhook_url.empty() && alerts.webhook_timeout.count() == 0)
            error("alerts.webhook_timeout", "cannot be off: a receiver that never answers would keep all that follows");
    }

    void check_listen() {
        const auto& listen = all_.listen;
        check_pair("listen.tls", listen.tls.cert_file, listen.tls.key_file);
        check_file("listen.tls.ca_file", listen.tls.ca_file);
        if (listen.tls.required() && listen.tls.cert_file.empty())
            error("listen.tls.mode", "demands TLS, but there is no certificate",
                  "set listen.tls.cert_file and key_file");
        if (listen.tls.mode == client_tls_mode::verify_full && listen.tls.ca_file.empty())
            error("listen.tls.mode", "verifies client certificates, but against nothing", "set listen.tls.ca_file");
        if (listen.tls.mode == client_tls_mode::disable && !listen.tls.cert_file.empty())
            warn("listen.tls.mode", "disables TLS although a certificate is given");
        check_socket_path();
    }

    void check_socket_path() {
        const std::string& directory = all_.listen.unix_socket_dir;
        if (directory.empty()) return;
        constexpr std::size_t longest = 107;  // sockaddr_un::sun_path, with its NUL
        const std::string path = directory + "/.s.PGSQL." + std::to_string(all_.listen.port);
        if (!directory.starts_with('/')) error("listen.unix_socket_dir", "is not an absolute path");
        else if (path.size() > longest)
            error("listen.unix_socket_dir", "is too long: a socket's path has at most 107 bytes");
        else if (const std::string why = check_(directory); !why.empty())
            error("listen.unix_socket_dir", "directory " + directory + " cannot be used: " + why);
    }

    void check_admin() {
        const auto& admin = all_.admin;
        if (!admin.enabled) return;
        check_pair("admin.tls", admin.tls.cert_file, admin.tls.key_file);
        if (!is_loopback(admin.host)) {
            if (admin.operate_token.empty() && admin.read_token.empty())
                error("admin.host", "is open to other machines, but there is no token",
                      "set admin.operate_token_file and admin.read_token_file, or bind 127.0.0.1");
            if (admin.tls.cert_file.empty())
                warn("admin.host", "is open to other machines without TLS: tokens travel in clear",
                     "set admin.tls.cert_file and key_file");
        }
        if (!admin.operate_token.empty() && admin.operate_token == admin.read_token)
            error("admin.read_token", "is the same as admin.operate_token: readers could change things");
        if (admin.port != 0 && admin.port == all_.listen.port && share_address(admin.host, all_.listen.host))
            error("admin.port", "is the same as listen.port");
    }

    static bool share_address(const std::string& one, const std::string& other) {
        const auto is_any = [](const std::string& host) { return host == "0.0.0.0" || host == "::"; };
        return one == other || is_any(one) || is_any(other);
    }

    /// Whether dialling `host` certainly ends at a listener bound to `bound`.
    static bool reaches(const std::string& host, const std::string& bound) {
        const bool is_any = bound == "0.0.0.0" || bound == "::";
        const bool is_name_of_it = host == "localhost" && (bound == "127.0.0.1" || bound == "::1");
        return host == bound || is_name_of_it || (is_any && is_loopback(host) && !host.starts_with('/'));
    }

    void check_backends() {
        const auto& backends = all_.backends;
        const auto has_hosts = [](const auto& entry) { return !entry.second.hosts.empty(); };
        if (backends.hosts.empty() && std::ranges::none_of(all_.databases, has_hosts))
            error("backends.hosts", "names no server", "set DB_HOST, or backends.hosts in the file");
        check_hosts("backends.hosts", backends.hosts);
        if (!backends.password.empty() && backends.user.empty())
            error("backends.user", "is missing: there is a password but no user");
    }

    void check_hosts(const std::string& key, const std::vector<host_port>& hosts) {
        for (auto host = hosts.begin(); host != hosts.end(); ++host)
            if (std::find(hosts.begin(), host, *host) != host) error(key, "lists " + format_host(*host) + " twice");
        if (hosts.size() > 100) error(key, "lists more than 100 servers");
        // Our own port behind ourselves would dial in circles until the limits stop it.
        const auto is_self = [&](const host_port& host) {
            return host.port == all_.listen.port && reaches(host.host, all_.listen.host);
        };
        if (std::ranges::any_of(hosts, is_self))
            error(key, "points to this proxy's own port", "PostgreSQL itself usually listens on 5432");
    }

    [[nodiscard]] bool has_remote_hosts() const {
        const auto is_remote = [](const host_port& host) { return !is_loopback(host.host); };
        return std::ranges::any_of(all_.backends.hosts, is_remote) ||
               std::ranges::any_of(all_.databases, [&](const auto& entry) {
                   return std::ranges::any_of(entry.second.hosts, is_remote);
               });
    }

    void check_server_tls() {
        const auto& tls = all_.backends.tls;
        check_pair("backends.tls", tls.cert_file, tls.key_file);
        check_file("backends.tls.ca_file", tls.ca_file);
        const bool verifies = tls.sslmode >= server_tls_mode::verify_ca;
        if (verifies && tls.ca_file.empty())
            error("backends.tls.sslmode", "verifies certificates, but against nothing", "set backends.tls.ca_file");
        if (tls.binding == channel_binding::require && tls.sslmode < server_tls_mode::require)
            error("backends.tls.channel_binding", "needs TLS, which backends.tls.sslmode does not insist on",
                  "set backends.tls.sslmode: require or better");
        if (tls.negotiation == tls_negotiation::direct && tls.sslmode < server_tls_mode::require)
            error("backends.tls.negotiation", "begins with TLS, which backends.tls.sslmode does not insist on",
                  "set backends.tls.sslmode: require or better");
        if (!verifies && has_remote_hosts())
            warn("backends.tls.sslmode",
                 "does not verify servers: whoever answers for them sees all data (passwords in clear or md5 are not "
                 "sent)",
                 "set backends.tls.ca_file");
    }

    /// The console asks for passwords of its own users, whatever auth.method says (D37).
    void check_console() {
        const auto check = [this](const std::string& key, const std::vector<std::string>& names) {
            for (const std::string& each : names)
                if (!all_.users.contains(each))
                    warn(key, "names " + each + ", who is not under users and so cannot sign in to the console",
                         "give them a password or a verifier there");
        };
        check("admin.admin_users", all_.admin.admin_users);
        check("admin.stats_users", all_.admin.stats_users);
    }

    void check_auth() {
        const auth_method method = all_.auth.method;
        const bool is_open = !is_loopback(all_.listen.host);
        if (!all_.auth.ident_file.empty() && !all_.auth.by_rules())
            warn("auth.ident_file", "is not used: only rules of auth.hba_file name its maps");
        check_auth_query();
        if (all_.auth.by_rules()) return;  // their lines have been judged
        if (method == auth_method::trust && is_open && !all_.auth.allow_remote_trust)
            error("auth.method", "trust on an address that other machines can reach lets anyone in as anyone",
                  "use scram-sha-256, or say auth.allow_remote_trust: true");
        if (method == auth_method::passthrough && is_open && !all_.listen.tls.offered())
            warn("listen.tls.cert_file",
                 "is missing: passthrough needs TLS beyond this machine, so all other clients will be refused");
        if ((method == auth_method::md5 || method == auth_method::scram_sha_256) && all_.users.empty() &&
            !looks_users_up(all_))
            error("auth.method", "needs users, and none are configured", "list them under users, or use passthrough");
        const auto is_operator = [this](const auto& entry) {
            const auto& admin = all_.admin;
            return std::ranges::count(admin.admin_users, entry.first) +
                       std::ranges::count(admin.stats_users, entry.first) >
                   0;
        };
        if (method == auth_method::passthrough && !std::ranges::all_of(all_.users, is_operator))
            warn("auth.method", "passthrough asks the server: passwords and verifiers under users are not used");
    }

    void check_auth_query() {
        const auth_query_settings& query = all_.auth.query;
        if (!query.enabled()) {
            if (!query.password.empty()) error("auth.query.user", "is missing: there is a password but no user");
            return;
        }
        if (query.sql.find("$1") == std::string::npos)
            error("auth.query.sql", "asks for nobody: $1 is the name of the user");
        if (query.timeout.count() == 0)
            error("auth.query.timeout", "cannot be off: a server that never answers would keep all that follow");
        const bool unused = all_.auth.method == auth_method::trust || all_.auth.method == auth_method::passthrough;
        if (unused && !all_.auth.by_rules())
            warn("auth.query.user", "is not used: auth.method asks for no stored password",
                 "set auth.method: scram-sha-256, or auto");
    }

    void check_limits() {
        const auto& limits = all_.limits;
        if (limits.request_keep > limits.session_memory)
            error("limits.request_keep", "is larger than limits.session_memory");
        if (limits.max_server_connections != 0 && limits.max_server_connections < all_.pool.size)
            warn("limits.max_server_connections", "is smaller than pool.size: no pool can fill");
    }

    /// Global policies, and those of each entry (whose keys begin with `entry`).
    void check_policies(const policies& rules, const std::string& entry) {
        const auto path = [&](std::string_view key) {
            return entry.empty() ? std::string(key) : entry + '.' + std::string(key);
        };
        const auto& pool = rules.pool;
        if (pool.min_size > pool.size)
            error(path("pool.min_size"), "is larger than pool.size (" + std::to_string(pool.size) + ")");
        if (pool.lifetime.count() != 0 && pool.idle_timeout >= pool.lifetime)
            warn(path("pool.idle_timeout"), "is not shorter than pool.lifetime, so it never acts (P51)",
                 "write 0 if that is meant");
        if (rules.retry.initial_delay > rules.retry.max_delay)
            error(path("retry.initial_delay"), "is longer than retry.max_delay");
    }

    void check_connect() {
        const auto& backoff = all_.connect.backoff;
        if (backoff.initial > backoff.max) error("connect.backoff.initial", "is longer than connect.backoff.max");
        if (backoff.max > backoff.late_max) error("connect.backoff.late_max", "is shorter than connect.backoff.max");
    }

    void check_monitor() {
        if (!all_.monitor.password.empty() && all_.monitor.user.empty())
            error("monitor.user", "is missing: there is a password but no user");
        if (all_.health.interval.count() != 0 && all_.health.timeout > all_.health.interval)
            error("health.timeout", "is longer than health.interval");
    }

    void check_databases() {
        for (const auto& [name, database] : all_.databases) {
            const std::string path = entry_path("databases", name);
            if (static_cast<const policies&>(database) != static_cast<const policies&>(all_))
                check_policies(database, path);
            check_hosts(path + ".hosts", database.hosts);
            if (database.hosts.empty() && all_.backends.hosts.empty())
                error(path, "has no servers", "give it hosts, or set backends.hosts");
            if (!database.password.empty() && database.user.empty())
                error(path + ".user", "is missing: there is a password but no user");
            check_auth_query_of(database, path);
        }
    }

    void check_auth_query_of(const database_settings& database, const std::string& path) {
        if (!database.auth_password.empty() && database.auth_user.empty())
            error(path + ".auth_user", "is missing: there is a password but no user");
        if (!database.auth_query.empty() && database.auth_query.find("$1") == std::string::npos)
            error(path + ".auth_query", "asks for nobody: $1 is the name of the user");
        if (!database.asks_otherwise()) return;
        if (database.auth_user.empty() && !all_.auth.query.enabled())
            error(path + ".auth_user", "is missing: nobody looks users up", "give it, or auth.query.user");
        if (all_.auth.query.timeout.count() == 0)
            error("auth.query.timeout", "cannot be off: a server that never answers would keep all that follow");
    }

    void check_users() {
        for (const auto& [name, user] : all_.users) {
            const std::string path = entry_path("users", name);
            if (!user.verifier.empty()) check_verifier(path, user);
            else if (user.password.empty() && needs_secret(user)) error(path, "has neither password nor verifier");
        }
    }

    /// A file or variable that could not be read has been reported by then.
    [[nodiscard]] bool needs_secret(const user_settings& user) const {
        const bool asks_us = all_.auth.method == auth_method::md5 || all_.auth.method == auth_method::scram_sha_256;
        const bool may_lack = all_.auth.by_rules() || looks_users_up(all_);
        return asks_us && !may_lack && user.password_file.empty() && user.password_env.empty();
    }

    void check_verifier(const std::string& path, const user_settings& user) {
        const std::string key = path + ".verifier";
        if (!user.password.empty()) error(key, "is given beside a password", "keep one of them");
        const bool is_md5 = is_md5_verifier(user.verifier);
        if (!is_md5 && !is_scram_verifier(user.verifier))
            error(key, "is neither SCRAM-SHA-256$iterations:salt$stored:server nor md5 with 32 digits",
                  "copy it from pg_authid.rolpassword");
        else if (is_md5 && all_.auth.method == auth_method::scram_sha_256 && !all_.auth.by_rules())
            error(key, "is an md5 verifier, with which nobody can sign in by SCRAM",
                  "set a new password on the server with password_encryption = scram-sha-256, or auth.method: md5");
    }

    static bool is_md5_verifier(std::string_view text) {
        return text.size() == 35 && text.starts_with("md5") &&
               text.substr(3).find_first_not_of("0123456789abcdef") == std::string_view::npos;
    }

    /// Shape alone; decoding is the business of the SCRAM code.
    static bool is_scram_verifier(std::string_view text) {
        constexpr std::string_view base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
        constexpr std::string_view scheme = "SCRAM-SHA-256$";
        if (!text.starts_with(scheme)) return false;
        text.remove_prefix(scheme.size());
        const auto take = [&text](char mark) {
            const auto at = std::min(text.find(mark), text.size());
            const auto part = text.substr(0, at);
            text.remove_prefix(std::min(at + 1, text.size()));
            return part;
        };
        const auto is_made_of = [](std::string_view part, std::string_view letters) {
            return !part.empty() && part.find_first_not_of(letters) == std::string_view::npos;
        };
        const auto iterations = take(':');
        const auto salt = take('$');
        const auto stored_key = take(':');
        return is_made_of(iterations, "0123456789") && iterations.size() < 10 && is_made_of(salt, base64) &&
               stored_key.size() == 44 && is_made_of(stored_key, base64) && text.size() == 44 &&
               is_made_of(text, base64);
    }

    const settings& all_;
    const file_check& check_;
    std::vector<problem> found_;
};

}  // namespace

std::vector<problem> validate(const settings& all, const file_check& check) { return validator(all, check).run(); }

std::string check_readable(const std::string& path) {
    if (access(path.c_str(), R_OK) != 0) return std::strerror(errno);
    return {};
}

}  // namespace pgsteady::config
