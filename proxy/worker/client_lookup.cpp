// The sign-in of a client that only servers know (auth.query): its stored password is asked for, here or on the helper's thread,
// then the sign-in goes on as with any other user's. See credential_lookup.hpp, client_connection.hpp.
#include "proxy/policy/client_errors.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/local_pool.hpp"
#include "proxy/worker/log.hpp"
#include "proxy/worker/pool_plan.hpp"
#include "proxy/worker/worker.hpp"

#include <utility>

namespace pgsteady {

void client_connection::look_up_role(std::string& out) {
    proxy_state& all = worker_.shared();
    auto answer = all.lookups().ask(place_of_lookup(all.settings(), database_, user_), user_,
                                    [home = &worker_, client = weak_from_this()](const role_answer& found) {
                                        home->post([home, client, found] {
                                            if (const auto alive = client.lock()) alive->role_found(found);
                                            home->settle();
                                        });
                                    });
    if (answer) return use_role(*answer, out);
    send(out);  // while it is looked up
    out.clear();
    looking_up_ = true;
}

void client_connection::role_found(const role_answer& answer) {
    looking_up_ = false;
    if (closed_ || closing_ != end_reason::none || login_ == nullptr) return;
    std::string out;
    use_role(answer, out);
    if (closed_ || pending_in_.empty()) return;
    const std::string ahead = std::move(pending_in_);
    pending_in_.clear();
    take(ahead);
}

void client_connection::use_role(const role_answer& answer, std::string& out) {
    if (answer.secret == nullptr) {
        const std::string incident =
            worker_.tell_incident("client {} from {}: no server could be asked for the password of user {}: {}",
                                  serial_, peer_, user_, answer.problem);
        return login_step(login_->refuse(client_errors::unavailable("users cannot be looked up", incident), out), out);
    }
    role_ = answer.secret;
    remembered_ = answer.remembered;
    login_step(login_->provide_credentials(credentials_of(method_, user_, *role_), random_bytes(32), out), out);
}

/// The password may have been changed on the server since: whoever comes next is looked up again.
void client_connection::note_failed_lookup() {
    if (role_ == nullptr || !remembered_) return;
    proxy_state& all = worker_.shared();
    all.lookups().suspect(place_of_lookup(all.settings(), database_, user_), user_, role_);
}

/// What this sign-in has proved opens servers, too.
void client_connection::offer_secrets() {
    shared_pool& pool = *pool_->shared;
    const auto& keys = login_->recovered_secret();
    const bool proof_is_new = keys && pool.offer_scram(*keys);
    const bool stored_is_new = role_ != nullptr && pool.offer_stored(*role_);
    if (proof_is_new || stored_is_new) pool.fuse.let_in(worker_.loop().now());
    role_.reset();
}

}  // namespace pgsteady
