// The questions of auth.query to one cluster: who waits for what, the one connection that they are asked on, where that goes
// and what a server's answer means. Where nobody can be asked it tries again until those who wait have waited for long enough;
// whoever is known from before does not wait at all. The helper's thread alone. Owned by credential_lookup.
#pragma once

#include "config/config.hpp"

#include "proxy/cluster/cluster.hpp"
#include "proxy/net/event_loop.hpp"
#include "proxy/server_question.hpp"
#include "proxy/worker/credential_lookup.hpp"

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace pgsteady {

class lookup_line {
public:
    lookup_line(credential_lookup& owner, proxy_state& state, lookup_place where);
    ~lookup_line();
    lookup_line(const lookup_line&) = delete;
    lookup_line& operator=(const lookup_line&) = delete;

    void ask(const std::string& key, const std::string& user, credential_lookup::callback done);

private:
    struct waiter {
        credential_lookup::callback done;
        net::time_point until;  ///< time_point::max(): no limit
    };
    struct question {
        std::string user;
        std::vector<waiter> waiters;
    };

    void go_on();
    void dial(std::size_t host);
    void on_ended();
    void take_answer(const std::string& key, const std::string& user);
    void answer(const std::string& key, const role_answer& with);
    void nobody_answers(const std::string& problem);
    [[nodiscard]] std::optional<std::size_t> host_to_ask() const;
    [[nodiscard]] role_cache::secret_ptr read_secret(const std::string& key, const std::string& user,
                                                     std::string& problem) const;

    credential_lookup& owner_;
    proxy_state& state_;
    const std::string database_;  // of lookup_place
    const std::vector<config::host_port> hosts_;
    const std::shared_ptr<cluster> cluster_;
    std::map<std::string, question> questions_;      // by key
    std::size_t waiting_ = 0;                        // sign-ins in all of them; at most auth.query.max_names
    std::deque<std::string> queue_;                  // keys that have not been asked for
    std::string asking_;                             // the key that is; empty: none is
    std::shared_ptr<const config::settings> under_;  // what the connection was made by
    std::unique_ptr<server_question> connection_;
    std::size_t host_ = 0;       // of the connection
    std::size_t preferred_ = 0;  // while roles are not known
    std::uint32_t failures_ = 0;
    net::timer_id retry_;
    net::timer_id rest_;
    bool pausing_ = false;
};

}  // namespace pgsteady
