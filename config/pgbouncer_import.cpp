// Three steps: the tables below say what each setting becomes; databases and users become entries; the result is loaded
// once as a configuration of ours, so that what cannot be said here is said before it is used.
#include "config/pgbouncer_import.hpp"

#include "config/apply.hpp"
#include "config/load.hpp"
#include "config/value.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>

namespace pgsteady::config {

namespace {

enum class form : std::uint8_t {
    as_it_is,
    seconds,       ///< PgBouncer's times, which may have a fraction
    milliseconds,  ///< tcp_user_timeout
    flag,
    needless,  ///< nothing is lost: pgsteady does what it is for, or has no use for it
    lost,      ///< `key` says why
};

struct carried {
    std::string_view name;
    form how;
    std::string_view key;  ///< ours; of what is lost, the remark
};

constexpr std::array global_settings{
    carried{"listen_port", form::as_it_is, "listen.port"},
    carried{"unix_socket_dir", form::as_it_is, "listen.unix_socket_dir"},
    carried{"listen_backlog", form::as_it_is, "listen.backlog"},
    carried{"tcp_keepidle", form::seconds, "listen.keepalive.idle"},
    carried{"tcp_keepintvl", form::seconds, "listen.keepalive.interval"},
    carried{"tcp_keepcnt", form::as_it_is, "listen.keepalive.count"},
    carried{"tcp_user_timeout", form::milliseconds, "connect.tcp_user_timeout"},
    carried{"pool_mode", form::as_it_is, "pool.mode"},
    carried{"max_client_conn", form::as_it_is, "limits.max_clients"},
    carried{"max_db_client_connections", form::as_it_is, "limits.max_clients_per_database"},
    carried{"max_user_client_connections", form::as_it_is, "limits.max_clients_per_user"},
    carried{"default_pool_size", form::as_it_is, "pool.size"},
    carried{"min_pool_size", form::as_it_is, "pool.min_size"},
    carried{"reserve_pool_size", form::as_it_is, "pool.max_overflow"},
    carried{"server_lifetime", form::seconds, "pool.lifetime"},
    carried{"server_idle_timeout", form::seconds, "pool.idle_timeout"},
    carried{"server_reset_query", form::as_it_is, "pool.reset_query"},
    carried{"server_check_delay", form::seconds, "pool.probe_after_idle"},
    carried{"server_connect_timeout", form::seconds, "connect.timeout"},
    carried{"query_wait_timeout", form::seconds, "pool.hold_timeout"},
    carried{"query_timeout", form::seconds, "timeouts.statement"},
    carried{"transaction_timeout", form::seconds, "timeouts.transaction"},
    carried{"idle_transaction_timeout", form::seconds, "timeouts.idle_in_transaction"},
    carried{"client_idle_timeout", form::seconds, "timeouts.client_idle"},
    carried{"client_login_timeout", form::seconds, "timeouts.login"},
    carried{"autodb_idle_timeout", form::seconds, "auto_pools.idle_timeout"},
    carried{"client_tls_key_file", form::as_it_is, "listen.tls.key_file"},
    carried{"client_tls_cert_file", form::as_it_is, "listen.tls.cert_file"},
    carried{"client_tls_ca_file", form::as_it_is, "listen.tls.ca_file"},
    carried{"server_tls_sslmode", form::as_it_is, "backends.tls.sslmode"},
    carried{"server_tls_ca_file", form::as_it_is, "backends.tls.ca_file"},
    carried{"server_tls_key_file", form::as_it_is, "backends.tls.key_file"},
    carried{"server_tls_cert_file", form::as_it_is, "backends.tls.cert_file"},
    carried{"log_connections", form::flag, "log.connections"},
    // Nothing is lost without these.
    carried{"logfile", form::lost, "the log goes to the standard error output"},
    carried{"syslog", form::lost, "the log goes to the standard error output"},
    carried{"syslog_ident", form::needless, {}},
    carried{"syslog_facility", form::needless, {}},
    carried{"pidfile", form::lost, "there is none; a service manager knows"},
    carried{"user", form::lost, "the service manager chooses the user"},
    carried{"log_disconnections", form::needless, {}},
    carried{"log_pooler_errors", form::needless, {}},
    carried{"log_stats", form::needless, {}},
    carried{"stats_period", form::needless, {}},
    carried{"ignore_startup_parameters", form::needless, {}},
    carried{"track_extra_parameters", form::needless, {}},
    carried{"max_prepared_statements", form::lost,
            "prepared statements are always supported, and bounded in bytes: pool.prepared_statements"},
    carried{"server_check_query", form::lost, "an empty query is what a server is checked with"},
    carried{"server_fast_close", form::needless, {}},
    carried{"server_login_retry", form::lost, "dialling again has its own pauses: connect.backoff"},
    carried{"server_round_robin", form::lost, "the connection used last is used next"},
    carried{"reserve_pool_timeout", form::lost, "pool.max_overflow may be used at once"},
    carried{"cancel_wait_timeout", form::needless, {}},
    carried{"suspend_timeout", form::needless, {}},
    carried{"dns_max_ttl", form::needless, {}},
    carried{"dns_nxdomain_ttl", form::needless, {}},
    carried{"dns_zone_check_period", form::needless, {}},
    carried{"resolv_conf", form::lost, "the system's resolver is asked"},
    carried{"pkt_buf", form::needless, {}},
    carried{"sbuf_loopcnt", form::needless, {}},
    carried{"tcp_socket_buffer", form::needless, {}},
    carried{"tcp_defer_accept", form::needless, {}},
    carried{"tcp_keepalive", form::needless, {}},
    carried{"max_packet_size", form::needless, {}},
    carried{"job_name", form::needless, {}},
    carried{"service_name", form::needless, {}},
    carried{"conffile", form::needless, {}},
    carried{"disable_pqexec", form::needless, {}},
    // These change what somebody sees.
    carried{"max_db_connections", form::lost,
            "there is no limit per database; limits.max_server_connections bounds all of them together"},
    carried{"max_user_connections", form::lost,
            "there is no limit per user; limits.max_server_connections bounds all of them together"},
    carried{"server_reset_query_always", form::lost,
            "pool.reset_query runs after sessions that need it; the state of the others is followed"},
    carried{"so_reuseport", form::lost, "one process serves all cores (workers)"},
    carried{"peer_id", form::lost, "cancel requests do not travel between instances"},
    carried{"application_name_add_host", form::lost, "application_name stays as the client gives it"},
    carried{"unix_socket_mode", form::lost, "the socket is made under the umask of the service"},
    carried{"unix_socket_group", form::lost, "the socket belongs to the group of the service"},
    carried{"auth_query", form::as_it_is, "auth.query.sql"},
    carried{"auth_dbname", form::as_it_is, "auth.query.database"},
    carried{"auth_hba_file", form::as_it_is, "auth.hba_file"},
    carried{"auth_ident_file", form::as_it_is, "auth.ident_file"},
    carried{"auth_ldap_options", form::lost, "there is no LDAP; see auth.method: passthrough"},
    carried{"scram_iterations", form::lost, "verifiers keep the iterations that they were made with"},
    carried{"client_tls_ciphers", form::lost, "OpenSSL's own choice is used"},
    carried{"client_tls13_ciphers", form::lost, "OpenSSL's own choice is used"},
    carried{"client_tls_ecdhcurve", form::lost, "OpenSSL's own choice is used"},
    carried{"client_tls_dheparams", form::lost, "OpenSSL's own choice is used"},
    carried{"server_tls_ciphers", form::lost, "OpenSSL's own choice is used"},
    carried{"server_tls13_ciphers", form::lost, "OpenSSL's own choice is used"},
};

constexpr std::array database_settings_of_theirs{
    carried{"dbname", form::as_it_is, "dbname"},
    carried{"user", form::as_it_is, "user"},
    carried{"password", form::as_it_is, "password"},
    carried{"pool_size", form::as_it_is, "pool.size"},
    carried{"min_pool_size", form::as_it_is, "pool.min_size"},
    carried{"reserve_pool", form::as_it_is, "pool.max_overflow"},
    carried{"reserve_pool_size", form::as_it_is, "pool.max_overflow"},
    carried{"pool_mode", form::as_it_is, "pool.mode"},
    carried{"server_lifetime", form::seconds, "pool.lifetime"},
    carried{"max_db_client_connections", form::as_it_is, "max_clients"},
    carried{"max_db_connections", form::lost, "there is no limit per database besides the size of its pools"},
    carried{"connect_query", form::as_it_is, "pool.connect_query"},
    carried{"client_encoding", form::lost, "use ALTER ROLE … IN DATABASE … SET on the server"},
    carried{"datestyle", form::lost, "use ALTER ROLE … IN DATABASE … SET on the server"},
    carried{"timezone", form::lost, "use ALTER ROLE … IN DATABASE … SET on the server"},
    carried{"application_name", form::lost, "application_name stays as the client gives it"},
    carried{"auth_user", form::as_it_is, "auth_user"},
    carried{"auth_query", form::as_it_is, "auth_query"},
    carried{"auth_dbname", form::as_it_is, "auth_dbname"},
    carried{"load_balance_hosts", form::lost, "statements go to the primary, whichever of the hosts that is"},
};

constexpr std::array user_settings_of_theirs{
    carried{"pool_mode", form::as_it_is, "mode"},
    carried{"pool_size", form::as_it_is, "pool_size"},
    carried{"max_user_client_connections", form::as_it_is, "max_clients"},
    carried{"query_timeout", form::seconds, "statement_timeout"},
    carried{"transaction_timeout", form::seconds, "transaction_timeout"},
    carried{"idle_transaction_timeout", form::seconds, "idle_in_transaction_timeout"},
    carried{"client_idle_timeout", form::seconds, "client_idle_timeout"},
    carried{"max_user_connections", form::lost, "there is no limit per user besides the size of its pools"},
    carried{"reserve_pool_size", form::lost, "pool.max_overflow is per pool, not per user"},
};

/// What is written: sections in the order in which they came up.
struct entry {
    std::string name;
    std::string value;  ///< as YAML
    std::vector<entry> children;

    entry& at(std::string_view child) {
        const auto found =
            std::find_if(children.begin(), children.end(), [&](const entry& e) { return e.name == child; });
        if (found != children.end()) return *found;
        children.push_back({std::string(child), {}, {}});
        return children.back();
    }
    entry& path(std::string_view keys) {
        const auto dot = keys.find('.');
        entry& first = at(keys.substr(0, dot));
        return dot == std::string_view::npos ? first : first.path(keys.substr(dot + 1));
    }
    void print(std::string& to, std::size_t depth) const {
        for (const entry& each : children) {
            to.append(depth * 2, ' ');
            to += quote_yaml(each.name) + ':';
            if (each.children.empty()) to += ' ' + each.value;
            to += '\n';
            each.print(to, depth + 1);
        }
    }
};

constexpr std::string_view socket_folder = "/var/run/postgresql";  // Debian's

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// "0.5" -> "500ms". Nothing if it is no time.
std::optional<std::string> duration_of(std::string_view seconds) {
    const auto dot = seconds.find('.');
    const std::string_view whole = seconds.substr(0, dot);
    std::string fraction = dot == std::string_view::npos ? "" : std::string(seconds.substr(dot + 1, 3));
    fraction.resize(3, '0');
    if (!is_number(whole) || whole.size() > 9 || !is_number(fraction)) return std::nullopt;
    return format_duration(std::chrono::milliseconds(std::stoll(std::string(whole)) * 1000 + std::stoll(fraction)));
}

bool is_true(std::string_view value) { return value == "1" || value == "on" || value == "true" || value == "yes"; }

class importer {
public:
    explicit importer(const file_reader& read) : read_(read) {}

    void take(const ini_entry& each) {
        if (each.section == "pgbouncer") return take_global(each);
        if (each.section == "databases") return take_database(each);
        if (each.section == "users") return take_user(each);
        note(each.where, each.section == "peers" ? "cancel requests do not travel between instances"
                                                 : "section [" + each.section + "] is not known");
    }

    void finish() {
        add_users();
        add_asker();
        add_askers_of_databases();
        if (!mode_given_) root_.path("pool.mode").value = "session";  // PgBouncer's default
        for (const std::string_view key : {"pool.min_size", "pool.max_overflow"})
            if (entry& value = root_.path(key); value.value.empty()) value.value = "0";  // likewise
        if (!fallback_) root_.path("auto_pools.enabled").value = "false";
    }

    entry root_;
    std::vector<std::string> notes;

private:
    void note(const std::string& where, const std::string& what) { notes.push_back(where + ": " + what); }

    /// `name = value` becomes what the table says, under `to`.
    void carry(std::span<const carried> table, entry& to, const std::string& where, std::string_view name,
               std::string_view value) {
        const auto rule =
            std::find_if(table.begin(), table.end(), [&](const carried& each) { return each.name == name; });
        if (rule == table.end()) return note(where, std::string(name) + ": not known here, and left out");
        switch (rule->how) {
            case form::needless: return;
            case form::lost: return note(where, std::string(name) + ": " + std::string(rule->key));
            case form::flag: to.path(rule->key).value = is_true(value) ? "true" : "false"; return;
            case form::as_it_is: to.path(rule->key).value = quote_yaml(value); return;
            case form::milliseconds:
            case form::seconds: break;
        }
        const auto time = rule->how == form::seconds ? duration_of(value)
                          : is_number(value)         ? std::optional(std::string(value) + "ms")
                                                     : std::nullopt;
        if (!time) return note(where, std::string(name) + ": is no time: " + std::string(value));
        to.path(rule->key).value = *time;
    }

    void take_global(const ini_entry& each) {
        const std::string& value = each.value;
        if (each.key == "listen_addr") return take_address(each);
        if (each.key == "auth_type") return take_auth_type(each);
        if (each.key == "auth_file") return take_auth_file(each);
        if (each.key == "auth_user") {
            asker_ = value;
            return;
        }
        if (each.key == "auth_query") query_at_ = each.where;
        if (each.key == "client_tls_sslmode") return take_client_tls(each);
        if (each.key.ends_with("_tls_protocols")) return take_protocols(each);
        if (each.key == "admin_users" || each.key == "stats_users") {
            root_.path("admin." + each.key).value = quote_yaml(value);
            return;
        }
        if (each.key == "verbose") {
            if (value != "0") root_.path("log.level").value = "debug";
            return;
        }
        if (each.key == "pool_mode") mode_given_ = true;
        carry(global_settings, root_, each.where, each.key, value);
    }

    void take_address(const ini_entry& each) {
        const auto comma = each.value.find(',');
        if (comma != std::string::npos)
            note(each.where, "listen_addr: one address only, so the first; 0.0.0.0 listens everywhere");
        const std::string first = each.value.substr(0, comma);
        root_.path("listen.host").value = quote_yaml(first == "*" ? "0.0.0.0" : first);
    }

    void take_auth_type(const ini_entry& each) {
        std::string& method = root_.path("auth.method").value;
        if (each.value == "trust" || each.value == "any") method = "trust";
        else if (each.value == "md5" || each.value == "scram-sha-256") method = "auto";  // see add_users()
        else if (each.value == "hba") method = "auto";                                   // see auth_hba_file
        else {
            method = "auto";
            note(each.where, "auth_type: " + each.value + " is not offered; users sign in with passwords");
        }
        md5_allowed_ = each.value == "md5" || each.value == "hba";
        if (each.value == "any") note(each.where, "auth_type: any: the user that a client names is the one it gets");
    }

    void take_auth_file(const ini_entry& each) {
        const auto text = read_(each.value);
        if (!text) return note(each.where, "auth_file: cannot read " + each.value);
        for (const auto& [name, secret] : read_userlist(*text)) passwords_[name] = secret;
    }

    void take_client_tls(const ini_entry& each) {
        std::string mode = each.value == "prefer" ? "allow" : each.value;
        if (mode == "verify-ca") {
            mode = "verify-full";
            note(each.where, "client_tls_sslmode: verify-ca becomes verify-full: the certificate must be the user's");
        }
        root_.path("listen.tls.mode").value = mode;
    }

    void take_protocols(const ini_entry& each) {
        const std::string side = each.key.starts_with("client") ? "listen" : "backends";
        if (each.value.find("tlsv1.2") != std::string::npos || each.value == "secure" || each.value == "default")
            root_.path(side + ".tls.min_version").value = "\"1.2\"";
        else if (each.value.find("tlsv1.3") != std::string::npos)
            root_.path(side + ".tls.min_version").value = "\"1.3\"";
        else note(each.where, each.key + ": TLS 1.2 is the oldest that is spoken");
    }

    void take_database(const ini_entry& each) {
        const auto pairs = read_pairs(each.value);
        if (!pairs) return note(each.where, "cannot be read as a connection string");
        std::string hosts;
        std::string port = "5432";
        for (const auto& [key, value] : *pairs) {
            if (key == "host") hosts = value;
            else if (key == "port") port = value;
        }
        const bool fallback = each.key == "*";
        fallback_ |= fallback;
        entry& to = fallback ? root_.path("backends") : root_.path("databases").at(each.key);
        to.at("hosts").value = hosts_of(hosts, port, each.where);
        for (const auto& [key, value] : *pairs) {
            if (key == "host" || key == "port") continue;
            if (!fallback && key.starts_with("auth_")) asked_otherwise_.insert_or_assign(each.key, each.where);
            if (!fallback && key == "auth_user") askers_[each.key] = value;
            if (fallback && key == "auth_user") asker_ = value;
            else if (fallback && key.starts_with("auth_")) carry(global_settings, root_, each.where, key, value);
            else if (!fallback) carry(database_settings_of_theirs, to, each.where, key, value);
            else if (key == "user" || key == "password")
                note(each.where, key + ": of the entry *, is for entries of databases only");
            else if (key == "dbname") root_.path("backends.database").value = quote_yaml(value);
            else carry(database_settings_of_theirs, root_, each.where, key, value);
        }
    }

    std::string hosts_of(const std::string& hosts, const std::string& port, const std::string& where) {
        if (hosts.empty()) {
            note(where,
                 "host: none is named; the server's Unix socket is taken to be in " + std::string(socket_folder));
            return '[' + quote_yaml(std::string(socket_folder) + ':' + port) + ']';
        }
        std::string list;
        for (std::size_t at = 0; at <= hosts.size();) {
            const auto comma = std::min(hosts.size(), hosts.find(',', at));
            std::string host = hosts.substr(at, comma - at);
            if (host.find(':') != std::string::npos) host = '[' + host + ']';
            list += (list.empty() ? "" : ", ") + quote_yaml(host + ':' + port);
            at = comma + 1;
        }
        return '[' + list + ']';
    }

    void take_user(const ini_entry& each) {
        const auto pairs = read_pairs(each.value);
        if (!pairs) return note(each.where, "cannot be read as settings of a user");
        entry& to = root_.path("users").at(each.key);
        for (const auto& [key, value] : *pairs) carry(user_settings_of_theirs, to, each.where, key, value);
    }

    /// Accounts that look users up for one database: their passwords are in auth_file, as all are.
    void add_askers_of_databases() {
        for (const auto& [name, where] : asked_otherwise_) {
            entry& to = root_.path("databases").at(name);
            const auto user = askers_.find(name);
            if (user == askers_.end() && asker_.empty()) {
                note(where, "auth_query: there is no auth_user for it, so nobody is looked up");
                std::erase_if(to.children, [](const entry& each) { return each.name.starts_with("auth_"); });
            }
            if (user == askers_.end()) continue;
            const auto secret = passwords_.find(user->second);
            if (secret == passwords_.end() || is_stored_form(secret->second))
                note(where, "auth_user: auth_password has to be added: it is not in auth_file, or not as text");
            else to.at("auth_password").value = quote_yaml(secret->second);
        }
    }

    /// The account that looks users up has its password in auth_file, as all have.
    void add_asker() {
        if (asker_.empty()) {
            if (!query_at_.empty()) note(query_at_, "auth_query: there is no auth_user for it, so nobody is looked up");
            return;
        }
        root_.path("auth.query.user").value = quote_yaml(asker_);
        const auto secret = passwords_.find(asker_);
        if (secret == passwords_.end() || is_stored_form(secret->second))
            note("auth_user", "auth.query.password has to be added: it is not in auth_file, or not as text");
        else root_.path("auth.query.password").value = quote_yaml(secret->second);
        if (md5_allowed_) root_.path("auth.method").value = "md5";  // and SCRAM: whatever the server has stored
        if (query_at_.empty()) return;
        note(query_at_, "auth_query: it runs with search_path = pg_catalog; a function of yours needs its full name");
    }

    /// All sign in by one method here; in PgBouncer, each by what is known of them.
    void add_users() {
        bool md5 = false;
        bool scram = false;
        for (const auto& [name, secret] : passwords_) {
            const bool is_md5 = secret.starts_with("md5") && secret.size() == 35;
            const bool is_scram = secret.starts_with("SCRAM-SHA-256$");
            md5 |= is_md5;
            scram |= is_scram;
            if (secret.empty()) note("auth_file", "user " + name + " has no password and is left out");
            else
                root_.path("users").at(name).at(is_md5 || is_scram ? "verifier" : "password").value =
                    quote_yaml(secret);
        }
        if (md5 && !scram && md5_allowed_) root_.path("auth.method").value = "md5";
    }

    const file_reader& read_;
    std::map<std::string, std::string> passwords_;
    bool md5_allowed_ = true;                             // PgBouncer's default
    std::string asker_;                                   // auth_user
    std::map<std::string, std::string> askers_;           // of databases
    std::map<std::string, std::string> asked_otherwise_;  // databases with settings of auth_query, and where they stand
    std::string query_at_;                                // where auth_query is given
    bool mode_given_ = false;
    bool fallback_ = false;
};

}  // namespace

pgbouncer_import import_pgbouncer(const std::string& path, const file_reader& read) {
    const ini_file file = read_ini(path, read);
    if (file.entries.empty()) {
        pgbouncer_import nothing{{}, file.problems, false};
        if (nothing.notes.empty()) nothing.notes.push_back(path + ": has no settings");
        return nothing;
    }
    importer all(read);
    for (const ini_entry& each : file.entries) all.take(each);
    all.finish();
    pgbouncer_import made{"# From " + path + ". Holds the passwords that were there: readable by the service alone.\n",
                          file.problems};
    all.root_.print(made.yaml, 0);
    made.notes.insert(made.notes.end(), all.notes.begin(), all.notes.end());
    for (const problem& each : load_text(made.yaml, "the result", {}).problems) made.notes.push_back(describe(each));
    return made;
}

}  // namespace pgsteady::config
