// What servers have said about the passwords of roles (auth.query), for a while: those who exist and, apart from them, names
// that do not, so that a flood of invented names drives no user out. Decides only; time is an argument. Must never grow beyond
// its limit, nor answer for another cluster than the one that was asked. Not thread-safe: owned by credential_lookup.
#pragma once

#include "protocol/scram_common.hpp"

#include "config/config.hpp"

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pgsteady {

/// What a server keeps of one role's password. Never logged.
struct role_secret {
    bool known = false;  ///< there is such a role, and it has a password and may sign in
    std::string text{};  ///< as the query returned it: SCRAM-SHA-256$…, md5…, or the password itself
    std::optional<scram_verifier> verifier{};  ///< of `text`, unless that is md5
};

/// Who is asked: these hosts, as the entry `database` says; empty: as auth.query does.
struct lookup_place {
    std::vector<config::host_port> hosts;
    std::string database{};
};

class role_cache {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;
    using secret_ptr = std::shared_ptr<const role_secret>;

    /// `max_age` 0: no answer is good for a second sign-in, except while nobody can be asked. `keep` 0: not even then.
    struct rules {
        duration max_age{};
        duration keep{};
        std::size_t most = 0;  ///< of roles, and as many of other names; 0: none is kept
    };
    explicit role_cache(const rules& how) : rules_(how) {}
    void set_rules(const rules& how) { rules_ = how; }

    /// Good enough to sign in with; null: ask.
    [[nodiscard]] secret_ptr fresh(const std::string& key, time_point now) const;
    /// What was known last, for when nobody can be asked; null: nothing, or for too long.
    [[nodiscard]] secret_ptr last(const std::string& key, time_point now) const;
    void put(const std::string& key, secret_ptr secret, time_point now);
    /// A sign-in with this answer has failed: the password may be another one by now.
    void suspect(const std::string& key, const secret_ptr& which);
    void clear();

    [[nodiscard]] std::size_t known() const { return known_.of.size(); }
    [[nodiscard]] std::size_t unknown() const { return unknown_.of.size(); }

private:
    struct entry {
        secret_ptr secret;
        time_point asked_at;
        bool suspect = false;
        std::list<std::string>::iterator place;
    };
    struct shelf {
        std::unordered_map<std::string, entry> of;
        std::list<std::string> order;  // the one asked for longest ago is first

        void drop(const std::string& key);
        void put(const std::string& key, secret_ptr secret, time_point now, std::size_t most);
    };
    [[nodiscard]] const entry* find(const std::string& key) const;

    rules rules_;
    shelf known_;
    shelf unknown_;
};

}  // namespace pgsteady
