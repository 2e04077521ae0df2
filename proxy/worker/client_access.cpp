// Whether a client may try to sign in at all, and how it is to: auth.hba_file and certificates (client_connection.hpp).
// Asked before anything is known of the user, so what is said here tells nothing about who exists (P13).
#include "config/access_rules.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/pool_plan.hpp"
#include "proxy/worker/worker.hpp"

namespace pgsteady {

/// Nothing: the sign-in goes on, by method_.
std::optional<error_fields> client_connection::objection_to_entry() {
    const config::auth_settings& auth = worker_.shared().settings().auth;
    method_ = auth.method;
    if (auth.by_rules()) return objection_by_rules();
    if (certificate_fits(nullptr)) return std::nullopt;
    return client_errors::certificate_mismatch(user_);
}

std::optional<error_fields> client_connection::objection_by_rules() {
    const bool physical = login_->wants_replication() && login_->startup().parameter("replication") != "database";
    const config::entrant who{peer_is_unix(), stream_->tls(), physical, config::peer_bytes(peer_), database_, user_};
    const config::hba_rule* rule = config::rule_for(worker_.shared().settings().auth.hba, who);
    if (rule == nullptr || rule->how == config::hba_rule::method::reject) {
        const std::string host = who.by_unix_socket ? "[local]" : source_of(peer_);
        return client_errors::not_admitted(host, user_, database_, who.with_tls, rule != nullptr);
    }
    method_ = method_of(*rule);
    if (certificate_fits(rule)) return std::nullopt;
    return client_errors::certificate_mismatch(user_);
}

/// `rule`: of auth.hba_file; null: there are none.
bool client_connection::certificate_fits(const config::hba_rule* rule) const {
    using certificate = config::hba_rule::certificate;
    const config::settings& all = worker_.shared().settings();
    const bool everybody = all.listen.tls.mode == config::client_tls_mode::verify_full;
    const certificate wanted = rule != nullptr ? rule->shows : certificate::none;
    if (peer_is_unix() || (!everybody && wanted == certificate::none)) return true;
    const std::string name = stream_->tls_peer_common_name();
    if (name.empty()) return false;
    if (wanted == certificate::verify_ca) return true;
    return rule != nullptr && !rule->map.empty() ? config::may_be(all.auth.ident, rule->map, name, user_)
                                                 : name == user_;
}

}  // namespace pgsteady
